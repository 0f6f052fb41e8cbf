"""When to move and when to return: near the crossing in, far below it out."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from monitor.domain import switching
from monitor.domain.errors import InputError
from monitor.domain.scenario import parse_tables
from monitor.domain.switching import Bills, State, View, placed, reading, step

D = 30.4375
CROSSING = 2_000_000
"""$20,000 a month of own service against $10 a thousand requests."""

TABLES = {
    "workload": {"requests_per_month": 1, "input_tokens": 500, "output_tokens": 500},
    "api": {"input_usd_per_million": 10, "output_usd_per_million": 10},
    "deployment": {"gpus_per_replica": 4, "gpu_usd_per_month": 20_000},
    "migration": {"setup_usd": 24_000, "exit_usd": 6_000, "lead_days": 30, "exit_lead_days": 14},
}


def scenario(tables=None, **migration):
    tables = tables or TABLES
    return parse_tables(tables | {"migration": tables["migration"] | migration})


def days(level, count=200, noise=0.0, seed=1):
    """Daily requests around `level` times the crossing."""
    random = np.random.default_rng(seed)
    return np.round(level * CROSSING / D * random.lognormal(0, noise, count))


def view(daily, chosen=None, day=None):
    return View(len(daily) - 1 if day is None else day, daily, Bills(chosen or scenario()))


INSIDE = State("self_host", 0)


def moves_at(level, state=None, chosen=None, **shape):
    return step(state or State(), view(days(level, **shape), chosen))[1]


def test_it_moves_near_the_crossing_and_returns_far_below_it():
    assert moves_at(1.0) is None
    assert moves_at(1.15).to == "self_host"
    assert moves_at(0.9, INSIDE) is None
    assert moves_at(0.7, INSIDE) is None
    assert moves_at(0.4, INSIDE).to == "api"


def test_dearer_switching_widens_the_band_on_both_sides():
    dear = scenario(setup_usd=120_000, exit_usd=30_000)
    assert moves_at(1.15, chosen=dear) is None
    assert moves_at(1.4, chosen=dear).to == "self_host"
    wide, narrow = Bills(dear), Bills(scenario())
    assert wide.pays_from > narrow.pays_from > CROSSING
    assert (wide.loses_to or 0) < narrow.loses_to < CROSSING


def test_volatile_demand_widens_the_band_downwards():
    calm = reading(INSIDE, view(days(1, 400, noise=0.02)))
    wild_days = days(1, 400) * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.05, 400)))
    wild = reading(INSIDE, view(np.round(wild_days)))
    assert wild.return_volume < calm.return_volume < CROSSING < calm.entry_volume


def test_a_burst_of_a_few_weeks_is_no_reason_to_move():
    burst = np.concatenate([days(0.5, 170), days(3, 30)])
    lasting = np.concatenate([days(0.5, 100), days(3, 100)])
    assert step(State(), view(burst))[1] is None
    assert step(State(), view(lasting))[1].to == "self_host"


def test_a_dip_of_a_few_weeks_is_no_reason_to_return():
    assert step(INSIDE, view(np.concatenate([days(1.5, 170), days(0.2, 30)])))[1] is None
    assert step(INSIDE, view(np.concatenate([days(1.5, 100), days(0.2, 100)])))[1].to == "api"


def test_a_short_history_must_promise_more():
    assert moves_at(3, count=6) is None
    assert moves_at(3, count=7).to == "self_host"
    assert moves_at(1.15, count=14) is None
    assert moves_at(1.15, count=200).to == "self_host"


def test_no_decision_is_taken_while_another_takes_effect():
    daily = days(2, 60)
    state, move = step(State(), view(daily), lead_days=30, exit_lead_days=14)
    assert move == (59, "self_host")
    assert (state.place, state.began) == ("self_host", 90)
    gone = np.concatenate([daily, np.zeros(140)])
    assert step(state, View(89, gone, Bills(scenario())))[1] is None
    state, back = step(state, View(90, gone, Bills(scenario())), exit_lead_days=14)
    assert back == (90, "api")
    assert state.began == 105


def test_a_workload_that_was_moved_by_people_is_judged_from_where_it_runs():
    daily = view(days(0.9))
    state, _ = step(State(), daily)
    assert placed(state, "api", 300) == state
    moved = placed(state, "self_host", 300)
    assert (moved.place, moved.began) == ("self_host", 300)
    assert (moved.projected, moved.spread) == (state.projected, state.spread)


def test_it_projects_once_a_week_from_the_past_alone():
    daily = days(1, 120, noise=0.3)
    bills, state, seen = Bills(scenario()), State(), []
    for day in range(120):
        state, _ = step(state, View(day, daily[: day + 1], bills))
        seen.append(state.projected_on)
    assert seen[:13] == [None] * 13
    assert [on for on in dict.fromkeys(seen) if on is not None] == list(range(13, 120, 7))


def test_the_projection_begins_when_a_move_would_end_its_lead_time():
    assert Bills(scenario(lead_days=45)).span == (45, 120)
    assert Bills(scenario(lead_days=400)).span == (55, 130)


def test_a_stored_state_goes_on_as_if_it_had_not_been_stored():
    daily = days(1.1, 160, noise=0.4)
    bills, plain, stored = Bills(scenario()), State(), State()
    for day in range(160):
        plain, one = step(plain, View(day, daily[: day + 1], bills))
        stored, other = step(through_json(stored), View(day, daily[: day + 1], bills))
        assert (plain, one) == (stored, other)
    assert through_json(State()) == State()


def through_json(state):
    """As the advice keeps it."""
    return State(**json.loads(json.dumps(state._asdict())))


def test_falling_prices_of_the_api_speak_against_moving():
    falling = TABLES | {"api": TABLES["api"] | {"price_change_per_month": Fraction("-0.03")}}
    assert moves_at(1.3).to == "self_host"
    assert moves_at(1.3, chosen=scenario(falling)) is None
    bills = Bills(scenario(falling))
    by_hand = sum(13_000 * Fraction("0.97") ** k * 2 - 20_000 for k in range(12))
    assert bills.saved(2_600_000, 12) == by_hand


def test_falling_prices_of_gpus_speak_for_staying_in_own_service():
    rented = {"gpus_per_replica": 4, "usd_per_gpu_hour": Fraction("6.85")}
    falling = rented | {"gpu_price_change_per_month": Fraction("-0.05")}
    assert moves_at(0.5, INSIDE, scenario(TABLES | {"deployment": rented})).to == "api"
    assert moves_at(0.5, INSIDE, scenario(TABLES | {"deployment": falling})) is None


def test_the_thresholds_are_where_the_decision_turns():
    bills = Bills(scenario(dual_running_months=Fraction("0.5")))
    entry, leave = bills.pays_from, bills.loses_to
    assert bills.pays(entry)
    assert not bills.pays(entry - 1)
    assert bills.loses(leave)
    assert not bills.loses(leave + 1)
    by_hand = CROSSING + (24_000 + 10_000) / 24 * 100
    assert entry == math.ceil(by_hand)
    assert leave == int(CROSSING - (24_000 + 10_000 + 6_000) / 12 * 100)


def test_what_never_pays_has_no_entry_and_what_never_loses_no_return():
    cheap_api = TABLES | {"api": {"input_usd_per_million": 0, "output_usd_per_million": 0}}
    assert Bills(scenario(cheap_api)).pays_from is None
    free = TABLES | {"deployment": {"gpus_per_replica": 1}}
    bills = Bills(scenario(free, setup_usd=0))
    assert bills.pays_from == 1
    assert bills.loses_to is None
    at_free = reading(INSIDE, view(days(1), scenario(free)))
    assert (at_free.return_volume, at_free.to_return) == (None, None)


def test_where_nothing_differs_nothing_is_decided():
    same = TABLES | {"workload": TABLES["workload"] | {"share_moved": 0}}
    same |= {"deployment": {"gpus_per_replica": 1}}
    free = scenario(same, setup_usd=0, exit_usd=0)
    assert moves_at(1, chosen=free) is None
    assert moves_at(1, INSIDE, free) is None


def test_an_explanation_carries_the_figures_that_decide():
    seen = reading(State(), view(days(1.0)))
    assert not seen.moves
    assert seen.volume == pytest.approx(CROSSING, rel=1e-3)
    assert seen.counted < seen.volume < seen.entry_volume
    assert seen.to_entry == Fraction(seen.entry_volume, seen.volume) - 1 > 0
    assert -1 < seen.to_return < 0
    assert f"{seen.counted:,} requests a month" in seen.reason
    assert f"own GPUs cost ${round(-seen.saving):,} a month more than the API" in seen.reason
    assert seen.reason.endswith("and moving costs $24,000 once.")
    near = reading(State(), view(days(1.08)))
    assert not near.moves
    saved = f"own GPUs save ${round(near.saving):,} a month; 24 months of that"
    assert f"{saved} do not repay the $24,000 that moving costs." in near.reason
    out = reading(INSIDE, view(days(0.4)))
    assert out.moves
    assert out.volume < out.return_volume
    assert f"cost ${round(-out.saving):,} a month more than the API; 12 months of" in out.reason
    assert "reach the $30,000 that returning and moving in again later would cost" in out.reason
    assert reading(State(), view(days(1, 5))) is None


def test_an_explanation_says_what_the_cost_of_moving_holds_and_asks_for_no_return_at_a_gain():
    double = reading(State(), view(days(2.0), scenario(dual_running_months=1)))
    assert double.reason.endswith("that moving costs, double running included.")
    at_home = reading(INSIDE, view(days(2.0)))
    assert at_home.reason.endswith("a month, so nothing speaks for a return.")


def test_bills_that_are_equal_are_said_to_be():
    same = TABLES | {"workload": TABLES["workload"] | {"share_moved": 0}}
    same |= {"deployment": {"gpus_per_replica": 1}}
    even = reading(State(), view(days(1.0), scenario(same)))
    assert "own GPUs cost as much as the API, and moving costs $24,000 once." in even.reason


@pytest.mark.parametrize("level", [0.3, 0.6, 0.9, 1.0, 1.05, 1.1, 1.2, 2.0])
@pytest.mark.parametrize("state", [State(), INSIDE])
def test_thresholds_reading_and_step_agree(level, state):
    seen = view(days(level, noise=0.2))
    read, (_, move) = reading(state, seen), step(state, seen)
    assert read.moves == (move is not None)
    if state.place == "api":
        assert read.moves == (read.volume >= read.entry_volume)
    else:
        assert read.moves == (read.volume <= read.return_volume)


@pytest.mark.parametrize("bad", [math.nan, -1.0, math.inf])
def test_a_history_with_holes_is_refused(bad):
    daily = days(1)
    daily[50] = bad
    with pytest.raises(InputError, match="holes or negative days"):
        step(State(), view(daily))


@pytest.mark.parametrize("place", ["api", "self_host"])
def test_silence_is_no_volume(place):
    state, move = step(State(place), view(np.zeros(100)))
    assert state.spread == 0.0
    assert (move is None) == (place == "api")
    assert reading(state, view(np.zeros(100))).to_entry is None


def test_the_scenarios_own_volume_is_not_used():
    other = scenario()
    other = replace(other, workload=replace(other.workload, requests_per_month=10**12))
    assert step(State(), view(days(1), other)) == step(State(), view(days(1)))
    assert switching.Bills(other).pays_from == Bills(scenario()).pays_from


def test_a_history_is_made_of_known_days_and_missing_ones_are_filled():
    day = switching.DAY
    daily = {k * day: 70 + k % 7 for k in range(60, 140)} | {k * day: 0 for k in range(50, 60)}
    whole = switching.history(daily, 140 * day)
    assert list(whole) == [70 + k % 7 for k in range(60, 140)]
    holes = daily | {100 * day: None, 139 * day: None}
    del holes[120 * day]
    assert list(switching.history(holes, 140 * day)) == list(whole)
    assert list(switching.history(daily, 100 * day)) == list(whole[:40])
    assert switching.history({}, day).size == switching.history({0: None}, day).size == 0
    assert len(switching.history(dict.fromkeys(range(0, 900 * day, day), 5), 900 * day)) == 800
