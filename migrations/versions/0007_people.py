"""Budgets, alerts by period with what they say, who was told, silences, links, what reports told."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade():
    with op.batch_alter_table("workload") as workload:
        workload.add_column(_text("owner", sa.String(320)))
        workload.add_column(_text("cost_centre", sa.String(100)))
    with op.batch_alter_table("run") as run:
        run.add_column(_text("told", sa.Text(), "{}"))
    with op.batch_alter_table("outbox") as outbox:
        outbox.alter_column("channel", type_=sa.String(200), existing_nullable=False)
    _budgets()
    _alerts()
    _notices()
    _people()
    _reports()


def _text(name, kind, default=""):
    return sa.Column(name, kind, nullable=False, server_default=default)


def _budgets():
    op.create_table(
        "budget",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("amount_pico", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("scope", sa.String(20), nullable=False),
        _text("scope_name", sa.String(200)),
        sa.Column("valid_from", sa.BigInteger()),
        sa.Column("valid_to", sa.BigInteger()),
        _text("owner", sa.String(320)),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget")),
        sa.UniqueConstraint("name", name=op.f("uq_budget_name")),
        sa.CheckConstraint(
            "period IN ('weekly', 'monthly', 'quarterly', 'yearly')", name=op.f("ck_budget_period")
        ),
        sa.CheckConstraint(
            "scope IN ('all', 'workload', 'account', 'cost_centre', 'label')",
            name=op.f("ck_budget_scope"),
        ),
    )
    op.create_table(
        "budget_state",
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.String(10), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("first_day", sa.BigInteger(), nullable=False),
        sa.Column("end_day", sa.BigInteger(), nullable=False),
        sa.Column("amount_pico", sa.BigInteger(), nullable=False),
        sa.Column("known_days", sa.Integer(), nullable=False),
        sa.Column("basis", sa.String(10), nullable=False),
        sa.Column("spent_pico", sa.BigInteger()),
        sa.Column("unpriced_tokens", sa.BigInteger()),
        sa.Column("q10_pico", sa.BigInteger()),
        sa.Column("q50_pico", sa.BigInteger()),
        sa.Column("q90_pico", sa.BigInteger()),
        _text("remark", sa.Text()),
        sa.PrimaryKeyConstraint("budget_id", "period", "as_of", name=op.f("pk_budget_state")),
        sa.ForeignKeyConstraint(
            ["budget_id"], ["budget.id"], name=op.f("fk_budget_state_budget_id_budget")
        ),
        sa.CheckConstraint(
            "basis IN ('billed', 'mixed', 'estimated')", name=op.f("ck_budget_state_basis")
        ),
    )


def _alerts():
    with op.batch_alter_table("alert") as alert:
        alert.add_column(_text("period", sa.String(40)))
        alert.add_column(_text("severity", sa.String(10), "warning"))
        alert.add_column(_text("workload", sa.String(200)))
        alert.add_column(sa.Column("since", sa.BigInteger()))
        alert.add_column(_text("said", sa.Text(), "{}"))
        alert.add_column(sa.Column("acknowledged_at", sa.BigInteger()))
        alert.add_column(_text("acknowledged_by", sa.String(320)))
        alert.add_column(_text("acknowledged_why", sa.Text()))
        # Two names of 200 characters, and words between them.
        alert.alter_column("subject", type_=sa.String(700), existing_nullable=False)
        alert.drop_constraint(op.f("uq_alert_rule_subject"), type_="unique")
        alert.create_unique_constraint(
            op.f("uq_alert_rule_subject_period"), ["rule", "subject", "period"]
        )
    with op.batch_alter_table("silence") as silence:
        silence.add_column(_text("kind", sa.String(15), "silence"))
        silence.add_column(sa.Column("since", sa.BigInteger(), nullable=False, server_default="0"))
        silence.add_column(sa.Column("ended_at", sa.BigInteger()))
        silence.alter_column("by", type_=sa.String(320), existing_nullable=False)
        # A pattern, in which each character of a name may be escaped.
        silence.alter_column("subject", type_=sa.String(700), existing_nullable=False)
        silence.create_check_constraint(
            op.f("ck_silence_kind"), "kind IN ('silence', 'snooze', 'maintenance')"
        )


def _notices():
    op.create_table(
        "notice",
        sa.Column("id", _ID, nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("edge", sa.String(10), nullable=False),
        sa.Column("channel", sa.String(200), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        _text("dedup_key", sa.String(300)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name=op.f("fk_notice_alert_id_alert")),
        sa.UniqueConstraint(
            *("alert_id", "seq", "channel", "recipient"),
            name=op.f("uq_notice_alert_id_seq_channel_recipient"),
        ),
        sa.CheckConstraint(
            "edge IN ('firing', 'resolved', 'unstable')", name=op.f("ck_notice_edge")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'digest', 'told', 'dropped')", name=op.f("ck_notice_state")
        ),
    )


def _people():
    op.create_table(
        "used_link",
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_used_link")),
    )
    op.create_table(
        "unsubscribed",
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("report", sa.String(100), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "report", name=op.f("pk_unsubscribed")),
    )


def _reports():
    with op.batch_alter_table("assessment") as assessment:
        assessment.add_column(_text("assumptions", sa.Text(), "[]"))
    op.create_index(
        op.f("ix_projection_score_days_left"), "projection_score", ["days_left", "unit"]
    )


def downgrade():
    op.drop_index(op.f("ix_projection_score_days_left"), "projection_score")
    with op.batch_alter_table("assessment") as assessment:
        assessment.drop_column("assumptions")
    for table in ("unsubscribed", "used_link", "notice", "budget_state", "budget"):
        op.drop_table(table)
    with op.batch_alter_table("silence") as silence:
        silence.drop_constraint(op.f("ck_silence_kind"), type_="check")
        for column in ("kind", "since", "ended_at"):
            silence.drop_column(column)
    with op.batch_alter_table("alert") as alert:
        alert.drop_constraint(op.f("uq_alert_rule_subject_period"), type_="unique")
        alert.create_unique_constraint(op.f("uq_alert_rule_subject"), ["rule", "subject"])
        alert.alter_column(
            "subject",
            type_=sa.String(200),
            existing_nullable=False,
            postgresql_using="left(subject, 200)",
        )
        for column in (
            *("period", "severity", "workload", "since", "said"),
            *("acknowledged_at", "acknowledged_by", "acknowledged_why"),
        ):
            alert.drop_column(column)
    with op.batch_alter_table("run") as run:
        run.drop_column("told")
    with op.batch_alter_table("workload") as workload:
        workload.drop_column("owner")
        workload.drop_column("cost_centre")
