"""What reports read: roll-ups and results, never the rows that these were made from."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from monitor.domain.usage import HOUR
from monitor.jobs import closing, report
from tests import large_company, seeded
from tests.large_company import Size

RAW = {"usage", "request_log", "gpu_minute", "engine_minute"}


class Sqlite:
    """Every table that a statement reads from, as the engine itself asks leave for it."""

    def __init__(self, conn):
        import sqlite3

        self._read = set()
        driver = conn.connection.driver_connection

        def noted(action, table, *_):
            if action == sqlite3.SQLITE_READ:
                self._read.add(table)
            return sqlite3.SQLITE_OK

        driver.set_authorizer(noted)

    def read(self):
        return self._read


class Postgres:
    """Every table that was scanned since, as the server counts it for this connection."""

    def __init__(self, conn):
        self._conn = conn
        self._before = self._scans()

    def _scans(self):
        rows = self._conn.execute(
            text(
                "SELECT COALESCE(p.relname, t.relname),"
                " SUM(COALESCE(t.seq_scan, 0) + COALESCE(t.idx_scan, 0))"
                " FROM pg_stat_xact_user_tables t"
                " LEFT JOIN pg_inherits i ON i.inhrelid = t.relid"
                " LEFT JOIN pg_class p ON p.oid = i.inhparent GROUP BY 1"
            )
        )
        return dict(rows.all())

    def read(self):
        return {name for name, scans in self._scans().items() if scans > self._before.get(name, 0)}


@pytest.fixture
def reading(database):
    """A reader's transaction on a company with comparisons, and what is read in it."""
    large_company.fill(database, Size(workloads=4, days=60, compared=2, hosts=1))
    with database.read() as conn:
        yield conn, (Postgres if database.dialect == "postgresql" else Sqlite)(conn)


@pytest.mark.proof
def test_the_weekly_report_reads_no_raw_row(reading):
    conn, seen = reading
    made = report.render_week(conn, seeded.WEEK, large_company.policy(), seeded.DUE)
    assert "own-workload-000" in made.text
    assert len(made.images) == 4
    assert {"usage_day", "gpu_hour", "assessment", "advice", "projection"} <= seen.read()
    assert not RAW & seen.read()


@pytest.mark.proof
def test_the_monthly_closing_report_reads_no_raw_row(reading):
    conn, seen = reading
    due = int(datetime(2026, 11, 3, tzinfo=UTC).timestamp()) + 7 * HOUR
    made = closing.render_month(conn, "2026-10", large_company.policy(), due)
    assert "October 2026" in made.text
    assert {"usage_day", "projection_score"} <= seen.read()
    assert not RAW & seen.read()


def test_what_is_watched_for_would_be_seen(reading):
    conn, seen = reading
    conn.scalar(text("SELECT SUM(requests) FROM usage"))
    assert "usage" in seen.read()
