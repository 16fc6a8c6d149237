"""The persistence driver `sqlite`: one file, group commit (`storage.engine`), readers beside it.

Imports no SQLAlchemy: the text of every statement is in `sql/`, written by `storage.compiled` from the queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, TypeVar

from pydantic import Field

from runtara_framework.errors import StorageError
from runtara_framework.spec.driver import DriverContext, DriverSettings
from runtara_framework.storage import files, migrations
from runtara_framework.storage.driver import SqlPersistence
from runtara_framework.storage.engine import Engine
from runtara_framework.storage.tx import Tx, sqlite_texts

P = ParamSpec("P")
R = TypeVar("R")


class SqliteSettings(DriverSettings):
    """`[persistence]` for a URL that begins with `sqlite:`."""

    url: str = Field("sqlite:///.data/runtara.db", description="sqlite:///relative/path.db or sqlite:////absolute.db")
    synchronous: Literal["full", "normal"] = Field(
        "full",
        description="`full` survives a power cut; `normal` is faster and may then lose the last moments, never more.",
    )


class SqlitePersistence(SqlPersistence):
    """Durable storage in one file."""

    Settings = SqliteSettings
    settings: SqliteSettings

    def __init__(self, settings: DriverSettings, context: DriverContext) -> None:
        super().__init__(settings, context)
        self.path = files.path_of(self.settings.url)
        self._engine: Engine | None = None

    async def start(self, stack: AsyncExitStack) -> None:
        """Raises `StorageError` if the file cannot be opened, `StorageCorrupt` if it is no database."""
        path, synchronous = self.path, self.settings.synchronous
        engine = Engine(
            here=lambda: files.connect(path, synchronous=synchronous, busy_ms=0, log_pages=0),
            writer=lambda: files.connect(path, synchronous=synchronous),
            reader=lambda: files.connect(path, read_only=True),
            texts=sqlite_texts(),
            translate=lambda error: files.translate(error, path),
        )
        await engine.start()
        stack.push_async_callback(engine.stop)
        self._engine = engine

    async def migrate(self, extra: Sequence[Path] = ()) -> str:
        revision = await asyncio.to_thread(migrations.run, self.settings.url, extra)
        await self._sweep()
        return revision

    def _write(self, work: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self._running().write(work, args, kwargs)

    def _read(self, work: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self._running().read(work, args, kwargs)

    def _look(self, work: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self._running().look(work, args, kwargs)

    def _running(self) -> Engine:
        if self._engine is None:
            raise StorageError(f"the database {self.path} is not open; the driver was not started")
        return self._engine
