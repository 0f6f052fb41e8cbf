"""Bulk statements at driver level: COPY on PostgreSQL, executemany on SQLite.

The layer above SQLAlchemy Core is measured to be several times slower for rows by the thousand, so
these few functions speak to the driver. All take column names of ours and bind every value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Float, Integer, String, text

from monitor.domain.usage import DAY, QUANTITY_FIELDS, Event, Quantities
from monitor.storage.tables import metadata

Row = tuple[Any, ...]

# Below this COPY's round trips cost more than they save (measured).
_COPY_FROM = 300
_POSTGRES_TYPES = {BigInteger: "int8", Integer: "int4", Float: "float8", String: "text"}


class Known(NamedTuple):
    """A stored request."""

    day: int
    at: int
    series_id: int
    quantities: Quantities


def _cursor(conn: Connection) -> Any:
    return conn.connection.cursor()


def _is_postgres(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def _bound(conn: Connection, sql: str) -> str:
    return sql.replace("?", "%s") if _is_postgres(conn) else sql


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def select(conn: Connection, sql: str, args: Row) -> list[Row]:
    """All rows as plain tuples; `?` marks a value on both engines."""
    cursor = _cursor(conn)
    if _is_postgres(conn):
        # Binary integers need no parsing: the largest cost of reading a window again. A kept plan
        # would outlive the small table that it was made for.
        cursor.execute(_bound(conn, sql), args, binary=True, prepare=False)
    else:
        cursor.execute(sql, args)
    rows: list[Row] = cursor.fetchall()
    cursor.close()
    return rows


def _many(conn: Connection, sql: str, rows: Sequence[Row]) -> None:
    if rows:
        cursor = _cursor(conn)
        cursor.executemany(_bound(conn, sql), rows)
        cursor.close()


def insert(conn: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows that are known to be new."""
    if _is_postgres(conn) and len(rows) >= _COPY_FROM:
        _copy(conn, table, columns, rows)
        return
    _many(conn, f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({_marks(len(columns))})", rows)


def _copy(conn: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    types = [_postgres_type(metadata.tables[table].columns[name]) for name in columns]
    cursor = _cursor(conn)
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as out:
        # Told the types, the driver need not look at each value: half the cost of a row.
        out.set_types(types)
        for row in rows:
            out.write_row(row)
    cursor.close()


def _postgres_type(column: Column[Any]) -> str:
    return next(name for kind, name in _POSTGRES_TYPES.items() if isinstance(column.type, kind))


def insert_ignore(conn: Connection, table: str, columns: Sequence[str], rows: list[Row]) -> None:
    """Insert the rows that are not there yet."""
    upsert(conn, table, columns, "DO NOTHING", rows)


def upsert(
    conn: Connection, table: str, columns: Sequence[str], conflict: str, rows: Sequence[Row]
) -> None:
    """Insert with `ON CONFLICT ...`; keys must be unique within `rows`."""
    _many(
        conn,
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({_marks(len(columns))})"
        f" ON CONFLICT {conflict}",
        rows,
    )


def update(
    conn: Connection, table: str, values: Sequence[str], keys: Sequence[str], rows: Sequence[Row]
) -> None:
    """Set `values` where `keys` match; each row holds the values, then the keys."""
    sets = ", ".join(f"{name} = ?" for name in values)
    where = " AND ".join(f"{name} = ?" for name in keys)
    _many(conn, f"UPDATE {table} SET {sets} WHERE {where}", rows)


def delete(conn: Connection, table: str, keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Delete by key."""
    where = " AND ".join(f"{name} = ?" for name in keys)
    _many(conn, f"DELETE FROM {table} WHERE {where}", rows)


def existing_events(
    conn: Connection, source_id: int, batch: Mapping[str, Event]
) -> dict[str, Known]:
    """Stored requests with the batch's ids, one day either side of each event."""
    if _is_postgres(conn):
        conn.exec_driver_sql(
            "CREATE TEMP TABLE IF NOT EXISTS seen_event (event_id text, day bigint)"
            " ON COMMIT DELETE ROWS"
        )
    else:
        conn.exec_driver_sql("CREATE TEMP TABLE IF NOT EXISTS seen_event (event_id text, day int)")
    conn.exec_driver_sql("DELETE FROM seen_event")
    insert(
        conn,
        "seen_event",
        ("event_id", "day"),
        [(event.id, event.at - event.at % DAY) for event in batch.values()],
    )
    columns = ", ".join(f"r.{name}" for name in ("event_id", "day", "at", "series_id"))
    quantities = ", ".join(f"r.{name}" for name in QUANTITY_FIELDS)
    rows = select(
        conn,
        f"SELECT {columns}, {quantities} FROM seen_event e JOIN request_log r"
        f" ON r.event_id = e.event_id AND r.source_id = ? AND r.day >= e.day - {DAY}"
        f" AND r.day <= e.day + {DAY}",
        (source_id,),
    )
    return {row[0]: Known(row[1], row[2], row[3], Quantities(*row[4:])) for row in rows}


def ensure_partitions(conn: Connection, table: str, times: Iterable[int]) -> None:
    """Make the monthly partitions that rows at these instants need; SQLite has none."""
    if not _is_postgres(conn):
        return
    for month in sorted({datetime.fromtimestamp(at, UTC).strftime("%Y-%m") for at in times}):
        name = f"{table}_p{month.replace('-', '')}"
        if conn.scalar(text("SELECT to_regclass(:n)"), {"n": name}) is None:
            _make_partition(conn, table, name, month)


def _make_partition(conn: Connection, table: str, name: str, month: str) -> None:
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    # Two writers may need the same month at the same time; the second waits, then finds it.
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtext(:n))"), {"n": name})
    conn.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table}"
        f" FOR VALUES FROM ({int(start.timestamp())}) TO ({int(end.timestamp())})"
    )
