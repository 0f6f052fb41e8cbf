"""Past days priced and decisions replayed: exact, and equal to a slow recomputation."""

import math
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import backtest
from monitor.domain.backtest import Daily, cheapest, price_days, read_daily
from monitor.domain.errors import InputError
from monitor.domain.scenario import parse_tables
from monitor.domain.switching import Move
from tests.conftest import FULL

D = Fraction("30.4375")
START = date(2026, 1, 20)


def exact(values):
    """A scenario's tables with every number exact."""
    return {
        table: {k: v if isinstance(v, int) else Fraction(str(v)) for k, v in keys.items()}
        for table, keys in values.items()
    }


TABLES = {
    "workload": {"requests_per_month": 1, "input_tokens": 300, "output_tokens": 100},
    "api": {"input_usd_per_million": "2.5", "output_usd_per_million": 10},
    "deployment": {"gpus_per_replica": 2, "gpu_usd_per_month": 900, "people_usd_per_month": 300},
    "migration": {"setup_usd": 20, "lead_days": 1, "exit_usd": 7, "exit_lead_days": 1},
}


def scenario(**changes):
    """TABLES with some keys changed."""
    tables = {table: dict(keys) for table, keys in TABLES.items()}
    for key, value in changes.items():
        table = next(t for t, keys in KEYS.items() if key in keys)
        tables[table][key] = value
    return parse_tables(exact(tables))


KEYS = {
    "workload": {"share_moved", "peak_to_mean", "cached_input_tokens"},
    "api": {"fixed_usd_per_month", "minimum_usd_per_month", "cached_input_usd_per_million"},
    "deployment": {
        *("gpu_input_tokens_per_second", "gpu_output_tokens_per_second", "usd_per_gpu_hour"),
        *("spare_replicas", "min_replicas", "gpus_per_server", "variable_usd_per_million_tokens"),
    },
    "migration": {
        *("setup_usd", "lead_days", "dual_running_months", "exit_usd", "exit_lead_days"),
    },
}

SCENARIOS = st.fixed_dictionaries(
    {},
    optional={
        "share_moved": st.sampled_from(["0.8", "0.35", 0, 1]),
        "peak_to_mean": st.sampled_from([1, "2.5", 7]),
        "cached_input_tokens": st.sampled_from([0, 50]),
        "fixed_usd_per_month": st.sampled_from([0, 90, "33.3"]),
        "minimum_usd_per_month": st.sampled_from([0, 500, 1500, 4000]),
        "gpu_input_tokens_per_second": st.sampled_from([0, "0.9", 40]),
        "gpu_output_tokens_per_second": st.sampled_from([0, "0.3", 9]),
        "usd_per_gpu_hour": st.sampled_from([0, "0.11", "0.7"]),
        "spare_replicas": st.integers(0, 2),
        "min_replicas": st.integers(0, 2),
        "gpus_per_server": st.sampled_from([0, 8]),
        "variable_usd_per_million_tokens": st.sampled_from([0, "0.4"]),
        "setup_usd": st.sampled_from([0, 5, 60]),
        "lead_days": st.integers(0, 4),
        "dual_running_months": st.sampled_from([0, "0.05", "0.1", "0.15", 1]),
        "exit_usd": st.sampled_from([0, 3, 30]),
        "exit_lead_days": st.integers(0, 4),
    },
).map(lambda changes: scenario(**changes))


class Oracle:
    """The costs of a sequence of decisions, day by day, as the model's page words them."""

    def __init__(self, daily, chosen):
        self.daily, self.s = daily, chosen
        self.n = len(daily.requests)

    def api_day(self, i, share):
        w, a = self.s.workload, self.s.api
        cached = a.cached_input_usd_per_million
        cached = a.input_usd_per_million if cached is None else cached
        u = (
            w.input_tokens * a.input_usd_per_million
            + w.cached_input_tokens * cached
            + w.output_tokens * a.output_usd_per_million
        ) / Fraction(10**6)
        day = self.daily.start + timedelta(i)
        month = [
            k
            for k in range(self.n)
            if (at := self.daily.start + timedelta(k)).month == day.month and at.year == day.year
        ]
        used = {k: a.fixed_usd_per_month / D + share * self.daily.requests[k] * u for k in month}
        following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
        length = (following - date(day.year, day.month, 1)).days
        floor = a.minimum_usd_per_month * Fraction(len(month), length)
        return used[i] + max(Fraction(0), floor - sum(used.values())) / len(month)

    def fleet_day(self, i):
        w, d = self.s.workload, self.s.deployment
        week = self.daily.requests[max(0, i - 6) : i + 1]
        n = w.share_moved * D * Fraction(sum(week), len(week))
        fresh, out = w.input_tokens * (1 - d.prefix_cache_hit_share), w.output_tokens
        t = Fraction(0)
        if d.gpu_input_tokens_per_second:
            t += fresh / d.gpu_input_tokens_per_second
        if d.gpu_output_tokens_per_second:
            t += out / d.gpu_output_tokens_per_second
        demand = n * w.peak_to_mean / 2_628_000
        used = d.gpus_per_replica * d.headroom
        needed = math.ceil(demand * t / used) if t else int(demand > 0)
        gpus = (max(d.min_replicas, needed) + d.spare_replicas) * d.gpus_per_replica
        if d.gpus_per_server:
            gpus = math.ceil(Fraction(gpus, d.gpus_per_server)) * d.gpus_per_server
        tokens = w.input_tokens + w.cached_input_tokens + w.output_tokens
        month = (
            gpus * d.usd_per_gpu_hour * 730
            + d.gpu_usd_per_month
            + d.services_usd_per_month
            + d.people_usd_per_month
            + n * tokens * d.variable_usd_per_million_tokens / Fraction(10**6)
        )
        return month / D

    @cache  # noqa: B019 - an oracle lives as long as its example
    def day(self, i, kind):
        if kind == "api":
            return self.api_day(i, Fraction(1))
        if kind == "dual":
            return self.api_day(i, Fraction(1)) + self.fleet_day(i)
        share = self.s.workload.share_moved
        return self.fleet_day(i) + (self.api_day(i, 1 - share) if share < 1 else 0)

    def cost(self, moves):
        """Walks: what each day is, from the decisions before it."""
        m = self.s.migration
        dual_days = round(m.dual_running_months * D)
        total = Fraction(0)
        kinds = ["api"] * self.n
        for move in moves:
            if move.to == "self_host":
                total += m.setup_usd
                first = move.day + m.lead_days + 1
                for i in range(first, self.n):
                    kinds[i] = "dual" if i < first + dual_days else "own"
            else:
                total += m.exit_usd
                for i in range(move.day + m.exit_lead_days + 1, self.n):
                    kinds[i] = "api"
        return total + sum(self.day(i, kind) for i, kind in enumerate(kinds))

    def sequences(self):
        """Every sequence of decisions that is not void."""
        m = self.s.migration
        for chosen in product((False, True), repeat=self.n):
            moves, place, began = [], "api", 0
            for i in (i for i, one in enumerate(chosen) if one):
                if i < began:
                    break
                place = "self_host" if place == "api" else "api"
                moves.append(Move(i, place))
                began = i + 1 + (m.lead_days if place == "self_host" else m.exit_lead_days)
            else:
                yield moves


def days_of(most):
    load = st.sampled_from([0, 3_000, 20_000, 41_000, 90_000, 333_333])
    return st.integers(1, most).flatmap(lambda n: st.lists(load, min_size=n, max_size=n))


@pytest.mark.proof
@given(chosen=SCENARIOS, requests=days_of(60), data=st.data())
def test_any_decisions_cost_what_the_days_one_by_one_add_up_to(chosen, requests, data):
    daily = Daily(START, requests)
    days, oracle = price_days(daily, chosen), Oracle(daily, chosen)
    moves, day, place = [], 0, "api"
    while day < len(requests) and data.draw(st.booleans()):
        day = data.draw(st.integers(day, len(requests) - 1))
        place = "self_host" if place == "api" else "api"
        moves.append(Move(day, place))
        day += 1 + (days.lead if place == "self_host" else days.exit_lead)
    assert Fraction(backtest.cost(days, moves), days.scale) == oracle.cost(moves)


@pytest.mark.proof
@given(chosen=SCENARIOS, requests=days_of(12 if FULL else 9))
def test_hindsight_is_the_cheapest_of_all_sequences_of_decisions(chosen, requests):
    daily = Daily(START, requests)
    days, oracle = price_days(daily, chosen), Oracle(daily, chosen)
    assert Fraction(cheapest(days), days.scale) == min(map(oracle.cost, oracle.sequences()))


@pytest.mark.parametrize(
    ("moves", "dual_days"), [([], 0), ([(2, 1)], 3), ([(0, 1), (9, 0)], 4), ([(0, 1), (3, 0)], 9)]
)
def test_double_running_and_the_exit_run_for_their_days(moves, dual_days):
    chosen = scenario(dual_running_months=Fraction(dual_days, 30), lead_days=2, exit_lead_days=3)
    daily = Daily(START, [50_000] * 16)
    moves = [Move(day, ("api", "self_host")[to]) for day, to in moves]
    days, oracle = price_days(daily, chosen), Oracle(daily, chosen)
    assert days.dual_days == dual_days
    assert Fraction(backtest.cost(days, moves), days.scale) == oracle.cost(moves)


def test_a_month_through_the_api_pays_its_minimum_and_a_part_of_it_its_part():
    chosen = scenario(minimum_usd_per_month=3_100)
    daily = Daily(date(2026, 1, 22), [10] * 10 + [0] * 28 + [10**7])
    days = price_days(daily, chosen)
    usd = [Fraction(cost, days.scale) for cost in days.api]
    assert sum(usd[:10]) == Fraction(3_100 * 10, 31)
    assert sum(usd[10:38]) == 3_100
    assert usd[38] == Fraction("17500")


def test_a_decision_is_paid_though_the_file_ends_before_it_takes_effect():
    days = price_days(Daily(START, [5_000] * 3), scenario(lead_days=90))
    never, late = backtest.cost(days, []), backtest.cost(days, [Move(2, "self_host")])
    assert Fraction(late - never, days.scale) == 20


@pytest.mark.parametrize(
    "moves",
    [
        [Move(0, "api")],
        [Move(0, "self_host"), Move(5, "self_host")],
        [Move(0, "self_host"), Move(1, "api")],
        [Move(0, "self_host"), Move(4, "api"), Move(5, "self_host")],
    ],
)
def test_a_void_decision_has_no_cost(moves):
    days = price_days(Daily(START, [5_000] * 9), scenario())
    with pytest.raises(ValueError, match="is void"):
        backtest.cost(days, moves)


def test_hindsight_of_nothing_has_no_regret():
    chosen = scenario(setup_usd=0, fixed_usd_per_month=0)
    daily = Daily(START, [0] * 40)
    result = backtest.replay(price_days(daily, chosen), [])
    assert result.hindsight == 0
    figures = backtest.to_json(daily, [], result)
    assert figures["regret"] is None
    assert figures["costs"]["followed_usd"] == "0.00"


def test_a_regret_without_bounds_is_still_a_number():
    daily = Daily(START, [1])
    result = backtest.Result(Fraction(10**400), Fraction(1), Fraction(1), Fraction(1))
    assert backtest.to_json(daily, [], result)["regret"] == 10**400 - 1


def series(seed, days=400, level=40_000):
    random = np.random.default_rng(seed)
    walk = np.exp(np.cumsum(random.normal(0, 0.06, days)))
    return [int(n) for n in level * walk * random.lognormal(0, 0.2, days)]


@pytest.mark.parametrize("seed", range(4))
def test_a_file_cut_on_the_day_of_an_event_gives_the_same_events_up_to_it(seed):
    requests, chosen = series(seed, level=20_000), scenario(dual_running_months=1)
    moves = backtest.advised(Daily(START, requests), chosen)
    for i, move in enumerate(moves):
        cut = Daily(START, requests[: move.day + 1])
        assert backtest.advised(cut, chosen) == moves[: i + 1]
    assert any(backtest.advised(Daily(START, series(s)), chosen) for s in range(4))


@given(requests=st.lists(st.integers(0, 200_000), max_size=150), chosen=SCENARIOS)
def test_no_event_is_void_and_regret_is_never_negative(requests, chosen):
    daily = Daily(START, [0, *requests])
    moves = backtest.advised(daily, chosen)
    result = backtest.replay(price_days(daily, chosen), moves)
    assert result.followed >= result.hindsight
    assert min(result.api_only, result.self_host_only) >= result.hindsight


def test_price_changes_of_the_scenario_are_not_replayed():
    changed = scenario()
    changed = parse_tables(
        exact(TABLES | {"api": TABLES["api"] | {"price_change_per_month": "-0.3"}})
    )
    daily = Daily(START, series(2, level=120_000))
    assert backtest.advised(daily, changed) == backtest.advised(daily, scenario()) != []


GOOD = "date,requests\n2026-02-27,5\n2026-02-28,0\n2026-03-01,7\n"


def test_a_file_is_read_day_by_day():
    assert read_daily(GOOD) == Daily(date(2026, 2, 27), [5, 0, 7])
    assert read_daily("\ufeff" + GOOD.replace("\n", "\r\n")) == read_daily(GOOD)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("date,requests", "day,requests", "line 1: the heading must be date,requests"),
        (GOOD, "", "line 1: the heading"),
        ("2026-02-27,5\n2026-02-28,0\n2026-03-01,7\n", "", "there are no days"),
        ("2026-02-28,0\n", "", "line 3: 2026-03-01 does not follow 2026-02-27"),
        ("2026-02-28", "2026-02-27", "line 3: 2026-02-27 does not follow"),
        ("2026-02-28", "2026-02-26", "line 3: 2026-02-26 does not follow"),
        ("2026-02-28", "2026-02-30", "line 3: '2026-02-30' is not a date"),
        ("2026-02-28", "2026-W09-6", "line 3: '2026-W09-6' is not a date"),
        ("2026-02-28,0", "2026-02-28,-1", "line 3: '-1' is not a whole number"),
        ("2026-02-28,0", "2026-02-28,1.5", "line 3: '1.5' is not a whole number"),
        ("2026-02-28,0", "2026-02-28,", "line 3: '' is not a whole number"),
        ("2026-02-28,0", "2026-02-28,nan", "line 3: 'nan' is not a whole number"),
        ("2026-02-28,0", "2026-02-28,٣", "is not a whole number"),
        ("2026-02-28,0", "2026-02-28", "line 3: 1 columns instead of 2"),
        ("2026-02-28,0", "2026-02-28,0,0", "line 3: 3 columns instead of 2"),
        ("2026-02-28,0", "", "line 3: 1 columns instead of 2"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_line(old, new, said):
    with pytest.raises(InputError, match="here, ") as refused:
        read_daily(GOOD.replace(old, new, 1), "here")
    assert said in str(refused.value)


def test_figures_have_the_documented_form():
    daily = Daily(START, [60_000] * 30)
    moves = [Move(0, "self_host"), Move(20, "api")]
    figures = backtest.to_json(daily, moves, backtest.replay(price_days(daily, scenario()), moves))
    assert figures["events"] == [
        {"date": "2026-01-20", "advice": "self_host"},
        {"date": "2026-02-09", "advice": "api"},
    ]
    assert list(figures["costs"]) == [
        *("followed_usd", "hindsight_usd", "api_only_usd", "self_host_only_usd")
    ]
    assert all(Decimal(usd).as_tuple().exponent == -2 for usd in figures["costs"].values())
    followed, hindsight = (Decimal(figures["costs"][f"{x}_usd"]) for x in ("followed", "hindsight"))
    assert figures["regret"] == pytest.approx(float(followed / hindsight - 1), abs=1e-4)
