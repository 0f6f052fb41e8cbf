"""A bill beside its estimate: what a ratio betrays, and what it cannot."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.reconcile import CAUSES, reconcile, total, unit_suspicion
from tests import odd_bills
from tests.conftest import FULL

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
