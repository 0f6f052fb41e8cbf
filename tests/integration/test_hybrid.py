"""Hybrid forms are never dearer than either whole, and are the cheapest of their kind."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import breakeven, costs
from monitor.domain.hybrid import (
    Task,
    base_in,
    best_base,
    best_share,
    best_tasks,
    route,
    split,
    tasks_in,
)
from monitor.domain.scenario import parse_tables

amounts = st.integers(0, 40_000).map(Fraction)
prices = st.integers(0, 60).map(Fraction)


def scenario(workload=(), api=(), deployment=(), owned=None):
    """A small fleet at 2,500 dollars a GPU: each replica of two carries what its rates allow."""
    tables = {
        "workload": {
            "requests_per_month": 2_000_000,
            "input_tokens": 400,
            "output_tokens": 100,
            **dict(workload),
        },
        "api": {"input_usd_per_million": 10, "output_usd_per_million": 30, **dict(api)},
        "deployment": {
            "gpus_per_replica": 2,
            "gpu_output_tokens_per_second": 20,
            "usd_per_gpu_hour": Fraction(5, 2),
            **dict(deployment),
        },
        "migration": {},
    }
    if owned:
        tables["deployment"]["owned"] = owned
    return parse_tables(tables)


@st.composite
def scenarios(draw):
    return scenario(
        workload={
            "requests_per_month": draw(st.integers(1, 9_000_000)),
            "output_tokens": draw(st.integers(1, 300)),
            "peak_to_mean": draw(st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(4)])),
        },
        api={
            "input_usd_per_million": draw(prices),
            "output_usd_per_million": draw(prices),
            "fixed_usd_per_month": draw(st.sampled_from([0, 500])),
            "minimum_usd_per_month": draw(st.sampled_from([0, 2_000])),
        },
        deployment={
            "gpu_output_tokens_per_second": draw(st.sampled_from([0, 5, 20, 300])),
            "people_usd_per_month": draw(amounts),
            "spare_replicas": draw(st.integers(0, 2)),
            "min_replicas": draw(st.integers(0, 3)),
            "gpus_per_server": draw(st.sampled_from([0, 2, 3, 8])),
            "variable_usd_per_million_tokens": draw(st.sampled_from([0, 1])),
        },
    )


hours = st.lists(st.integers(0, 1_000).map(Fraction), min_size=1, max_size=48)


@pytest.mark.proof
@given(scenarios(), hours)
def test_base_load_on_own_replicas_is_never_dearer_than_all_api_or_all_own(found, hourly):
    n = found.workload.requests_per_month
    base = best_base(found, hourly)
    if not sum(hourly):
        assert base is None
        return
    assert base.usd <= costs.api_bill(found, n)
    assert base.usd <= costs.self_bill(found, n)
    assert 0 <= base.share <= 1
    assert base.saves == costs.api_bill(found, n) - base.usd


@given(scenarios(), hours.filter(sum))
def test_no_other_number_of_replicas_is_cheaper(found, hourly):
    n = found.workload.requests_per_month
    scale = Fraction(n) / sum(hourly)
    flat = replace(found, workload=replace(found.workload, peak_to_mean=Fraction(1)))
    per_request = costs.replicas_per_request(flat)
    best = best_base(found, hourly)
    for k in range(max(1, found.deployment.min_replicas), 6):
        each = 1 / (per_request * len(hourly)) if per_request else scale * max(hourly)
        above = sum(max(Fraction(0), scale * h - k * each) for h in hourly)
        gpus = (k + found.deployment.spare_replicas) * 2
        if size := found.deployment.gpus_per_server:
            gpus = -(-gpus // size) * size
        fleet = gpus * Fraction(5, 2) * 730 + found.deployment.people_usd_per_month
        used = (n - above) * costs.variable_usd_per_request(found)
        rest = costs.api_bill(found, above) if above else 0
        assert best.usd <= fleet + used + rest


@pytest.mark.proof
@given(scenarios(), st.fractions(0, 1, max_denominator=200))
def test_no_other_share_is_cheaper_than_the_best_share(found, other):
    best = best_share(found)
    assert best.usd <= split(found, other).usd
    assert best.usd <= costs.api_bill(found, found.workload.requests_per_month)


@pytest.mark.proof
@pytest.mark.parametrize("share", [Fraction(6, 10), Fraction(7, 10), Fraction(8, 10)])
def test_the_api_bill_falls_by_the_share_moved_and_the_total_by_less(share):
    found = split(scenario(), share)
    assert found.api_falls == share
    assert found.saves < share * 14_000
    assert found.saves == 14_000 - found.usd


def test_moving_nothing_keeps_no_fleet():
    assert split(scenario(), Fraction(0)).saves == 0


def test_tasks_of_the_frontier_never_move_and_the_set_shares_one_fleet():
    tasks = [
        Task(name="tags", share=Fraction(1, 2)),
        Task(name="mail", share=Fraction(1, 4)),
        Task(name="agents", kind="agents", share=Fraction(1, 4)),
    ]
    dear = scenario(api={"input_usd_per_million": 40})
    chosen = best_tasks(dear, tasks)
    assert set(chosen.names) == {"tags", "mail"}
    assert chosen.share == Fraction(3, 4)
    assert chosen.usd == split(dear, Fraction(3, 4)).usd


def test_a_task_that_costs_more_gpu_time_than_its_bill_stays_behind():
    tasks = [
        Task(name="short", share=Fraction(1, 2)),
        Task(
            name="long",
            share=Fraction(1, 2),
            input_tokens=Fraction(0),
            output_tokens=Fraction(2_000),
        ),
    ]
    cheap_output = scenario(api={"input_usd_per_million": 60, "output_usd_per_million": 1})
    assert best_tasks(cheap_output, tasks).names == ("short",)


def test_no_set_of_tasks_saves_where_the_api_is_free():
    free = scenario(api={"input_usd_per_million": 0, "output_usd_per_million": 0})
    assert best_tasks(free, [Task(name="all", share=Fraction(1))]) is None


def test_more_than_twelve_tasks_are_taken_in_the_order_of_their_worth():
    tasks = [Task(name=f"t{i}", share=Fraction(1, 14)) for i in range(14)]
    dear = scenario(api={"input_usd_per_million": 60})
    assert best_tasks(dear, tasks).usd <= split(dear, Fraction(1)).usd


@pytest.mark.parametrize(
    ("complexity", "goes"),
    [("0.81", "frontier_api"), ("0.8", "own_70b"), ("0.51", "own_70b"), ("0.5", "own_8b")],
)
def test_requests_are_routed_by_their_complexity(complexity, goes):
    assert route(Fraction(complexity)) == goes


def test_a_profile_of_nothing_and_a_volume_of_nothing_have_no_base_load():
    assert best_base(scenario(), []) is None
    assert best_base(scenario(workload={"requests_per_month": 0}), [Fraction(1)]) is None


@given(scenarios(), st.sampled_from([Fraction(-1, 20), Fraction(1, 50)]), st.integers(0, 90))
def test_a_form_that_is_the_whole_has_the_net_of_the_whole(found, change, lead_days):
    found = replace(
        found,
        workload=replace(found.workload, peak_to_mean=Fraction(1)),
        api=replace(found.api, price_change_per_month=change),
        deployment=replace(found.deployment, gpu_price_change_per_month=-change),
        migration=replace(
            found.migration,
            setup_usd=Fraction(9_000),
            lead_days=lead_days,
            dual_running_months=Fraction(3, 2),
        ),
    )
    fleet = costs.fleet(found, found.workload.requests_per_month).replicas
    replicas = fleet - found.deployment.spare_replicas
    task = Task(name="all", share=Fraction(1))
    for months in (
        [base_in(found, [Fraction(1)] * 24, replicas, k) for k in range(12)],
        [tasks_in(found, [task], ["all"], k) for k in range(12)],
    ):
        saved, own = zip(*months, strict=True)
        net = breakeven.net_of(found.migration, saved.__getitem__, own.__getitem__)
        assert net == breakeven.net(found)
