"""What the queries are built with: parameters, literal statuses, and listings with optional conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from runtara_framework.states import Status

__all__ = ["BLOB", "INT", "TEXT", "Listing", "Query", "insert", "is_status", "p"]

INT = sa.BigInteger()
TEXT = sa.Text()
BLOB = sa.LargeBinary()


def p(name: str, kind: sa.types.TypeEngine[Any] | None = None) -> sa.BindParameter[Any]:
    """A parameter. Its type is needed only where no column beside it tells it (PostgreSQL wants to know)."""
    return sa.bindparam(name, type_=kind)


def is_status(column: sa.ColumnElement[str], *statuses: Status) -> sa.ColumnElement[bool]:
    """A condition with the statuses spelt out: a planner uses a partial index only for what it can see."""
    spelt: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{status}'") for status in statuses]
    return column == spelt[0] if len(spelt) == 1 else sa.or_(*(column == one for one in spelt))


@dataclass(frozen=True)
class Listing:
    """A page of rows: fixed columns and scope, conditions that a caller may ask for, and orders to choose from."""

    rows: sa.Select[Any]
    where: Mapping[str, sa.ColumnElement[bool]]
    orders: Mapping[str, tuple[sa.ColumnElement[Any], ...]]
    count: sa.Select[Any]


Query = sa.Select[Any] | sa.Insert | sa.Update | sa.Delete | Listing
