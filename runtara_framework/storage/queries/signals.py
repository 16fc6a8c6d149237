"""Queries about signals, and about custom signals."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from runtara_framework.storage.queries.parts import BLOB, INT, Query, insert, p
from runtara_framework.storage.schema import custom_signals, signals

s, w = signals.c, custom_signals.c
_of = s.instance == p("instance")
_waiting = sa.text("signals.done_at_ms IS NULL")
_cancel_first = sa.case((s.signal_type == sa.literal_column("'cancel'"), sa.literal_column("0")), else_=s.id)

QUERIES: Mapping[str, Query] = {
    "add": sa.insert(signals)
    .values(instance=p("instance"), signal_type=p("signal_type"), payload=p("payload", BLOB), created_at_ms=p("now_ms"))
    .returning(s.id),
    "waiting": sa.select(s.id, s.signal_type, s.payload, s.created_at_ms)
    .where(_of, _waiting)
    .order_by(_cancel_first, s.id),
    "waiting_types": sa.select(s.signal_type).where(_of, _waiting),
    "finish": sa.update(signals)
    .where(s.instance == p("for_instance"), s.signal_type == p("for_type"), _waiting)
    .values(done_at_ms=p("now_ms")),
    "put_custom": insert(custom_signals)
    .values(instance=p("instance"), signal_key=p("signal_key"), created_at_ms=p("now_ms"), payload=p("payload", BLOB))
    .on_conflict_do_update(
        index_elements=["instance", "signal_key"],
        set_={"created_at_ms": p("now_ms", INT), "payload": p("payload", BLOB)},
    ),
    "has_custom": sa.select(w.signal_key).where(w.instance == p("instance"), w.signal_key == p("signal_key")),
    "take_custom": sa.delete(custom_signals)
    .where(w.instance == p("instance"), w.signal_key == p("signal_key"))
    .returning(w.payload),
}
