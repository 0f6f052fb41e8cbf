"""Projections that belong together: several workloads, and several units of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from monitor.domain.forecast import (
    ACTUAL,
    NEEDED_DAYS,
    NotEnough,
    Projection,
    Span,
    known_days,
    project,
    project_span,
)
from monitor.domain.periods import month_bounds
from monitor.domain.usage import DAY

Daily = Mapping[int, int | None]
"""UTC midnight (epoch seconds) -> total of that day; None or absent is missing."""

_Z90 = NormalDist().inv_cdf(0.9)
_RATIO_WEEKS = 8


def together(dailies: Sequence[Daily], month: str, as_of: int) -> Projection | NotEnough:
    """The total of several workloads, in one unit, with a range of its own.

    The days are summed first and projected as one series: what moves the workloads together is
    then in the history of the sum, and what is their own cancels there as it does in the month.
    Adding q90s would suppose that all of them surprise at once. A day that is missing in one
    workload, from its first use on, is missing in the sum; what is known of it still counts as
    month to date, below which no quantile lies.
    """
    return _floored(
        dailies,
        Span(month, *month_bounds(month)),
        as_of,
        project(_summed(dailies, as_of), month, as_of),
    )


def together_over(dailies: Sequence[Daily], span: Span, as_of: int) -> Projection | NotEnough:
    """`together` of any span of days; raises as `project_span`."""
    return _floored(dailies, span, as_of, project_span(_summed(dailies, as_of), span, as_of))


def _summed(dailies: Sequence[Daily], as_of: int) -> dict[int, int | None]:
    """The sum by day; a day that is missing in one, from its first use on, is missing in it."""
    known = [known_days(daily, as_of) for daily in dailies]
    starts = [min(days) for days in known if days]
    until = max((max(days) + DAY for days in known if days), default=as_of)
    spans = [range(start, until, DAY) for start in starts]
    missing = {
        day
        for days, span in zip(filter(None, known), spans, strict=True)
        for day in span
        if day not in days
    }
    return {
        day: None if day in missing else sum(days.get(day, 0) for days in known)
        for day in range(min(starts, default=until), until, DAY)
    }


def _floored(
    dailies: Sequence[Daily], span: Span, as_of: int, found: Projection | NotEnough
) -> Projection | NotEnough:
    """With all that is known of each as the span's total to date, below which no quantile lies."""
    to_date = sum(
        total
        for daily in dailies
        for day, total in known_days(daily, as_of).items()
        if span.first <= day < span.end
    )
    if isinstance(found, NotEnough):
        return found._replace(month_to_date=to_date)
    return found._replace(
        month_to_date=to_date,
        q10=max(found.q10, to_date),
        q50=max(found.q50, to_date),
        q90=max(found.q90, to_date),
    )


def in_units(
    dailies: Mapping[str, Daily], month: str, as_of: int
) -> dict[str, Projection | NotEnough]:
    """One workload in several units (tokens, requests, dollars) that do not contradict each other.

    The first unit that can be projected leads. What remains of the month in another unit is the
    leader's remainder times what the two were to each other in the last 8 weeks; its range is
    widened by how much that ratio moved from week to week. Between the weeks' lowest and highest
    ratio it stays, at each quantile: no price per token is implied that was not observed. A unit
    that shares less than 14 days with the leader is projected by itself.
    """
    found: dict[str, Projection | NotEnough] = {}
    leader: tuple[Daily, Projection] | None = None
    for unit, daily in dailies.items():
        own = project(daily, month, as_of)
        if leader and isinstance(own, Projection) and own.method != ACTUAL:
            own = _led(daily, own, *leader)
        elif leader is None and isinstance(own, Projection):
            leader = daily, own
        found[unit] = own
    return found


def _led(daily: Daily, own: Projection, leading: Daily, lead: Projection) -> Projection:
    """A projection whose remainder follows another unit's."""
    known, others = known_days(daily, own.as_of), known_days(leading, own.as_of)
    ratios = _ratios(known, others, own.as_of)
    if ratios is None:
        return own
    usual, least, most, unrest = ratios
    first, end = month_bounds(own.month)
    # Days that only the leader knows.
    gap = sum(total for day, total in others.items() if first <= day < end and day not in known)
    rest = [float(q - lead.month_to_date + gap) for q in (lead.q10, lead.q50, lead.q90)]
    middle = usual * rest[1]
    amounts = [middle] * 3
    for i, side in ((0, -1), (2, 1)):
        if rest[i] > 0 and middle > 0:
            width = math.hypot(math.log(rest[i] / rest[1]), _Z90 * unrest)
            amounts[i] = middle * math.exp(side * width)
        else:
            amounts[i] = usual * rest[i]
        amounts[i] = min(max(amounts[i], least * rest[i]), most * rest[i])
    q10, q50, q90 = (own.month_to_date + max(round(amount), 0) for amount in sorted(amounts))
    return own._replace(q10=q10, q50=q50, q90=q90)


def _ratios(
    known: Mapping[int, int], leading: Mapping[int, int], as_of: int
) -> tuple[float, float, float, float] | None:
    """Ratio of the last weeks, lowest and highest of a week, and the logs' standard deviation."""
    weeks = []
    shared = 0
    end = min(max(known), max(leading)) + DAY if known and leading else as_of
    for week in range(_RATIO_WEEKS):
        days = [
            d
            for d in range(end - (week + 1) * 7 * DAY, end - week * 7 * DAY, DAY)
            if d in known and d in leading
        ]
        shared += len(days)
        below = sum(leading[d] for d in days)
        if below > 0:
            weeks.append((sum(known[d] for d in days), below))
    if shared < NEEDED_DAYS or not weeks:
        return None
    # The last four weeks: prices and mixes change, and for good.
    recent = weeks[:4]
    usual = sum(a for a, _ in recent) / sum(b for _, b in recent)
    each = [a / b for a, b in weeks]
    logs = [math.log(ratio) for ratio in each if ratio > 0]
    unrest = float(np.std(logs)) if len(logs) > 1 else 0.0
    return usual, min(each), max(each), unrest
