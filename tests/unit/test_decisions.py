"""Whether a decision stands: pure rules over what was known then and is known now."""

from fractions import Fraction

import pytest

from monitor.domain.decisions import Decision, Facts, from_document, stands, to_document, worth

USD = 10**12


def facts(saved):
    return Facts(0, (saved - 1, saved, saved + 1), 9 * USD, 5, None, "api")


@pytest.mark.parametrize(
    ("then", "now", "as_of", "said"),
    [
        (100, 100, 9, ""),
        (100, 119, 9, ""),
        (100, 121, 9, "from $100.00 to $121.00 a month, by more than 20%"),
        (-100, -121, 9, "from -$100.00 to -$121.00 a month, by more than 20%"),
        (1, -1, 9, "the other side is cheaper"),
        (100, 100, 10, "its date has passed"),
        (None, 500, 9, ""),
        (100, None, 9, ""),
    ],
)
def test_a_decision_is_open_again_by_date_by_side_or_by_amount(then, now, as_of, said):
    before, after = (None if x is None else facts(x * USD) for x in (then, now))
    found = stands(Decision("defer", 10, "w", "ann", before), after, as_of)
    assert found.stands is (not said)
    assert said in found.reason


def test_facts_come_back_as_they_were_written():
    assert from_document(to_document(facts(3))) == facts(3)


@pytest.mark.parametrize(("kind", "sign"), [("accept", 1), ("defer", -1), ("reject", -1)])
def test_a_decision_is_worth_each_day_s_saving_or_what_it_spared(kind, sign):
    found = worth(kind, [3000 * USD, -1000 * USD, 500 * USD])
    assert found == (3, sign * 2500 / Fraction("30.4375"))


def test_without_a_day_that_was_compared_a_decision_has_no_known_worth():
    assert worth("accept", []) is None
