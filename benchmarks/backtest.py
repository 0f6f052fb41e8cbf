"""What advice of moving costs on real series, beside the simple rules that people use.

Each case is a daily series, scaled to move round a scenario's crossing in one of six shapes; the
cases come from a script that stands beside the checkout. A rule is followed day by day, and its
cost compared with the best decisions in hindsight. Everything starts on the API; a return that is
decided within 183 days of the first own day makes its move a false one.

    python benchmarks/backtest.py [--cases ../shared/tools/decision_cases.py]
        [--data ../shared/data/forecast_dev.csv] [--stride 1] [--processes 2]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from monitor.domain import costs, crossings
from monitor.domain.backtest import Daily, Days, advised, cheapest, price_days
from monitor.domain.breakeven import DAYS_PER_MONTH
from monitor.domain.scenario import Scenario, parse_scenario
from monitor.domain.switching import Move

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
SHAPES = ("grow", "back", "fall", "hover", "below", "above")
FALSE_DAYS = 183
D = float(DAYS_PER_MONTH)


class Case(NamedTuple):
    """A series in a shape round a scenario's crossing."""

    series: str
    shape: str
    scenario: str
    daily: Daily


class Fast:
    """The cost of decisions in floats: a few differences of running sums."""

    def __init__(self, days: Days) -> None:
        self._days = days
        columns = (days.api, days.own, days.dual)
        self._api, self._own, self._dual = (
            np.concatenate([[0.0], np.cumsum([usd / days.scale for usd in column])])
            for column in columns
        )

    def cost(self, moves: Sequence[Move]) -> float:
        """Dollars over all days, as `backtest.cost` counts them."""
        days, total, priced_to, began, own = self._days, 0.0, 0, 0, False
        count = len(self._api) - 1
        for move in moves:
            lead, once = (days.exit_lead, days.exit) if own else (days.lead, days.setup)
            arrives = min(move.day + 1 + lead, count)
            total += once / days.scale + self._stretch(began, priced_to, arrives, own)
            began = priced_to = arrives
            own = not own
        return total + self._stretch(began, priced_to, count, own)

    def _stretch(self, began: int, start: int, end: int, own: bool) -> float:
        if not own:
            return float(self._api[end] - self._api[start])
        settled = min(max(began + self._days.dual_days, start), end)
        both = self._dual[settled] - self._dual[start]
        return float(both + self._own[end] - self._own[settled])


class Outcome(NamedTuple):
    """What following a rule came to in one case."""

    regret: float
    moves: int
    returns: int
    false: int


Column = np.ndarray[Any, Any]
"""One entry a day. A wish is 1: be in own service, -1: be on the API, 0: stay."""


def means(requests: Column, days: int) -> Column:
    """Requests a month at the mean of the last days, fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(requests)])
    i = np.arange(1, len(requests) + 1)
    start = np.maximum(i - days, 0)
    return (sums[i] - sums[start]) / (i - start) * D


def line(volume: Column, enter: float, leave: float) -> Column:
    """In above one volume, out below another."""
    return np.where(volume > enter, 1, np.where(volume < leave, -1, 0))


def run_rate(case: Case, crossing: float) -> Column:
    """The month to date over the days passed, each day."""
    wish, to_date, passed = [], 0, 0
    for i, requests in enumerate(case.daily.requests):
        if case.daily.date_of(i).day == 1:
            to_date = passed = 0
        to_date, passed = to_date + requests, passed + 1
        wish.append(1 if to_date / passed * D > crossing else -1)
    return np.array(wish)


def three_of_four(case: Case, crossing: float) -> Column:
    """On the last day of a month: three of the last four whole months lie on one side."""
    wish = np.zeros(len(case.daily.requests), dtype=int)
    months: list[bool] = []
    total = days = 0
    for i, requests in enumerate(case.daily.requests):
        total, days = total + requests, days + 1
        if case.daily.date_of(i + 1).day == 1:
            months.append(total / days * D > crossing)
            above, total, days = sum(months[-4:]), 0, 0
            if len(months) >= 4:
                wish[i] = 1 if above >= 3 else -1 if above <= 1 else 0
    return wish


def payback(scenario: Scenario, volume: Column) -> Column:
    """In where the one-off cost returns within six months, out where nothing is saved."""
    wish = []
    for n in map(round, volume):
        saved = costs.api_bill(scenario, n) - costs.hybrid_bill(scenario, Fraction(n))
        migration, share = scenario.migration, scenario.workload.share_moved
        own = costs.self_bill(scenario, share * n)
        once = migration.setup_usd + migration.dual_running_months * own
        wish.append(-1 if saved <= 0 else 1 if once < 6 * saved else 0)
    return np.array(wish)


def simple_rules(case: Case, scenario: Scenario) -> dict[str, Column]:
    """What people do, for each day a wish."""
    requests = np.array(case.daily.requests, dtype=float)
    crossing = float(crossings.solve(scenario).lasting or 0)
    month = means(requests, 30)
    return {
        "never switch": np.zeros(len(requests)),
        "switch on day 1, never return": np.ones(len(requests)),
        "last 30 days over / under": line(month, crossing, crossing),
        "run-rate of the month, daily": run_rate(case, crossing),
        "over 20M move, under 10M return": line(month, 20e6, 10e6),
        "3 of the last 4 months": three_of_four(case, crossing),
        "payback under 6 months": payback(scenario, means(requests, 90)),
        "band, 28 days, 1.1 / 0.4": line(means(requests, 28), 1.1 * crossing, 0.4 * crossing),
    }


def follow(wish: Column, days: Days) -> list[Move]:
    """The decisions of one who does what a rule wishes as soon as it may be decided."""
    moves, day, own = [], 0, False
    while True:
        later = np.flatnonzero(wish[day:] == (-1 if own else 1))
        if not later.size:
            return moves
        day += int(later[0])
        moves.append(Move(day, "api" if own else "self_host"))
        day += 1 + (days.exit_lead if own else days.lead)
        own = not own


def outcome(moves: Sequence[Move], cost: float, hindsight: float, lead: int) -> Outcome:
    """Regret and counts; a false move returns within FALSE_DAYS of its first own day."""
    pairs = zip(moves[::2], moves[1::2], strict=False)
    false = sum(back.day - (there.day + 1 + lead) <= FALSE_DAYS for there, back in pairs)
    return Outcome(cost / hindsight - 1, (len(moves) + 1) // 2, len(moves) // 2, false)


def run_case(case: Case, scenarios: dict[str, str]) -> tuple[dict[str, Outcome], float]:
    """Every rule on one case, and the seconds that our own took to decide."""
    scenario = parse_scenario(scenarios[case.scenario])
    days = price_days(case.daily, scenario)
    hindsight, fast = cheapest(days) / days.scale, Fast(days)
    found = {}
    for name, wish in simple_rules(case, scenario).items():
        moves = follow(wish, days)
        found[name] = outcome(moves, fast.cost(moves), hindsight, days.lead)
    began = time.process_time()
    moves = advised(case.daily, scenario)
    took = time.process_time() - began
    found["crossover"] = outcome(moves, fast.cost(moves), hindsight, days.lead)
    return found, took


def load(path: Path) -> ModuleType:
    """The script that makes the cases."""
    spec = importlib.util.spec_from_file_location("decision_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_cases(script: ModuleType, data: Path, stride: int) -> list[Case]:
    """All cases, or one in `stride`: those that the script itself would write."""
    series = script.load(data)
    keys = [(s, sh, sc) for s in series for sh in script.SHAPES for sc in script.SCENARIOS]
    if stride > 1:
        keys = random.Random(1).sample(keys, max(1, len(keys) // stride))
    cases = []
    for name, shape, scenario in keys:
        start, values = series[name]
        shaped = script.shaped(values, shape, script.CROSSING[scenario])
        cases.append(Case(name, shape, scenario, Daily(start, [int(v) for v in shaped])))
    return cases


class Score(NamedTuple):
    """A rule over many cases; regret in percent."""

    median: float
    mean: float
    p90: float
    worst: float
    switches_a_year: float
    moves: int
    false_share: float
    moves_below: float
    """Share of the cases of shape `below` with a move."""
    by_shape: dict[str, float]


def score(outcomes: Sequence[Outcome], cases: Sequence[Case]) -> Score:
    """Regret and counts of a rule."""
    regret = 100 * np.array([o.regret for o in outcomes])
    years = sum(len(c.daily.requests) for c in cases) / 365.25
    moves = sum(o.moves for o in outcomes)
    shapes = np.array([c.shape for c in cases])
    below = [o.moves for o, c in zip(outcomes, cases, strict=True) if c.shape == "below"]
    return Score(
        float(np.median(regret)),
        float(regret.mean()),
        float(np.quantile(regret, 0.9)),
        float(regret.max()),
        (moves + sum(o.returns for o in outcomes)) / years,
        moves,
        sum(o.false for o in outcomes) / max(moves, 1),
        sum(below) / max(len(below), 1),
        {
            shape: round(float(regret[shapes == shape].mean()), 2)
            for shape in SHAPES
            if shape in shapes
        },
    )


def run(cases: Sequence[Case], scenarios: dict[str, str], processes: int) -> Any:
    """Outcomes by rule, in the order of the cases, and milliseconds a simulated day."""
    work: Callable[[Case], tuple[dict[str, Outcome], float]] = partial(
        run_case, scenarios=scenarios
    )
    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            results: Iterable[Any] = list(pool.map(work, cases, chunksize=4))
    else:
        results = list(map(work, cases))
    found, took = zip(*results, strict=True)
    rules = {name: [one[name] for one in found] for name in found[0]}
    return rules, 1000 * sum(took) / sum(len(c.daily.requests) for c in cases)


def family(series: str) -> str:
    """Series that share a source."""
    return series.partition("_")[0]


def print_scores(rules: dict[str, list[Outcome]], cases: Sequence[Case]) -> None:
    """One table: every rule, then by shape; and ours by family of series."""
    print(
        "| rule | median | mean | p90 | worst | switches a series-year | moves | false |"
        f" {' | '.join(SHAPES)} |"
    )
    print("|---" * (8 + len(SHAPES)) + "|")
    rows = {name: score(found, cases) for name, found in rules.items()}
    for name in sorted({family(c.series) for c in cases}):
        chosen = [i for i, c in enumerate(cases) if family(c.series) == name]
        ours = [rules["crossover"][i] for i in chosen]
        rows[f"crossover on {name}"] = score(ours, [cases[i] for i in chosen])
    for name, s in rows.items():
        shapes = " | ".join(
            f"{s.by_shape[sh] + 0.0:.1f}" if sh in s.by_shape else "" for sh in SHAPES
        )
        print(
            f"| {name} | {s.median:.1f} | {s.mean:.1f} | {s.p90:.1f} | {s.worst:.0f}"
            f" | {s.switches_a_year:.2f} | {s.moves} | {s.false_share:.1%} | {shapes} |"
        )


def main() -> None:
    """Print the table and the time of a simulated day."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=Path, default=SHARED / "tools/decision_cases.py")
    parser.add_argument("--data", type=Path, default=SHARED / "data/forecast_dev.csv")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    os.nice(10)
    script = load(args.cases)
    cases = make_cases(script, args.data, args.stride)
    rules, ms = run(cases, script.SCENARIOS, args.processes)
    print(f"{len(cases)} cases; regret in % of the hindsight cost, by shape its mean\n")
    print_scores(rules, cases)
    print(f"\n{ms:.2f} ms a simulated day (at most 3)")


if __name__ == "__main__":
    main()
