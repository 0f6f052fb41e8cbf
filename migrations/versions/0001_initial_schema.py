"""initial schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Only an INTEGER primary key is SQLite's row id and counts itself up.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_access_token_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_access_token_name")),
    )
    op.create_table(
        "alert",
        sa.Column("id", ID, nullable=False),
        sa.Column("rule", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint("rule", "subject", name=op.f("uq_alert_rule_subject")),
    )
    op.create_table(
        "bill",
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("line_item", sa.String(length=200), nullable=False),
        sa.Column("amount_pico", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "day", "line_item", name=op.f("pk_bill")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dirty",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("restates", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "day", name=op.f("pk_dirty")),
    )
    op.create_table(
        "engine_hour",
        sa.Column("engine_id", sa.BigInteger(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("running_mean", sa.Float(), nullable=True),
        sa.Column("waiting_mean", sa.Float(), nullable=True),
        sa.Column("load_histogram", sa.Text(), nullable=True),
        sa.Column("latency_histogram", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("engine_id", "hour", name=op.f("pk_engine_hour")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engine_minute",
        sa.Column("engine_id", sa.BigInteger(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("running_mean", sa.Float(), nullable=True),
        sa.Column("waiting_mean", sa.Float(), nullable=True),
        sa.Column("load_histogram", sa.Text(), nullable=True),
        sa.Column("latency_histogram", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("engine_id", "minute", name=op.f("pk_engine_minute")),
        postgresql_partition_by="RANGE (minute)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fx",
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("usd_nano", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("currency", "day", name=op.f("pk_fx")),
    )
    op.create_table(
        "gpu_hour",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("minutes_measured", sa.Integer(), nullable=False),
        sa.Column("util_min", sa.Float(), nullable=True),
        sa.Column("util_mean", sa.Float(), nullable=True),
        sa.Column("util_max", sa.Float(), nullable=True),
        sa.Column("mem_used_max", sa.BigInteger(), nullable=True),
        sa.Column("power_mean_mw", sa.Float(), nullable=True),
        sa.Column("energy_mj", sa.BigInteger(), nullable=True),
        sa.Column("temp_max", sa.Integer(), nullable=True),
        sa.Column("throttle_ns", sa.BigInteger(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "hour", name=op.f("pk_gpu_hour")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gpu_minute",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("util_min", sa.Float(), nullable=True),
        sa.Column("util_mean", sa.Float(), nullable=True),
        sa.Column("util_max", sa.Float(), nullable=True),
        sa.Column("mem_used_max", sa.BigInteger(), nullable=True),
        sa.Column("power_mean_mw", sa.Float(), nullable=True),
        sa.Column("energy_mj", sa.BigInteger(), nullable=True),
        sa.Column("temp_max", sa.Integer(), nullable=True),
        sa.Column("throttle_ns", sa.BigInteger(), nullable=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", "minute", name=op.f("pk_gpu_minute")),
        postgresql_partition_by="RANGE (minute)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "host",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host")),
        sa.UniqueConstraint("name", name=op.f("uq_host_name")),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        sa.Column("dedup_key", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(length=320), nullable=False),
        sa.Column("message", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ambiguous", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("claim", sa.String(length=40), nullable=True),
        sa.Column("claim_until", sa.BigInteger(), nullable=True),
        sa.Column("last_phase", sa.String(length=20), server_default="", nullable=False),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_text", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'sent', 'dead', 'dropped')", name=op.f("ck_outbox_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("dedup_key", name=op.f("uq_outbox_dedup_key")),
    )
    op.create_table(
        "price_override",
        sa.Column("id", ID, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_override")),
        sa.UniqueConstraint("document", name=op.f("uq_price_override_document")),
    )
    op.create_table(
        "rate",
        sa.Column("id", ID, nullable=False),
        sa.Column("account", sa.String(length=200), server_default="", nullable=False),
        sa.Column("provider", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("context", sa.String(length=200), server_default="", nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("uncached_input_nano", sa.BigInteger(), nullable=True),
        sa.Column("cache_read_nano", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_nano", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_long_nano", sa.BigInteger(), nullable=True),
        sa.Column("output_nano", sa.BigInteger(), nullable=True),
        sa.Column("audio_input_nano", sa.BigInteger(), nullable=True),
        sa.Column("audio_cache_read_nano", sa.BigInteger(), nullable=True),
        sa.Column("audio_output_nano", sa.BigInteger(), nullable=True),
        sa.Column("image_input_nano", sa.BigInteger(), nullable=True),
        sa.Column("image_cache_read_nano", sa.BigInteger(), nullable=True),
        sa.Column("image_output_nano", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_nano", sa.BigInteger(), nullable=False),
        sa.Column("per_request_nano", sa.BigInteger(), nullable=False),
        sa.Column("tiers", sa.Text(), nullable=False),
        sa.Column("marks", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("source_version", sa.String(length=40), server_default="", nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate")),
        sa.UniqueConstraint(
            "account", "provider", "model", "context", "valid_from", "added_at", name="uq_rate_card"
        ),
    )
    op.create_table(
        "request_log",
        sa.Column(
            "event_id",
            sa.String(length=200).with_variant(sa.String(length=200, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("uncached_input", sa.BigInteger(), nullable=True),
        sa.Column("cache_read", sa.BigInteger(), nullable=True),
        sa.Column("cache_write", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_long", sa.BigInteger(), nullable=True),
        sa.Column("output", sa.BigInteger(), nullable=True),
        sa.Column("audio_input", sa.BigInteger(), nullable=True),
        sa.Column("audio_cache_read", sa.BigInteger(), nullable=True),
        sa.Column("audio_output", sa.BigInteger(), nullable=True),
        sa.Column("image_input", sa.BigInteger(), nullable=True),
        sa.Column("image_cache_read", sa.BigInteger(), nullable=True),
        sa.Column("image_output", sa.BigInteger(), nullable=True),
        sa.Column("reasoning", sa.BigInteger(), nullable=True),
        sa.Column("requests", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", "source_id", "day", name=op.f("pk_request_log")),
        postgresql_partition_by="RANGE (day)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run",
        sa.Column("run_key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("period_start", sa.BigInteger(), nullable=False),
        sa.Column("period_end", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("claim", sa.String(length=40), nullable=True),
        sa.Column("claim_until", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("rules_hash", sa.String(length=64), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "state IN ('due', 'done', 'skipped', 'dead')", name=op.f("ck_run_state")
        ),
        sa.PrimaryKeyConstraint("run_key", name=op.f("pk_run")),
    )
    op.create_table(
        "silence",
        sa.Column("id", ID, nullable=False),
        sa.Column("rule", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silence")),
    )
    op.create_table(
        "source",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
    )
    op.create_table(
        "usage",
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("bucket_start", sa.BigInteger(), nullable=False),
        sa.Column("bucket_seconds", sa.Integer(), nullable=False),
        sa.Column("uncached_input", sa.BigInteger(), nullable=True),
        sa.Column("cache_read", sa.BigInteger(), nullable=True),
        sa.Column("cache_write", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_long", sa.BigInteger(), nullable=True),
        sa.Column("output", sa.BigInteger(), nullable=True),
        sa.Column("audio_input", sa.BigInteger(), nullable=True),
        sa.Column("audio_cache_read", sa.BigInteger(), nullable=True),
        sa.Column("audio_output", sa.BigInteger(), nullable=True),
        sa.Column("image_input", sa.BigInteger(), nullable=True),
        sa.Column("image_cache_read", sa.BigInteger(), nullable=True),
        sa.Column("image_output", sa.BigInteger(), nullable=True),
        sa.Column("reasoning", sa.BigInteger(), nullable=True),
        sa.Column("requests", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("bucket_seconds IN (3600, 86400)", name=op.f("ck_usage_width")),
        sa.PrimaryKeyConstraint("series_id", "bucket_start", name=op.f("pk_usage")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_day",
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("rate_id", sa.BigInteger(), nullable=False),
        sa.Column("uncached_input", sa.BigInteger(), nullable=True),
        sa.Column("cache_read", sa.BigInteger(), nullable=True),
        sa.Column("cache_write", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_long", sa.BigInteger(), nullable=True),
        sa.Column("output", sa.BigInteger(), nullable=True),
        sa.Column("audio_input", sa.BigInteger(), nullable=True),
        sa.Column("audio_cache_read", sa.BigInteger(), nullable=True),
        sa.Column("audio_output", sa.BigInteger(), nullable=True),
        sa.Column("image_input", sa.BigInteger(), nullable=True),
        sa.Column("image_cache_read", sa.BigInteger(), nullable=True),
        sa.Column("image_output", sa.BigInteger(), nullable=True),
        sa.Column("reasoning", sa.BigInteger(), nullable=True),
        sa.Column("requests", sa.BigInteger(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("estimated_pico", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_tokens", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("series_id", "day", "rate_id", name=op.f("pk_usage_day")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "workload",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("must_stay_on_api", sa.Text(), server_default="", nullable=False),
        sa.Column("must_stay_in_house", sa.Text(), server_default="", nullable=False),
        sa.Column("runs_on", sa.String(length=10), server_default="api", nullable=False),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "runs_on IN ('api', 'self_host', 'hybrid')", name=op.f("ck_workload_runs_on")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workload")),
        sa.UniqueConstraint("name", name=op.f("uq_workload_name")),
    )
    op.create_table(
        "account",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("currency", sa.String(length=3), server_default="USD", nullable=False),
        sa.Column("tokens_from", sa.BigInteger(), nullable=True),
        sa.Column("money_from", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["money_from"], ["source.id"], name=op.f("fk_account_money_from_source")
        ),
        sa.ForeignKeyConstraint(
            ["tokens_from"], ["source.id"], name=op.f("fk_account_tokens_from_source")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    op.create_table(
        "alert_transition",
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("was", sa.String(length=20), nullable=False),
        sa.Column("became", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert.id"], name=op.f("fk_alert_transition_alert_id_alert")
        ),
        sa.PrimaryKeyConstraint("alert_id", "seq", name=op.f("pk_alert_transition")),
    )
    op.create_table(
        "decision",
        sa.Column("id", ID, nullable=False),
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_decision_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_table(
        "deployment",
        sa.Column("id", ID, nullable=False),
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_deployment_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        sa.UniqueConstraint("name", name=op.f("uq_deployment_name")),
    )
    op.create_table(
        "device",
        sa.Column("id", ID, nullable=False),
        sa.Column("host_id", sa.BigInteger(), nullable=False),
        sa.Column("uuid", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("pci_bus", sa.String(length=40), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("power_limit_mw", sa.BigInteger(), nullable=True),
        sa.Column("driver", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_device_host_id_host")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("uuid", name=op.f("uq_device_uuid")),
    )
    op.create_table(
        "engine",
        sa.Column("id", ID, nullable=False),
        sa.Column("host_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_engine_host_id_host")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engine")),
        sa.UniqueConstraint("host_id", "name", name=op.f("uq_engine_host_id_name")),
    )
    op.create_table(
        "host_cost",
        sa.Column("id", ID, nullable=False),
        sa.Column("host_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.String(length=100), nullable=False),
        sa.Column("pico_per_month", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_host_cost_host_id_host")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host_cost")),
        sa.UniqueConstraint(
            "host_id", "valid_from", "line", name=op.f("uq_host_cost_host_id_valid_from_line")
        ),
    )
    op.create_table(
        "projection",
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=10), nullable=False),
        sa.Column("month_to_date", sa.BigInteger(), nullable=False),
        sa.Column("q10", sa.BigInteger(), nullable=True),
        sa.Column("q50", sa.BigInteger(), nullable=True),
        sa.Column("q90", sa.BigInteger(), nullable=True),
        sa.Column("history_days", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=100), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "unit IN ('tokens', 'requests', 'usd')", name=op.f("ck_projection_unit")
        ),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_projection_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint(
            "workload_id", "month", "as_of", "unit", name=op.f("pk_projection")
        ),
    )
    op.create_table(
        "stream",
        sa.Column("id", ID, nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("feeds", sa.String(length=10), nullable=False),
        sa.Column("next_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("deep_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claim", sa.String(length=40), nullable=True),
        sa.Column("claim_until", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("feeds IN ('usage', 'bill')", name=op.f("ck_stream_feeds")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_stream_source_id_source")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream")),
        sa.UniqueConstraint("source_id", "name", name=op.f("uq_stream_source_id_name")),
    )
    op.create_table(
        "advice",
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployment.id"], name=op.f("fk_advice_deployment_id_deployment")
        ),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_advice_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint("workload_id", "deployment_id", "as_of", name=op.f("pk_advice")),
    )
    op.create_table(
        "assessment",
        sa.Column("workload_id", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("volume", sa.String(length=10), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("scenario", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("api_pico", sa.BigInteger(), nullable=False),
        sa.Column("hybrid_pico", sa.BigInteger(), nullable=False),
        sa.Column("savings_pico", sa.BigInteger(), nullable=False),
        sa.Column("crossing_requests", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("rules_hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "volume IN ('q10', 'q50', 'q90', 'ahead')", name=op.f("ck_assessment_volume")
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment.id"],
            name=op.f("fk_assessment_deployment_id_deployment"),
        ),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_assessment_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint(
            "workload_id", "deployment_id", "as_of", "volume", name=op.f("pk_assessment")
        ),
    )
    op.create_table(
        "contract",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_to", sa.BigInteger(), nullable=True),
        sa.Column("commit_pico_per_month", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_contract_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract")),
    )
    op.create_table(
        "fetch",
        sa.Column("id", ID, nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("request", sa.Text(), server_default="{}", nullable=False),
        sa.Column("pages", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_new", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_changed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_gone", sa.Integer(), server_default="0", nullable=False),
        sa.Column("problems", sa.Integer(), server_default="0", nullable=False),
        sa.Column("notes", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("status IN ('ok', 'failed')", name=op.f("ck_fetch_status")),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_fetch_stream_id_stream")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fetch")),
    )
    with op.batch_alter_table("fetch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fetch_stream_id"), ["stream_id"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("id", ID, nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_quarantine_stream_id_stream")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("stream_id", "digest", name=op.f("uq_quarantine_stream_id_digest")),
    )
    op.create_table(
        "restatement",
        sa.Column("id", ID, nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tokens_before", sa.BigInteger(), nullable=False),
        sa.Column("tokens_after", sa.BigInteger(), nullable=False),
        sa.Column("pico_before", sa.BigInteger(), nullable=False),
        sa.Column("pico_after", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_restatement_stream_id_stream")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restatement")),
    )
    op.create_table(
        "series",
        sa.Column("id", ID, nullable=False),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("project", sa.String(length=200), nullable=False),
        sa.Column("api_key", sa.String(length=200), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("tier", sa.String(length=200), nullable=False),
        sa.Column("batch", sa.String(length=200), nullable=False),
        sa.Column("region", sa.String(length=200), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("workload_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_series_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_series_stream_id_stream")
        ),
        sa.ForeignKeyConstraint(
            ["workload_id"], ["workload.id"], name=op.f("fk_series_workload_id_workload")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint(
            "stream_id",
            "account_id",
            "provider",
            "model",
            "project",
            "api_key",
            "actor",
            "tier",
            "batch",
            "region",
            "label",
            name="uq_series_dimensions",
        ),
    )
    op.create_table(
        "watermark",
        sa.Column("stream_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("closed_through", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_watermark_stream_id_stream")
        ),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_watermark")),
    )


def downgrade() -> None:
    op.drop_table("watermark")
    op.drop_table("series")
    op.drop_table("restatement")
    op.drop_table("quarantine")
    with op.batch_alter_table("fetch", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fetch_stream_id"))

    op.drop_table("fetch")
    op.drop_table("contract")
    op.drop_table("assessment")
    op.drop_table("advice")
    op.drop_table("stream")
    op.drop_table("projection")
    op.drop_table("host_cost")
    op.drop_table("engine")
    op.drop_table("device")
    op.drop_table("deployment")
    op.drop_table("decision")
    op.drop_table("alert_transition")
    op.drop_table("account")
    op.drop_table("workload")
    op.drop_table("usage_day")
    op.drop_table("usage")
    op.drop_table("source")
    op.drop_table("silence")
    op.drop_table("run")
    op.drop_table("request_log")
    op.drop_table("rate")
    op.drop_table("price_override")
    op.drop_table("outbox")
    op.drop_table("meta")
    op.drop_table("host")
    op.drop_table("gpu_minute")
    op.drop_table("gpu_hour")
    op.drop_table("fx")
    op.drop_table("engine_minute")
    op.drop_table("engine_hour")
    op.drop_table("dirty")
    op.drop_table("bill")
    op.drop_table("alert")
    op.drop_table("access_token")
