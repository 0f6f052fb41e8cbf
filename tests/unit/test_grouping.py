"""Which notices leave when, for one target."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from monitor.domain.grouping import Leaving, QuietHours, Rhythm, Waiting, is_quiet, leaving
from monitor.domain.routing import Route, Routes, Target, targets

HOUR = 3600
NOW = int(datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp())  # a Monday
RHYTHM = Rhythm()


def waits(number, made_at=NOW, severity="warning", **changes):
    return Waiting(number, number, 1, "firing", severity, made_at)._replace(**changes)


def plan(*notices, last=None, now=NOW, rhythm=RHYTHM, busy=False):
    return leaving(notices, last, now, rhythm, busy=busy)


def test_what_waits_leaves_together_once_the_round_is_through():
    assert plan(waits(2), waits(1)).message == (1, 2)
    assert plan(waits(1), busy=True) == Leaving()


def test_a_round_that_does_not_end_holds_nothing_longer_than_the_group_waits():
    assert plan(waits(1, NOW - 599), busy=True).message == ()
    assert plan(waits(1, NOW - 600), waits(2), busy=True).message == (1, 2)


def test_a_target_rests_between_messages_unless_it_is_critical():
    assert plan(waits(1), last=NOW - 5 * HOUR).message == ()
    assert plan(waits(1), last=NOW - 6 * HOUR).message == (1,)
    assert plan(waits(1), waits(2, severity="critical"), last=NOW - 60).message == (1, 2)


def test_a_clock_that_went_back_keeps_nobody_waiting():
    assert plan(waits(1), last=NOW + 2 * HOUR).message == (1,)


def test_what_ended_before_it_was_told_is_told_to_nobody():
    ended = waits(3, alert_id=1, seq=2, edge="resolved")
    assert plan(waits(1), waits(2), ended) == Leaving(message=(2,), dropped=(1, 3))
    told_before = waits(3, alert_id=9, seq=2, edge="resolved")
    assert plan(told_before).message == (3,)


def test_unstable_alerts_wait_for_the_digest():
    quiet = waits(1, NOW - 2 * HOUR, digest=True)
    # Monday, 08:00: the digest of what was seen before.
    assert plan(quiet) == Leaving(digest=(1,))
    assert plan(waits(1, NOW - 1, digest=True)) == Leaving()
    later = NOW + 7 * 24 * HOUR
    assert plan(waits(1, NOW - 1, digest=True), now=later).digest == (1,)
    assert plan(quiet, rhythm=Rhythm(digest="off")) == Leaving(dropped=(1,))
    daily = Rhythm(digest="daily", digest_at=time(8, 30))
    assert plan(waits(1, NOW - 31 * 60, digest=True), rhythm=daily).digest == (1,)


def test_a_digest_is_due_by_the_clock_of_its_zone_on_the_day_the_clocks_change():
    zone = "Europe/Berlin"
    made = int(datetime(2026, 3, 29, 0, 30, tzinfo=ZoneInfo(zone)).timestamp())
    rhythm = Rhythm(digest="daily", digest_at=time(2, 30), zone=zone)
    # 02:30 does not exist: it is due when the gap ends, at 03:00 summer time, 01:00 UTC.
    at = int(datetime(2026, 3, 29, 1, 0, tzinfo=UTC).timestamp())
    notice = waits(1, made, digest=True)
    assert plan(notice, now=at - 1, rhythm=rhythm).digest == ()
    assert plan(notice, now=at, rhythm=rhythm).digest == (1,)


NIGHT = QuietHours(time(20), time(7), "Europe/Berlin")


@pytest.mark.parametrize(
    ("hour", "quiet"), [(18, False), (19, True), (23, True), (2, True), (5, True), (6, False)]
)
def test_quiet_hours_go_over_midnight_by_the_zones_clock(hour, quiet):
    # In winter Berlin is an hour ahead of UTC.
    at = int(datetime(2026, 11, 24, hour, tzinfo=UTC).timestamp())
    assert is_quiet([NIGHT], at) is quiet


def test_quiet_hours_follow_summer_time():
    assert is_quiet([NIGHT], int(datetime(2026, 7, 1, 18, tzinfo=UTC).timestamp()))
    assert not is_quiet([NIGHT], int(datetime(2026, 7, 1, 5, tzinfo=UTC).timestamp()))


def test_quiet_days_are_those_on_which_the_hours_begin():
    friday = NIGHT._replace(days=frozenset({4}), zone="UTC")
    assert is_quiet([friday], int(datetime(2026, 11, 27, 23, tzinfo=UTC).timestamp()))
    assert is_quiet([friday], int(datetime(2026, 11, 28, 6, tzinfo=UTC).timestamp()))
    assert not is_quiet([friday], int(datetime(2026, 11, 28, 23, tzinfo=UTC).timestamp()))


def test_only_critical_alerts_leave_in_quiet_hours():
    rhythm = Rhythm(quiet=[QuietHours(time(8), time(10), "UTC")])
    assert plan(waits(1), rhythm=rhythm).message == ()
    assert plan(waits(1, severity="critical"), rhythm=rhythm).message == (1,)
    assert plan(waits(1), rhythm=rhythm, now=NOW + HOUR).message == (1,)


ROUTES = Routes(
    [
        Route(["pager"], ["critical"]),
        Route(["bot@example.org"], workload="support-*", owner=True),
        Route(["bot@example.org", "chat"], rule="budget"),
    ],
    ["all@example.org"],
)


def to(severity="warning", rule="move", workload="", owner=""):
    return targets(ROUTES, severity, rule, workload, owner)


def test_every_route_that_matches_counts_and_each_target_once():
    assert to() == [Target("smtp", "all@example.org")]
    assert to("critical") == [Target("pager", "pager")]
    assert to(rule="budget", workload="support-bot", owner="ann@example.org") == [
        Target("smtp", "bot@example.org"),
        Target("smtp", "ann@example.org"),
        Target("chat", "chat"),
    ]


def test_an_owner_is_told_only_where_a_route_says_so_and_there_is_one():
    assert to(workload="search", owner="ann@example.org") == [Target("smtp", "all@example.org")]
    assert to(workload="support-bot") == [Target("smtp", "bot@example.org")]
