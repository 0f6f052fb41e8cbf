"""Own GPUs: idle in dollars, silent, fallen back; and that what is not measured is not idle."""

from decimal import Decimal

import pytest

from monitor.domain import watch_fleet
from monitor.domain.money import PICO
from monitor.domain.rulebook import LIMITS, Limits
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch_fleet import HostSeen, Reporting, Served

AT = 1_795_392_000
IDLE, FAILOVER = LIMITS["gpu_idle"], LIMITS["failover_spend"]


def host(busy=10.0, hours=336, cost=10_000, **changes):
    pico = None if cost is None else cost * PICO
    return HostSeen("gpu-1", AT, 7, 2, hours, busy, pico)._replace(**changes)


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        (host(20.0), True),
        (host(20.1), False),
        (host(0.0), True),
        (host(10.0, cost=555), False),
        (host(10.0, cost=556), True),
        (host(10.0, cost=None), True),
        (host(None), None),
        (host(10.0, hours=168), True),
        (host(10.0, hours=167), None),
        (host(10.0, hours=0), None),
    ],
)
def test_idle_is_told_by_share_and_dollars_and_never_of_what_was_not_measured(seen, holds):
    assert watch_fleet.idle(seen, IDLE).holds is holds


def test_idle_is_told_in_dollars_a_month_or_that_they_are_not_known():
    found = watch_fleet.idle(host(10.0), IDLE).said
    assert found.title == "gpu-1: 2 GPUs idle 90% of the time, $9,000.00 a month"
    assert found.usd_per_month == Decimal("9000.00")
    unknown = watch_fleet.idle(host(10.0, cost=None, gpus=1), IDLE).said
    assert unknown.title == "gpu-1: 1 GPU idle 90% of the time, an unknown amount"
    assert unknown.usd_per_month is None


@pytest.mark.parametrize(
    ("ago", "holds", "rank"),
    [
        ((0, 0), False, -1),
        ((0, 2 * HOUR - 1), False, -1),
        ((0, 2 * HOUR), True, 0),
        ((9 * HOUR, 2 * HOUR), True, 1),
    ],
)
def test_a_gpu_that_stopped_to_report_is_told_and_each_further_one_too(ago, holds, rank):
    until = {f"GPU-{n}": AT - each for n, each in enumerate(ago)}
    found = watch_fleet.lost(Reporting("gpu-1", until), AT)
    assert (found.holds, found.rank) == (holds, rank)
    assert ("GPU-1" in found.said.what) is holds


def days(before, last):
    """Twenty-eight days alike, and the last one."""
    daily = {AT - n * DAY: before for n in range(2, 30)}
    return daily | {AT - DAY: last}


def served(own, api, pico=None, **changes):
    return Served("bot", AT, own, api, pico or days(0, 50 * PICO))._replace(**changes)


@pytest.mark.parametrize(
    ("own", "api", "holds"),
    [
        (days(1000, 700), days(100, 400), True),
        (days(1000, 701), days(100, 400), False),
        (days(1000, 500), days(100, 349), False),
        (days(1000, 500), days(100, 350), True),
        (days(1000, 0), {AT - DAY: 900}, True),
        (days(1000, 0), {}, False),
        (days(1000, 1500), days(100, 900), False),
    ],
)
def test_traffic_that_left_own_engines_for_an_api_is_told(own, api, holds):
    found = watch_fleet.failover(served(own, api), FAILOVER)
    assert found.holds is holds
    assert (found.said.usd_per_month is not None) is holds


@pytest.mark.parametrize(
    ("own", "api"),
    [
        (days(1000, None), days(100, 900)),
        (days(1000, 0), days(100, None)),
        (days(None, 0), days(100, 900)),
        ({AT - DAY: 0, AT - 8 * DAY: 1000}, days(100, 900)),
        (days(0, 0), days(100, 900)),
        ({}, days(100, 900)),
    ],
)
def test_where_a_side_is_not_known_nothing_is_seen(own, api):
    assert watch_fleet.failover(served(own, api), FAILOVER) is None


def test_a_failover_that_costs_little_is_quiet_and_one_of_unknown_cost_is_not():
    own, api = days(1000, 0), days(0, 900)
    cheap = served(own, api, days(0, 3 * PICO))
    assert not watch_fleet.failover(cheap, FAILOVER).holds
    assert watch_fleet.failover(cheap, Limits(percent=30, least_usd=Decimal(90))).holds
    unknown = watch_fleet.failover(served(own, api, days(0, None)), FAILOVER)
    assert unknown.holds
    assert unknown.said.cost.startswith("an unknown amount a month more")


def test_a_quote_in_a_name_ends_no_statement():
    for said in (
        watch_fleet.idle(host(host="o'h"), IDLE).said,
        watch_fleet.lost(Reporting("o'h", {"g": 0}), AT).said,
        watch_fleet.failover(served(days(9, 9), {}, workload="o'h"), FAILOVER).said,
    ):
        assert "'o''h'" in said.query
