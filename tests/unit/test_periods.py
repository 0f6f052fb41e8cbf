from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from monitor.domain.errors import InputError
from monitor.domain.periods import (
    Period,
    Schedule,
    add_months,
    bounds,
    catch_up,
    day_bounds,
    day_of,
    days_in,
    due,
    first_instant,
    month_bounds,
    month_of,
    period_of,
    quarter_bounds,
    quarter_of,
    run_key,
    week_bounds,
    week_of,
    year_bounds,
    year_of,
)

DAY = 86_400
KINDS = ("daily", "weekly", "monthly", "quarterly", "yearly")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def at(*parts):
    return int(utc(*parts).timestamp())


def schedule(**overrides):
    fields = {"kind": "weekly", "zone": "Europe/Berlin", "hour": 8, "minute": 0}
    return Schedule(**{**fields, **overrides})


def due_between(plan, since, now):
    return [(p.key, p.due_at) for p in due(plan, now, since)]


def test_bounds_are_half_open_utc_midnights():
    assert day_bounds("2026-11-18") == (at(2026, 11, 18), at(2026, 11, 19))
    assert week_bounds("2026-W47") == (at(2026, 11, 16), at(2026, 11, 23))
    assert month_bounds("2026-11") == (at(2026, 11, 1), at(2026, 12, 1))
    assert month_bounds("2026-12") == (at(2026, 12, 1), at(2027, 1, 1))
    assert quarter_bounds("2024-Q1") == (at(2024, 1, 1), at(2024, 4, 1))
    assert quarter_bounds("2026-Q4") == (at(2026, 10, 1), at(2027, 1, 1))
    assert year_bounds("2024") == (at(2024, 1, 1), at(2025, 1, 1))


def test_iso_weeks_belong_to_the_year_of_their_thursday():
    assert week_of(at(2027, 1, 3)) == "2026-W53"
    assert week_bounds("2026-W53") == (at(2026, 12, 28), at(2027, 1, 4))
    assert week_of(at(2024, 12, 30)) == "2025-W01"


def test_every_day_lies_in_the_periods_it_is_said_to_lie_in():
    for day in range(at(2023, 12, 25), at(2029, 1, 8), DAY):
        for kind in KINDS:
            start, end = bounds(kind, period_of(kind, day + 86_399))
            assert start <= day < end
            assert period_of(kind, start) == period_of(kind, end - 1) != period_of(kind, end)


def test_a_kind_s_keys_and_bounds_are_those_of_its_own_functions():
    instant = at(2026, 11, 18, 13)
    named = [day_of, week_of, month_of, quarter_of, year_of]
    assert [period_of(kind, instant) for kind in KINDS] == [f(instant) for f in named]
    assert [f(instant) for f in named] == ["2026-11-18", "2026-W47", "2026-11", "2026-Q4", "2026"]
    with pytest.raises(InputError, match=r"'2026-11' is not a quarter\. Write a quarter like"):
        bounds("quarterly", "2026-11")


def test_every_month_lies_in_its_quarter():
    quarters = [quarter_of(at(2026, month, 28)) for month in range(1, 13)]
    assert quarters == [f"2026-Q{n}" for n in (1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4)]


def test_months_add_and_count_their_days():
    assert add_months("2026-11", 3) == "2027-02"
    assert add_months("2026-01", -1) == "2025-12"
    assert add_months("2026-11", 0) == "2026-11"
    assert [days_in(m) for m in ("2024-02", "2026-02", "2026-11", "2026-12")] == [29, 28, 30, 31]


@pytest.mark.parametrize(
    ("bounds_of", "key", "example"),
    [
        (month_bounds, "2026-13", "2026-11"),
        (month_bounds, "2026-1", "2026-11"),
        (month_bounds, "November", "2026-11"),
        (month_bounds, "0000-01", "2026-11"),
        (month_bounds, "\u0662\u0660\u0662\u0666-11", "2026-11"),
        (week_bounds, "2025-W53", "2026-W47"),
        (week_bounds, "2026-47", "2026-W47"),
        (quarter_bounds, "2026-Q5", "2026-Q4"),
        (quarter_bounds, "2026-Q0", "2026-Q4"),
        (quarter_bounds, "2026-q4", "2026-Q4"),
        (year_bounds, "26", "2026"),
        (year_bounds, "2026-01", "2026"),
        (year_bounds, "0000", "2026"),
        (day_bounds, "2026-02-30", "2026-11-18"),
        (day_bounds, "2026-11-18T00:00", "2026-11-18"),
    ],
)
def test_a_bad_key_names_itself_and_the_form(bounds_of, key, example):
    with pytest.raises(InputError) as refused:
        bounds_of(key)
    assert repr(key) in str(refused.value)
    assert example in refused.value.remedy


def test_a_message_has_its_article():
    with pytest.raises(InputError, match=r"'x' is not an ISO week\. Write an ISO week like 2026"):
        week_bounds("x")


@pytest.mark.parametrize(
    ("bounds_of", "key"),
    [
        (week_bounds, "0001-W01"),
        (week_bounds, "9999-W52"),
        (month_bounds, "1969-12"),
        (month_bounds, "9999-12"),
        (day_bounds, "9999-12-31"),
        (quarter_bounds, "9999-Q4"),
        (year_bounds, "1969"),
        (year_bounds, "9999"),
    ],
)
def test_a_period_of_no_year_that_can_be_computed_with_is_refused(bounds_of, key):
    with pytest.raises(InputError, match=f"'{key}' lies outside the years 1970 to 9998"):
        bounds_of(key)


def test_the_first_and_the_last_period_are_taken():
    assert day_bounds("1970-01-01") == (0, DAY)
    assert week_bounds("1970-W01")[0] == -3 * DAY
    assert month_bounds("9998-12")[1] == day_bounds("9998-12-31")[1]
    assert week_bounds("9998-W53")[1] == at(9999, 1, 4)
    assert quarter_bounds("9998-Q4")[1] == year_bounds("9998")[1] == at(9999, 1, 1)


def test_a_month_has_four_digits_of_a_year():
    assert month_of(at(1, 1, 1)) == "0001-01"


def test_a_week_is_due_on_the_weekday_after_it_at_local_time():
    since, now = utc(2026, 11, 16), utc(2026, 11, 27, 12)
    assert due_between(schedule(), since, now) == [
        ("2026-W46", utc(2026, 11, 16, 7)),
        ("2026-W47", utc(2026, 11, 23, 7)),
    ]
    assert due_between(schedule(weekday="fri"), since, now) == [
        ("2026-W46", utc(2026, 11, 20, 7)),
        ("2026-W47", utc(2026, 11, 27, 7)),
    ]


def test_nothing_is_due_before_its_utc_period_ended_and_settled():
    tokyo = schedule(zone="Asia/Tokyo", settle_seconds=6 * 3_600)
    assert due_between(tokyo, utc(2026, 11, 21), utc(2026, 11, 23, 5, 59)) == []
    assert due_between(tokyo, utc(2026, 11, 21), utc(2026, 11, 23, 6)) == [
        ("2026-W47", utc(2026, 11, 23, 6))
    ]


def test_a_month_is_due_on_its_day_or_on_the_last_day_of_a_short_month():
    first = due_between(schedule(kind="monthly"), utc(2027, 1, 1), utc(2027, 3, 31, 23))
    assert [day.date() for _, day in first] == [date(2027, m, 1) for m in (1, 2, 3)]
    last = due_between(schedule(kind="monthly", day=31), utc(2027, 1, 1), utc(2027, 3, 31, 23))
    assert last == [
        ("2026-12", utc(2027, 1, 31, 7)),
        ("2027-01", utc(2027, 2, 28, 7)),
        ("2027-02", utc(2027, 3, 31, 6)),
    ]


def test_a_quarter_is_due_on_a_day_of_the_month_after_it():
    asked = utc(2026, 1, 1), utc(2027, 1, 31, 23)
    assert due_between(schedule(kind="quarterly", day=5), *asked) == [
        ("2025-Q4", utc(2026, 1, 5, 7)),
        ("2026-Q1", utc(2026, 4, 5, 6)),
        ("2026-Q2", utc(2026, 7, 5, 6)),
        ("2026-Q3", utc(2026, 10, 5, 6)),
        ("2026-Q4", utc(2027, 1, 5, 7)),
    ]
    last = due_between(schedule(kind="quarterly", day=31), utc(2026, 4, 1), utc(2026, 4, 30, 6))
    assert last == [("2026-Q1", utc(2026, 4, 30, 6))]


def test_a_year_is_due_in_the_january_after_it():
    yearly = schedule(kind="yearly", day=31)
    assert due_between(yearly, utc(2026, 1, 1), utc(2028, 1, 31, 7)) == [
        ("2025", utc(2026, 1, 31, 7)),
        ("2026", utc(2027, 1, 31, 7)),
        ("2027", utc(2028, 1, 31, 7)),
    ]


def test_a_due_period_says_what_it_covers():
    (period,) = due(schedule(kind="daily"), utc(2026, 11, 19, 12), utc(2026, 11, 19))
    start, end = at(2026, 11, 18), at(2026, 11, 19)
    assert period == Period("2026-11-18", "daily", start, end, utc(2026, 11, 19, 7))


def test_both_ends_of_the_asked_span_count():
    instant = utc(2026, 11, 23, 7)
    second = timedelta(seconds=1)
    assert due_between(schedule(), instant, instant) == [("2026-W47", instant)]
    assert due_between(schedule(), instant + second, instant + second) == []
    assert due_between(schedule(), instant - second, instant - second) == []


def test_a_clock_that_went_back_finds_nothing_new():
    assert due(schedule(), utc(2026, 11, 20), utc(2026, 11, 23)) == []
    seen = due_between(schedule(), utc(2026, 1, 1), utc(2026, 11, 23, 12))
    assert due_between(schedule(), utc(2026, 1, 1), utc(2026, 11, 23, 10)) == seen


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("America/New_York", datetime(2026, 3, 8, 2, 30), utc(2026, 3, 8, 7)),
        ("Europe/Berlin", datetime(2026, 3, 29, 2, 0), utc(2026, 3, 29, 1)),
        ("America/Havana", datetime(2026, 3, 8, 0, 0), utc(2026, 3, 8, 5)),
        ("Pacific/Apia", datetime(2011, 12, 30, 8, 0), utc(2011, 12, 30, 10)),
        ("Europe/Berlin", datetime(2026, 10, 25, 2, 30), utc(2026, 10, 25, 0, 30)),
        ("America/New_York", datetime(2026, 11, 1, 1, 30), utc(2026, 11, 1, 5, 30)),
        ("Asia/Kathmandu", datetime(2026, 11, 18, 8, 0), utc(2026, 11, 18, 2, 15)),
        ("UTC", datetime(2026, 11, 18, 8, 0), utc(2026, 11, 18, 8)),
    ],
)
def test_a_wall_time_is_its_first_instant_or_the_end_of_the_gap(zone, wall, instant):
    assert first_instant(wall, ZoneInfo(zone)) == instant


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "America/Havana", "UTC"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hour", [0, 1, 2, 23])
def test_a_year_of_any_schedule_has_every_period_exactly_once(zone, kind, hour):
    plan = schedule(zone=zone, kind=kind, hour=hour, settle_seconds=3_600)
    periods = due(plan, utc(2027, 2, 1), utc(2026, 1, 2))
    least = {"daily": 390, "weekly": 56, "monthly": 12, "quarterly": 4, "yearly": 1}
    assert len(periods) >= least[kind]
    for earlier, later in pairwise(periods):
        assert earlier.end == later.start
        assert earlier.due_at < later.due_at
    assert all(int(p.due_at.timestamp()) >= p.end + 3_600 for p in periods)


def test_ticks_that_come_late_or_twice_find_the_same_periods_as_one_look_back():
    plan = schedule(kind="daily", hour=0, zone="America/Havana")
    since, stored = utc(2026, 3, 1), set()
    for hours in (0, 5, 5, 47, 30, 100, 26, 400):
        since_start = since + timedelta(hours=hours)
        stored |= {p.key for p in due(plan, since_start, since)}
    assert stored == {p.key for p in due(plan, since + timedelta(hours=400), since)}


def test_catching_up_runs_the_newest_and_skips_the_rest():
    periods = due(schedule(), utc(2026, 11, 24), utc(2026, 11, 1))
    assert [p.key for p in periods] == ["2026-W44", "2026-W45", "2026-W46", "2026-W47"]
    assert catch_up(periods, 3) == (periods[1:], periods[:1])
    assert catch_up(periods, 9) == (periods, [])
    assert catch_up(periods, 0) == ([], periods)


def test_a_run_key_names_report_period_and_edition():
    assert run_key("finance", "weekly", "2026-W47", 1) == "finance/weekly/2026-W47/1"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"zone": "Europe/Atlantis"}, "Europe/Atlantis"),
        ({"zone": "../etc/passwd"}, "passwd"),
        ({"zone": ""}, "time zone ''"),
        ({"kind": "hourly"}, "kind 'hourly'"),
        ({"hour": 24}, "hour 24"),
        ({"minute": -1}, "minute -1"),
        ({"weekday": "monday"}, "weekday 'monday'"),
        ({"day": 0}, "day 0"),
        ({"settle_seconds": -1}, "settle_seconds -1"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_by_name(wrong, named):
    with pytest.raises(InputError, match=named):
        schedule(**wrong)
