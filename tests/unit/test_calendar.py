"""A calendar on which nothing is missed and nothing happens twice, and one that misses midnights.

What must happen is listed by counting days and by reading every quarter of an hour off the zone's
clocks. Ticks then come at random, with clocks that are two hours off for days and an outage of three
weeks, and what they find is compared with that list after each of them.
"""

import random
from bisect import bisect_right
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger

from monitor.domain.periods import Schedule, catch_up, due
from tests.conftest import FULL

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # half an hour off the others
    "America/Havana",  # changes at midnight, as the next three do
    "America/Santiago",  # south
    "Asia/Beirut",
    "Africa/Cairo",
    "Asia/Kathmandu",  # three quarters of an hour off, without summer time
    "Australia/Lord_Howe",  # south, changes by half an hour
]
YEARS = (2026, 2027, 2028) if FULL else (2028,)
HOURS = range(24) if FULL else (0, 2)
KINDS = ("daily", "weekly", "monthly")
CRON = {"daily": {}, "weekly": {"day_of_week": "mon"}, "monthly": {"day": 1}}
SETTLE = 3_600
QUARTER = timedelta(minutes=15)


class Expected(NamedTuple):
    """One period as the calendar has it, found without the code under test."""

    due_at: datetime
    key: str


@cache
def clocks(zone, year):
    """(highest wall time shown so far, instant) of every quarter of an hour around a year."""
    shown, instants, highest = [], [], datetime(1, 1, 1)
    at = datetime(year - 1, 11, 25, tzinfo=UTC)
    while at < datetime(year + 1, 2, 5, tzinfo=UTC):
        wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if wall > highest:
            highest = wall
            shown.append(wall)
            instants.append(at)
        at += QUARTER
    return shown, instants


def reached(zone, year, wall):
    """The first instant at which the clocks of a zone show a wall time, or a later one."""
    shown, instants = clocks(zone, year)
    return instants[bisect_right(shown, wall - QUARTER / 2)]


def days(year):
    """Every day of a year, with the months beside it."""
    first = date(year - 1, 12, 1)
    return [first + timedelta(n) for n in range((date(year + 1, 2, 1) - first).days)]


def ends(kind, year):
    """(key, first day after it) of every period that ends on a day of `days`."""
    found = []
    for day in days(year):
        before = day - timedelta(1)
        if kind == "daily":
            found.append((f"{before:%Y-%m-%d}", day))
        elif kind == "weekly" and day.weekday() == 0:
            found.append((f"{before:%G-W%V}", day))
        elif kind == "monthly" and day.day == 1:
            found.append((f"{before:%Y-%m}", day))
    return found


def expected(kind, zone, hour, year):
    """What falls due, in order."""
    found = []
    for key, day in ends(kind, year):
        midnight = datetime(day.year, day.month, day.day)
        settled = midnight.replace(tzinfo=UTC) + timedelta(seconds=SETTLE)
        at_wall = reached(zone, year, midnight + timedelta(hours=hour))
        found.append(Expected(max(at_wall, settled), key))
    return found


def ticks(kind, chance, start, end):
    """(what the daemon's clock says) at each tick of a year with a bad clock and an outage."""
    pace = {"daily": 20, "weekly": 60, "monthly": 150}[kind]
    outage = start + timedelta(days=chance.randrange(30, 300), hours=chance.random() * 24)
    wrong = {chance.randrange(366): chance.choice([-2, 2]) for _ in range(12)}
    at = start
    while at < end:
        off = wrong.get((at - start).days, 0)
        yield at + timedelta(hours=off)
        step = timedelta(hours=chance.uniform(0.1, pace))
        if at < outage <= at + step:
            at = outage + timedelta(days=21)
        else:
            at += step
    yield end


class Daemon:
    """Plans as the daemon does: what is due since it was installed, without what is stored."""

    def __init__(self, schedule, since, limit):
        self.schedule, self.since, self.limit = schedule, since, limit
        self.stored = Counter()
        self.skipped = []

    def tick(self, now):
        fresh = [p for p in due(self.schedule, now, self.since) if p.key not in self.stored]
        to_run, old = catch_up(fresh, self.limit)
        self.stored.update(p.key for p in (*old, *to_run))
        self.skipped += [p.key for p in old]
        return fresh


def live_a_year(kind, zone, hour, year, limit=400):
    """Drive a daemon through a year; returns it with (missed, repeated, told too early)."""
    chance = random.Random(f"{kind} {zone} {hour} {year}")
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 3, tzinfo=UTC)
    awaited = [e for e in expected(kind, zone, hour, year) if e.due_at >= start]
    daemon = Daemon(Schedule(kind, zone, hour, 0, settle_seconds=SETTLE), start, limit)
    seen, missed, early, highest = 0, 0, 0, start - timedelta(days=1)
    for now in ticks(kind, chance, start, end):
        daemon.tick(now)
        highest = max(highest, now)
        while seen < len(awaited) and awaited[seen].due_at <= highest:
            missed += awaited[seen].key not in daemon.stored
            seen += 1
        early += len(daemon.stored) > seen
    repeated = sum(times - 1 for times in daemon.stored.values())
    assert seen >= {"daily": 366, "weekly": 52, "monthly": 12}[kind]
    return daemon, (missed, repeated, early)


def cron_year(kind, zone, hour, year):
    """(missed, repeated) of APScheduler's CronTrigger on a clock that never stops or jumps."""
    trigger = CronTrigger(hour=hour, minute=0, timezone=ZoneInfo(zone), **CRON[kind])
    falls = {
        "daily": lambda _: True,
        "weekly": lambda day: day.weekday() == 0,
        "monthly": lambda day: day.day == 1,
    }[kind]
    asked = [day for day in days(year) if day.year == year and falls(day)]
    fired = Counter()
    last, now = None, datetime(year - 1, 12, 30, tzinfo=ZoneInfo(zone))
    while (last := trigger.get_next_fire_time(last, now)) and last.year <= year:
        fired[last.date()] += 1
        now = (last.astimezone(UTC) + timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    return sum(not fired[day] for day in asked), sum(max(fired[day] - 1, 0) for day in asked)


@pytest.mark.proof
@pytest.mark.parametrize("zone", ZONES)
def test_no_period_is_missed_or_repeated_in_any_zone(zone, record_property):
    planned = 0
    for year in YEARS:
        for hour in HOURS:
            for kind in KINDS:
                daemon, wrong = live_a_year(kind, zone, hour, year)
                assert wrong == (0, 0, 0), (kind, zone, hour, year)
                assert daemon.skipped == []
                planned += len(daemon.stored)
    record_property("said", f"{zone}: {planned:,} periods, 0 missed, 0 repeated")


@pytest.mark.parametrize("zone", ["America/Havana", "Australia/Lord_Howe"])
def test_an_outage_skips_only_what_is_older_than_the_limit_and_never_a_period_silently(zone):
    daemon, wrong = live_a_year("daily", zone, 0, 2028, limit=7)
    assert wrong == (0, 0, 0)
    first, last = date.fromisoformat(daemon.skipped[0]), date.fromisoformat(daemon.skipped[-1])
    assert (last - first).days == len(daemon.skipped) - 1
    # Three weeks and the step before them, of which seven days are still reported.
    assert 13 <= len(daemon.skipped) <= 16


@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_a_zone_that_change_lose_and_repeat_no_key(kind):
    """Each tick knows other rules: a new release of the zones, or another zone in the settings."""
    chance = random.Random(kind)
    start, end = datetime(2028, 1, 5, 12, tzinfo=UTC), datetime(2029, 1, 3, tzinfo=UTC)
    daemon = Daemon(Schedule(kind, "UTC", 0, 0), start, 400)
    for now in ticks(kind, chance, start, end):
        daemon.schedule = Schedule(kind, chance.choice(ZONES), chance.randrange(24), 0)
        daemon.tick(now)
    keys = [key for key, day in ends(kind, 2028) if key in daemon.stored]
    every = [key for key, _ in ends(kind, 2028)]
    at = every.index(keys[0])
    assert keys == every[at : at + len(keys)]
    assert len(keys) >= {"daily": 361, "weekly": 51, "monthly": 12}[kind]
    assert set(daemon.stored.values()) == {1}


@pytest.mark.proof
@pytest.mark.parametrize("zone", ZONES)
def test_the_trigger_that_we_do_not_use_misses_midnights(zone, record_property):
    """Pins why: should it learn better, this test says so."""
    found = {}
    for hour in HOURS:
        years = [cron_year(kind, zone, hour, year) for kind in KINDS for year in YEARS]
        missed, twice = map(sum, zip(*years, strict=True))
        if missed or twice:
            found[hour] = (missed, twice)
    record_property("said", f"{zone}: by hour (missed, twice) {found or 'none'}")
    moves = zone not in ("UTC", "Asia/Kathmandu")
    assert (found.get(0, (0, 0))[0] > 0) == moves
