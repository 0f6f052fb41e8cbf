"""The database, as configured."""

from __future__ import annotations

from monitor.config import Settings, secret
from monitor.storage.engine import Database


def database(settings: Settings) -> Database:
    """The database, not yet opened."""
    return _database(settings.database.url, settings.database.password, "database.password")


def reader_database(settings: Settings) -> Database:
    """The database as people who query see it: through the reader's role where there is one."""
    if not settings.database.reader_url:
        return database(settings)
    chosen = settings.database
    return _database(chosen.reader_url, chosen.reader_password, "database.reader_password")


def _database(url: str, password: str, where: str) -> Database:
    return Database(url, secret(password, where))
