"""What further sources need."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF_TOKENS = ("source", "account", "project", "label")


def upgrade():
    add_pages()
    add_token_bindings()


def downgrade():
    drop_token_bindings()
    drop_pages()


def add_pages():
    op.add_column(
        "fetch", sa.Column("rows_read", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("quarantine", sa.Column("day_from", sa.BigInteger()))
    op.add_column("quarantine", sa.Column("day_to", sa.BigInteger()))
    op.create_table(
        "page",
        sa.Column("id", _ID, nullable=False),
        sa.Column("fetch_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("day_from", sa.BigInteger(), nullable=False),
        sa.Column("day_to", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_page")),
    )
    op.create_index(op.f("ix_page_fetch_id"), "page", ["fetch_id"])
    op.create_index(op.f("ix_page_sha256"), "page", ["sha256"])
    op.create_table(
        "backfill",
        sa.Column("stream_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("done_through", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_backfill_stream_id_stream")
        ),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_backfill")),
    )


def drop_pages():
    op.drop_table("backfill")
    op.drop_table("page")
    op.drop_column("quarantine", "day_to")
    op.drop_column("quarantine", "day_from")
    op.drop_column("fetch", "rows_read")


def add_token_bindings():
    for name in _OF_TOKENS:
        op.add_column(
            "access_token", sa.Column(name, sa.String(200), nullable=False, server_default="")
        )


def drop_token_bindings():
    for name in reversed(_OF_TOKENS):
        op.drop_column("access_token", name)
