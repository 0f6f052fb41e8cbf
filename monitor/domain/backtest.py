"""What following a rule of moving would have cost on past days, beside hindsight.

The days of a file are priced once: what each costs through the API, on own GPUs, and while both
bills run. Then the cost of any sequence of decisions is a sum of them. All of it is exact; floats
decide nothing here but what the rule of `switching` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from itertools import accumulate, groupby
from math import lcm
from typing import Any, NamedTuple

import numpy as np

from monitor.domain import costs
from monitor.domain.breakeven import DAYS_PER_MONTH
from monitor.domain.errors import InputError
from monitor.domain.periods import days_in
from monitor.domain.scenario import Scenario
from monitor.domain.switching import HISTORY_DAYS, Bills, Move, Place, State, View, step

FLEET_DAYS = 7
"""The fleet follows the mean load of so many days."""

ON_THE_FIRST_DAY = Move(0, "self_host")


class Daily(NamedTuple):
    """Whole requests of consecutive days."""

    start: date
    requests: Sequence[int]

    def date_of(self, day: int) -> date:
        """The date of the day with this index."""
        return self.start + timedelta(day)


@dataclass(frozen=True)
class Days:
    """What each day costs, exactly: dollars times `scale`, as integers."""

    scale: int
    api: list[int]
    """The whole load through the API."""
    own: list[int]
    """The moved share on own GPUs, the rest through the API."""
    dual: list[int]
    """The whole load through the API, and the own fleet beside it."""
    setup: int
    exit: int
    lead: int
    exit_lead: int
    dual_days: int


class Result(NamedTuple):
    """Dollars over all days."""

    followed: Fraction
    hindsight: Fraction
    api_only: Fraction
    self_host_only: Fraction

    @property
    def regret(self) -> Fraction | None:
        """What following cost beyond hindsight, as a share of it; None where that is 0."""
        return self.followed / self.hindsight - 1 if self.hindsight else None


def read_daily(text: str, where: str = "daily file") -> Daily:
    """The days of a CSV text `date,requests`: rising dates without gaps, whole requests.

    Raises:
        InputError: names the first line that cannot be used.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or [cell.strip() for cell in lines[0].split(",")] != ["date", "requests"]:
        raise _refused(where, 1, "the heading must be date,requests")
    days: list[date] = []
    requests: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 2:
            raise _refused(where, number, f"{len(cells)} columns instead of 2")
        day = _date(cells[0], where, number)
        if days and day - days[-1] != timedelta(1):
            raise _refused(where, number, f"{day} does not follow {days[-1]}")
        days.append(day)
        requests.append(_count(cells[1], where, number))
    if not days:
        raise _refused(where, 2, "there are no days")
    return Daily(days[0], requests)


def _date(text: str, where: str, number: int) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise _refused(where, number, _no_date(text)) from None
    # Python reads other forms of ISO dates too, such as 2026-W48-2.
    if day.isoformat() != text:
        raise _refused(where, number, _no_date(text))
    return day


def _no_date(text: str) -> str:
    return f"{text[:40]!r} is not a date like 2026-11-24"


def _count(text: str, where: str, number: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 30):
        raise _refused(where, number, f"{text[:40]!r} is not a whole number of requests")
    return int(text)


def _refused(where: str, number: int, cause: str) -> InputError:
    remedy = "Give one row a day: date,requests, rising dates without gaps, whole requests"
    return InputError(f"{where}, line {number}: {cause}", remedy)


def price_days(daily: Daily, scenario: Scenario) -> Days:
    """Every day's costs, whatever is decided: none depends on what was decided before."""
    share, migration = scenario.workload.share_moved, scenario.migration
    api = _api_days(daily, scenario, Fraction(1))
    fleet = _own_days(daily, scenario)
    rest = _api_days(daily, scenario, 1 - share) if share < 1 else [Fraction(0)] * len(api)
    once = [migration.setup_usd, migration.exit_usd]
    scale = lcm(*{usd.denominator for usd in (*api, *fleet, *rest, *once)})
    whole = [[int(usd * scale) for usd in column] for column in (api, fleet, rest, once)]
    return Days(
        scale,
        api=whole[0],
        own=[a + b for a, b in zip(whole[1], whole[2], strict=True)],
        dual=[a + b for a, b in zip(whole[0], whole[1], strict=True)],
        setup=whole[3][0],
        exit=whole[3][1],
        lead=migration.lead_days,
        exit_lead=migration.exit_lead_days,
        dual_days=round(migration.dual_running_months * DAYS_PER_MONTH),
    )


def _api_days(daily: Daily, scenario: Scenario, share: Fraction) -> list[Fraction]:
    """Days through the API, each with its part of what its month falls short of the minimum."""
    fixed = scenario.api.fixed_usd_per_month / DAYS_PER_MONTH
    unit = share * Fraction(costs.api_usd_per_request(scenario))
    days: list[Fraction] = []
    for month, group in groupby(
        range(len(daily.requests)), lambda i: daily.date_of(i).isoformat()[:7]
    ):
        usage = [fixed + daily.requests[i] * unit for i in group]
        floor = scenario.api.minimum_usd_per_month * len(usage) / days_in(month)
        top_up = max(Fraction(0), floor - sum(usage)) / len(usage)
        days += [usd + top_up for usd in usage]
    return days


def _own_days(daily: Daily, scenario: Scenario) -> list[Fraction]:
    """Days of the own fleet, which follows the mean of the last week."""
    share, requests = scenario.workload.share_moved, daily.requests
    sums = [0, *accumulate(requests)]
    days = []
    for i in range(len(requests)):
        known = min(i + 1, FLEET_DAYS)
        month = DAYS_PER_MONTH * Fraction(sums[i + 1] - sums[i + 1 - known], known)
        days.append(Fraction(costs.self_bill(scenario, share * month)) / DAYS_PER_MONTH)
    return days


def advised(daily: Daily, scenario: Scenario) -> list[Move]:
    """What `switching` would have decided, each day from the days up to it alone.

    Prices stay as they are: the past is replayed at the scenario's own.
    """
    bills = Bills(_at_constant_prices(scenario))
    migration = scenario.migration
    requests = np.array(daily.requests, dtype=np.float64)
    state, moves = State(), []
    for day in range(len(requests)):
        view = View(day, requests[max(0, day + 1 - HISTORY_DAYS) : day + 1], bills)
        state, move = step(
            state, view, lead_days=migration.lead_days, exit_lead_days=migration.exit_lead_days
        )
        if move is not None:
            moves.append(move)
    return moves


def _at_constant_prices(scenario: Scenario) -> Scenario:
    none = Fraction(0)
    return replace(
        scenario,
        api=replace(scenario.api, price_change_per_month=none),
        deployment=replace(scenario.deployment, gpu_price_change_per_month=none),
    )


def replay(days: Days, moves: Sequence[Move]) -> Result:
    """The dollars of following the decisions, of hindsight, and of two who decide once or never."""
    scaled = (cost(days, moves), cheapest(days), cost(days, []), cost(days, [ON_THE_FIRST_DAY]))
    return Result(*(Fraction(usd, days.scale) for usd in scaled))


def to_json(daily: Daily, moves: Sequence[Move], result: Result) -> dict[str, Any]:
    """The figures as `crossover backtest --format json` prints them."""
    regret = result.regret
    return {
        "events": [
            {"date": daily.date_of(move.day).isoformat(), "advice": move.to} for move in moves
        ],
        "costs": {f"{name}_usd": _cents(usd) for name, usd in result._asdict().items()},
        "regret": None if regret is None else _ratio(regret),
    }


def _ratio(exact: Fraction) -> float:
    # Where a double has no decimals left, an integer is a JSON number of any size.
    return float(round(exact, 6)) if exact < 2**53 else round(exact)


def _cents(usd: Fraction) -> str:
    whole, cents = divmod(round(usd * 100), 100)
    return f"{whole}.{cents:02d}"


def cost(days: Days, moves: Sequence[Move]) -> int:
    """What these decisions cost over all days, times `days.scale`.

    Raises:
        ValueError: a decision is void: it repeats the state, or comes before that has begun.
    """
    total, priced_to, began = 0, 0, 0
    place: Place = "api"
    for move in moves:
        if move.to == place or move.day < began:
            raise ValueError(f"{move} is void")
        moving = move.to == "self_host"
        arrives = move.day + 1 + (days.lead if moving else days.exit_lead)
        total += days.setup if moving else days.exit
        total += _stretch(days, place, began, priced_to, arrives)
        place, began, priced_to = move.to, arrives, arrives
    return total + _stretch(days, place, began, priced_to, len(days.api))


def _stretch(days: Days, place: Place, began: int, start: int, end: int) -> int:
    """The days [start, end) in a place whose first day was `began`."""
    if place == "api":
        return sum(days.api[start:end])
    settled = max(start, began + days.dual_days)
    return sum(days.dual[start : min(settled, end)]) + sum(days.own[settled:end])


def cheapest(days: Days) -> int:
    """The least cost of all sequences of decisions, times `days.scale`.

    Backwards over the days: what all costs from a day on at which the API serves and one may
    decide, and from a day on at which own service begins.
    """
    count = len(days.api)
    api, own, both = (_sums(column) for column in (days.api, days.own, days.dual))
    on_api = [0] * (count + 1)
    begun = [0] * (count + 1)
    late = [own[count]] * (count + 1)
    """The least of own service until a day and the API from it, for all days from an index on."""
    early = _Early()
    for day in range(count - 1, -1, -1):
        arrived = min(day + 1 + days.lead, count)
        move = days.setup + api[arrived] - api[day + 1] + begun[arrived]
        on_api[day] = days.api[day] + min(on_api[day + 1], move)
        late[day] = min(late[day + 1], own[day] + on_api[day] + days.exit)
        entering = day + days.exit_lead + 1
        if entering < count:
            early.add(entering, both[entering] + on_api[entering] + days.exit)
        settled = min(day + days.dual_days, count)
        leave = min(max(settled, entering), count)
        begun[day] = both[settled] - both[day] + late[leave] - own[settled]
        if (soonest := early.least(settled)) is not None:
            begun[day] = min(begun[day], soonest - both[day])
    return on_api[0]


class _Early:
    """The least cost of returning while both bills still run: a sliding window of days."""

    def __init__(self) -> None:
        self._window: deque[tuple[int, int]] = deque()

    def add(self, day: int, cost_until: int) -> None:
        """One more day from which the API may serve alone, below all that are known."""
        while self._window and self._window[-1][1] >= cost_until:
            self._window.pop()
        self._window.append((day, cost_until))

    def least(self, before: int) -> int | None:
        """The least among the days below `before`, which never rises."""
        while self._window and self._window[0][0] >= before:
            self._window.popleft()
        return self._window[0][1] if self._window else None


def _sums(column: Sequence[int]) -> list[int]:
    return [0, *accumulate(column)]
