"""Budgets: which calendar period a day falls into, and what the period is heading for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from monitor.domain.errors import InputError
from monitor.domain.forecast import NotEnough, Projection, Span
from monitor.domain.forecast_joint import Daily, together_over
from monitor.domain.money import MAX_PICO
from monitor.domain.periods import bounds, day_of, month_bounds, period_of
from monitor.domain.usage import DAY

Every = Literal["weekly", "monthly", "quarterly", "yearly"]
Scope = Literal["all", "workload", "account", "cost_centre", "label"]
Basis = Literal["billed", "mixed", "estimated"]

_TOO_LARGE = "the amount is more than the database holds (9.2 million dollars)"


class Budget(NamedTuple):
    """What may be spent in a calendar period (UTC), in pico-USD."""

    id: int
    name: str
    amount: int
    every: Every
    scope: Scope
    scope_name: str
    valid_from: int | None
    valid_to: int | None
    """The first midnight without it."""
    owner: str


class Standing(NamedTuple):
    """Where a budget stands in a period; amounts in pico-USD, None is unknown."""

    spent: int | None
    """On the known days of the period."""
    known_days: int
    q10: int | None
    q50: int | None
    q90: int | None
    """Of the period's total: what was spent, and the rest as projected."""
    remark: str
    """What is unknown, and why; or ''."""


def span_of(budget: Budget, day: int) -> Span | None:
    """The days of a budget's period around a day, as far as it holds; None: it does not hold."""
    name = period_of(budget.every, day)
    first, end = bounds(budget.every, name)
    first = max(first, budget.valid_from or first)
    end = min(end, budget.valid_to or end)
    return Span(name, first, end) if first <= day < end else None


def stand(
    dailies: Sequence[Daily],
    span: Span,
    as_of: int,
    month: Projection | None = None,
) -> Standing:
    """Where a period stands at `as_of`, from the daily pico-USD of each part of its scope.

    Several parts get a range of their own, projected from their sum. `month` is the projection of
    the month in which the period ends, where one was told already: both then say the same.

    Args:
        dailies: of each part; None or absent is missing.
        span: the days of the period.
        as_of: UTC midnight, exclusive: the end of the newest closed day.
        month: of the same days; used where nothing but that month's rest is left.
    """
    days = range(span.first, min(span.end, as_of), DAY)
    known = [total for daily in dailies for day in days if (total := daily.get(day)) is not None]
    count = sum(all(daily.get(day) is not None for daily in dailies) for day in days)
    spent = sum(known) if known else None
    if spent is not None and abs(spent) > MAX_PICO:
        return Standing(None, count, None, None, None, _TOO_LARGE)
    found, remark = _heading(dailies, span, as_of, month, spent or 0)
    if found and max(map(abs, found)) > MAX_PICO:
        found, remark = None, _TOO_LARGE
    late = f"{len(days) - count} of its {len(days)} days so far are not known"
    remarks = [remark, late if count < len(days) else ""]
    q10, q50, q90 = found or (None, None, None)
    return Standing(spent, count, q10, q50, q90, "; ".join(filter(None, remarks)))


def _heading(
    dailies: Sequence[Daily], span: Span, as_of: int, month: Projection | None, spent: int
) -> tuple[tuple[int, int, int] | None, str]:
    """q10, q50, q90 of the period's total, or why there are none."""
    known = (day for daily in dailies for day, total in daily.items() if total is not None)
    begun = min(known, default=as_of)
    if begun > span.first:
        return None, f"not projected: nothing was read before {day_of(begun)}"
    if month and _is_rest(month, span):
        before = spent - month.month_to_date
        return (before + month.q10, before + month.q50, before + month.q90), ""
    try:
        found = together_over(dailies, span, as_of)
    except InputError as error:
        return None, f"not projected: {error.message}"
    if isinstance(found, NotEnough):
        return None, f"not projected: {found.history_days} of {found.needed} days of history needed"
    return (found.q10, found.q50, found.q90), ""


def _is_rest(month: Projection, span: Span) -> bool:
    """Whether the period began no later than the month, and ends with it."""
    first, end = month_bounds(month.month)
    return span.first <= first and span.end == end
