"""What is due happens once, late rather than never, and one failure stops no other."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from monitor.domain.errors import CrossoverError
from monitor.domain.periods import Schedule
from monitor.domain.usage import DAY, HOUR
from monitor.jobs.plan import (
    CLOSE,
    DECIDE,
    WEEKLY,
    Calendar,
    NotReady,
    at_once,
    carry_out_next,
    plan_due,
)
from monitor.storage import work

MONDAY = int(datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp())
CALENDAR = Calendar(Schedule("weekly", "UTC", 8, 0, settle_seconds=6 * HOUR), 6 * HOUR, 2, 5)


def plan(database, now):
    with database.write() as conn:
        return plan_due(conn, CALENDAR, "rules", now)


def states(database, kind):
    with database.read() as conn:
        return work.run_states(conn, kind)


def carry_out(database, handlers, now):
    keys = []
    while (key := carry_out_next(database, handlers, now, 600)) is not None:
        keys.append(key)
    return keys


def well(conn, claim, now):
    return {}


EVERY = dict.fromkeys((DECIDE, WEEKLY, CLOSE), at_once(well))


def test_the_first_start_decides_the_last_days_and_reports_the_last_week(database):
    plan(database, MONDAY)
    assert sorted(states(database, DECIDE)) == [f"decide/2026-11-{d}" for d in range(16, 23)]
    assert states(database, WEEKLY) == {"finance/weekly/2026-W47/1": "due"}
    assert states(database, CLOSE) == {}
    assert plan(database, MONDAY + HOUR) == 0


def test_runs_are_carried_out_once_in_the_order_of_their_days(database):
    plan(database, MONDAY)
    done = carry_out(database, EVERY, MONDAY)
    assert done[:7] == [f"decide/2026-11-{d}" for d in range(16, 23)]
    assert done[7:] == ["finance/weekly/2026-W47/1"]
    assert carry_out(database, EVERY, MONDAY + DAY) == []


def test_a_long_absence_catches_up_two_weeks_and_marks_the_older_ones_skipped(database):
    plan(database, MONDAY)
    carry_out(database, EVERY, MONDAY)
    plan(database, MONDAY + 5 * 7 * DAY)
    found = states(database, WEEKLY)
    assert [found[f"finance/weekly/2026-W{w}/1"] for w in (48, 49, 50, 51, 52)] == [
        "skipped", "skipped", "skipped", "due", "due",
    ]  # fmt: skip
    assert states(database, CLOSE) == {"close/2026-11": "due"}


def test_months_of_ticks_by_a_bad_clock_with_an_outage_store_each_period_once(database):
    chance, end = random.Random(1), MONDAY + 120 * DAY
    now, seen = MONDAY, 0
    while now < end:
        off = chance.choice([-2 * HOUR, 0, 0, 2 * HOUR])
        plan(database, now + off)
        seen += 1
        now += 21 * DAY if seen == 20 else chance.randrange(HOUR, 4 * DAY)
    plan(database, end)
    first = datetime.fromtimestamp(MONDAY, UTC).date() - timedelta(7)
    days = [first + timedelta(n) for n in range(127)]
    assert sorted(states(database, DECIDE)) == [f"decide/{day}" for day in days]
    weeks = [f"finance/weekly/{day:%G-W%V}/1" for day in days[:-1:7]]
    found = states(database, WEEKLY)
    assert sorted(found) == sorted(weeks)
    # Three weeks away with a limit of two: one week is skipped, and stored as that.
    assert list(found.values()).count("skipped") == 1
    months = ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert sorted(states(database, CLOSE)) == [f"close/{month}" for month in months]


def test_a_clock_set_back_makes_nothing_due_again(database):
    plan(database, MONDAY)
    carry_out(database, EVERY, MONDAY)
    assert plan(database, MONDAY - 2 * HOUR) == 0
    assert carry_out(database, EVERY, MONDAY - 2 * HOUR) == []


def test_a_run_that_waits_for_data_holds_back_the_later_ones_and_the_report(database):
    plan(database, MONDAY)

    def waits(conn, claim, now):
        raise NotReady("waits for openai usage/completions")

    assert carry_out(database, EVERY | {DECIDE: at_once(waits)}, MONDAY) == ["decide/2026-11-16"]
    with database.read() as conn:
        said = conn.scalar(text("SELECT error FROM run WHERE run_key = 'decide/2026-11-16'"))
    assert said == "waits for openai usage/completions"
    assert len(carry_out(database, EVERY, MONDAY + 30)) == 8


@pytest.mark.parametrize("error", [CrossoverError("no table"), ZeroDivisionError()])
def test_a_run_that_fails_is_tried_again_and_is_dead_in_the_end(database, error):
    plan(database, MONDAY)

    def fails(conn, claim, now):
        conn.execute(text("INSERT INTO meta (key, value) VALUES ('half', 'done')"))
        raise error

    now = MONDAY
    for _ in range(8):
        assert carry_out(database, EVERY | {WEEKLY: at_once(fails)}, now)[-1].startswith("finance/")
        now += DAY
    assert carry_out(database, EVERY | {WEEKLY: at_once(fails)}, now) == []
    assert states(database, WEEKLY) == {"finance/weekly/2026-W47/1": "dead"}
    with database.read() as conn:
        assert conn.scalar(text("SELECT COUNT(*) FROM meta WHERE key = 'half'")) == 0


def test_two_replicas_carry_out_each_run_once(postgres_url):
    import threading

    from monitor.storage.engine import Database

    database = Database(postgres_url)
    plan(database, MONDAY)
    done = []
    lock = threading.Lock()

    def records(conn, claim, now):
        with lock:
            done.append(claim.key)
        return {}

    def replica():
        own = Database(postgres_url)
        until_nothing = 0
        while until_nothing < 20:
            key = carry_out_next(own, dict.fromkeys(EVERY, at_once(records)), MONDAY, 600)
            until_nothing = until_nothing + 1 if key is None else 0
        own.close()

    threads = [threading.Thread(target=replica) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(set(done))
    assert len(done) == 8
    assert done[:7] == sorted(done[:7])
    database.close()
