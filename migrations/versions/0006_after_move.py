"""What each closed month saved of a workload that moved."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MONEY = (
    *("at_api_pico", "own_pico", "promised_pico"),
    *("volume_pico", "mix_pico", "price_pico", "own_cost_pico", "one_off_pico"),
)


def upgrade():
    op.create_table(
        "after_move",
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("deployment_id", sa.BigInteger()),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("known_days", sa.Integer(), nullable=False),
        sa.Column("own_requests", sa.BigInteger()),
        sa.Column("own_tokens", sa.BigInteger()),
        sa.Column("api_requests", sa.BigInteger(), nullable=False),
        sa.Column("api_pico", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_tokens", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in _MONEY),
        sa.Column("direction", sa.String(10), nullable=False),
        sa.Column("outlook", sa.Text(), nullable=False),
        sa.Column("scenario", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", "month", name=op.f("pk_after_move")),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_after_move_workload_id_workload")
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment.id"],
            name=op.f("fk_after_move_deployment_id_deployment"),
        ),
        sa.CheckConstraint(
            "status IN ('measured', 'partial', 'unknown')", name=op.f("ck_after_move_status")
        ),
    )


def downgrade():
    op.drop_table("after_move")
