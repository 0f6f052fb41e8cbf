"""What the driver's errors are taken for: only those of the whole database get another name."""

import sys
from contextlib import closing

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from monitor.domain.errors import DatabaseUnavailable
from monitor.storage import bulk
from monitor.storage.engine import Database

CANARY = "hunter2-canary"


def test_a_missing_driver_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        DatabaseUnavailable, match=r"psycopg.*Install crossover-monitor\[postgres\]"
    ):
        Database("postgresql://host/db")


def test_values_are_not_in_the_text_of_an_error(database):
    with pytest.raises(DBAPIError) as caught, database.write() as conn:
        conn.execute(text("INSERT INTO missing (a) VALUES (:a)"), {"a": CANARY})
    assert CANARY not in str(caught.value)


def test_a_mistake_in_a_statement_does_not_make_the_database_unavailable(database):
    with pytest.raises(DBAPIError, match="syntax error"), database.read() as conn:
        conn.exec_driver_sql("SELECT FROM WHERE")
    with pytest.raises(database.writer.dialect.loaded_dbapi.Error), database.read() as conn:
        bulk.select(conn, "SELECT * FROM missing", ())


@pytest.mark.postgres
def test_a_query_that_took_too_long_does_not_make_the_database_unavailable(postgres_url):
    slow = "SET LOCAL statement_timeout = 1; SELECT COUNT(*) FROM generate_series(1, 100000000)"
    with (
        closing(Database(postgres_url)) as database,
        pytest.raises(OperationalError, match="statement timeout"),
        database.read() as conn,
    ):
        conn.exec_driver_sql(slow)


@pytest.mark.postgres
def test_a_connection_lost_in_a_bulk_statement_is_named_and_the_next_one_works(postgres_url):
    def lose(database):
        with database.write() as conn:
            process = conn.scalar(text("SELECT pg_backend_pid()"))
            with database.read() as other:
                other.execute(text("SELECT pg_terminate_backend(:p, 30000)"), {"p": process})
            bulk.select(conn, "SELECT 1", ())

    with closing(Database(postgres_url)) as database:
        with pytest.raises(DatabaseUnavailable, match=r"connection.*Check database.url"):
            lose(database)
        with database.read() as conn:
            assert conn.scalar(text("SELECT 1")) == 1


def test_sqlite_is_set_up_so_that_nothing_committed_is_lost(sqlite_url):
    def settings(conn, *names):
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    with closing(Database(sqlite_url)) as database:
        with database.write() as conn:
            found = settings(conn, "journal_mode", "synchronous", "foreign_keys")
        with database.read() as conn:
            assert [*found, *settings(conn, "query_only")] == ["wal", 2, 1, 1]
