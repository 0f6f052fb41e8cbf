"""How often a day's spend is told to be out of its range, and how soon a leak is.

Over public daily series, each scaled so that its median day costs $100, every day of the last
`--days` is judged by the days before it and goes through the alert machine as the daily watch has
it. The table of ranges is fitted without the series and its relatives. One row for each distance
that could count as far: alerts a year of a rise and of a fall, the series that were told more than
once a quarter, and how many leaks were told within two and three closed days. A leak multiplies the
spend of a series from a day on. The same distances over the made-up years of tests/noisy_years.py
follow; their restated and missing days must tell nothing.

    python benchmarks/anomalies.py [--data ../shared/data/forecast_dev.csv] [--days 730]
        [--years 20] [--from 1000]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import calibration, forecast_fit
from monitor.domain import rulebook
from monitor.domain.alerts import AlertState, Notify, step
from monitor.domain.forecast import NotEnough, Span, project_span
from monitor.domain.forecast_bands import LOOKBACK, TABLE, Table
from monitor.domain.money import PICO
from monitor.domain.notices import Said
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY
from monitor.domain.watch_spend import FAR, is_far
from tests.noisy_years import BEFORE, KINDS, YEAR, year

FARS = (Fraction(1), Fraction(3, 2), FAR, Fraction(5, 2), Fraction(3))
QUARTERS = 4
NEEDED_DAYS = 60
LEAKS = (Fraction(3, 2), Fraction(2), Fraction(3))
RULE, LIMITS = rulebook.BOOK["spend_anomaly"], rulebook.LIMITS["spend_anomaly"]

Daily = Mapping[int, int | None]


class Judged(NamedTuple):
    """A closed day with what the days before it led to expect; pico-USD."""

    as_of: int
    spent: int
    expected: tuple[int, int, int]
    """q10, q50, q90."""


class Rate(NamedTuple):
    """Alerts a year of one series."""

    up: float
    down: float


def in_dollars(daily: Mapping[int, int]) -> dict[int, int | None]:
    """The series as pico-USD, so that its median day costs $100."""
    middle = max(median(daily.values()), 1)
    return {
        day: round(Fraction(value) * 100 * PICO / Fraction(middle)) for day, value in daily.items()
    }


def judged(daily: Daily, days: Iterable[int], table: Table = TABLE) -> list[Judged]:
    """What each of these days is compared with; those without a range are left out."""
    found = []
    for day in days:
        spent = daily.get(day)
        before = {at: v for at, v in daily.items() if day - LOOKBACK * DAY <= at < day}
        expected = project_span(before, Span("day", day, day + DAY), day, table)
        if spent is not None and not isinstance(expected, NotEnough):
            found.append(Judged(day + DAY, spent, (expected.q10, expected.q50, expected.q90)))
    return found


def told(days: Sequence[Judged], far: Fraction, *, up: bool) -> list[int]:
    """Which of the days tell that an alert begins, by their place."""
    state: AlertState | None = None
    found = []
    for place, day in enumerate(days):
        holds = is_far(day.spent, day.expected, LIMITS, up=up, far=far)
        signal = Signal(RULE.name, "w", day.as_of, holds, Said("", ""))
        state, effects = step(state, signal, RULE, day.as_of)
        if any(isinstance(each, Notify) and each.edge == "firing" for each in effects):
            found.append(place)
    return found


def rate(days: Sequence[Judged], far: Fraction) -> Rate:
    """How often an alert of a rise and of a fall begins in a year of such days."""
    years = max(len(days), 1) / 365.25
    return Rate(*(len(told(days, far, up=up)) / years for up in (True, False)))


def leaks(
    daily: Daily, factor: Fraction, count: int, seed: str, table: Table = TABLE
) -> Iterator[list[Judged]]:
    """The week after a leak began, for some days of the series that are drawn by the seed."""
    known = sorted(daily)[NEEDED_DAYS:-7]
    for start in random.Random(f"{seed}/{factor}").sample(known, min(count, len(known))):
        leaked = {
            day: value if value is None or day < start else round(value * factor)
            for day, value in daily.items()
            if day < start + 7 * DAY
        }
        # Three days before it, so that the machine is at rest as it would be.
        yield judged(leaked, range(start - 3 * DAY, start + 4 * DAY, DAY), table)


def within(weeks: Sequence[Sequence[Judged]], far: Fraction, days: int) -> float:
    """The share of leaks that were told within so many closed days; those before do not count."""
    hits = [any(3 <= place < 3 + days for place in told(week, far, up=True)) for week in weeks]
    return sum(hits) / max(len(hits), 1)


def noisy(kind: str, number: int) -> list[Judged]:
    """A made-up year day by day, each judged by what was known when it closed."""
    seen = year(kind, number)  # type: ignore[arg-type]
    found = []
    for day in range(BEFORE, BEFORE + YEAR):
        at = day * DAY
        known: Daily = {
            k: None if v is None else v * PICO // 1000 for k, v in seen.known(day + 1, 0).items()
        }
        found += judged(known, [at])
    return found


def whole(kind: str, number: int) -> dict[int, int | None]:
    """A made-up year as it was in the end, without holes."""
    final = year(kind, number).final  # type: ignore[arg-type]
    return {n * DAY: int(value) * PICO // 1000 for n, value in enumerate(final)}


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", type=Path, default=forecast_fit.DATA)
    options.add_argument("--days", type=int, default=730)
    options.add_argument("--leaks", type=int, default=20)
    options.add_argument("--years", type=int, default=20)
    options.add_argument("--from", dest="first", type=int, default=1000)
    chosen = options.parse_args()
    started = time.perf_counter()
    if chosen.data.exists():
        _real(chosen)
    else:
        print(f"{chosen.data} is not there: the public series are left out")
    _made_up(chosen)
    print(f"{time.perf_counter() - started:.0f} s")


def _real(chosen: argparse.Namespace) -> None:
    series = forecast_fit.load(chosen.data)
    tables = calibration.unseen_tables(series)
    days: dict[str, list[Judged]] = {}
    leaked: dict[Fraction, list[list[Judged]]] = {factor: [] for factor in LEAKS}
    for name, values in series.items():
        daily = in_dollars(values)
        days[name] = judged(daily, sorted(daily)[NEEDED_DAYS:][-chosen.days :], tables[name])
        for factor in LEAKS:
            leaked[factor] += leaks(daily, factor, chosen.leaks, name, tables[name])
    count = sum(map(len, days.values()))
    print(f"{len(days)} public series, {count} days; alerts a year of one series")
    print(f" far   rise   fall  median   most  above 4 a year{_LEAK_HEAD}")
    for far in FARS:
        rates = [rate(each, far) for each in days.values()]
        both = [up + down for up, down in rates]
        print(
            f"{float(far):4.1f} {_mean([r.up for r in rates]):6.2f}"
            f" {_mean([r.down for r in rates]):6.2f} {median(both):7.2f} {max(both):6.2f}"
            f" {sum(each > QUARTERS for each in both):9d} of {len(both)}{_caught(leaked, far)}"
        )


def _made_up(chosen: argparse.Namespace) -> None:
    numbers = range(chosen.first, chosen.first + chosen.years)
    years = {kind: [noisy(kind, n) for n in numbers] for kind in KINDS}
    leaked = {
        factor: [
            week
            for kind in KINDS
            for n in numbers
            for week in leaks(whole(kind, n), factor, 3, f"{kind}/{n}")
        ]
        for factor in LEAKS
    }
    print(f"made-up years, {chosen.years} of each kind; alerts a year, rise and fall together")
    print(" far" + "".join(f"{kind:>9}" for kind in KINDS) + _LEAK_HEAD)
    for far in FARS:
        means = (_mean([sum(rate(each, far)) for each in found]) for found in years.values())
        row = "".join(f"{each:9.2f}" for each in means)
        print(f"{float(far):4.1f}{row}{_caught(leaked, far)}")


_LEAK_HEAD = "".join(f"   x{float(factor):g} in 2d  3d" for factor in LEAKS)


def _caught(leaked: Mapping[Fraction, Sequence[Sequence[Judged]]], far: Fraction) -> str:
    return "".join(
        f"   {f'{within(weeks, far, 2):.0%}':>{5 + len(f'{float(factor):g}')}}"
        f" {within(weeks, far, 3):4.0%}"
        for factor, weeks in leaked.items()
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


if __name__ == "__main__":
    main()
