"""Every SQL statement, as SQLAlchemy Core, by name. One body for SQLite and PostgreSQL.

Only three things differ between the two, and all are in the statements themselves: `FOR UPDATE` (SQLite has one writer and
leaves it out), `runtara_contains` (a function that the driver gives the database), and the types of parameters.
`storage.compiled` turns this into text; nobody imports it on the way to a first write to SQLite, because importing
SQLAlchemy costs more than all the rest of a server's start.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtara_framework.storage.queries import checkpoints, events, images, instances, launches, signals, wake
from runtara_framework.storage.queries.parts import Listing, Query

__all__ = ["QUERIES", "Listing", "Query"]

QUERIES: Mapping[str, Query] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": query
    for module in (instances, launches, wake, checkpoints, signals, events, images)
    for name, query in module.QUERIES.items()
}
