"""scores of projections and assessments, and decisions with their facts"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Only an INTEGER primary key is SQLite's row id and counts itself up.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "projection_score",
        *_key("workload_id", "as_of"),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("unit", sa.String(length=10), nullable=False),
        sa.Column("days_left", sa.Integer(), nullable=False),
        *_key("actual", "q10", "q50", "q90"),
        sa.Column("error_ppm", sa.BigInteger(), nullable=True),
        sa.Column("inside", sa.Boolean(), nullable=False),
        sa.Column("pinball_ppm", sa.BigInteger(), nullable=True),
        sa.Column("scored_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_projection_score_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint(
            "workload_id", "month", "as_of", "unit", name=op.f("pk_projection_score")
        ),
    )
    op.create_table(
        "assessment_score",
        *_key("workload_id", "deployment_id", "as_of"),
        sa.Column("volume", sa.String(length=10), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        *_key("actual_requests", "api_pico", "hybrid_pico", "savings_pico"),
        sa.Column("told", sa.String(length=10), nullable=False),
        sa.Column("was_right", sa.Boolean(), nullable=False),
        sa.Column("scored_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_assessment_score_workload_id_workload")
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment.id"],
            name=op.f("fk_assessment_score_deployment_id_deployment"),
        ),
        sa.PrimaryKeyConstraint(
            "workload_id", "deployment_id", "as_of", "volume", name=op.f("pk_assessment_score")
        ),
    )
    # Nothing wrote a decision before this schema: the table is made anew.
    op.drop_table("decision")
    op.create_table(
        "decision",
        *_decision_begins(),
        sa.Column("deployment_id", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("facts", sa.Text(), server_default="{}", nullable=False),
        sa.CheckConstraint("kind IN ('accept', 'defer', 'reject')", name=op.f("ck_decision_kind")),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployment.id"], name=op.f("fk_decision_deployment_id_deployment")
        ),
        *_decision_ends(),
    )


def downgrade() -> None:
    op.drop_table("decision")
    op.create_table("decision", *_decision_begins(), *_decision_ends())
    op.drop_table("assessment_score")
    op.drop_table("projection_score")


def _key(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _decision_begins() -> list[sa.Column]:
    return [
        sa.Column("id", ID, nullable=False),
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    ]


def _decision_ends() -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_decision_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    ]
