"""Budgets: which days a period has, what was spent of it, and what it is heading for."""

import pytest

from monitor.domain import budgets
from monitor.domain.budgets import Budget
from monitor.domain.forecast import Projection, Span
from monitor.domain.forecast_joint import together
from monitor.domain.periods import day_bounds, month_bounds
from monitor.domain.usage import DAY

PICO = 10**12
NOV = Span("2026-11", *month_bounds("2026-11"))


def at(day):
    return day_bounds(day)[0]


def budget(every="monthly", **changes):
    return Budget(1, "b", 100 * PICO, every, "all", "", None, None, "")._replace(**changes)


def steady(first="2026-08-01", end="2026-11-21", each=10 * PICO):
    return dict.fromkeys(range(at(first), at(end), DAY), each)


@pytest.mark.parametrize(
    ("every", "span"),
    [
        ("weekly", Span("2026-W47", at("2026-11-16"), at("2026-11-23"))),
        ("monthly", NOV),
        ("quarterly", Span("2026-Q4", at("2026-10-01"), at("2027-01-01"))),
        ("yearly", Span("2026", at("2026-01-01"), at("2027-01-01"))),
    ],
)
def test_a_period_is_a_calendar_period_in_utc(every, span):
    assert budgets.span_of(budget(every), at("2026-11-20")) == span


def test_only_the_days_on_which_a_budget_holds_count():
    held = budget(valid_from=at("2026-11-10"), valid_to=at("2026-11-25"))
    assert budgets.span_of(held, at("2026-11-20"))[1:] == (at("2026-11-10"), at("2026-11-25"))
    assert budgets.span_of(held, at("2026-11-09")) is None
    assert budgets.span_of(held, at("2026-11-25")) is None


def test_thirty_april_is_not_counted_again_in_may():
    days = steady(end="2026-11-02")
    assert budgets.stand([days], NOV, at("2026-11-02")).spent == 10 * PICO


def test_the_total_is_what_was_spent_and_the_rest_as_projected():
    found = budgets.stand([steady()], NOV, at("2026-11-21"))
    assert (found.spent, found.known_days, found.remark) == (200 * PICO, 20, "")
    assert found.q10 <= found.q50 <= found.q90
    assert abs(found.q50 - 300 * PICO) < 10 * PICO
    assert found.q10 >= found.spent


def test_a_quarter_adds_the_closed_months_to_what_the_last_month_was_told():
    told = Projection(
        "2026-11", at("2026-11-21"), 290 * PICO, 300 * PICO, 320 * PICO, 200 * PICO, "m", 99, ()
    )
    span = Span("q", at("2026-10-01"), at("2026-12-01"))
    found = budgets.stand([steady()], span, at("2026-11-21"), told)
    assert (found.q10, found.q50, found.q90) == (600 * PICO, 610 * PICO, 630 * PICO)
    of_month = budgets.stand([steady()], NOV, at("2026-11-21"), told)
    assert of_month[2:5] == (290 * PICO, 300 * PICO, 320 * PICO)


def test_a_year_of_which_too_much_is_left_is_not_projected_and_says_so():
    span = Span("2027", at("2027-01-01"), at("2028-01-01"))
    found = budgets.stand([steady(end="2027-02-01")], span, at("2027-02-01"))
    assert found.spent == 310 * PICO
    assert (found.q10, found.q50, found.q90) == (None, None, None)
    assert found.remark == "not projected: 2027 ends more than 130 days ahead"


def test_several_parts_have_a_range_of_their_own():
    one = {day: (8 + day // DAY % 5) * PICO for day in steady()}
    other = {day: (12 - day // DAY % 5) * PICO for day in steady()}
    found = budgets.stand([one, other], NOV, at("2026-11-21"))
    whole = together([one, other], "2026-11", at("2026-11-21"))
    assert found[2:5] == (whole.q10, whole.q50, whole.q90)
    apart = [budgets.stand([each], NOV, at("2026-11-21")) for each in (one, other)]
    assert found.q90 - found.q10 < sum(each.q90 - each.q10 for each in apart)


def test_a_day_that_is_not_known_is_not_a_zero():
    days = {**steady(), at("2026-11-05"): None}
    found = budgets.stand([days], NOV, at("2026-11-21"))
    assert (found.spent, found.known_days) == (190 * PICO, 19)
    assert found.remark == "1 of its 20 days so far are not known"
    assert budgets.stand([{}], NOV, at("2026-11-21")).spent is None


def test_too_little_history_is_said():
    span = Span("w", at("2026-11-16"), at("2026-11-23"))
    found = budgets.stand([steady(first="2026-11-15")], span, at("2026-11-21"))
    assert found.q50 is None
    assert found.remark == "not projected: 6 of 14 days of history needed"


def test_a_period_that_began_before_the_data_has_no_total():
    found = budgets.stand([steady(first="2026-11-03")], NOV, at("2026-11-21"))
    assert (found.spent, found.q50) == (180 * PICO, None)
    assert found.remark == (
        "not projected: nothing was read before 2026-11-03; 2 of its 20 days so far are not known"
    )


def test_what_does_not_fit_the_column_is_unknown_and_said():
    found = budgets.stand([steady(each=10**6 * PICO)], NOV, at("2026-11-21"))
    assert (found.spent, found.q50) == (None, None)
    assert "9.2 million" in found.remark
