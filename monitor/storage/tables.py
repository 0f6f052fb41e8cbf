"""The schema, as SQLAlchemy Core tables. Tables are not public: people query the views.

Facts (`usage`, `bill`, `request_log`, minutes) are replaced by window; derived rows (`usage_day`,
hours) by day. Money is integer pico-units, times of facts are UTC epoch seconds. `Table.info` says
how each table would lie on a distributed PostgreSQL: `distributed` with its column, `reference`
(a copy on each node) or `local` (on the coordinator).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

from monitor.domain.usage import QUANTITY_FIELDS, TOKEN_CLASSES, Dimensions

# SQLite rebuilds a table to change a constraint and needs its name for that.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Only an INTEGER primary key is SQLite's row id and counts itself up.
Id = BigInteger().with_variant(Integer, "sqlite")

# Ids are looked up and never listed for people: byte order makes their index a third cheaper.
EventId = String(200).with_variant(String(200, collation="C"), "postgresql")

REFERENCE = {"citus": "reference"}
LOCAL = {"citus": "local"}


def _by(column: str) -> dict[str, str]:
    return {"citus": "distributed", "by": column}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Refuses naive values: SQLite would keep their wall clock and drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite gets it without the zone it would drop anyway."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To an aware instant in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _quantities() -> list[Column[int]]:
    return [Column(name, BigInteger) for name in QUANTITY_FIELDS]


# --- who is read and who pays ---------------------------------------------------------------

account = Table(
    "account",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("currency", String(3), nullable=False, server_default="USD"),
    Column("tokens_from", BigInteger, ForeignKey("source.id")),
    Column("money_from", BigInteger, ForeignKey("source.id")),
    info=REFERENCE,
)

source = Table(
    "source",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    info=REFERENCE,
)

stream = Table(
    "stream",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source_id", BigInteger, ForeignKey("source.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("feeds", String(10), nullable=False),
    Column("next_at", BigInteger, nullable=False, server_default="0"),
    Column("deep_at", BigInteger, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("claim", String(40)),
    Column("claim_until", BigInteger),
    UniqueConstraint("source_id", "name"),
    CheckConstraint("feeds IN ('usage', 'bill')", name="feeds"),
    info=REFERENCE,
)

fetch = Table(
    "fetch",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stream_id", BigInteger, ForeignKey("stream.id"), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("status", String(10), nullable=False),
    Column("request", Text, nullable=False, server_default="{}"),
    Column("pages", Integer, nullable=False, server_default="0"),
    Column("rows_new", Integer, nullable=False, server_default="0"),
    Column("rows_changed", Integer, nullable=False, server_default="0"),
    Column("rows_gone", Integer, nullable=False, server_default="0"),
    Column("problems", Integer, nullable=False, server_default="0"),
    Column("rows_read", BigInteger, nullable=False, server_default="0"),
    Column("notes", Text, nullable=False, server_default=""),
    Column("error", Text, nullable=False, server_default=""),
    CheckConstraint("status IN ('ok', 'failed')", name="status"),
    info=LOCAL,
)

# The answers themselves are files, named by their hash: see `monitor.jobs.archive`.
page = Table(
    "page",
    metadata,
    Column("id", Id, primary_key=True),
    Column("fetch_id", BigInteger, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("day_from", BigInteger, nullable=False),
    Column("day_to", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("bytes", BigInteger, nullable=False),
    info=LOCAL,
)

backfill = Table(
    "backfill",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("stream.id"), primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
    Column("done_through", BigInteger, nullable=False),
    info=REFERENCE,
)

watermark = Table(
    "watermark",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("stream.id"), primary_key=True, autoincrement=False),
    Column("closed_through", BigInteger),
    Column("seen_at", BigInteger),
    info=REFERENCE,
)

SERIES_DIMENSIONS = Dimensions._fields[1:]

series = Table(
    "series",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stream_id", BigInteger, ForeignKey("stream.id"), nullable=False),
    Column("account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    *(Column(name, String(200), nullable=False) for name in SERIES_DIMENSIONS),
    Column("workload_id", BigInteger, ForeignKey("workload.id")),
    UniqueConstraint("stream_id", "account_id", *SERIES_DIMENSIONS, name="uq_series_dimensions"),
    info=REFERENCE,
)

# --- facts ----------------------------------------------------------------------------------

usage = Table(
    "usage",
    metadata,
    Column("series_id", BigInteger, nullable=False),
    Column("bucket_start", BigInteger, nullable=False),
    Column("bucket_seconds", Integer, nullable=False),
    *_quantities(),
    PrimaryKeyConstraint("series_id", "bucket_start"),
    CheckConstraint("bucket_seconds IN (3600, 86400)", name="width"),
    sqlite_with_rowid=False,
    info=_by("series_id"),
)

bill = Table(
    "bill",
    metadata,
    Column("series_id", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("line_item", String(200), nullable=False),
    Column("amount_pico", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    PrimaryKeyConstraint("series_id", "day", "line_item"),
    sqlite_with_rowid=False,
    info=_by("series_id"),
)

# Partitioned by month on PostgreSQL, so that retention drops partitions instead of rows.
request_log = Table(
    "request_log",
    metadata,
    Column("event_id", EventId, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("series_id", BigInteger, nullable=False),
    *_quantities(),
    PrimaryKeyConstraint("event_id", "source_id", "day"),
    postgresql_partition_by="RANGE (day)",
    sqlite_with_rowid=False,
    info=_by("event_id"),
)

response = Table(
    "response",
    metadata,
    Column("message", EventId, nullable=False),
    Column("source_id", BigInteger, nullable=False),
    Column("copies", Text, nullable=False),
    PrimaryKeyConstraint("message", "source_id"),
    info=LOCAL,
)
"""Messages with copies that differ in request or side chain, each copy as JSON: which of them
count can change when another file brings a further one."""

file_cursor = Table(
    "file_cursor",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("path_digest", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("form", String(40), nullable=False),
    Column("device", String(40), nullable=False),
    Column("inode", String(40), nullable=False),
    Column("changed_ns", String(40), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("source_id", "path_digest"),
    info=LOCAL,
)
"""How far each imported file was read."""

telemetry_view = Table(
    "telemetry_view",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("stream.id"), primary_key=True, autoincrement=False),
    Column("service", String(200), nullable=False),
    Column("provider", String(200), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("scope", String(200), nullable=False),
    info=REFERENCE,
)
telemetry_series = Table(
    "telemetry_series",
    metadata,
    Column("source_id", BigInteger, nullable=False),
    Column("series", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    PrimaryKeyConstraint("source_id", "series"),
    Index("ix_telemetry_series_at", "at"),
    info=LOCAL,
)
telemetry_sender = Table(
    "telemetry_sender",
    metadata,
    Column("day", BigInteger, nullable=False),
    Column("stream_id", BigInteger, nullable=False),
    Column("sender", String(64), nullable=False),
    PrimaryKeyConstraint("day", "stream_id", "sender"),
    info=LOCAL,
)
set_aside = Table(
    "set_aside",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("stream.id"), nullable=False),
    Column("hour", BigInteger, nullable=False),
    Column("counts_stream_id", BigInteger, ForeignKey("stream.id"), nullable=False),
    PrimaryKeyConstraint("stream_id", "hour"),
    info=REFERENCE,
)
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stream_id", BigInteger, ForeignKey("stream.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("place", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("count", Integer, nullable=False, server_default="1"),
    Column("day_from", BigInteger),
    Column("day_to", BigInteger),
    UniqueConstraint("stream_id", "digest"),
    info=LOCAL,
)

# --- derived --------------------------------------------------------------------------------

rate = Table(
    "rate",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", String(200), nullable=False, server_default=""),
    Column("provider", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("context", String(200), nullable=False, server_default=""),
    Column("valid_from", BigInteger, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("valid_until", BigInteger),
    *(Column(f"{name}_nano", BigInteger) for name in TOKEN_CLASSES),
    Column("reasoning_nano", BigInteger, nullable=False),
    Column("per_request_nano", BigInteger, nullable=False),
    Column("tiers", Text, nullable=False),
    Column("marks", Text, nullable=False),
    Column("source", String(100), nullable=False),
    Column("source_version", String(40), nullable=False, server_default=""),
    Column("checked_at", BigInteger),
    UniqueConstraint(
        "account", "provider", "model", "context", "valid_from", "added_at", name="uq_rate_card"
    ),
    info=REFERENCE,
)

usage_day = Table(
    "usage_day",
    metadata,
    Column("series_id", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("rate_id", BigInteger, nullable=False),
    *_quantities(),
    Column("tokens", BigInteger, nullable=False),
    Column("estimated_pico", BigInteger, nullable=False),
    Column("unpriced_tokens", BigInteger, nullable=False),
    Column("flags", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("series_id", "day", "rate_id"),
    sqlite_with_rowid=False,
    info=_by("series_id"),
)

dirty = Table(
    "dirty",
    metadata,
    Column("stream_id", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("restates", Boolean, nullable=False),
    PrimaryKeyConstraint("stream_id", "day"),
    info=LOCAL,
)

restatement = Table(
    "restatement",
    metadata,
    Column("id", Id, primary_key=True),
    Column("stream_id", BigInteger, ForeignKey("stream.id"), nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
    Column("tokens_before", BigInteger, nullable=False),
    Column("tokens_after", BigInteger, nullable=False),
    Column("pico_before", BigInteger, nullable=False),
    Column("pico_after", BigInteger, nullable=False),
    info=LOCAL,
)

# --- the fleet ------------------------------------------------------------------------------

host = Table(
    "host",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("seen_at", BigInteger),
    info=REFERENCE,
)

host_cost = Table(
    "host_cost",
    metadata,
    Column("id", Id, primary_key=True),
    Column("host_id", BigInteger, ForeignKey("host.id"), nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("line", String(100), nullable=False),
    Column("pico_per_month", BigInteger, nullable=False),
    UniqueConstraint("host_id", "valid_from", "line"),
    info=REFERENCE,
)

device = Table(
    "device",
    metadata,
    Column("id", Id, primary_key=True),
    Column("host_id", BigInteger, ForeignKey("host.id"), nullable=False),
    Column("uuid", String(200), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("ordinal", Integer),
    Column("pci_bus", String(40), nullable=False),
    Column("memory_bytes", BigInteger),
    Column("power_limit_mw", BigInteger),
    Column("driver", String(40), nullable=False),
    info=REFERENCE,
)

engine = Table(
    "engine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("host_id", BigInteger, ForeignKey("host.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("model", String(200), nullable=False),
    UniqueConstraint("host_id", "name"),
    info=REFERENCE,
)


def _gpu_readings() -> list[Column[object]]:
    return [
        Column("util_min", Float),
        Column("util_mean", Float),
        Column("util_max", Float),
        Column("mem_used_max", BigInteger),
        Column("power_mean_mw", Float),
        Column("energy_mj", BigInteger),
        Column("temp_max", Integer),
        Column("throttle_ns", BigInteger),
        Column("samples", Integer, nullable=False),
        Column("status", String(10), nullable=False),
        Column("reason", Text, nullable=False),
    ]


GPU_READINGS = tuple(column.name for column in _gpu_readings())

gpu_minute = Table(
    "gpu_minute",
    metadata,
    Column("device_id", BigInteger, nullable=False),
    Column("minute", BigInteger, nullable=False),
    *_gpu_readings(),
    PrimaryKeyConstraint("device_id", "minute"),
    postgresql_partition_by="RANGE (minute)",
    sqlite_with_rowid=False,
    info=_by("device_id"),
)

gpu_hour = Table(
    "gpu_hour",
    metadata,
    Column("device_id", BigInteger, nullable=False),
    Column("hour", BigInteger, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("minutes_measured", Integer, nullable=False),
    *_gpu_readings()[:-2],
    PrimaryKeyConstraint("device_id", "hour"),
    sqlite_with_rowid=False,
    info=_by("device_id"),
)


def _engine_readings() -> list[Column[object]]:
    return [
        Column("requests", BigInteger),
        Column("prompt_tokens", BigInteger),
        Column("cached_tokens", BigInteger),
        Column("output_tokens", BigInteger),
        Column("running_mean", Float),
        Column("waiting_mean", Float),
        Column("load_histogram", Text),
        Column("latency_histogram", Text),
    ]


engine_minute = Table(
    "engine_minute",
    metadata,
    Column("engine_id", BigInteger, nullable=False),
    Column("minute", BigInteger, nullable=False),
    *_engine_readings(),
    Column("status", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("engine_id", "minute"),
    postgresql_partition_by="RANGE (minute)",
    sqlite_with_rowid=False,
    info=_by("engine_id"),
)

engine_hour = Table(
    "engine_hour",
    metadata,
    Column("engine_id", BigInteger, nullable=False),
    Column("hour", BigInteger, nullable=False),
    Column("minutes", Integer, nullable=False),
    *_engine_readings(),
    PrimaryKeyConstraint("engine_id", "hour"),
    sqlite_with_rowid=False,
    info=_by("engine_id"),
)

# --- what people configured or decided ------------------------------------------------------

workload = Table(
    "workload",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("must_stay_on_api", Text, nullable=False, server_default=""),
    Column("must_stay_in_house", Text, nullable=False, server_default=""),
    Column("runs_on", String(10), nullable=False, server_default="api"),
    Column("configured", Boolean, nullable=False),
    Column("gates", Text, nullable=False, server_default="{}"),
    Column("owner", String(320), nullable=False, server_default=""),
    Column("cost_centre", String(100), nullable=False, server_default=""),
    CheckConstraint("runs_on IN ('api', 'self_host', 'hybrid')", name="runs_on"),
    info=REFERENCE,
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("name", String(200), nullable=False, unique=True),
    Column("document", Text, nullable=False),
    Column("configured", Boolean, nullable=False),
    info=REFERENCE,
)

price_override = Table(
    "price_override",
    metadata,
    Column("id", Id, primary_key=True),
    Column("document", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
    info=REFERENCE,
)

repricing = Table(
    "repricing",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("first_day", BigInteger, nullable=False),
    Column("end_day", BigInteger, nullable=False),
    Column("by", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("days", Integer, nullable=False),
    Column("before_micro", BigInteger, nullable=False),
    Column("before_rest", BigInteger, nullable=False),
    Column("after_micro", BigInteger, nullable=False),
    Column("after_rest", BigInteger, nullable=False),
    Column("editions", Text, nullable=False),
    info=REFERENCE,
)

rate_pending = Table(
    "rate_pending",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", String(200), nullable=False),
    Column("provider", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("context", String(200), nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("percent", Integer),
    Column("source_version", String(40), nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    UniqueConstraint(
        "account",
        "provider",
        "model",
        "context",
        "valid_from",
        "digest",
        name="uq_rate_pending_change",
    ),
    info=REFERENCE,
)

contract = Table(
    "contract",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("valid_to", BigInteger),
    Column("commit_pico_per_month", BigInteger, nullable=False),
    info=REFERENCE,
)

fx = Table(
    "fx",
    metadata,
    Column("currency", String(3), nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("usd_nano", BigInteger, nullable=False),
    Column("source", String(100), nullable=False),
    PrimaryKeyConstraint("currency", "day"),
    info=REFERENCE,
)

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("provider", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("cause", String(20), nullable=False),
    Column("month", String(7), nullable=False),
    Column("pico", BigInteger, nullable=False),
    Column("is_final", Boolean, nullable=False),
    PrimaryKeyConstraint("account_id", "day", "provider", "model", "cause"),
    info=REFERENCE,
)

decision = Table(
    "decision",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("by", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("deployment_id", BigInteger, ForeignKey("deployment.id")),
    Column("until", BigInteger),
    Column("facts", Text, nullable=False, server_default="{}"),
    CheckConstraint("kind IN ('accept', 'defer', 'reject')", name="kind"),
    info=REFERENCE,
)

access_token = Table(
    "access_token",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("source", String(200), nullable=False, server_default=""),
    Column("account", String(200), nullable=False, server_default=""),
    Column("project", String(200), nullable=False, server_default=""),
    Column("label", String(200), nullable=False, server_default=""),
    info=REFERENCE,
)

# --- results --------------------------------------------------------------------------------

projection = Table(
    "projection",
    metadata,
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("month", String(7), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("unit", String(10), nullable=False),
    Column("month_to_date", BigInteger, nullable=False),
    Column("q10", BigInteger),
    Column("q50", BigInteger),
    Column("q90", BigInteger),
    Column("history_days", Integer, nullable=False),
    Column("method", String(100), nullable=False),
    Column("flags", Text, nullable=False),
    PrimaryKeyConstraint("workload_id", "month", "as_of", "unit"),
    CheckConstraint("unit IN ('tokens', 'requests', 'usd')", name="unit"),
    info=REFERENCE,
)

assessment = Table(
    "assessment",
    metadata,
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("deployment_id", BigInteger, ForeignKey("deployment.id"), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("volume", String(10), nullable=False),
    Column("month", String(7), nullable=False),
    Column("scenario", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("api_pico", BigInteger, nullable=False),
    Column("hybrid_pico", BigInteger, nullable=False),
    Column("savings_pico", BigInteger, nullable=False),
    Column("crossing_requests", BigInteger),
    Column("verdict", String(10), nullable=False),
    Column("rules_hash", String(64), nullable=False),
    Column("ranges", Text, nullable=False, server_default=""),
    Column("assumptions", Text, nullable=False, server_default="[]"),
    PrimaryKeyConstraint("workload_id", "deployment_id", "as_of", "volume"),
    CheckConstraint("volume IN ('q10', 'q50', 'q90', 'ahead')", name="volume"),
    info=REFERENCE,
)

advice = Table(
    "advice",
    metadata,
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("deployment_id", BigInteger, ForeignKey("deployment.id"), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("document", Text, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("workload_id", "deployment_id", "as_of"),
    info=REFERENCE,
)

projection_score = Table(
    "projection_score",
    metadata,
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("month", String(7), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("unit", String(10), nullable=False),
    Column("days_left", Integer, nullable=False),
    Column("actual", BigInteger, nullable=False),
    Column("q10", BigInteger, nullable=False),
    Column("q50", BigInteger, nullable=False),
    Column("q90", BigInteger, nullable=False),
    Column("error_ppm", BigInteger),
    Column("inside", Boolean, nullable=False),
    Column("pinball_ppm", BigInteger),
    Column("scored_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workload_id", "month", "as_of", "unit"),
    # A record tells a few horizons of all the days that were scored.
    Index("ix_projection_score_days_left", "days_left", "unit"),
    info=REFERENCE,
)

assessment_score = Table(
    "assessment_score",
    metadata,
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("deployment_id", BigInteger, ForeignKey("deployment.id"), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("volume", String(10), nullable=False),
    Column("month", String(7), nullable=False),
    Column("actual_requests", BigInteger, nullable=False),
    Column("api_pico", BigInteger, nullable=False),
    Column("hybrid_pico", BigInteger, nullable=False),
    Column("savings_pico", BigInteger, nullable=False),
    Column("told", String(10), nullable=False),
    Column("was_right", Boolean, nullable=False),
    Column("scored_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workload_id", "deployment_id", "as_of", "volume"),
    info=REFERENCE,
)

# Rows are added when a month is closed, and made anew only when it is reopened.
after_move = Table(
    "after_move",
    metadata,
    Column("workload_id", BigInteger, ForeignKey("workload.id"), nullable=False),
    Column("month", String(7), nullable=False),
    Column("deployment_id", BigInteger, ForeignKey("deployment.id")),
    Column("since", BigInteger, nullable=False),
    Column("status", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    Column("days", Integer, nullable=False),
    Column("known_days", Integer, nullable=False),
    Column("own_requests", BigInteger),
    Column("own_tokens", BigInteger),
    Column("api_requests", BigInteger, nullable=False),
    Column("api_pico", BigInteger, nullable=False),
    Column("unpriced_tokens", BigInteger, nullable=False),
    Column("at_api_pico", BigInteger),
    Column("own_pico", BigInteger),
    Column("promised_pico", BigInteger),
    Column("volume_pico", BigInteger),
    Column("mix_pico", BigInteger),
    Column("price_pico", BigInteger),
    Column("own_cost_pico", BigInteger),
    Column("one_off_pico", BigInteger),
    Column("direction", String(10), nullable=False),
    Column("outlook", Text, nullable=False),
    Column("scenario", Text, nullable=False),
    Column("settled_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("workload_id", "month"),
    CheckConstraint("status IN ('measured', 'partial', 'unknown')", name="status"),
    info=REFERENCE,
)

# --- alerts and delivery --------------------------------------------------------------------

budget = Table(
    "budget",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("amount_pico", BigInteger, nullable=False),
    Column("period", String(10), nullable=False),
    Column("scope", String(20), nullable=False),
    Column("scope_name", String(200), nullable=False, server_default=""),
    Column("valid_from", BigInteger),
    Column("valid_to", BigInteger),
    Column("owner", String(320), nullable=False, server_default=""),
    Column("configured", Boolean, nullable=False),
    CheckConstraint("period IN ('weekly', 'monthly', 'quarterly', 'yearly')", name="period"),
    CheckConstraint(
        "scope IN ('all', 'workload', 'account', 'cost_centre', 'label')", name="scope"
    ),
    info=REFERENCE,
)

budget_state = Table(
    "budget_state",
    metadata,
    Column("budget_id", BigInteger, ForeignKey("budget.id"), nullable=False),
    Column("period", String(10), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("first_day", BigInteger, nullable=False),
    Column("end_day", BigInteger, nullable=False),
    Column("amount_pico", BigInteger, nullable=False),
    Column("known_days", Integer, nullable=False),
    Column("basis", String(10), nullable=False),
    Column("spent_pico", BigInteger),
    Column("unpriced_tokens", BigInteger),
    Column("q10_pico", BigInteger),
    Column("q50_pico", BigInteger),
    Column("q90_pico", BigInteger),
    Column("remark", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("budget_id", "period", "as_of"),
    CheckConstraint("basis IN ('billed', 'mixed', 'estimated')", name="basis"),
    info=REFERENCE,
)

alert = Table(
    "alert",
    metadata,
    Column("id", Id, primary_key=True),
    Column("rule", String(100), nullable=False),
    Column("subject", String(700), nullable=False),
    Column("period", String(40), nullable=False, server_default=""),
    Column("severity", String(10), nullable=False, server_default="warning"),
    Column("workload", String(200), nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("since", BigInteger),
    Column("said", Text, nullable=False, server_default="{}"),
    Column("acknowledged_at", BigInteger),
    Column("acknowledged_by", String(320), nullable=False, server_default=""),
    Column("acknowledged_why", Text, nullable=False, server_default=""),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("rule", "subject", "period"),
    info=REFERENCE,
)

alert_transition = Table(
    "alert_transition",
    metadata,
    Column("alert_id", BigInteger, ForeignKey("alert.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("was", String(20), nullable=False),
    Column("became", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("alert_id", "seq"),
    info=REFERENCE,
)

# What an edge has to say to one target, until a message to that target took it along.
notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", BigInteger, ForeignKey("alert.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("edge", String(10), nullable=False),
    Column("channel", String(200), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("document", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("told_at", BigInteger),
    Column("dedup_key", String(300), nullable=False, server_default=""),
    UniqueConstraint("alert_id", "seq", "channel", "recipient"),
    CheckConstraint("edge IN ('firing', 'resolved', 'unstable')", name="edge"),
    CheckConstraint("state IN ('waiting', 'digest', 'told', 'dropped')", name="state"),
    info=REFERENCE,
)

silence = Table(
    "silence",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(15), nullable=False, server_default="silence"),
    Column("rule", String(100), nullable=False),
    Column("subject", String(700), nullable=False),
    Column("since", BigInteger, nullable=False, server_default="0"),
    Column("until", BigInteger, nullable=False),
    Column("by", String(320), nullable=False),
    Column("why", Text, nullable=False),
    Column("ended_at", BigInteger),
    CheckConstraint("kind IN ('silence', 'snooze', 'maintenance')", name="kind"),
    info=REFERENCE,
)

# Links act once: a second use changes nothing and says so.
used_link = Table(
    "used_link",
    metadata,
    Column("nonce", String(64), primary_key=True),
    Column("action", String(40), nullable=False),
    Column("used_at", BigInteger, nullable=False),
    info=REFERENCE,
)

unsubscribed = Table(
    "unsubscribed",
    metadata,
    Column("recipient", String(320), nullable=False),
    Column("report", String(100), nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("recipient", "report"),
    info=REFERENCE,
)

run = Table(
    "run",
    metadata,
    Column("run_key", String(200), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("period_start", BigInteger, nullable=False),
    Column("period_end", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", BigInteger, nullable=False, server_default="0"),
    Column("claim", String(40)),
    Column("claim_until", BigInteger),
    Column("finished_at", BigInteger),
    Column("rules_hash", String(64), nullable=False, server_default=""),
    Column("error", Text, nullable=False, server_default=""),
    Column("told", Text, nullable=False, server_default="{}"),
    CheckConstraint("state IN ('due', 'done', 'skipped', 'dead')", name="state"),
    info=REFERENCE,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("dedup_key", String(300), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("channel", String(200), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("subject", Text, nullable=False),
    Column("message_id", String(320), nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("ambiguous", Integer, nullable=False, server_default="0"),
    Column("next_at", BigInteger, nullable=False),
    Column("claim", String(40)),
    Column("claim_until", BigInteger),
    Column("last_phase", String(20), nullable=False, server_default=""),
    Column("last_code", Integer),
    Column("last_text", Text, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    CheckConstraint("state IN ('pending', 'sent', 'dead', 'dropped')", name="state"),
    info=REFERENCE,
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("value", Text, nullable=False, server_default=text("''")),
    info=REFERENCE,
)
