"""Ranges around the exact model: the same bytes twice, the exact figures without spread, no NaN."""

import json
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import volumes
from monitor.domain.breakeven import assess
from monitor.domain.errors import InputError
from monitor.domain.ranges import CERTAIN, simulate, to_json
from monitor.domain.scenario import parse_scenario, parse_tables
from monitor.domain.volumes import Volume
from monitor.jobs import ranging
from tests.conftest import FULL

# A scenario is slow to draw, and unit tests are many.
FEW = settings(max_examples=500 if FULL else 4)


def example(name):
    return parse_scenario(Path(f"docs/examples/{name}.toml").read_text())


def growing(**changed):
    """A rented fleet that grows with the load, near its crossing; changed by `table__key`."""
    tables = {
        "workload": {
            "requests_per_month": 4_500_000,
            "input_tokens": 800,
            "cached_input_tokens": 200,
            "output_tokens": 250,
            "peak_to_mean": 3,
        },
        "api": {"input_usd_per_million": 2, "output_usd_per_million": 8},
        "deployment": {
            "gpus_per_replica": 2,
            "gpu_input_tokens_per_second": 1458,
            "gpu_output_tokens_per_second": 1410,
            "usd_per_gpu_hour": 2,
            "people_usd_per_month": 8000,
        },
        "migration": {"setup_usd": 20_000, "dual_running_months": 1},
    }
    for name, value in changed.items():
        table, key = name.split("__")
        tables[table][key] = value
    return parse_tables(tables)


def whole(most):
    return st.integers(0, most)


@st.composite
def scenarios(draw):
    """Scenarios of every kind: nothing moved, no capacity limit, whole servers, prices of 0."""
    money = st.sampled_from([0, 1, 7, 2000, 10**6])
    servers = draw(st.sampled_from([0, 0, 4, 8]))
    share = draw(st.sampled_from([0, Fraction(1, 3), Fraction(4, 5), 1]))
    tables = {
        "workload": {
            "requests_per_month": draw(st.sampled_from([0, 1, 999, 10**6, 10**13])),
            "input_tokens": draw(whole(2000)),
            "cached_input_tokens": draw(whole(500)),
            "output_tokens": draw(whole(500)),
            "peak_to_mean": 1 + draw(whole(4)),
            "share_moved": share,
        },
        "api": {
            "input_usd_per_million": draw(whole(30)),
            "output_usd_per_million": draw(whole(60)),
            "fixed_usd_per_month": draw(money),
            "minimum_usd_per_month": draw(money),
            "price_change_per_month": Fraction(draw(st.integers(-9, 9)), 100),
        },
        "deployment": {
            "gpus_per_replica": draw(st.integers(1, 8)),
            "gpu_input_tokens_per_second": draw(st.sampled_from([0, 100, 7290])),
            "gpu_output_tokens_per_second": draw(st.sampled_from([0, 90, 7050])),
            "min_replicas": draw(whole(2)),
            "spare_replicas": draw(whole(1)),
            "gpus_per_server": servers,
            "usd_per_gpu_hour": draw(st.sampled_from([0, 1, Fraction("2.5")])),
            "gpu_usd_per_month": draw(money),
            "people_usd_per_month": draw(money),
            **({"owned": {"server_purchase_usd": draw(money)}} if servers else {}),
        },
        "migration": {
            "setup_usd": draw(money),
            "lead_days": draw(whole(100)),
            "dual_running_months": draw(whole(3)),
        },
    }
    return parse_tables(tables)


@FEW
@given(scenarios())
def test_without_any_spread_the_ranges_are_the_exact_figures(scenario):
    exact = assess(scenario)
    told = simulate(scenario, CERTAIN, found=exact, draws=3)
    # Floats hold 15 digits of the bills, whose difference may be small.
    bills = float(exact.api + exact.hybrid + 1)
    assert told.probability == float(exact.savings > 0)
    assert told.savings == pytest.approx([float(exact.savings)] * 3, rel=1e-9, abs=bills * 1e-10)
    net = [float(exact.net_12_months)] * 3
    assert told.net == pytest.approx(net, rel=1e-9, abs=bills * 1e-8)
    if exact.payback_months is None:
        assert told.payback_months == (None, None, None)
    elif exact.savings > exact.api / 1000:
        months = [float(exact.payback_months)] * 3
        assert told.payback_months == pytest.approx(months, rel=1e-6)
    reached = exact.crossing is not None and exact.requests >= exact.crossing
    assert told.above_crossing[0] == float(reached)


@FEW
@given(scenarios(), st.integers(0, 2**32))
def test_every_scenario_gives_finite_figures_and_chances_from_0_to_1(scenario, seed):
    told = simulate(scenario, seed=seed, draws=50)
    text = json.dumps(to_json(told), allow_nan=False)
    assert simulate(scenario, seed=seed, draws=50) == told
    chances = (told.probability, told.never_pays_back, told.net_probability, *told.above_crossing)
    assert all(0 <= chance <= 1 for chance in chances), text
    assert told.savings.q10 <= told.savings.q50 <= told.savings.q90
    assert told.net.q10 <= told.net.q50 <= told.net.q90
    assert told.never_pays_back == pytest.approx(1 - told.probability)


def test_the_same_inputs_give_the_same_bytes_and_another_seed_others():
    found = assess(growing())
    first, again = (json.dumps(ranging.document(found)) for _ in range(2))
    assert first == again
    assert simulate(growing(), seed=1).savings != simulate(growing(), seed=2).savings


def test_own_service_is_the_likelier_the_dearer_the_api():
    chances = [
        simulate(growing(api__input_usd_per_million=Fraction(price, 10))).probability
        for price in range(0, 100, 24)
    ]
    assert chances == sorted(chances)
    assert chances[0] < 0.2
    assert chances[-1] > 0.8


@pytest.mark.parametrize("spread", [f for f in vars(CERTAIN) if f not in ("projected", "tokens")])
def test_each_spread_alone_widens_a_range_and_can_be_switched_off(spread):
    scenario = growing(deployment__spare_replicas=1)
    told = simulate(scenario, replace(CERTAIN, **{spread: 0.3}))
    certain = simulate(scenario, CERTAIN)
    assert certain.net.q10 == certain.net.q90
    assert told.net.q10 < told.net.q90


def test_a_payback_that_never_comes_is_a_share_and_no_number():
    told = to_json(simulate(growing()))
    assert 0 < told["never_pays_back"] < 1
    assert told["payback_months"]["q10"] > 0
    never = to_json(simulate(growing(api__input_usd_per_million=0, api__output_usd_per_million=0)))
    assert never["never_pays_back"] == 1
    assert never["payback_months"] == {"q10": None, "q50": None, "q90": None}


def test_a_net_that_contradicts_the_months_verdict_is_flagged():
    assert assess(example("f14-api-falling")).verdict == "self_host"
    assert simulate(example("f14-api-falling")).net_contradicts
    assert not simulate(example("f14-flat")).net_contradicts


@pytest.mark.parametrize("stated", ["-0.1", "-0.01", "0", "0.05"])
def test_the_stated_change_of_prices_is_the_median_of_the_drawn_ones(stated):
    scenario = growing(
        api__price_change_per_month=Fraction(stated),
        deployment__gpu_price_change_per_month=Fraction(stated),
    )
    exact = float(assess(scenario).net_12_months)
    for name in ("api_trend", "gpu_trend"):
        net = simulate(scenario, replace(CERTAIN, **{name: 0.03})).net
        assert net.q10 < exact < net.q90
        assert net.q50 == pytest.approx(exact, abs=0.05 * (net.q90 - net.q10) + 1)


def test_numbers_too_large_for_floats_are_refused():
    huge = growing(deployment__people_usd_per_month=10**199, api__input_usd_per_million=10**199)
    with pytest.raises(InputError, match="too large for ranges"):
        simulate(growing(workload__input_tokens=10**199, api__input_usd_per_million=10**199))
    assert np.isfinite(simulate(huge).savings.q50)


def test_two_thousand_draws_take_a_few_milliseconds():
    found = assess(growing())
    simulate(found.scenario, found=found)
    took = []
    for _ in range(5):
        start = time.process_time()
        simulate(found.scenario, found=found)
        took.append(time.process_time() - start)
    assert min(took) < 0.05


# Volumes.


@given(
    floor=whole(10**6),
    parts=st.lists(whole(10**7), min_size=3, max_size=3),
    crossing=st.one_of(st.none(), whole(10**8)),
)
def test_a_chance_lies_from_0_to_1_and_falls_with_the_crossing(floor, parts, crossing):
    volume = Volume(*(floor + part for part in sorted(parts)), floor)
    chance = volumes.chance_above(volume, crossing)
    assert 0 <= chance <= 1
    if crossing is not None:
        assert volumes.chance_above(volume, crossing + 1000) <= chance
    drawn = volumes.draws(volume, np.linspace(-4, 4, 101))
    assert np.isfinite(drawn).all()
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] >= floor


def test_draws_and_chances_pass_through_the_projected_quantiles():
    volume = Volume(120.0, 150.0, 300.0, 100.0)
    normals = np.array([-volumes.Z90, 0, volumes.Z90])
    assert volumes.draws(volume, normals) == pytest.approx([120, 150, 300])
    told = [volumes.chance_above(volume, crossing) for crossing in (100, 120, 150, 300)]
    assert told == pytest.approx([1, 0.9, 0.5, 0.1])


@pytest.mark.parametrize("rest", [(0, 0, 0), (0, 0, 50), (0, 40, 50), (40, 40, 40)])
def test_draws_from_a_degenerate_range_are_finite_and_ordered(rest):
    volume = Volume(*(7.0 + q for q in rest), 7.0)
    drawn = volumes.draws(volume, np.array([-8.0, -volumes.Z90, 0.0, volumes.Z90, 8.0]))
    assert np.isfinite(drawn).all()
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] >= 7
    assert drawn[[2, 3]] == pytest.approx([volume.q50, volume.q90], abs=0.06)


def test_a_share_of_draws_above_a_crossing_is_its_chance():
    volume = Volume(80.0, 150.0, 300.0, 40.0)
    drawn = volumes.draws(volume, np.random.default_rng(1).standard_normal(100_000))
    for crossing in (60, 100, 150, 250, 500):
        chance = volumes.chance_above(volume, crossing)
        assert (drawn >= crossing).mean() == pytest.approx(chance, abs=0.005)


def test_beyond_the_projected_months_the_median_stays_and_the_spread_grows():
    known = [Volume(90, 100, 110, 50), Volume(80, 100, 130), Volume(75, 110, 160)]
    year = volumes.year_ahead(known)
    assert year[:3] == known
    assert len(year) == 13
    assert all(volume.q50 == 110 for volume in year[2:])
    spreads = [np.log(v.q90 / v.q50) for v in year[2:]]
    assert spreads == sorted(spreads)
    assert spreads[6] == pytest.approx(2 * spreads[0])


def test_a_projected_volume_is_used_and_what_is_known_of_it_is_certain():
    months = (Volume(4_400_000, 4_500_000, 4_600_000, 4_300_000), Volume(1e6, 2e6, 3e6))
    told = simulate(growing(), replace(CERTAIN, projected=months))
    assert told.volume == months[0]
    wide = simulate(growing(), replace(CERTAIN, volume=0.5))
    assert told.savings.q90 - told.savings.q10 < wide.savings.q90 - wide.savings.q10
