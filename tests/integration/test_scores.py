"""The ledger: a month is scored once, when it is closed."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from monitor.domain.periods import month_bounds
from monitor.domain.usage import DAY
from monitor.jobs.close import close_month
from monitor.jobs.scores import track_record
from monitor.storage import figures, work
from tests import seeded

_, ENDED = month_bounds("2026-11")


@pytest.fixture
def closed(database):
    """November, decided on its last days and closed."""
    with database.write() as conn:
        seeded.fill(conn)
        # The day that nothing was priced of would leave the dollars of November unknown.
        seeded.put_traffic(conn, seeded.END, ENDED)
        seeded.refresh(conn)
        close(conn)
    return database


def close(conn):
    row = {"period_start": ENDED - 30 * DAY, "period_end": ENDED}
    close_month(conn, work.Claim("run", "close/2026-11", "t", 0, row), ENDED + 5 * DAY, ["openai"])


def rows(database, sql):
    with database.read() as conn:
        return list(conn.execute(text(sql)).mappings())


def test_every_projection_and_assessment_of_the_month_is_scored_once(closed):
    told = rows(closed, "SELECT * FROM v_projection WHERE month = '2026-11' AND q50 IS NOT NULL")
    scored = rows(closed, "SELECT * FROM v_projection_score")
    assert len(scored) == len(told) > 0
    assert {row["days_left"] for row in scored} == {8, 9, 10, 11}
    assessed = rows(closed, "SELECT * FROM v_assessment WHERE month = '2026-11'")
    assert len(rows(closed, "SELECT * FROM v_assessment_score")) == len(assessed) > 0
    with closed.write() as conn:
        close(conn)
    assert rows(closed, "SELECT * FROM v_projection_score") == scored


def test_the_actual_is_what_the_usage_sums_up_to(closed):
    (total,) = rows(
        closed,
        "SELECT SUM(requests) AS n FROM v_workload_daily WHERE workload = 'support-bot'"
        " AND day >= '2026-11-01'",
    )
    scored = rows(
        closed,
        "SELECT DISTINCT actual FROM v_projection_score WHERE workload = 'support-bot'"
        " AND unit = 'requests'",
    )
    assert [int(row["actual"]) for row in scored] == [int(total["n"])]


def test_the_record_is_told_by_horizon_and_in_words(closed):
    with closed.write() as conn:
        conn.execute(text("UPDATE projection_score SET days_left = 14 WHERE days_left = 10"))
        found = track_record(conn, ENDED + 6 * DAY, "all workloads")
        params = figures.period(ENDED + 6 * DAY)
        median = figures.read(conn, "record.median_error", **params).value
        inside = figures.read(conn, "record.inside", **params).value
    (row,) = found
    assert row["in_words"] == f"{inside} of the last 1 month fell inside the range"
    assert isinstance(median, Decimal)
    assert row["median_error_percent"] == median


def test_before_the_first_closed_month_there_is_no_record(database):
    with database.write() as conn:
        seeded.fill(conn)
        assert track_record(conn, seeded.END) == []
