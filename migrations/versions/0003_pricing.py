"""prices that people set, repricings and their record"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Only an INTEGER primary key is SQLite's row id and counts itself up.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # A price that was ended may be set again.
    with op.batch_alter_table("price_override", schema=None) as batch_op:
        batch_op.drop_constraint("uq_price_override_document", type_="unique")
    op.create_table(
        "repricing",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("first_day", sa.BigInteger(), nullable=False),
        sa.Column("end_day", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("before_micro", sa.BigInteger(), nullable=False),
        sa.Column("before_rest", sa.BigInteger(), nullable=False),
        sa.Column("after_micro", sa.BigInteger(), nullable=False),
        sa.Column("after_rest", sa.BigInteger(), nullable=False),
        sa.Column("editions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repricing")),
    )
    op.create_table(
        "rate_pending",
        sa.Column("id", ID, nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("provider", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("context", sa.String(length=200), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=True),
        sa.Column("source_version", sa.String(length=40), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_pending")),
        sa.UniqueConstraint(
            "account",
            "provider",
            "model",
            "context",
            "valid_from",
            "digest",
            name="uq_rate_pending_change",
        ),
    )


def downgrade() -> None:
    op.drop_table("rate_pending")
    op.drop_table("repricing")
    with op.batch_alter_table("price_override", schema=None) as batch_op:
        batch_op.create_unique_constraint("uq_price_override_document", ["document"])
