"""How honest the chances are: months told "70 to 90% likely to be above the crossing".

Over public daily series, months are projected from several days before and within them, as the
product does. Crossings are placed around the level of the 28 days before, as a decision sees them,
and the told chance that the month's total reaches each is compared with what happened. Prints one
row for each band of chances. A crossing that the month to date has passed is told as certain and
left out: it is no forecast. The projection's table is once the one that ships, which was fitted on
these series, and once one fitted without the series and its relatives.

    python benchmarks/calibration.py [--data ../shared/data/forecast_dev.csv] [--months 12]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import forecast_fit
from monitor.domain import volumes
from monitor.domain.forecast import Projection, project
from monitor.domain.forecast_bands import TABLE, Table
from monitor.domain.periods import add_months, days_in, month_bounds, month_of
from monitor.domain.usage import DAY

BANDS = ((0, 10), (10, 30), (30, 50), (50, 70), (70, 90), (90, 100))
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6, 2.0)
"""Crossings, as multiples of what the 28 days before the as-of would give in the month."""
AS_OF = {"d03": 3, "d07": 7, "d10": 10, "d14": 14, "d21": 21, "next": 0, "plus2": -1, "plus3": -2}
"""Days into the month, or whole months before it."""
NEEDED_DAYS = 56

Daily = Mapping[int, int]


class Told(NamedTuple):
    """A chance, 0..1, and whether the month's total reached the crossing."""

    horizon: str
    chance: float
    above: bool


class Row(NamedTuple):
    """One band of chances, in per cent; None: nothing was told."""

    low: int
    high: int
    count: int
    told: float | None
    observed: float | None


def unseen_tables(series: Mapping[str, Daily]) -> dict[str, Table]:
    """For each series the table that is fitted without it and its relatives."""
    data = forecast_fit.samples({n: dict(d) for n, d in series.items()}, profile=True)
    families = {name: forecast_fit.family(name) for name in series}
    fitted = {
        group: forecast_fit.fit(s for name, s in data.items() if families[name] != group)
        for group in dict.fromkeys(families.values())
    }
    return {name: fitted[group] for name, group in families.items()}


def tell(
    daily: Daily, horizons: Sequence[str], months: int, fitted: Table = TABLE
) -> Iterator[Told]:
    """Every chance that is told of one series, over `months` evenly spaced months of it."""
    whole = _whole_months(daily)
    step = max(len(whole) / months, 1)
    for i in range(min(months, len(whole))):
        month = whole[int(i * step)]
        for horizon in horizons:
            yield from _tell_month(daily, month, horizon, fitted)


def table(told: Sequence[Told]) -> list[Row]:
    """What was told against what happened, by band."""
    rows = []
    for low, high in BANDS:
        inside = [t for t in told if low <= 100 * t.chance < high + (high == 100)]
        chances, observed = _percent(t.chance for t in inside), _percent(t.above for t in inside)
        rows.append(Row(low, high, len(inside), chances, observed))
    return rows


def _percent(values: Iterable[float]) -> float | None:
    found = list(values)
    return 100 * sum(found) / len(found) if found else None


def _whole_months(daily: Daily) -> list[str]:
    first, end = min(daily), max(daily) + DAY
    months, month = [], month_of(first + NEEDED_DAYS * DAY)
    while month_bounds(month)[1] <= end:
        months.append(month)
        month = add_months(month, 1)
    return [m for m in months if month_bounds(m)[0] >= first + NEEDED_DAYS * DAY]


def _tell_month(daily: Daily, month: str, horizon: str, fitted: Table) -> Iterator[Told]:
    first, end = month_bounds(month)
    days = AS_OF[horizon]
    as_of = first + days * DAY if days >= 0 else month_bounds(add_months(month, days))[0]
    if as_of - min(daily) < NEEDED_DAYS * DAY:
        return
    past = {day: n for day, n in daily.items() if day < as_of}
    projection = project(past, month, as_of, fitted)
    if not isinstance(projection, Projection):
        return
    volume = volumes.of_projection(projection)
    actual = sum(daily[day] for day in range(first, end, DAY))
    level = sum(daily[as_of - (i + 1) * DAY] for i in range(28)) / 28 * days_in(month)
    for crossing in (level * multiple for multiple in LEVELS):
        if crossing > projection.month_to_date:
            yield Told(horizon, volumes.chance_above(volume, crossing), actual >= crossing)


def _line(name: str, rows: Sequence[Row]) -> str:
    cells = [
        f"{row.count:6d} {row.told:5.1f} {row.observed:5.1f}"
        if row.count
        else f"{0:6d}     -     -"
        for row in rows
    ]
    return f"{name:8s} " + " |".join(cells)


def log_loss(told: Sequence[Told]) -> float:
    """The mean surprise at what happened; lower is better. No chance counts as surer than 1e-4."""
    odds = [t.chance if t.above else 1 - t.chance for t in told]
    return -sum(math.log(min(max(chance, 1e-4), 1 - 1e-4)) for chance in odds) / len(odds)


def show(name: str, told: Sequence[Told]) -> None:
    """The table of all, then by horizon."""
    print(
        f"{name}: {len(told):,} chances, log loss {log_loss(told):.4f}; count, told %, observed %"
    )
    print(" " * 9 + " |".join(f"{f'{low}-{high}%':>18s}" for low, high in BANDS))
    print(_line("all", table(told)))
    for horizon in AS_OF:
        print(_line(horizon, table([t for t in told if t.horizon == horizon])))


def main() -> None:
    """Print the tables with the shipped coefficients, then with those of each fold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=forecast_fit.DATA)
    parser.add_argument("--months", type=int, default=12)
    given = parser.parse_args()
    if not given.data.exists():
        print(f"{given.data} is not there: name the daily series with --data")
        return
    series, horizons = forecast_fit.load(given.data), list(AS_OF)
    for name, tables in (
        ("as shipped", dict.fromkeys(series, TABLE)),
        ("each series unseen", unseen_tables(series)),
    ):
        told = [
            t for n, daily in series.items() for t in tell(daily, horizons, given.months, tables[n])
        ]
        show(name, told)


if __name__ == "__main__":
    main()
