"""Bringing a database to this program's schema: under a lock, in one transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

import monitor
from monitor.domain.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    SchemaAhead,
    SchemaBehind,
    StorageError,
)
from monitor.storage import views
from monitor.storage.engine import Database, exclusive
from monitor.storage.reader import kept_grants

if TYPE_CHECKING:
    from alembic.config import Config

# Any constant does, as long as every Crossover uses the same one.
_ADVISORY_KEY = 0x43524F53534F5645
_LOCK_WAIT_SECONDS = 60


def scripts_folder() -> Path:
    """Where the migrations are: inside an installed wheel, or beside the package in a checkout."""
    package = Path(monitor.__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without a file of its own."""
    from alembic.config import Config  # noqa: PLC0415 - see `revisions`

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()))
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """The revisions that this program knows, the oldest first: their files are called after them.

    Alembic would say the same. Every command asks, and few have anything to migrate: without
    loading it and each revision a command starts in two thirds of the time.
    """
    files = (scripts_folder() / "versions").glob("[!_]*.py")
    return sorted(path.stem.partition("_")[0] for path in files)


def head() -> str:
    """The newest revision that this program knows."""
    return revisions()[-1]


def revision(conn: Connection) -> str | None:
    """The revision the database stands at; None: it is empty."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    found: str | None = conn.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(database: Database) -> tuple[str | None, str]:
    """Migrate to the newest schema; returns the revisions before and after.

    Raises:
        SchemaAhead: a newer Crossover migrated this database.
        DatabaseBusy: another process is migrating and does not finish.
    """
    with database.read() as conn:
        before = revision(conn)
    if before == head():
        return before, before
    from alembic import command  # noqa: PLC0415 - see `revisions`

    with _locked(database), _migrating(database) as conn:
        before = revision(conn)
        _known(before)
        if before != head():
            with kept_grants(conn):
                views.drop(conn)
                command.upgrade(alembic_config(conn), "head")
                views.create(conn)
    return before, head()


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    """One writing transaction for all steps.

    SQLite changes a table by building it anew under its name. Foreign keys sleep meanwhile, because
    dropping the old one would count as deleting its rows, and are checked before the commit.
    """
    if database.path is None:
        with database.write() as conn:
            yield conn
        return
    with database.writer.connect() as conn:
        # Has no effect inside a transaction.
        conn.connection.cursor().execute("PRAGMA foreign_keys = OFF")
        try:
            with conn.begin():
                yield conn
                _refuse_orphans(conn)
        finally:
            conn.connection.cursor().execute("PRAGMA foreign_keys = ON")


def _refuse_orphans(conn: Connection) -> None:
    orphan = conn.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        raise StorageError(
            f"the migration would leave rows of {orphan[0]} without their {orphan[2]};"
            " nothing was changed",
            "Report this with the output of `crossover db check`.",
        )


def require_file(database: Database) -> None:
    """Refuse a SQLite file that is not there: opening it would make an empty one."""
    if database.path is not None and not database.path.is_file():
        raise DatabaseUnavailable(
            f"there is no database {database.path}", "Run `crossover db upgrade` to create it."
        )


def require_current(database: Database) -> None:
    """Refuse a database that is not at this program's schema."""
    require_file(database)
    with database.read() as conn:
        found = revision(conn)
    _known(found)
    if found != head():
        raise SchemaBehind(
            f"{database.shown} is at schema {found or 'none'}, this program needs {head()}",
            "Run `crossover db upgrade`.",
        )


def _known(found: str | None) -> None:
    if found is not None and found not in revisions():
        raise SchemaAhead(
            f"the database is at schema {found}, newer than Crossover {monitor.__version__} knows",
            "Run the newer Crossover, or restore a backup made before its upgrade.",
        )


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    if database.path is not None:
        lock = database.path.with_name(database.path.name + ".migrate.lock")
        with exclusive(lock, "a migration", wait=_LOCK_WAIT_SECONDS):
            yield
        return
    # A connection of its own: a pool would hand the lock to a stranger.
    with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        _take_advisory(conn)
        try:
            yield
        finally:
            conn.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})


def _take_advisory(conn: Connection) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while not conn.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}):
        if time.monotonic() > deadline:
            raise DatabaseBusy(
                f"another process has been migrating for {_LOCK_WAIT_SECONDS} s (seen by"
                f" process {os.getpid()})",
                "Wait for it, or end its database session.",
            )
        time.sleep(0.1)
