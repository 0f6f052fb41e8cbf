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
    _reconciliation()
    _files()
    add_telemetry()


def downgrade():
    drop_telemetry()
    op.drop_table("file_cursor")
    op.drop_table("response")
    op.drop_table("reconciliation")
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


def _reconciliation():
    op.create_table(
        "reconciliation",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("cause", sa.String(20), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("pico", sa.BigInteger(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "day", "provider", "model", "cause", name=op.f("pk_reconciliation")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_reconciliation_account_id_account")
        ),
    )


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


def add_telemetry():
    stream = sa.ForeignKey("stream.id")
    op.create_table(
        "telemetry_view",
        sa.Column("stream_id", sa.BigInteger(), stream, primary_key=True, autoincrement=False),
        sa.Column("service", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("scope", sa.String(200), nullable=False),
    )
    op.create_table(
        "telemetry_series",
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "series"),
    )
    op.create_index("ix_telemetry_series_at", "telemetry_series", ["at"])
    op.create_table(
        "telemetry_sender",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("day", "stream_id", "sender"),
    )
    op.create_table(
        "set_aside",
        sa.Column("stream_id", sa.BigInteger(), sa.ForeignKey("stream.id"), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("counts_stream_id", sa.BigInteger(), sa.ForeignKey("stream.id"), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "hour"),
    )


def drop_telemetry():
    op.drop_table("set_aside")
    op.drop_table("telemetry_sender")
    op.drop_table("telemetry_series")
    op.drop_table("telemetry_view")
