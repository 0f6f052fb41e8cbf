"""Bulk statements at driver level: COPY on PostgreSQL, blocks of values and executemany on SQLite.

The layer above SQLAlchemy Core is measured to be several times slower for rows by the thousand, so
these few functions speak to the driver. All take table and column names of ours and bind every
value; `?` marks a value on both engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Float, Integer, String, text

from monitor.storage.tables import metadata

Row = tuple[Any, ...]

# Below this COPY's round trips cost more than they save (measured, as is the next).
_COPY_FROM = 100
# SQLite takes a statement of some rows in less time than as many statements.
_BLOCK = 100
_TYPES = {BigInteger: "int8", Integer: "int4", Float: "float8", String: "text", Boolean: "bool"}


def select(conn: Connection, sql: str, args: Row) -> list[Row]:
    """All rows as plain tuples."""
    cursor = _cursor(conn)
    if _is_postgres(conn):
        # Binary integers need no parsing: the largest cost of reading a window again. A plan is
        # not kept, because it would outlive the small table that it was made for.
        cursor.execute(_bound(conn, sql), args, binary=True, prepare=False)
    else:
        cursor.execute(sql, args)
    rows: list[Row] = cursor.fetchall()
    cursor.close()
    return rows


def insert(conn: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows that are known to be new; each is drawn when its turn comes."""
    rows = iter(rows)
    if not _is_postgres(conn):
        _insert_blocks(conn, _into(table, columns), len(columns), rows)
        return
    first = list(islice(rows, _COPY_FROM))
    if len(first) == _COPY_FROM:
        _copy(conn, table, table, columns, chain(first, rows))
    else:
        _many(conn, f"{_into(table, columns)} VALUES {_marks(len(columns))}", first)


def insert_ignore(conn: Connection, table: str, columns: Sequence[str], rows: list[Row]) -> None:
    """Insert the rows that are not there yet."""
    upsert(conn, table, columns, "DO NOTHING", rows)


def upsert(
    conn: Connection, table: str, columns: Sequence[str], conflict: str, rows: Sequence[Row]
) -> None:
    """Insert with `ON CONFLICT ...`; keys must be unique within `rows`."""
    into, end = _into(table, columns), f"ON CONFLICT {conflict}"
    if _is_staged(conn, rows):
        staged = _stage(conn, table, columns, rows)
        _run(conn, f"{into} SELECT {', '.join(columns)} FROM {staged} {end}")
    else:
        _many(conn, f"{into} VALUES {_marks(len(columns))} {end}", rows)


def update(
    conn: Connection, table: str, values: Sequence[str], keys: Sequence[str], rows: Sequence[Row]
) -> None:
    """Set `values` where `keys` match; each row holds the values, then the keys."""
    if _is_staged(conn, rows):
        staged = _stage(conn, table, (*values, *keys), rows)
        sets = ", ".join(f"{name} = {staged}.{name}" for name in values)
        _run(conn, f"UPDATE {table} SET {sets} FROM {staged} WHERE {_same(table, staged, keys)}")
    else:
        sets = ", ".join(f"{name} = ?" for name in values)
        _many(conn, f"UPDATE {table} SET {sets} WHERE {_equal(keys)}", rows)


def delete(conn: Connection, table: str, keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Delete by key."""
    if _is_staged(conn, rows):
        staged = _stage(conn, table, keys, rows)
        _run(conn, f"DELETE FROM {table} USING {staged} WHERE {_same(table, staged, keys)}")
    else:
        _many(conn, f"DELETE FROM {table} WHERE {_equal(keys)}", rows)


def _cursor(conn: Connection) -> Any:
    return conn.connection.cursor()


def _is_postgres(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def _is_staged(conn: Connection, rows: Sequence[Row]) -> bool:
    return _is_postgres(conn) and len(rows) >= _COPY_FROM


def _bound(conn: Connection, sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s") if _is_postgres(conn) else sql


def _into(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)})"


def _marks(count: int) -> str:
    return f"({', '.join('?' * count)})"


def _equal(keys: Sequence[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in keys)


def _same(table: str, other: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"{table}.{name} = {other}.{name}" for name in keys)


def _run(conn: Connection, sql: str) -> None:
    cursor = _cursor(conn)
    cursor.execute(sql)
    cursor.close()


def _many(conn: Connection, sql: str, rows: Sequence[Row]) -> None:
    if rows:
        cursor = _cursor(conn)
        cursor.executemany(_bound(conn, sql), rows)
        cursor.close()


def _insert_blocks(conn: Connection, into: str, width: int, rows: Iterator[Row]) -> None:
    def statement(count: int) -> str:
        return f"{into} VALUES {', '.join([_marks(width)] * count)}"

    whole = statement(_BLOCK)
    cursor = _cursor(conn)
    while block := list(islice(rows, _BLOCK)):
        sql = whole if len(block) == _BLOCK else statement(len(block))
        cursor.execute(sql, list(chain.from_iterable(block)))
    cursor.close()


def _copy(
    conn: Connection, into: str, table: str, columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """COPY rows shaped as columns of `table` into it or into another table."""
    cursor = _cursor(conn)
    with cursor.copy(f"COPY {into} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as out:
        # Told the types, the driver need not look at each value: half the cost of a row.
        out.set_types([_type_name(table, name) for name in columns])
        for row in rows:
            out.write_row(row)
    cursor.close()


def _type_name(table: str, column: str) -> str:
    found = metadata.tables[table].columns[column].type
    return next(name for kind, name in _TYPES.items() if isinstance(found, kind))


def _stage(conn: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> str:
    """COPY rows into a temporary twin of a table; returns its name."""
    name = f"staged_{table}"
    _run(
        conn,
        f"CREATE TEMP TABLE IF NOT EXISTS {name} ON COMMIT DELETE ROWS"
        f" AS SELECT * FROM {table} WITH NO DATA",
    )
    _run(conn, f"DELETE FROM {name}")
    _copy(conn, name, table, columns, rows)
    return name


def ensure_partitions(conn: Connection, table: str, times: Iterable[int]) -> None:
    """Make the monthly partitions that rows at these instants need; SQLite has none."""
    if not _is_postgres(conn):
        return
    for month in sorted({datetime.fromtimestamp(at, UTC).strftime("%Y-%m") for at in times}):
        name = f"{table}_p{month.replace('-', '')}"
        if not _is_partition(conn, table, name):
            # Two writers may need a month at the same time: the second waits, then finds it.
            conn.execute(text("SELECT pg_advisory_xact_lock(hashtext(:t))"), {"t": table})
            if not _is_partition(conn, table, name):
                _make_partition(conn, table, name, month)


def _is_partition(conn: Connection, table: str, name: str) -> bool:
    # Read from the catalogue's tables: a name that was looked up before would be remembered as
    # missing, although another writer has made it since.
    query = (
        "SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = to_regclass(:t) AND c.relname = :n"
    )
    return conn.scalar(text(query), {"t": table, "n": name}) is not None


def _make_partition(conn: Connection, table: str, name: str, month: str) -> None:
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    # Attached, because CREATE ... PARTITION OF would wait for every reader of the other months,
    # one of which may be the writer that waits for this one.
    conn.exec_driver_sql(
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    conn.exec_driver_sql(
        f"ALTER TABLE {table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ({int(start.timestamp())}) TO ({int(end.timestamp())})"
    )
