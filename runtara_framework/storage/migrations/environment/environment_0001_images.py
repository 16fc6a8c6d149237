"""Environment: images, their bytes, and launches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "environment_0001"
down_revision = None
branch_labels = ("environment",)
depends_on = "core_0001"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sha256", sa.Text()),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("sha256", name="uq_blobs_sha256"),
    )
    op.create_table(
        "blob_chunks",
        sa.Column("blob", _ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("blob", "number", name="pk_blob_chunks"),
        sa.ForeignKeyConstraint(["blob"], ["blobs.id"], name="fk_blob_chunks_blob"),
    )
    op.create_table(
        "images",
        sa.Column("id", _ID, nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("runner_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.UniqueConstraint("image_id", name="uq_images_image_id"),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name="fk_images_sha256"),
    )
    op.create_index("ix_images_created", "images", ["tenant_id", "created_at_ms", "id"])
    op.create_index("ix_images_name", "images", ["tenant_id", "name", "created_at_ms", "id"])
    op.create_index("ix_images_sha256", "images", ["sha256"])
    op.create_table(
        "launches",
        sa.Column("instance", _ID, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("claimed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("handle", sa.Text()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("exit_signal", sa.Integer()),
        sa.Column("cpu_usec", sa.BigInteger()),
        sa.Column("memory_peak_bytes", sa.BigInteger()),
        sa.PrimaryKeyConstraint("instance", "epoch", name="pk_launches"),
        sa.ForeignKeyConstraint(["instance"], ["instances.id"], name="fk_launches_instance", ondelete="CASCADE"),
    )
    live = sa.text("ended_at_ms IS NULL")
    op.create_index("ix_launches_live", "launches", ["node_id"], sqlite_where=live, postgresql_where=live)
