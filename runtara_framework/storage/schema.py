"""The tables, as SQLAlchemy metadata: the one description that statements, fresh databases and the tests of migrations use.

Two branches. *core* is what durability needs: an instance that registers itself lives on these tables alone. *environment*
is what a server needs to start instances: images, their bytes, launches; it refers to core, never the other way round.

An instance is spread over three rows by how often each is written. `instances` is small and changes with every transition;
`inputs` is written once; `outcomes` once or twice. So a transition never copies a payload, a listing reads none, and a
suspended instance costs its row in `instances`, its input and a few events. Children refer to `instances.id`, a small
integer; `instance_id` is what users know. Times are integers: milliseconds since the epoch.
"""

from __future__ import annotations

import sqlalchemy as sa

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = sa.MetaData(naming_convention=NAMES)

# SQLite makes a column its row id only if the type is spelt INTEGER.
Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Ms = sa.BigInteger


def _instance(*, primary_key: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("instances.id", ondelete="CASCADE")
    return sa.Column("instance", Id, key, primary_key=primary_key, autoincrement=False, nullable=False)


# -- core -------------------------------------------------------------------------------------------------

instances = sa.Table(
    "instances",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("instance_id", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("image_id", sa.Text),  # no foreign key: an ended instance outlives its image
    sa.Column("image_name", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("node_id", sa.Text),  # who holds the current launch; null: nobody does
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("started_at_ms", Ms),
    sa.Column("finished_at_ms", Ms),
    sa.Column("wake_at_ms", Ms),  # SUSPENDED: due then; PENDING: its place in the queue
    sa.Column("wait_keys", sa.Text),  # JSON list: any custom signal of these keys wakes it
    sa.Column("heartbeat_at_ms", Ms),
    sa.Column("running_since_ms", Ms),  # set exactly while it is RUNNING
    sa.Column("running_ms", Ms, nullable=False, server_default="0"),
    sa.Column("timeout_ms", Ms),
    sa.Column("restarts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("restart_seq", sa.BigInteger, nullable=False, server_default="0"),  # newest checkpoint at the last crash
    sa.Column("exit_code", sa.Integer),
    sa.Column("memory_peak_bytes", sa.BigInteger),
    sa.Column("cpu_usage_usec", sa.BigInteger),
    sa.UniqueConstraint("instance_id"),
    sa.CheckConstraint(
        "(finished_at_ms IS NULL) = (status IN ('pending', 'running', 'suspended'))", name="finished_when_terminal"
    ),
    # One for each way that users page through them …
    sa.Index("ix_instances_created", "tenant_id", "created_at_ms", "id"),
    sa.Index("ix_instances_finished", "tenant_id", "finished_at_ms", "id"),
    sa.Index("ix_instances_image", "tenant_id", "image_id", "created_at_ms", "id"),
    sa.Index("ix_instances_status", "tenant_id", "status", "created_at_ms", "id"),
)

# … and one for each way that the server looks for work. They hold only the rows that wait.
_QUEUED = "status = 'pending' AND node_id IS NULL AND image_id IS NOT NULL"
_ACTIVE = "finished_at_ms IS NULL"
_ASLEEP = "status = 'suspended' AND wake_at_ms IS NOT NULL"
sa.Index(
    "ix_instances_queue",
    instances.c.wake_at_ms,
    instances.c.id,
    # SQLite looks these up again, in the table unless they are here too.
    instances.c.status,
    instances.c.node_id,
    instances.c.image_id,
    sqlite_where=sa.text(_QUEUED),
    postgresql_where=sa.text(_QUEUED),
)
sa.Index(
    "ix_instances_due",
    instances.c.wake_at_ms,
    instances.c.id,
    sqlite_where=sa.text(_ASLEEP),
    postgresql_where=sa.text(_ASLEEP),
)

sa.Index(
    "ix_instances_active",
    instances.c.finished_at_ms,
    sqlite_where=sa.text(_ACTIVE),
    postgresql_where=sa.text(_ACTIVE),
)

inputs = sa.Table(
    "inputs",
    metadata,
    _instance(primary_key=True),
    sa.Column("env", sa.Text),  # JSON object; null: empty
    sa.Column("input", sa.LargeBinary, nullable=False),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    _instance(primary_key=True),
    sa.Column("error", sa.Text),  # JSON object
    sa.Column("stderr", sa.Text),
    sa.Column("output", sa.LargeBinary),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("id", Id, primary_key=True),  # `seq`: only grows
    _instance(),
    sa.Column("checkpoint_id", sa.Text, nullable=False),
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("instance", "checkpoint_id"),
    sa.Index("ix_checkpoints_order", "instance", "id"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _instance(),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("subtype", sa.Text),
    sa.Column("checkpoint_id", sa.Text),
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Index("ix_events_order", "instance", "id"),
)
_KEYED = sa.text("key IS NOT NULL")
sa.Index("uq_events_key", events.c.instance, events.c.key, unique=True, sqlite_where=_KEYED, postgresql_where=_KEYED)

signals = sa.Table(
    "signals",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _instance(),
    sa.Column("signal_type", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("done_at_ms", Ms),  # acknowledged or withdrawn; kept, so that ids never return
    sa.Index("ix_signals_instance", "instance"),
)
_WAITING = sa.text("done_at_ms IS NULL")
sa.Index(
    "uq_signals_waiting",
    signals.c.instance,
    signals.c.signal_type,
    unique=True,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)

custom_signals = sa.Table(
    "custom_signals",
    metadata,
    _instance(primary_key=True),
    sa.Column("signal_key", sa.Text, primary_key=True),
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

# -- environment ------------------------------------------------------------------------------------------

blobs = sa.Table(
    "blobs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("sha256", sa.Text),  # null: being written, or being removed
    sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("node_id", sa.Text, nullable=False),  # who writes or removes it
    sa.UniqueConstraint("sha256"),
)

blob_chunks = sa.Table(
    "blob_chunks",
    metadata,
    sa.Column("blob", Id, sa.ForeignKey("blobs.id"), primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

images = sa.Table(
    "images",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("image_id", sa.Text, nullable=False),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("runner_type", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, sa.ForeignKey("blobs.sha256"), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at_ms", Ms, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("manifest", sa.Text, nullable=False),  # JSON object
    sa.Column("metadata", sa.Text, nullable=False),  # JSON object, keys sorted: equal text is equal metadata
    sa.UniqueConstraint("image_id"),
    sa.Index("ix_images_created", "tenant_id", "created_at_ms", "id"),
    sa.Index("ix_images_name", "tenant_id", "name", "created_at_ms", "id"),
    sa.Index("ix_images_sha256", "sha256"),
)

launches = sa.Table(
    "launches",
    metadata,
    _instance(primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("node_id", sa.Text, nullable=False),
    sa.Column("claimed_at_ms", Ms, nullable=False),
    sa.Column("ended_at_ms", Ms),
    sa.Column("handle", sa.Text),  # JSON object
    sa.Column("exit_code", sa.Integer),
    sa.Column("exit_signal", sa.Integer),
    sa.Column("cpu_usec", sa.BigInteger),
    sa.Column("memory_peak_bytes", sa.BigInteger),
)
_LIVE = sa.text("ended_at_ms IS NULL")
sa.Index("ix_launches_live", launches.c.node_id, sqlite_where=_LIVE, postgresql_where=_LIVE)

CORE = (instances, inputs, outcomes, checkpoints, events, signals, custom_signals, secrets)
ENVIRONMENT = (blobs, blob_chunks, images, launches)
