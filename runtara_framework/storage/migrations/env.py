"""What alembic runs: the migrations of all branches over the connection that it is handed, in one transaction."""

from __future__ import annotations

from alembic import context

from runtara_framework.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The caller's transaction is the only one: a migration that fails half-way leaves nothing.
    transactional_ddl=False,
)
context.run_migrations()
