"""A LiteLLM proxy's own PostgreSQL database: its request log, read in one read-only transaction.

Columns come and go with the proxy's versions, so the catalogue is asked first. Prompts and
answers are never selected; of `metadata` only what was used, at which tier, and by how many.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from collectors.http import DEFAULT_LIMITS, REDACTED, Limits
from collectors.litellm_rows import DEFAULT_GROUP_BY, GROUPS, STREAM, Chosen, notes, reader
from collectors.window import Row, Source, asked_until, each, merged, require_days, require_groups
from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name
from monitor.domain.usage import HOUR, Problem
from monitor.ports import Read, StreamSpec

if TYPE_CHECKING:
    import psycopg

TABLE = "LiteLLM_SpendLogs"

_LIMITS = DEFAULT_LIMITS._replace(total_s=900.0)
_AT_ONCE = 2_000
_NEEDED = ("request_id", "startTime", "model", "prompt_tokens", "completion_tokens")
_WANTED = (
    *("custom_llm_provider", "api_key", "team_id", "user", "status", "cache_hit"),
    *("call_type", "litellm_call_id"),
)
# Prisma's words in the proxy's own DATABASE_URL, which PostgreSQL's library refuses.
_PRISMA = {
    *("schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout"),
    *("statement_cache_size", "sslaccept", "sslidentity", "sslpassword", "connect_timeout"),
}
_REMEDY = "Write the proxy's database as postgresql://user:password@host:5432/name"
_RIGHTS = (
    f'Give it a role of its own: GRANT SELECT ON "{TABLE}" TO that role (docs/sources.md says more)'
)


class _Address(NamedTuple):
    url: str
    """For PostgreSQL's library."""
    schema: str
    secrets: tuple[str, ...]


class LiteLLMDatabase(Source):
    """The database of a LiteLLM proxy.

    Args:
        key: the address of the database, with the password: a secret as a whole.
        bucket: the width of the sums.
        group_by: dimensions beside provider and model, in the proxy's words.
        limits: `connect_s` to connect, `read_s` for one statement, `total_s` for a whole read.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str,
        *,
        bucket: Literal["1h", "1d"] = "1h",
        group_by: Sequence[str] = DEFAULT_GROUP_BY,
        limits: Limits = _LIMITS,
    ) -> None:
        require_groups(name, group_by, GROUPS, "providers and models")
        super().__init__(name, account)
        self._key = _Hidden(key)
        self._row = reader(account, bucket, group_by)
        self._limits = limits

    def streams(self) -> Sequence[StreamSpec]:
        """The request log, under the name that it has over HTTP too; a day at a time."""
        return [StreamSpec(STREAM, "usage", 1)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The sums of the UTC days [start, end), as the database has them at one instant.

        Raises:
            SourceError: the database cannot be read, or not to the end.
        """
        require_days(start, end)
        last = asked_until(end, now)
        rows: list[Row] = []
        problems: list[Problem] = []
        chosen = Chosen()
        batches = results = 0
        if start < last:
            with self._connection() as (conn, schema):
                for number, calls in enumerate(_calls(conn, schema, start, last), 1):
                    counted = [call for call in calls if chosen.admit(call)]
                    found, wrong = each(
                        counted, lambda call: self._row(call, start), f"batch {number}"
                    )
                    rows = merged([*rows, *found])
                    problems += wrong
                    batches, results = number, results + len(found)
        return Read(
            start=start if start < last else end,
            end=end,
            rows=rows,
            problems=problems,
            pages=batches,
            request={"stream": stream, "table": TABLE, "from": start, "until": last},
            notes=notes(chosen.left),
            results=results,
        )

    def probe(self, now: int) -> str:
        """Count the rows of the last hour; raises SourceError."""
        with self._connection() as (conn, schema):
            columns = _columns(conn, schema)
            found = conn.execute(
                f"SELECT COUNT(*) FROM {_quoted(schema)}.{_quoted(TABLE)}"
                f" WHERE {_since(columns)} AND {_until(columns)}",
                (_naive(now - HOUR), _naive(now)),
            ).fetchone()
        assert found is not None
        return f"{found[0]:,} requests in the last hour"

    @contextmanager
    def _connection(self) -> Iterator[tuple[psycopg.Connection[tuple[Any, ...]], str]]:
        """A read-only transaction that ends with the block, or when its time is over."""
        try:
            import psycopg  # noqa: PLC0415 - an optional library
        except ImportError:
            raise SourceError(
                self.name,
                "reading a database needs the driver psycopg, which is not installed",
                "Install crossover-monitor[postgres]",
                permanent=True,
            ) from None
        address = _address(self.name, self._key.value)
        said = ""
        permanent = late = False
        try:
            with (
                psycopg.connect(
                    address.url,
                    connect_timeout=max(2, int(self._limits.connect_s)),
                    application_name="crossover",
                    # A pooler between two transactions may give each another session.
                    prepare_threshold=None,
                ) as conn,
                _Deadline(conn, self._limits.total_s) as deadline,
            ):
                conn.read_only = True
                conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                milliseconds = int(self._limits.read_s * 1000)
                conn.execute(f"SET LOCAL statement_timeout = {milliseconds}")
                conn.execute("SET LOCAL TimeZone = 'UTC'")
                try:
                    yield conn, address.schema
                finally:
                    late = deadline.passed
        except psycopg.Error as error:
            # As words: the driver's error holds the address, and would stay attached.
            said = "its time was over" if late else str(error)
            permanent = _is_permanent(error) and not late
        if said:
            for secret in address.secrets:
                said = said.replace(secret, REDACTED)
            raise SourceError(
                self.name,
                f"its database cannot be read: {clean_name(said, 300)}",
                _RIGHTS if permanent else "Check the address, the network and the load on it",
                permanent=permanent,
            )


class _Hidden(NamedTuple):
    value: str

    def __repr__(self) -> str:
        return REDACTED


class _Deadline:
    """Shuts a connection down after `seconds`, whatever it waits for."""

    def __init__(self, conn: psycopg.Connection[Any], seconds: float) -> None:
        self.passed = False
        self._conn = conn
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        with suppress(Exception), socket.socket(fileno=os.dup(self._conn.fileno())) as held:
            held.shutdown(socket.SHUT_RDWR)


def _is_permanent(error: psycopg.Error) -> bool:
    """Whether somebody has to change something: a password, a right, the name of a table."""
    import psycopg  # noqa: PLC0415 - an optional library

    kinds = psycopg.errors
    refused = (kinds.InsufficientPrivilege, kinds.InvalidPassword, kinds.UndefinedTable)
    words = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")
    return isinstance(error, (*refused, kinds.ProgrammingError)) or any(
        word in str(error) for word in words
    )


# --- What is asked ---


def _calls(
    conn: psycopg.Connection[tuple[Any, ...]], schema: str, start: int, end: int
) -> Iterator[list[dict[str, Any]]]:
    """Requests that began in [start, end), as the proxy's own API tells them, in batches."""
    columns = _columns(conn, schema)
    chosen = _selected(columns)
    names = list(chosen)
    with conn.cursor(name="crossover") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(
            f"SELECT {', '.join(chosen.values())} FROM {_quoted(schema)}.{_quoted(TABLE)}"
            f' WHERE {_since(columns)} AND {_until(columns)} ORDER BY "startTime", request_id',
            (_naive(start), _naive(end)),
        )
        while found := cursor.fetchmany(_AT_ONCE):
            yield [_call(dict(zip(names, row, strict=True))) for row in found]


def _call(found: dict[str, Any]) -> dict[str, Any]:
    at = found["startTime"]
    zoned = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    about = {
        "usage_object": found.pop("usage_object", None),
        "cost_breakdown": {"service_tier": found.pop("service_tier", None)},
        "batch_successful_requests": found.pop("batch_requests", None),
    }
    return found | {"startTime": zoned.isoformat(), "metadata": about}


def _columns(conn: psycopg.Connection[tuple[Any, ...]], schema: str) -> Mapping[str, str]:
    """The table's columns and their types.

    Raises:
        psycopg.errors.UndefinedTable: it is not there, or lacks what every version had.
    """
    import psycopg  # noqa: PLC0415 - an optional library

    found = conn.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s",
        (schema, TABLE),
    ).fetchall()
    columns: dict[str, str] = dict(found)
    if missing := [name for name in _NEEDED if name not in columns]:
        raise psycopg.errors.UndefinedTable(
            f'the schema {schema} has no "{TABLE}" that may be read'
            if not columns
            else f'"{TABLE}" has no column {", ".join(missing)}'
        )
    return columns


def _selected(columns: Mapping[str, str]) -> dict[str, str]:
    """What is selected under which name; older versions keep some of it in `metadata`."""
    chosen = {name: _quoted(name) for name in (*_NEEDED, *_WANTED) if name in columns}
    if "metadata" in columns:
        inside = "metadata" if columns["metadata"] == "jsonb" else "metadata::jsonb"
        chosen["usage_object"] = f"({inside})->'usage_object'"
        chosen["service_tier"] = f"({inside})->'cost_breakdown'->>'service_tier'"
        chosen["batch_requests"] = f"({inside})->'batch_successful_requests'"
        for name in ("status", "litellm_call_id"):
            chosen.setdefault(name, f"({inside})->>'{name}'")
    return chosen


def _since(columns: Mapping[str, str]) -> str:
    return f'"startTime" >= {_instant(columns)}'


def _until(columns: Mapping[str, str]) -> str:
    return f'"startTime" < {_instant(columns)}'


def _instant(columns: Mapping[str, str]) -> str:
    """A parameter of the column's own type, so that its index serves."""
    zoned = columns["startTime"] == "timestamp with time zone"
    return "%s::timestamptz" if zoned else "%s::timestamp"


def _naive(at: int) -> str:
    """An instant as the proxy stores it: UTC without a zone, which the session's zone is too."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- Where it is ---


def _address(source: str, key: str) -> _Address:
    """The address for PostgreSQL's library; over a network it is encrypted unless it says else.

    Raises:
        SourceError: it is no such address; it is not quoted.
    """
    try:
        parts = urlsplit(key)
        host, secret = parts.hostname or "", parts.password or ""
    except ValueError:
        parts, host, secret = urlsplit(""), "", ""
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise SourceError(
            source, "admin_key is no address of a PostgreSQL database", _REMEDY, permanent=True
        )
    told = dict(parse_qsl(parts.query))
    kept = {name: value for name, value in told.items() if name not in _PRISMA}
    if host and not _is_here(host):
        kept.setdefault("sslmode", "require")
    url = parts._replace(query=urlencode(kept)).geturl()
    secrets = (key, url, secret, kept.get("password", ""))
    return _Address(url, told.get("schema", "public"), tuple(s for s in secrets if s))


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
