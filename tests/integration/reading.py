"""Databases that several tests read, and the reader's role: made as people make it, then gone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.storage import reader
from monitor.storage.engine import Database
from tests.integration.seeded import fill


@contextmanager
def seeded(request: pytest.FixtureRequest, engine: str, folder: Path) -> Iterator[Database]:
    """A filled database for a whole module: making one takes longer than most queries."""
    if engine == "sqlite":
        path = folder / "crossover.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        with _filled(f"sqlite:///{path}") as database:
            yield database
        return
    server = Database(request.getfixturevalue("postgres_template"))
    name = f"m{os.urandom(6).hex()}"
    with server.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
        admin.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE crossover_template")
        try:
            with _filled(server.url.set(database=name).render_as_string(False)) as database:
                yield database
        finally:
            admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()


@contextmanager
def _filled(url: str) -> Iterator[Database]:
    database = Database(url)
    with database.write() as conn:
        fill(conn)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def as_reader(owner: Database) -> Iterator[Database | None]:
    """The database as the reader's role sees it; None on SQLite, which needs no role."""
    if owner.path is not None:
        yield None
        return
    role = f"reader_{os.urandom(4).hex()}"
    reader.make(owner, role, "pass-word")
    opened = Database(owner.url.set(username=role).render_as_string(hide_password=False))
    try:
        yield opened
    finally:
        opened.close()
        drop_role(owner, role)


def drop_role(owner: Database, role: str) -> None:
    """Remove a role with what it was granted in this database."""
    with owner.write() as conn:
        conn.exec_driver_sql(f"DROP OWNED BY {role}")
        conn.exec_driver_sql(f"DROP ROLE {role}")
