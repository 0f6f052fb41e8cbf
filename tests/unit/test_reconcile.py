"""A bill beside its estimate: what a ratio betrays, and what it cannot."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.reconcile import reconcile
from monitor.domain.reconciled import CAUSES, Charge, Use, total, unit_suspicion
from monitor.domain.usage import DAY
from tests import odd_bills
from tests.conftest import FULL
from tests.odd_bills import CENT

amounts = st.decimals("1.01", "10000000", places=2)


@pytest.mark.parametrize("ratio", ["100", "0.01", "70", "150", "0.007", "0.015"])
def test_a_ratio_near_a_hundred_is_an_error_in_a_unit(ratio):
    found = unit_suspicion(1000 * Decimal(ratio), Decimal(1000))
    assert found.startswith("a unit error: cents where dollars are expected")


@pytest.mark.parametrize("ratio", ["2", "0.5", "1.9", "0.48"])
def test_a_ratio_near_two_may_be_a_double_count(ratio):
    assert unit_suspicion(1000 * Decimal(ratio), Decimal(1000)) == "a double count?"


@pytest.mark.parametrize("ratio", ["1", "0.6", "1.7", "5", "0.1", "1000", "0.001"])
def test_other_ratios_have_honest_causes(ratio):
    assert unit_suspicion(100_000 * Decimal(ratio), Decimal(100_000)) == ""


@pytest.mark.parametrize(
    ("billed", "estimated"), [("1", "100"), ("100", "0"), ("-100", "100"), ("0", "0")]
)
def test_small_and_negative_amounts_say_nothing(billed, estimated):
    assert unit_suspicion(Decimal(billed), Decimal(estimated)) == ""


@given(amounts, amounts)
def test_it_does_not_matter_which_of_the_two_is_wrong(one, other):
    assert unit_suspicion(one, other) == unit_suspicion(other, one)


@given(amounts)
def test_cents_in_place_of_dollars_are_found_whatever_the_amount(dollars):
    assert unit_suspicion(dollars * 100, dollars).startswith("a unit error")


def compared(made):
    return reconcile(odd_bills.charges(made), odd_bills.uses(made)).compared


@pytest.mark.parametrize("cause", [*odd_bills.CAUSES, "unit"])
@pytest.mark.parametrize("seed", range(4))
def test_a_single_cause_is_found_to_the_cent(cause, seed):
    made = odd_bills.month(seed, [cause] if cause != "unit" else ["clean", "unit"])
    assert odd_bills.apart(made, compared(made)) == {}


def difference(made):
    billed = sum(charge.pico for charge in odd_bills.charges(made))
    return billed - sum(use.pico for use in odd_bills.uses(made))


def test_a_month_with_every_difference_at_once_is_taken_apart_to_the_cent():
    made = odd_bills.month(7, [*odd_bills.CAUSES, "unit"])
    found = compared(made)
    assert odd_bills.apart(made, found) == {}
    assert sum(total(found).values()) == difference(made)
    assert set(total(found)) == set(CAUSES)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(200 if FULL else 20))
def test_causes_of_a_random_month_are_as_injected_and_add_up_exactly(seed):
    made = odd_bills.month(seed)
    found = compared(made)
    assert odd_bills.apart(made, found) == {}
    assert sum(total(found).values()) == difference(made)


DAY0 = odd_bills.START
DOLLAR = odd_bills.PICO


def charge(pico, day=0, model="gpt-5", item="input tokens", **more):
    line = Charge(DAY0 + day * DAY, "openai", model, f"{model}, {item}", "", "costs", pico)
    return line._replace(**more)


def use(pico, day=0, model="gpt-5", **more):
    plain = Use(DAY0 + day * DAY, "openai", model, "", "openai usage", pico // 10**6, 0, pico)
    return plain._replace(**more)


def causes(charges, uses, open_days=()):
    return total(reconcile(charges, uses, open_days).compared)


def of_days(ratio, days=10, **more):
    own = [(100 + day * 7) * DOLLAR for day in range(days)]
    charges = [charge(int(pico * ratio), day, **more) for day, pico in enumerate(own)]
    return charges, [use(pico, day) for day, pico in enumerate(own)]


@pytest.mark.parametrize("name", ["gpt-5-2025-08-07", "openai/gpt-5", "GPT-5"])
def test_a_model_is_one_whatever_each_side_calls_it(name):
    assert causes([charge(5 * DOLLAR)], [use(5 * DOLLAR, model=name)]) == {}


def test_a_bill_that_names_no_model_is_compared_with_all_of_the_day():
    uses = [use(DOLLAR), use(DOLLAR, model="gpt-5-mini")]
    assert causes([charge(2 * DOLLAR, model="", item="all")], uses) == {}


def test_two_workloads_that_are_both_paid_are_no_double_count():
    charges, uses = of_days(2)
    again = [each._replace(reporter="gateway usage") for each in uses]
    assert causes(charges, [*uses, *again]) == {}


def test_a_tier_that_the_estimate_prices_is_no_difference_of_tiers():
    uses = [use(10 * DOLLAR, context="processing=batch")]
    assert causes([charge(5 * DOLLAR, item="input, batch")], uses) == {"unexplained": -5 * DOLLAR}
    flagged = [uses[0]._replace(at_standard=True)]
    assert causes([charge(5 * DOLLAR, item="input, batch")], flagged) == {"tier": -5 * DOLLAR}


def test_a_model_that_is_named_like_a_tier_names_none():
    line = charge(12 * DOLLAR, model="grok-4-fast")
    assert causes([line], [use(10 * DOLLAR, model="grok-4-fast")]) == {"unexplained": 2 * DOLLAR}


def test_a_tier_explains_no_more_than_tiers_ever_differed():
    found = causes([charge(DOLLAR, item="input, batch")], [use(10 * DOLLAR)])
    assert found == {"tier": -3 * DOLLAR, "unexplained": -6 * DOLLAR}


@pytest.mark.parametrize("ratio", [Fraction(1, 2), Fraction(3, 10), Fraction(999, 1000)])
def test_a_steady_ratio_that_may_be_something_else_is_no_discount(ratio):
    assert set(causes(*of_days(ratio))) == {"unexplained"}


def test_four_days_are_no_agreement():
    assert set(causes(*of_days(Fraction(9, 10), days=4))) == {"unexplained"}


def test_a_steady_surcharge_is_told_and_stays_unexplained():
    found = reconcile(*of_days(Fraction(11, 10)))
    assert set(total(found.compared)) == {"unexplained"}
    (told,) = found.findings
    assert (told.rate, told.seen) == (Fraction(11, 10), "the bill is 1.1 times the list price")


def test_a_discount_is_told_with_its_rate_and_days():
    (told,) = reconcile(*of_days(Fraction(85, 100))).findings
    assert (told.cause, told.rate, len(told.days)) == ("discount", Fraction(85, 100), 10)


def test_a_day_that_is_not_final_is_late_and_no_more():
    found = causes([charge(DOLLAR)], [use(3 * DOLLAR)], {DAY0})
    assert found == {"late data": -2 * DOLLAR}


@pytest.mark.parametrize(("apart", "cause"), [(CENT - 1, "rounding"), (CENT, "unexplained")])
def test_a_cent_of_a_line_is_not_rounding_any_more(apart, cause):
    assert causes([charge(DOLLAR + apart)], [use(DOLLAR)]) == {cause: apart}


def test_a_model_that_was_never_billed_is_not_called_late():
    uses = [use(DOLLAR), use(DOLLAR, model="other")]
    assert causes([charge(DOLLAR)], uses) == {"unexplained": -DOLLAR}


def test_two_streams_that_hold_the_bill_are_one():
    charges, uses = of_days(1)
    again = [each._replace(reporter="costs by key") for each in charges]
    assert set(causes([*charges, *again], uses)) == {"double count"}


def test_a_gateway_that_sees_a_part_of_paid_traffic_is_a_double_count_and_no_discount():
    charges, uses = of_days(1)
    part = [each._replace(reporter="gateway usage", pico=each.pico * 6 // 10) for each in uses]
    part = [each._replace(tokens=each.tokens * 6 // 10) for each in part]
    assert causes(charges, [*uses, *part]) == {"double count": -sum(each.pico for each in part)}


def test_one_day_that_two_sources_count_to_the_same_token_is_a_double_count():
    charges, uses = of_days(1)
    again = uses[3]._replace(reporter="gateway usage")
    assert causes(charges, [*uses, again]) == {"double count": -again.pico}
    other = again._replace(tokens=again.tokens // 3, pico=again.pico // 3)
    assert causes(charges, [*uses, other]) == {"unexplained": -other.pico}


@pytest.mark.parametrize("days", [[3], [0, 9], [2, 3, 4, 5, 6]])
def test_days_with_exactly_twice_of_one_side_among_others_that_agree_are_counted_twice(days):
    charges, uses = of_days(1, days=12)
    twice = [line._replace(pico=line.pico * (1 + (n in days))) for n, line in enumerate(charges)]
    assert causes(twice, uses) == {"double count": sum(charges[n].pico for n in days)}
    more = [each._replace(pico=each.pico * (1 + (n in days))) for n, each in enumerate(uses)]
    assert causes(charges, more) == {"double count": -sum(uses[n].pico for n in days)}


@pytest.mark.parametrize("days", [range(5, 12), range(6), range(12)])
def test_half_of_the_price_from_a_day_on_may_be_another_price(days):
    charges, uses = of_days(1, days=12)
    half = [line._replace(pico=line.pico // (1 + (n in days))) for n, line in enumerate(charges)]
    assert set(causes(half, uses)) == {"unexplained"}


def test_one_model_that_two_streams_bill_is_a_double_count():
    charges, uses = of_days(1)
    others = [charge(1000 * DOLLAR, day, model="other") for day in range(10)]
    used = [use(1000 * DOLLAR, day, model="other") for day in range(10)]
    again = [line._replace(reporter="costs by key") for line in charges]
    found = causes([*charges, *others, *again], [*uses, *used])
    assert found == {"double count": sum(line.pico for line in charges)}


def test_one_day_above_the_list_makes_no_price_above_it_of_those_that_agree():
    ratios = [Fraction(1001, 1000)] * 9 + [Fraction(1006, 1000)]
    charges = [charge(int(100 * DOLLAR * ratio), day) for day, ratio in enumerate(ratios)]
    uses = [use(100 * DOLLAR, day) for day in range(10)]
    assert reconcile(charges, uses).findings == []


@pytest.mark.parametrize("times", [100, Fraction(1, 100), 1000, Fraction(1, 1000), 10**6])
def test_one_model_in_another_unit_is_found_beside_a_right_one(times):
    charges, uses = of_days(times)
    right = [charge(5 * DOLLAR, day, model="other") for day in range(10)]
    used = [use(5 * DOLLAR, day, model="other") for day in range(10)]
    own = sum(each.pico for each in uses)
    assert causes([*charges, *right], [*uses, *used]) == {"unit": own * times - own}


def test_credits_tools_and_days_without_tokens_are_told_in_the_right_unit():
    charges, uses = of_days(100)
    more = [charge(-300 * DOLLAR, 2, item="credit"), charge(200 * DOLLAR, 4, item="web search")]
    found = causes([*charges, *more], uses[:-1])
    own = sum(each.pico for each in uses)
    assert found == {
        "unit": 99 * (own - DOLLAR),
        "credits": -3 * DOLLAR,
        "unpriced": 2 * DOLLAR,
        "late data": uses[-1].pico,
    }


def test_days_on_which_a_large_model_is_not_billed_are_in_no_other_unit():
    charges, uses = of_days(1)
    small = [charge(DOLLAR, day, model="") for day in range(10)]
    large = [line._replace(model="", item="all") for line in charges[:7]]
    more = [use(DOLLAR, day, model="small") for day in range(10)]
    missing = sum(each.pico for each in uses[7:])
    assert causes([*small, *large], [*uses, *more]) == {"unexplained": -missing}


@pytest.mark.parametrize("ratio", [Fraction(2), Fraction(1, 2)])
def test_half_and_twice_the_price_are_told_with_what_they_may_be(ratio):
    (told,) = reconcile(*of_days(ratio)).findings
    assert (told.cause, told.rate) == ("unexplained", ratio)
    assert told.seen.endswith("another price, or one side counts twice")


def test_a_model_that_has_one_side_alone_is_told():
    uses = [use(DOLLAR), use(2 * DOLLAR, model="unbilled")]
    charges = [charge(DOLLAR), charge(3 * DOLLAR, model="unread")]
    told = reconcile(charges, uses).findings
    assert [(each.models, each.pico, each.seen) for each in told] == [
        (("unbilled",), -2 * DOLLAR, "no line of the bill is about these tokens"),
        (("unread",), 3 * DOLLAR, "the bill names a model of which no tokens were read"),
    ]


@pytest.mark.parametrize("day", [0, 9])
@pytest.mark.parametrize("model", ["gpt-5", ""])
def test_a_charge_for_the_month_is_compared_with_the_tokens_of_the_month(day, model):
    _, uses = of_days(1)
    more = [] if model else [use(DOLLAR, n, model="small") for n in range(10)]
    whole = sum(each.pico for each in [*uses, *more])
    charges = [charge(whole + DOLLAR // 1000, day, model, item="API usage")]
    found = reconcile(charges, [*uses, *more])
    assert total(found.compared) == {"rounding": DOLLAR // 1000}
    assert sum(each.estimated for each in found.compared) == whole


def test_the_only_billed_day_that_agrees_is_no_charge_for_the_month():
    charges, uses = of_days(1)
    assert set(causes(charges[:1], uses)) == {"late data"}


few = st.sampled_from(["", "a", "b", "a-2026-01-01"])
picos = st.integers(-(10**16), 10**16)
lines = st.builds(
    charge,
    picos,
    st.integers(0, 6),
    few,
    st.sampled_from(["input", "batch", "priority", "web search"]),
    reporter=st.sampled_from(["costs", "other"]),
)
used = st.builds(
    use,
    st.integers(0, 10**16),
    st.integers(0, 6),
    few,
    reporter=st.sampled_from(["x", "y"]),
    unpriced=st.integers(0, 9),
    at_standard=st.booleans(),
)
days = st.sets(st.integers(0, 6).map(lambda n: DAY0 + n * DAY))


@given(st.lists(lines, max_size=30), st.lists(used, max_size=30), days)
def test_causes_always_add_up_to_the_difference_of_each_row(charges, uses, open_days):
    found = reconcile(charges, uses, open_days).compared
    assert all(sum(each.causes.values()) == each.billed - each.estimated for each in found)
    assert sum(each.billed for each in found) == sum(each.pico for each in charges)
    assert sum(each.estimated for each in found) == sum(each.pico for each in uses)
