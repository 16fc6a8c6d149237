"""The queries: their text is up to date, every one is used, both dialects can say them, and they use the indexes."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from runtara_framework.model import LaunchRef, NewEvent
from runtara_framework.spec.persistence import CheckpointFilter, EventFilter
from runtara_framework.states import Reason, Status
from runtara_framework.storage import compiled, files, migrations, schema, tx
from runtara_framework.storage.queries import QUERIES, Listing
from runtara_framework.storage.statements import checkpoints, events, instances, launches, signals, wake

STATEMENTS = Path(instances.__file__).parent


def test_the_text_that_is_shipped_is_what_the_queries_say() -> None:
    for name, text in compiled.files().items():
        shipped = (compiled.FOLDER / name).read_text(encoding="utf-8")
        assert shipped == text, f"{name} is old; run: python -m runtara_framework.storage.compiled"
    assert tx.sqlite_texts() == compiled.compile_queries(compiled.sqlite_dialect())


def test_every_query_is_used_and_every_used_one_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in STATEMENTS.glob("*.py"))
    rooms = "|".join(sorted({name.split(".")[0] for name in QUERIES}))
    used = set(re.findall(rf'"((?:{rooms})\.[a-z_]+)"', source))
    assert used == set(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_has_a_text_for_postgresql(name: str) -> None:
    texts = compiled.compile_queries(postgresql.dialect(paramstyle="pyformat"))
    assert texts[name]
    query = QUERIES[name]
    if isinstance(query, Listing):
        assert {f"{name}.where.{clause}" for clause in query.where} <= set(texts)
    if "lock" in name:
        assert "FOR UPDATE" in texts[name]


def test_work_is_claimed_past_the_locks_of_others() -> None:
    texts = compiled.compile_queries(postgresql.dialect(paramstyle="pyformat"))
    assert "FOR UPDATE OF instances SKIP LOCKED" in texts["launches.queue"]
    assert "FOR UPDATE SKIP LOCKED" in texts["wake.due"]


# -- plans ------------------------------------------------------------------------------------------------


@pytest.fixture
def database(path: Path) -> Any:
    migrations.run(f"sqlite:///{path}")
    connection = files.connect(path)
    yield connection
    connection.close()


def plan(connection: sqlite3.Connection, text: str) -> str:
    params = dict.fromkeys(re.findall(r":(\w+)", text), 1)
    return "; ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", params))


def composed(listing: str, where: list[str], order: str) -> str:
    texts = tx.sqlite_texts()
    clauses = "".join(f" AND {texts[f'{listing}.where.{clause}']}" for clause in where)
    return f"{texts[listing]}{clauses} ORDER BY {texts[f'{listing}.order.{order}']} {texts['page']}"


AT_START = {"images.unused_blobs"}
"""Asked once in the life of a server, of a table with a row for each executable."""


def test_no_query_reads_a_whole_table_or_sorts_one(database: sqlite3.Connection) -> None:
    texts = {n: t for n, t in tx.sqlite_texts().items() if t.startswith(("SELECT", "UPDATE", "DELETE", "INSERT"))}
    plans = {name: plan(database, text) for name, text in texts.items() if name not in AT_START}
    # What is counted on the way to an insert is the queue, up to its limit, in an index that holds nothing else.
    queue = "SCAN instances USING COVERING INDEX ix_instances_queue; SCAN anon"
    assert not {name: found for name, found in plans.items() if "SCAN" in found.replace(queue, "")}
    # Both sort a handful: the signals that wait for one instance, the launches of one node.
    assert {name for name, found in plans.items() if "TEMP B-TREE" in found} == {"signals.waiting", "launches.live"}


@pytest.mark.parametrize(
    ("where", "order", "index"),
    [
        ([], "created_at_desc", "ix_instances_created"),
        (["before"], "created_at_desc", "ix_instances_created"),
        (["after"], "created_at_asc", "ix_instances_created"),
        (["created_after_ms", "created_before_ms"], "created_at_desc", "ix_instances_created"),
        (["status"], "created_at_desc", "ix_instances_status"),
        (["status", "before"], "created_at_desc", "ix_instances_status"),
        (["image_id"], "created_at_desc", "ix_instances_image"),
        (["image_id", "after"], "created_at_asc", "ix_instances_image"),
        (["finished"], "finished_at_desc", "ix_instances_finished"),
        (["finished", "finished_before"], "finished_at_desc", "ix_instances_finished"),
        (["finished", "finished_after"], "finished_at_asc", "ix_instances_finished"),
        (["unfinished"], "id_desc", "ix_instances_finished"),
        (["unfinished", "id_after"], "id_asc", "ix_instances_finished"),
    ],
)
def test_a_page_of_instances_is_read_off_an_index(
    database: sqlite3.Connection, where: list[str], order: str, index: str
) -> None:
    found = plan(database, composed("instances.list", where, order))
    assert index in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize(
    ("listing", "where", "order", "index"),
    [
        ("events.list", [], "newest", "ix_events_order"),
        ("events.list", ["after_event_id"], "oldest", "ix_events_order"),
        ("events.list", ["payload_contains"], "newest", "ix_events_order"),
        ("checkpoints.list", [], "newest", "ix_checkpoints_order"),
        ("images.list", [], "newest", "ix_images_created"),
        ("images.list", ["name"], "newest", "ix_images_name"),
    ],
)
def test_any_other_page_is_too(
    database: sqlite3.Connection, listing: str, where: list[str], order: str, index: str
) -> None:
    found = plan(database, composed(listing, where, order))
    assert index in found
    assert "TEMP B-TREE" not in found


def test_the_queue_and_the_sleepers_are_read_off_their_own_indexes(database: sqlite3.Connection) -> None:
    texts = tx.sqlite_texts()
    for name, index in (
        ("launches.queue", "ix_instances_queue"),
        ("wake.due", "ix_instances_due"),
        ("wake.next_wake", "ix_instances_due"),
        ("wake.next_queued", "ix_instances_queue"),
        ("instances.count_active", "COVERING INDEX ix_instances_active"),
        ("checkpoints.after", "ix_checkpoints_order"),
        ("launches.live", "ix_launches_live"),
    ):
        assert index in plan(database, texts[name]), name


# -- other connections ------------------------------------------------------------------------------------


def test_core_alone_carries_an_instance_that_registers_itself(path: Path) -> None:
    migrations.run_core(f"sqlite:///{path}")
    connection = files.connect(path)
    try:
        live_a_life(tx.SqliteTx(connection, tx.sqlite_texts()))
    finally:
        connection.close()


def test_the_statements_run_on_a_sqlalchemy_connection(path: Path) -> None:
    engine = sa.create_engine(
        "sqlite://", creator=lambda: files.connect(path), poolclass=sa.NullPool, paramstyle="named"
    )
    with engine.connect() as connection:
        schema.metadata.create_all(connection)
        transaction = tx.ConnectionTx(connection, compiled.compile_queries(connection.dialect))
        live_a_life(transaction)
        transaction.many("wake.claim", [{"for_id": 1}, {"for_id": 2}])
        transaction.lock("a name")


def live_a_life(t: tx.Tx) -> None:
    """Everything that core does, on the tables of core."""
    ref = launches.claim_self(t, "acme", "own", node_id="n", now_ms=1)
    assert ref == LaunchRef(tenant_id="acme", instance_id="own", epoch=1)
    launches.register(t, ref, checkpoint_id=None, now_ms=2)
    assert checkpoints.save(t, ref, "step", b"1", now_ms=3).existing is None
    assert checkpoints.save(t, ref, "step", b"2", now_ms=4).existing == b"1"
    events.append(t, ref, [NewEvent(event_type="custom", payload=b"Hello")], now_ms=5)
    events.heartbeat(t, ref, now_ms=6)
    signals.send(t, "acme", "own", "pause", b"", now_ms=7)
    assert [signal.signal_type for signal in signals.pending(t, ref)] == ["pause"]
    signals.acknowledge(t, ref, "pause", now_ms=8)
    signals.send(t, "acme", "own", "resume", b"", now_ms=9)
    ref = launches.claim_self(t, "acme", "own", node_id="n", now_ms=10)
    found = launches.register(t, ref, checkpoint_id="step", now_ms=11)
    assert [checkpoint.state for checkpoint in found.checkpoints] == [b"1"]
    launches.suspend(t, ref, Reason.WAITING_SIGNAL, wake_at_ms=100, signal_keys=["k"], now_ms=12)
    assert wake.next_due_ms(t, after_ms=12) == 100
    signals.send_custom(t, "acme", "own", "k", b"yes", now_ms=13)
    ref = launches.claim_self(t, "acme", "own", node_id="n", now_ms=14)
    launches.register(t, ref, checkpoint_id=None, now_ms=15)
    assert checkpoints.take_signal(t, ref, "k", "wait", now_ms=16).payload == b"yes"
    launches.finish(t, ref, Status.COMPLETED, reason=None, output=b"out", error=None, now_ms=17)
    stored = instances.get(t, "acme", "own")
    assert (stored.status, stored.output, stored.checkpoint_count) == (Status.COMPLETED, b"out", 2)
    _, total = events.listed(t, EventFilter(tenant_id="acme", instance_id="own"))
    assert total == 7
    searched, _ = events.listed(t, EventFilter(tenant_id="acme", instance_id="own", payload_contains="hELLo"))
    assert len(searched) == 1
    listed, total = checkpoints.listed(t, CheckpointFilter(tenant_id="acme", instance_id="own", limit=1))
    assert ([c.checkpoint_id for c in listed], total) == (["wait"], 2)
    assert instances.count_active(t) == 0
