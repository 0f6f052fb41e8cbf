"""Opening the database: one writer engine, one reader engine, the locks beside them.

SQLite needs three things that are not its defaults: explicit BEGIN IMMEDIATE for writers (the
driver's own transactions lose updates silently), WAL, and foreign keys. All of it is set here.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from monitor.domain.errors import DatabaseBusy, DatabaseUnavailable, StorageError

BUSY_MS = 30_000
_POLL_SECONDS = 0.05
_NAMED_WITHIN_SECONDS = 2


class Database:
    """Both engines of one database.

    Args:
        url: `sqlite:///path` or `postgresql://user:password@host/name`.
        password: of the URL's user, kept apart because URLs are shown in messages.
    """

    def __init__(self, url: str, password: str = "") -> None:
        self.url = _parsed(url)
        if password:
            self.url = self.url.set(password=password)
        self.dialect = self.url.get_backend_name()
        if self.dialect == "sqlite":
            self.path: Path | None = Path(str(self.url.database)).resolve()
            self.writer, self.reader = _sqlite_engines(self.url)
        else:
            self.path = None
            self.writer, self.reader = _postgres_engines(self.url)

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end, rolled back on an error."""
        with _reachable(self), self.writer.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent, read-only view of the database."""
        with _reachable(self), self.reader.begin() as conn:
            yield conn

    def keep_small(self) -> None:
        """Hold few pages of an SQLite file however large it is: for who stores little at a time."""
        if self.path is not None:
            with self.write() as conn:
                conn.exec_driver_sql("PRAGMA cache_size = -2048")

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()


def _read(url: str) -> sa.URL | None:
    """None: it is not a URL, or its password holds an @ as it is."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        return None
    # What follows the password's @ would be shown as a part of the host.
    return None if "@" in (parsed.host or "") else parsed


def _parsed(url: str) -> sa.URL:
    parsed = _read(url)
    if parsed is None:
        # The cause may quote a piece of the password, which is why it is not shown.
        raise DatabaseUnavailable(
            "database.url is not a database URL",
            "Write sqlite:///FILE or postgresql://USER@HOST:PORT/NAME, and escape the characters"
            " @ : / in a password as %40 %3A %2F.",
        )
    if any(option.endswith("password") for option in parsed.query):
        raise DatabaseUnavailable(
            "database.url has a password among its options, where messages would show it",
            "Set database.password instead; let a client's key need no password.",
        )
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseUnavailable(
            f"database.url names {parsed.get_backend_name()!r}, which is not supported",
            "Use SQLite or PostgreSQL.",
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseUnavailable("database.url names no file", "Write sqlite:///crossover.db.")
    return parsed


@contextmanager
def _reachable(database: Database) -> Iterator[None]:
    """Turn a database that cannot be opened, or was lost, into one sentence with a remedy."""
    try:
        yield
    except sa.exc.TimeoutError:
        raise DatabaseBusy(
            f"no connection to {database.shown} became free",
            "Let fewer things run at the same time.",
        ) from None
    except (DBAPIError, database.writer.dialect.loaded_dbapi.Error) as error:
        explained = _explained(database, error)
        if explained is None:
            raise
        raise explained from None


def _explained(database: Database, error: Exception) -> StorageError | None:
    """What an error of the driver means for the whole database; None: only for one statement."""
    cause = (str(error.orig if isinstance(error, DBAPIError) else error) or "no reason").split(
        "\n"
    )[0]
    if database.path is None:
        remedy = "Check database.url, that the server runs, and that it lets this user in."
    else:
        remedy = f"Make {database.path.parent} a folder that exists and can be written to."
        if "not a database" in cause or "disk image is malformed" in cause:
            return DatabaseUnavailable(
                f"{database.shown} cannot be read: {cause}",
                "Name another file in database.url, or restore a backup.",
            )
        if "database is locked" in cause:
            return DatabaseBusy(
                f"{database.shown} is being written by another process for more than"
                f" {BUSY_MS // 1000} s",
                "Wait for it to finish, or stop it.",
            )
    if _lost(error):
        return DatabaseUnavailable(f"cannot use the database {database.shown}: {cause}", remedy)
    return None


def _lost(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        unopened = isinstance(error, sa.exc.OperationalError) and error.statement is None
        return unopened or error.connection_invalidated
    # Bulk statements speak to the driver: PostgreSQL's class 57P is a shutdown, and a connection
    # that broke has no code at all.
    code = getattr(error, "sqlstate", "")
    return code is None or code.startswith("57P")


def _sqlite_engines(url: sa.URL) -> tuple[Engine, Engine]:
    # One writer at a time is SQLite's rule; a pool of one makes threads queue instead of collide.
    args = {"isolation_level": None, "timeout": BUSY_MS / 1000, "check_same_thread": False}
    writer = sa.create_engine(
        url, connect_args=args, hide_parameters=True, pool_size=1, max_overflow=0, pool_timeout=60
    )
    reader = sa.create_engine(url, connect_args=args, hide_parameters=True)
    event.listen(writer, "connect", _sqlite_writer)
    event.listen(writer, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    event.listen(reader, "connect", _sqlite_reader)
    event.listen(reader, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    return writer, reader


def _sqlite_writer(connection: SqliteConnection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # 64 MiB: with the default of two, a large window's pages are written and read back.
    connection.execute("PRAGMA cache_size = -65536")
    # 16 MiB instead of four: a large window stops less often for the disk.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA foreign_keys = ON")


def _sqlite_reader(connection: SqliteConnection, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def _postgres_engines(url: sa.URL) -> tuple[Engine, Engine]:
    args: dict[str, Any] = {"connect_timeout": 10, "application_name": "crossover"}
    try:
        writer = sa.create_engine(
            url, connect_args=args, hide_parameters=True, pool_pre_ping=True, pool_size=5
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise DatabaseUnavailable(
            "PostgreSQL needs the driver psycopg, which is not installed",
            "Install crossover-monitor[postgres].",
        ) from None
    reader = writer.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
    return writer, reader


@contextmanager
def exclusive(path: Path, purpose: str, *, wait: float = 0) -> Iterator[None]:
    """Hold an advisory lock on a file for as long as the block runs.

    Raises:
        DatabaseBusy: another process holds it, and still did after `wait` seconds.
    """
    try:
        handle: IO[str] = path.open("a+")
    except OSError as error:
        raise DatabaseUnavailable(
            f"cannot open the lock file {path}: {error.strerror}",
            "Make the database's folder exist and be writable.",
        ) from None
    with handle:
        _lock(handle, f"{purpose} is already running", time.monotonic() + wait)
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        yield


def _lock(handle: IO[str], busy: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            raise DatabaseBusy(
                f"{busy} ({_holder(handle)})",
                f"Stop it first, or use another database. The lock is {handle.name}.",
            ) from None
        return


def _holder(handle: IO[str]) -> str:
    """Who has the lock: it writes its name the moment after it took it."""
    deadline = time.monotonic() + _NAMED_WITHIN_SECONDS
    while True:
        handle.seek(0)
        name = handle.read().strip()
        if name or time.monotonic() > deadline:
            return name or "unknown process"
        time.sleep(_POLL_SECONDS)


@contextmanager
def daemon_lock(database: Database) -> Iterator[None]:
    """One daemon to a SQLite file; on PostgreSQL any number, since work is claimed by row."""
    if database.path is None:
        yield
        return
    lock = database.path.with_name(database.path.name + ".lock")
    with exclusive(lock, f"a daemon on {database.path}"):
        yield
