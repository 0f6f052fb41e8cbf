"""Fits the projection's table on public daily series, and says how good it is on series unseen.

    python benchmarks/forecast_fit.py                      scores, cross-fitted and in-sample
    python benchmarks/forecast_fit.py --cross-fit OUT.csv  cross-fitted predictions, to be scored
    python benchmarks/forecast_fit.py --ablate             what each ingredient contributes
    python benchmarks/forecast_fit.py --write              writes monitor/domain/forecast_table.py

Cross-fitted: every series is projected with a table fitted without it and its relatives (the same
package, repository or page). Samples are taken from many days of each series, not month ends alone,
and every series weighs the same. The middle is fitted by least absolute deviations, the spreads by
pinball loss, both with a ridge, by iterated reweighting.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monitor.domain import forecast
from monitor.domain.forecast_bands import Table, prepare, quantiles
from monitor.domain.forecast_features import LEVEL_NAMES, expected, seen, without_spikes
from monitor.domain.periods import add_months, day_bounds, day_of, month_bounds, month_of
from monitor.domain.usage import DAY

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared/data/forecast_dev.csv"
TABLE_FILE = ROOT / "monitor/domain/forecast_table.py"
ANCHORS = (
    *((0, 1), (0, 3), (0, 7), (0, 10), (0, 14), (0, 17), (0, 21), (0, 24), (0, 28), (0, 31)),
    *((15, 46), (30, 61), (61, 92), (92, 123)),
)
HORIZONS = ("d03", "d07", "d10", "d14", "d21", "next", "plus3")
ORIGINS = 600
RIDGE = 0.02
SPREAD_RIDGE = 0.003
WIDEN = 1.03
WIDEN_SHORT = 1.1
REPLAY_WEIGHT = 100.0

Floats = Any
Series = dict[str, dict[int, int]]
Task = tuple[str, int, str, str]
"""Series, as-of (exclusive), month, horizon."""
Quantiles = dict[tuple[str, int, str], tuple[float, float, float]]


class Recipe(NamedTuple):
    """Which ingredients a fit may use."""

    profile: bool = True
    levels: tuple[str, ...] = LEVEL_NAMES
    unrest: bool = True
    widen: float = WIDEN
    replay: float = REPLAY_WEIGHT


AS_SHIPPED = Recipe()


class Sample(NamedTuple):
    """What is seen from many days of one series, and what came."""

    origins: Floats
    view: Any
    sums: Floats


def load(path: Path) -> Series:
    """Daily totals by series and UTC midnight."""
    series: Series = defaultdict(dict)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            series[row["series"]][day_bounds(row["date"])[0]] = int(row["value"])
    return dict(sorted(series.items()))


def family(name: str) -> str:
    """A series with its relatives: package, repository or page."""
    parts = name.split("_")
    if name.startswith("npm_electron"):
        return "npm_electron"
    return "_".join(parts[:2]) if parts[0] in ("pypi", "gh") else name


def cleaned(daily: dict[int, int]) -> Floats:
    """Totals as the projection sees them: outages filled, spikes cut."""
    totals = np.array([daily[day] for day in sorted(daily)], dtype=np.float64)
    totals[forecast.doubtful_zeros(totals)] = np.nan
    return without_spikes(forecast.filled(totals))


def samples(series: Series, *, profile: bool) -> dict[str, Sample]:
    """Views from up to ORIGINS evenly spaced days of every series."""
    found = {}
    for name, daily in series.items():
        totals = cleaned(daily)
        count = min(ORIGINS, len(totals) - 31)
        origins = np.unique(np.linspace(28, len(totals) - 2, count).astype(np.int64))
        raw = np.array([daily[day] for day in sorted(daily)], dtype=np.float64)
        view = seen(totals, origins)
        if not profile:
            view = view._replace(profile=np.ones_like(view.profile))
        found[name] = Sample(origins, view, np.concatenate([[0.0], np.cumsum(raw)]))
    return found


def stacked(data: Iterable[Sample], lo: int, hi: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Levels, unrest, log ratios and weights of one span over all series."""
    parts: list[tuple[Floats, ...]] = []
    for sample in data:
        fits = (sample.origins + hi < len(sample.sums)) & (sample.view.mean > 0)
        if fits.sum() < 10:
            continue
        view = sample.view._make(column[fits] for column in sample.view)
        origins = sample.origins[fits]
        actual = sample.sums[origins + hi] - sample.sums[origins + lo]
        usual = expected(view, lo, hi)
        small = actual.mean() / 50 + 1e-9
        ratios = np.log((actual + small) / (usual + small)).clip(-2.5, 2.5)
        # Large months count more in the score; the square root is between that and all alike.
        weights = np.sqrt(usual / usual.mean()).clip(0.1, 6)
        parts.append((view.levels, view.unrest, ratios, weights / weights.sum()))
    levels, unrest, ratios, weights = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return levels, unrest, ratios, weights / weights.sum()


def least_absolute(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Coefficients of the median of y, with a ridge on all but the first column."""
    ridge = np.diag([1e-9] + [RIDGE] * (x.shape[1] - 1))
    found = np.zeros(x.shape[1])
    for _ in range(60):
        pull = weights / (2 * np.maximum(np.abs(y - x @ found), 0.01))
        better = np.linalg.solve((x * pull[:, None]).T @ x + 2 * ridge, x.T @ (pull * y))
        done = np.abs(better - found).max() < 1e-5
        found = better
        if done:
            break
    return found


def distance(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Coefficients of log d, d being the 90% quantile of y, by damped Gauss-Newton steps."""
    ridge = np.array([1e-9] + [SPREAD_RIDGE] * (x.shape[1] - 1))
    found = np.zeros(x.shape[1])
    found[0] = math.log(max(float(np.quantile(y, 0.9)), 0.02))
    for _ in range(60):
        d = np.exp(x @ found)
        pull = weights / (2 * np.maximum(np.abs(y - d), 0.01))
        slope = x * d[:, None]
        ascent = slope.T @ (pull * (y - d) + 0.4 * weights) - 2 * ridge * found
        curve = (slope * pull[:, None]).T @ slope + np.diag(2 * ridge + 1e-9)
        step = np.linalg.solve(curve, ascent)
        found += step * min(1.0, 0.7 / np.abs(step).max())
        if np.abs(step).max() < 1e-4:
            break
    return found


def fit(data: Iterable[Sample], recipe: Recipe = AS_SHIPPED) -> Table:
    """The table that these samples give."""
    data = list(data)
    wanted = [0] + [1 + LEVEL_NAMES.index(name) for name in recipe.levels]
    spread = list(range(5 if recipe.unrest else 1))
    rows: list[list[Floats]] = [[], [], []]
    for lo, hi in ANCHORS:
        levels, unrest, ratios, weights = stacked(data, lo, hi)
        centre, upper, lower = np.zeros(levels.shape[1]), np.zeros(5), np.zeros(5)
        centre[wanted] = least_absolute(levels[:, wanted], ratios, weights)
        errors = ratios - levels @ centre
        upper[spread] = distance(unrest[:, spread], errors, weights)
        lower[spread] = distance(unrest[:, spread], -errors, weights)
        for column, found in zip(rows, (centre, upper, lower), strict=True):
            column.append(found)
    return Table(ANCHORS, *map(np.array, rows), recipe.widen, WIDEN_SHORT, recipe.replay)


def tasks(series: Series) -> Iterator[Task]:
    """At most 12 evenly spaced months a series, each from seven days, as the scorer has them."""
    for name, daily in series.items():
        start, end = min(daily), max(daily) + DAY
        months, month = [], month_of(start)
        while month_bounds(month)[1] <= end:
            if month_bounds(month)[0] - start >= 28 * DAY:
                months.append(month)
            month = add_months(month, 1)
        chosen = sorted({round(i) for i in np.linspace(0, len(months) - 1, min(12, len(months)))})
        for month in (months[i] for i in chosen):
            first = month_bounds(month)[0]
            for days in (3, 7, 10, 14, 21):
                yield name, first + days * DAY, month, f"d{days:02d}"
            yield name, first, month, "next"
            ahead = month_bounds(add_months(month, -2))[0]
            if ahead - start >= 28 * DAY:
                yield name, ahead, month, "plus3"


def cross_fitted(
    series: Series,
    recipe: Recipe,
    predict: Callable[[dict[int, int], Task, Table], tuple[float, float, float]],
) -> Quantiles:
    """Predictions for all tasks, each with a table fitted without the series and its relatives."""
    data = samples(series, profile=recipe.profile)
    wanted = defaultdict(list)
    for task in tasks(series):
        wanted[family(task[0])].append(task)
    found: Quantiles = {}
    for group, members in wanted.items():
        table = fit((s for name, s in data.items() if family(name) != group), recipe)
        found |= {task[:3]: predict(series[task[0]], task, table) for task in members}
    return found


def product(daily: dict[int, int], task: Task, table: Table) -> tuple[float, float, float]:
    """What `crossover project` would answer."""
    _, as_of, month, _ = task
    result = forecast.project({d: t * 100 for d, t in daily.items()}, month, as_of, table)
    assert isinstance(result, forecast.Projection)
    return result.q10 / 100, result.q50 / 100, result.q90 / 100


def with_flat_weeks(daily: dict[int, int], task: Task, table: Table) -> tuple[float, float, float]:
    """The same without a weekday profile."""
    _, as_of, month, _ = task
    first, end = month_bounds(month)
    past = {day: total for day, total in daily.items() if day < as_of}
    ready = prepare(cleaned(past))
    ready = ready._replace(view=ready.view._replace(profile=np.ones((1, 7))))
    known = sum(total for day, total in past.items() if day >= first)
    lo, hi = max((first - as_of) // DAY, 0), (end - as_of) // DAY
    q10, q50, q90 = quantiles(ready, lo, hi, table)
    return known + q10, known + q50, known + q90


class Score(NamedTuple):
    """One horizon: pinball x 100 over the total, median and mean over series; coverage, count."""

    median: float
    mean: float
    inside: int
    count: int


def score(series: Series, predicted: Quantiles) -> dict[str, Score]:
    """As tools/forecast_score.py defines it, which is the judge."""
    losses: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    inside: dict[str, list[bool]] = defaultdict(list)
    for name, as_of, month, horizon in tasks(series):
        total = sum(series[name][d] for d in range(*month_bounds(month), DAY))
        guess = predicted[name, as_of, month]
        pairs = zip((0.1, 0.5, 0.9), guess, strict=True)
        loss = statistics.mean(2 * max(q * (total - p), (q - 1) * (total - p)) for q, p in pairs)
        losses[horizon][name].append((loss, total))
        inside[horizon].append(guess[0] <= total <= guess[2])
    found = {}
    for horizon in HORIZONS:
        shares = [
            100 * sum(loss for loss, _ in rows) / sum(total for _, total in rows)
            for rows in losses[horizon].values()
            if any(total for _, total in rows)
        ]
        held = inside[horizon]
        found[horizon] = Score(
            statistics.median(shares), statistics.mean(shares), sum(held), len(held)
        )
    return found


def show(name: str, scores: dict[str, Score]) -> None:
    """One line: median/mean pinball x 100 a horizon, then coverage in %, pooled last."""
    cells = " ".join(f"{s.median:5.1f}/{s.mean:4.1f}" for s in scores.values())
    cover = " ".join(f"{100 * s.inside / s.count:3.0f}" for s in scores.values())
    pooled = sum(s.inside for s in scores.values()) / sum(s.count for s in scores.values())
    print(f"{name:<28} {cells}   {cover}  {100 * pooled:5.1f}", flush=True)


_BARE = Recipe(profile=False, levels=(), unrest=False, widen=1.0, replay=0.0)
ABLATION = {
    "mean of 28 days": _BARE,
    "+ weekday profile": _BARE._replace(profile=True),
    "+ means of 7 to 364 days": AS_SHIPPED._replace(
        levels=LEVEL_NAMES[:5], unrest=False, widen=1.0, replay=0.0
    ),
    "+ limited means, median": AS_SHIPPED._replace(unrest=False, widen=1.0, replay=0.0),
    "+ spread by unrest": AS_SHIPPED._replace(widen=1.0, replay=0.0),
    "+ own past": AS_SHIPPED._replace(widen=1.0),
    "+ widened, as shipped": AS_SHIPPED,
}


def source(table: Table, series: Series, path: Path) -> str:
    """The module that holds the table."""
    days = f"{sum(map(len, series.values())):,}"
    today = datetime.now(UTC).date()

    def matrix(name: str, values: Floats) -> str:
        lines = ",\n".join(f"    ({', '.join(f'{v:.4f}' for v in row)})" for row in values)
        return f"{name} = (\n{lines},\n)\n"

    return (
        '"""The coefficients of the projection. Generated: do not edit.\n\n'
        f"Fitted on {path.name} ({len(series)} series, {days} days) on {today} by\n"
        "`python benchmarks/forecast_fit.py --write`.\n"
        '"""\n\n'
        f"ANCHORS = ({', '.join(map(str, table.anchors))})\n"
        '"""Spans of days (lo, hi) after the last known day; a row of the rest for each."""\n'
        f"{matrix('CENTRE', table.centre)}"
        f'"""Weights: growth, {", ".join(LEVEL_NAMES)}."""\n'
        f"{matrix('UPPER', table.upper)}"
        '"""Log distance from the middle to q90: one, weekly, monthly, rising, falling."""\n'
        f"{matrix('LOWER', table.lower)}"
        '"""The same to q10."""\n'
        f"WIDEN = {table.widen}\n"
        '"""Chosen for coverage of the cross-fitted ranges on these series."""\n'
        f"WIDEN_SHORT = {table.widen_short}\n"
        '"""Chosen for coverage of histories of these series cut to 14 to 27 days."""\n'
        f"REPLAY_WEIGHT = {table.replay_weight}\n"
        '"""Spans of the own past count as n / (n + this)."""\n'
    )


def write_predictions(path: Path, predicted: Quantiles) -> None:
    """As the scorer reads them: its as-of is the last day known."""
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("series", "asof", "month", "q10", "q50", "q90"))
        for (name, as_of, month), found in predicted.items():
            out.writerow((name, day_of(as_of - DAY), month, *found))


def main() -> None:
    """Do what the options ask for; without any, score."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cross-fit", type=Path)
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if not asked.data.exists():
        sys.exit(f"{asked.data} is missing: name the series with --data FILE.csv")
    series = load(asked.data)
    print(
        f"{'pinball x 100, median/mean':<28} {'  '.join(f'{h:>8}' for h in HORIZONS)}   covered %"
    )
    if asked.write:
        table = fit(samples(series, profile=True).values())
        TABLE_FILE.write_text(source(table, series, asked.data))
        print(f"{TABLE_FILE.relative_to(ROOT)} written: now `ruff format` it")
    elif asked.ablate:
        for name, recipe in ABLATION.items():
            predict = product if recipe.profile else with_flat_weeks
            show(name, score(series, cross_fitted(series, recipe, predict)))
    else:
        predicted = cross_fitted(series, Recipe(), product)
        show("cross-fitted", score(series, predicted))
        if asked.cross_fit:
            write_predictions(asked.cross_fit, predicted)
            return
        table = fit(samples(series, profile=True).values())
        known = {t[:3]: product(series[t[0]], t, table) for t in tasks(series)}
        show("in-sample", score(series, known))


if __name__ == "__main__":
    main()
