"""What further sources need."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade():
    _files()


def _files():
    event_id = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
    op.create_table(
        "response",
        sa.Column("message", event_id, nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("copies", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("message", "source_id", name=op.f("pk_response")),
    )
    op.create_table(
        "file_cursor",
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("path_digest", sa.String(64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("form", sa.String(40), nullable=False),
        sa.Column("device", sa.String(40), nullable=False),
        sa.Column("inode", sa.String(40), nullable=False),
        sa.Column("changed_ns", sa.String(40), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "path_digest", name=op.f("pk_file_cursor")),
    )


def downgrade():
    op.drop_table("file_cursor")
    op.drop_table("response")
