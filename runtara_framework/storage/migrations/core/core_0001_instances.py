"""Core: instances, their checkpoints, events and signals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "core_0001"
down_revision = None
branch_labels = ("core",)
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _instance() -> sa.Column[int]:
    return sa.Column("instance", _ID, autoincrement=False, nullable=False)


def _refers(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["instance"], ["instances.id"], name=f"fk_{table}_instance", ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "instances",
        sa.Column("id", _ID, nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Text()),
        sa.Column("image_name", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("epoch", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("node_id", sa.Text()),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger()),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.Column("wake_at_ms", sa.BigInteger()),
        sa.Column("wait_keys", sa.Text()),
        sa.Column("heartbeat_at_ms", sa.BigInteger()),
        sa.Column("running_since_ms", sa.BigInteger()),
        sa.Column("running_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("timeout_ms", sa.BigInteger()),
        sa.Column("restarts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("restart_seq", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("memory_peak_bytes", sa.BigInteger()),
        sa.Column("cpu_usage_usec", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.UniqueConstraint("instance_id", name="uq_instances_instance_id"),
        sa.CheckConstraint(
            "(finished_at_ms IS NULL) = (status IN ('pending', 'running', 'suspended'))",
            name=op.f("ck_instances_finished_when_terminal"),
        ),
    )
    op.create_index("ix_instances_created", "instances", ["tenant_id", "created_at_ms", "id"])
    op.create_index("ix_instances_finished", "instances", ["tenant_id", "finished_at_ms", "id"])
    op.create_index("ix_instances_image", "instances", ["tenant_id", "image_id", "created_at_ms", "id"])
    op.create_index("ix_instances_status", "instances", ["tenant_id", "status", "created_at_ms", "id"])
    queued = sa.text("status = 'pending' AND node_id IS NULL AND image_id IS NOT NULL")
    op.create_index(
        "ix_instances_queue",
        "instances",
        ["wake_at_ms", "id", "status", "node_id", "image_id"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    asleep = sa.text("status = 'suspended' AND wake_at_ms IS NOT NULL")
    op.create_index("ix_instances_due", "instances", ["wake_at_ms", "id"], sqlite_where=asleep, postgresql_where=asleep)
    active = sa.text("finished_at_ms IS NULL")
    op.create_index(
        "ix_instances_active", "instances", ["finished_at_ms"], sqlite_where=active, postgresql_where=active
    )
    op.create_table(
        "inputs",
        _instance(),
        sa.Column("env", sa.Text()),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("instance", name="pk_inputs"),
        _refers("inputs"),
    )
    op.create_table(
        "outcomes",
        _instance(),
        sa.Column("error", sa.Text()),
        sa.Column("stderr", sa.Text()),
        sa.Column("output", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("instance", name="pk_outcomes"),
        _refers("outcomes"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", _ID, nullable=False),
        _instance(),
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoints"),
        sa.UniqueConstraint("instance", "checkpoint_id", name="uq_checkpoints_instance_checkpoint_id"),
        _refers("checkpoints"),
    )
    op.create_index("ix_checkpoints_order", "checkpoints", ["instance", "id"])
    op.create_table(
        "events",
        sa.Column("id", _ID, nullable=False),
        _instance(),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("subtype", sa.Text()),
        sa.Column("checkpoint_id", sa.Text()),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        _refers("events"),
    )
    op.create_index("ix_events_order", "events", ["instance", "id"])
    keyed = sa.text("key IS NOT NULL")
    op.create_index(
        "uq_events_key", "events", ["instance", "key"], unique=True, sqlite_where=keyed, postgresql_where=keyed
    )
    op.create_table(
        "signals",
        sa.Column("id", _ID, nullable=False),
        _instance(),
        sa.Column("signal_type", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("done_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_signals"),
        _refers("signals"),
    )
    op.create_index("ix_signals_instance", "signals", ["instance"])
    waiting = sa.text("done_at_ms IS NULL")
    op.create_index(
        "uq_signals_waiting",
        "signals",
        ["instance", "signal_type"],
        unique=True,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_table(
        "custom_signals",
        _instance(),
        sa.Column("signal_key", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("instance", "signal_key", name="pk_custom_signals"),
        _refers("custom_signals"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
