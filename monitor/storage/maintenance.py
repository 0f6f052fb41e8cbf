"""Looking after a database: is it whole, how large is it, a copy of it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.domain.errors import InputError, SchemaAhead, SchemaBehind, StorageError
from monitor.storage import views
from monitor.storage.engine import Database
from monitor.storage.migrate import require_current, require_file

# Facts name what they belong to without a foreign key, which bulk writers would pay for by row.
_BELONGS = (
    ("usage", "series_id", "series"),
    ("usage_day", "series_id", "series"),
    ("bill", "series_id", "series"),
    ("request_log", "series_id", "series"),
    ("gpu_minute", "device_id", "device"),
    ("gpu_hour", "device_id", "device"),
    ("engine_minute", "engine_id", "engine"),
    ("engine_hour", "engine_id", "engine"),
    ("dirty", "stream_id", "stream"),
)


class Finding(NamedTuple):
    """One thing that was looked at."""

    check: str
    ok: bool
    detail: str


class Size(NamedTuple):
    """What one table takes, with its indexes and partitions."""

    table: str
    bytes: int


def check(database: Database) -> list[Finding]:
    """Look for damage; what needs the schema is left out if the database is not at it."""
    found = _schema(database)
    with database.read() as conn:
        integrity = list(_sqlite_integrity(conn)) if database.path is not None else []
        rest = [*_views(conn), *_orphans(conn), *_unknown_rates(conn)] if found.ok else []
    return [found, *integrity, *rest]


def _schema(database: Database) -> Finding:
    try:
        require_current(database)
    except (SchemaAhead, SchemaBehind) as error:
        return Finding("schema", ok=False, detail=str(error))
    return Finding("schema", ok=True, detail="at this program's schema")


def _sqlite_integrity(conn: Connection) -> Iterator[Finding]:
    said = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check(10)")]
    yield Finding("file", ok=said == ["ok"], detail="; ".join(said))
    broken = conn.exec_driver_sql("PRAGMA foreign_key_check").all()
    tables = ", ".join(sorted({str(row[0]) for row in broken}))
    detail = f"{len(broken)} broken references in {tables}" if broken else "none broken"
    yield Finding("references", ok=not broken, detail=detail)


def _views(conn: Connection) -> Iterator[Finding]:
    known = set(sa.inspect(conn).get_view_names())
    missing = [name for name in views.public_names() if name not in known]
    detail = f"missing: {', '.join(missing)}" if missing else "all there"
    yield Finding("views", ok=not missing, detail=detail)


def _orphans(conn: Connection) -> Iterator[Finding]:
    for table, column, owner in _BELONGS:
        count = conn.scalar(
            sa.text(
                f"SELECT COUNT(*) FROM {table} f"
                f" WHERE NOT EXISTS (SELECT 1 FROM {owner} o WHERE o.id = f.{column})"
            )
        )
        detail = f"{count} rows of no {owner}" if count else f"each row has its {owner}"
        yield Finding(table, ok=not count, detail=detail)


def _unknown_rates(conn: Connection) -> Iterator[Finding]:
    count = conn.scalar(
        sa.text(
            "SELECT COUNT(*) FROM usage_day d WHERE d.rate_id <> 0"
            " AND NOT EXISTS (SELECT 1 FROM rate r WHERE r.id = d.rate_id)"
        )
    )
    detail = f"{count} priced rows of no rate" if count else "each price has its rate"
    yield Finding("prices", ok=not count, detail=detail)


def sizes(database: Database) -> list[Size]:
    """Bytes on disk of each table, the largest first."""
    require_file(database)
    with database.read() as conn:
        sql = _SQLITE_SIZES if database.path is not None else _POSTGRES_SIZES
        try:
            rows = conn.execute(sa.text(sql)).all()
        except sa.exc.OperationalError:
            raise StorageError(
                "this SQLite library was built without dbstat, which measures tables",
                f"The whole file can be measured: ls -l {database.path}",
            ) from None
    return [Size(str(table), int(count)) for table, count in rows]


_SQLITE_SIZES = """
SELECT COALESCE(m.tbl_name, s.name), SUM(s.pgsize) AS bytes
FROM dbstat s LEFT JOIN sqlite_master m ON m.name = s.name
WHERE s.aggregate = TRUE GROUP BY 1 ORDER BY 2 DESC, 1"""
_POSTGRES_SIZES = """
SELECT COALESCE(p.relname, c.relname), SUM(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
  LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = CAST(current_schema() AS regnamespace)
GROUP BY 1 ORDER BY 2 DESC, 1"""


def backup(database: Database, file: Path) -> int:
    """Copy a SQLite database, also while it is written to; returns the copy's bytes.

    The copy is checked, and appears under its name only when it is complete.

    Raises:
        InputError: the file exists, or the database is PostgreSQL's.
        StorageError: the copy could not be written.
    """
    if database.path is None:
        url = database.url.set(drivername="postgresql", password=None)
        raise InputError(
            "a PostgreSQL database is backed up with PostgreSQL's own tools",
            f"Run pg_dump --format=custom --file={file} '{url.render_as_string()}'",
        )
    require_file(database)
    if file.exists():
        raise InputError(f"{file} exists and is not overwritten", "Name another file.")
    try:
        return _copied(database.path, file)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"the backup {file} could not be written: {error}",
            "Name a folder that exists, is writable and has space for the whole database.",
        ) from None


def _copied(source: Path, file: Path) -> int:
    with tempfile.TemporaryDirectory(prefix=".crossover-backup-", dir=file.parent) as folder:
        part = Path(folder) / file.name
        part.touch(mode=0o600)
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(part)) as copy,
        ):
            live.backup(copy)
            said = copy.execute("PRAGMA quick_check").fetchone()[0]
            if said != "ok":
                raise sqlite3.DatabaseError(f"the copy is damaged: {said}")
            # As the original: else a restored copy's first writer waits for every reader to end.
            copy.execute("PRAGMA journal_mode = WAL")
        return part.rename(file).stat().st_size
