"""A month after a move: the account is exact, and its parts add up to the last unit."""

import random
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from monitor.domain import costs
from monitor.domain.aftermath import (
    PARTS,
    Month,
    Prices,
    Served,
    as_measured,
    bundle,
    mean_prices,
    moved_spans,
    one_off,
    outlook,
    payback,
    settle,
)
from monitor.domain.attribution import GROUPS, saving
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.usage import Quantities
from tests.conftest import FULL
from tests.weekly_facts import scenario

PICO = 10**12
PRICES = Prices(Fraction("1.25"), Fraction("0.125"), Fraction(10), Fraction(1, 5))
WHOLE = Month(30, 30, Served(1_400_000, 5_600_000_000, 420_000_000), 0)


def measured(month=WHOLE, prices=PRICES, promised=None, **changes):
    base = promised or scenario()
    deployment = replace(base.deployment, **changes)
    return as_measured(base, deployment, Fraction(3), month, prices)


def at_prices(month=WHOLE, prices=PRICES):
    """What the API would have charged, from the tokens alone."""
    cached = month.served.input_tokens * prices.cached_share
    usd = (month.served.input_tokens - cached) * prices.input + cached * prices.cached
    return (usd + month.served.output_tokens * prices.output) / 10**6


def test_a_month_is_its_tokens_at_the_prices_of_the_month_less_the_fleet_for_its_load():
    found = measured()
    settled = settle(scenario(), found, WHOLE)
    assert settled.at_api == at_prices() * PICO
    assert settled.own == costs.self_bill(found, 1_400_000) * PICO
    assert settled.saved == settled.at_api - settled.own


@pytest.mark.parametrize("known_days", [1, 13, 29])
def test_a_part_of_a_month_counts_its_days_alone(known_days):
    """Three prime factors that divide nothing: exact nevertheless."""
    month = Month(30, known_days, Served(70_001, 300_000_007, 21_000_011), 10_007)
    found = measured(month)
    settled = settle(scenario(), found, month)
    assert settled.at_api == round(at_prices(month) * PICO)
    fleet = costs.self_bill(found, found.workload.share_moved * found.workload.requests_per_month)
    assert settled.own == round(fleet * Fraction(known_days, 30) * PICO)
    assert settled.promised == round(saving(scenario()) * Fraction(known_days, 30) * PICO)


@pytest.mark.proof
def test_the_parts_add_up_to_the_pico_on_random_months():
    drawn = random.Random(7)
    seen = dict.fromkeys(PARTS, 0)
    for _ in range(1000 if FULL else 40):
        days = drawn.choice([28, 30, 31])
        served = Served(drawn.randint(1, 10**7), drawn.randint(0, 10**11), drawn.randint(0, 10**10))
        month = Month(days, drawn.randint(1, days), served, drawn.choice([0, 1, 10**6]))
        prices = Prices(*(Fraction(drawn.randint(0, 9999), 700) for _ in range(3)), Fraction(1, 3))
        promised = scenario(drawn.randint(1, 10**7))
        rent, people = Fraction(drawn.randint(1, 900), 70), Fraction(drawn.randint(0, 9000), 7)
        found = as_measured(
            promised,
            replace(promised.deployment, usd_per_gpu_hour=rent, people_usd_per_month=people),
            Fraction(drawn.randint(1, 5)),
            month,
            prices,
        )
        settled = settle(promised, found, month)
        assert sum(settled.parts.values()) == settled.saved - settled.promised
        for name, pico in settled.parts.items():
            seen[name] += abs(pico) > PICO
    assert min(seen.values()) > 30


def test_every_group_of_inputs_has_a_part():
    assert sorted(g for groups in PARTS.values() for g in groups) == sorted(GROUPS)


def test_what_went_as_promised_has_no_difference_and_what_changed_has_its_own_name():
    promised = measured()
    assert set(settle(promised, promised, WHOLE).parts.values()) == {0}
    cheaper = settle(promised, measured(prices=PRICES._replace(output=Fraction(5))), WHOLE)
    assert cheaper.parts == {"volume": 0, "mix": 0, "price": -420 * 5 * PICO, "own_cost": 0}
    dearer = settle(promised, measured(people_usd_per_month=Fraction(9000)), WHOLE)
    assert dearer.parts == {"volume": 0, "mix": 0, "price": 0, "own_cost": -5000 * PICO}


def test_without_a_promise_there_is_a_saving_and_no_difference():
    settled = settle(None, measured(), WHOLE)
    assert (settled.promised, settled.parts) == (None, {})
    assert settled.saved == settle(scenario(), measured(), WHOLE).saved


def card(**usd):
    return RateCard("openai", "gpt-5", "", 0, usd_per_million(**usd))


def test_prices_are_those_of_each_day_weighed_by_what_own_engines_served_on_it():
    """A million requests' tokens before the move; prices double before the busier second day."""
    used = Quantities(uncached_input=600, cache_write=200, cache_read=200, output=100, requests=5)
    rates = {"uncached_input": "1", "cache_write": "2", "cache_read": "0.1", "output": "10"}
    doubled = {name: str(2 * Decimal(rate)) for name, rate in rates.items()}
    days = [
        (Served(1, 1000, 50), bundle([(used, card(**rates))])),
        (Served(3, 3000, 0), bundle([(used, card(**doubled))])),
    ]
    found = mean_prices(days)
    assert found.input == Fraction(5, 4) * Fraction(7, 4)
    assert found.cached == Fraction(1, 10) * Fraction(7, 4)
    assert found.output == 10
    assert found.cached_share == Fraction(1, 5)


def test_a_price_of_requests_is_paid_with_the_output():
    used = Quantities(uncached_input=10, output=10, requests=4)
    rates = usd_per_million(uncached_input="1", output="1", per_request="5")
    found = bundle([(used, RateCard("openai", "gpt-5", "", 0, rates))])
    assert found.femto == (10 * 10**9, 0, (10 + 4 * 5) * 10**9)


@pytest.mark.parametrize(
    ("used", "says"),
    [
        ([(Quantities(uncached_input=9, output=9), None)], "more than half"),
        ([(Quantities(output=9), card(output="1"))], "never served such tokens"),
        ([], "never served such tokens"),
    ],
)
def test_without_a_price_there_is_a_reason_and_no_zero(used, says):
    assert says in mean_prices([(Served(1, 5, 5), bundle(used))])


@pytest.mark.parametrize(
    ("standings", "spans"),
    [
        ([], []),
        ([(1, False)], []),
        ([(1, False), (2, True), (3, True)], [(2, None)]),
        ([(1, True), (2, False), (3, False), (4, True)], [(1, 2), (4, None)]),
    ],
)
def test_spans_begin_where_it_was_seen_to_run_in_own_service(standings, spans):
    assert moved_spans(standings) == spans


@pytest.mark.parametrize(
    ("saved", "months", "reached", "left"),
    [(30, 3, True, None), (10, 2, False, 4), (-5, 2, False, None), (0, 0, False, None)],
)
def test_a_payback_is_reached_or_some_months_away_or_not_in_sight(saved, months, reached, left):
    assert payback(Fraction(30), Fraction(saved), months) == (reached, left)


def test_a_move_costs_its_setup_and_the_fleet_while_both_run():
    of = scenario()
    twice = replace(of, migration=replace(of.migration, dual_running_months=Fraction(2)))
    fleet = costs.self_bill(of, 1_400_000)
    assert one_off(twice) == (30_000 + 2 * fleet) * PICO


def test_the_outlook_is_to_return_where_the_advice_says_so():
    assert outlook(scenario(), measured(), "it loses") == ("return", "it loses")


def test_the_outlook_is_to_grow_where_the_planned_fleet_is_too_small():
    busy = Month(30, 30, Served(*(20 * n for n in WHOLE.served)), 0)
    found = outlook(scenario(), measured(busy), "")
    assert found.direction == "grow"
    assert "were planned" in found.reason


def test_the_outlook_is_to_grow_where_more_of_the_share_would_pay():
    half = WHOLE._replace(api_requests=1_400_000)
    found = outlook(scenario(), measured(half), "")
    assert found.direction == "grow"
    assert "100% of its requests in own service instead of 50%" in found.reason


@pytest.mark.parametrize(("people", "says"), [(0, "saves $"), (90_000, "the daily advice says")])
def test_else_it_stays_whether_the_month_saved_or_lost(people, says):
    of = scenario(people=people)
    found = outlook(of, measured(promised=of), "")
    assert found.direction == "stay"
    assert says in found.reason
