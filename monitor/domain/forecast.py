"""The month's total of a workload: what is known of it, plus what remains with an 80% range.

What remains is projected by `forecast_bands` from what `forecast_features` sees in the days before:
weekdays, levels, restlessness. Here a history becomes usable (holes, failed collections, the day it
ends) and a range becomes a month's: never below what is known, never beyond reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.errors import InputError
from monitor.domain.forecast_bands import LONGEST, LOOKBACK, SHORT, TABLE, Prepared, Table, prepare
from monitor.domain.forecast_bands import quantiles as band
from monitor.domain.periods import add_months, month_bounds, month_of
from monitor.domain.usage import DAY

NEEDED_DAYS = 14
"""Two whole weeks: below that there is no weekday profile, and no projection."""
MONTHS_AHEAD = 3
RATE_CAP = 20
"""No projection exceeds this multiple of the last 28 days' rate."""

METHOD = "pooled-levels-2"
ACTUAL = "actual"

_RECENT = 56
_FAR_FROM_ZERO = 0.1  # of the median day: a quiet weekend is, a weekday hardly used is not

_NOT_REPLAYED = TABLE._replace(replay_weight=0.0)

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


class Projection(NamedTuple):
    """A month's total in the unit of the daily totals; 80 of 100 actual totals lie in q10..q90."""

    month: str
    """Or the name of another span."""
    as_of: int
    """Midnight (UTC epoch seconds) that ends the newest day used."""
    q10: int
    q50: int
    q90: int
    month_to_date: int
    """The known part of the month, exact; q10 is never below it."""
    method: str
    history_days: int
    """Days with a known total, from the first day of use on."""
    flags: tuple[str, ...]
    """short_history (range from a prior alone), level_shift (the level changed at once within the
    last 112 days; older days count at the new one), holes, zero_days_as_missing."""


class NotEnough(NamedTuple):
    """Too little history to say anything about the month."""

    month: str
    as_of: int
    history_days: int
    needed: int
    month_to_date: int


class Span(NamedTuple):
    """Days that are projected together: from `first` up to `end`, UTC midnights (epoch seconds)."""

    name: str
    first: int
    end: int


class _History(NamedTuple):
    """Known days as an array that starts at `start`; NaN is a missing day."""

    start: int
    totals: _Floats

    @property
    def end(self) -> int:
        return self.start + len(self.totals) * DAY


def project(
    daily: Mapping[int, int | None], month: str, as_of: int, table: Table = TABLE
) -> Projection | NotEnough:
    """The total of `month` as seen at `as_of`.

    Args:
        daily: UTC midnight (epoch seconds) -> total of that day in any unit that adds up. A day
            that is None or absent is missing, never zero; days before the first use of all are
            no part of the history. Only days before `as_of` are read.
        month: any closed month, the present one or one of the next three.
        as_of: UTC midnight, exclusive: the end of the newest closed day.
        table: coefficients; others than those that ship are for judging a fit.

    Returns:
        A projection; of a closed month without holes its actual total, three times. NotEnough
        below 14 known days, and for a month that ended before the first of them.

    Raises:
        InputError: no such month, one too far ahead, or an `as_of` inside a day.
    """
    return _total(daily, Span(month, *_checked(month, as_of)), as_of, table)


def project_span(
    daily: Mapping[int, int | None], span: Span, as_of: int, table: Table = TABLE
) -> Projection | NotEnough:
    """The total of any span of days as seen at `as_of`; else as `project`.

    Raises:
        InputError: the span ends too far ahead, or an `as_of` inside a day.
    """
    if span.end - as_of > LONGEST * DAY:
        raise InputError(
            f"{span.name} ends more than {LONGEST} days ahead", "Project it when less is left."
        )
    _require_midnight(as_of)
    return _total(daily, span, as_of, table)


def _total(
    daily: Mapping[int, int | None], span: Span, as_of: int, table: Table
) -> Projection | NotEnough:
    name, first, end = span
    known = known_days(daily, min(as_of, end))
    to_date = sum(total for day, total in known.items() if day >= first)
    start = min(known, default=end)
    expected = range(max(first, start), end, DAY)
    if known and as_of >= end and all(day in known for day in expected):
        return Projection(name, as_of, to_date, to_date, to_date, to_date, ACTUAL, len(known), ())
    # Of a series that fell silent for years, the days before that are no history of those after.
    seen_from = max(known, default=as_of) - LOOKBACK * DAY
    near = sum(day >= seen_from for day in known)
    if near < NEEDED_DAYS:
        return NotEnough(name, as_of, near, NEEDED_DAYS, to_date)
    return _projected(known, span, as_of, to_date, table, near)


def span_total(totals: _Floats, lo: int, hi: int) -> tuple[float, float, float]:
    """q10, q50, q90 of the total of the days lo..hi-1 after the last entry of `totals`.

    For simulations that ask often: as `project`, but without replaying the own past, which costs
    more than half of the time and moves a quantile by a few percent.

    Args:
        totals: daily totals without holes, oldest first, at least 14 of them, none negative.
        lo: first day of the span; 0 is the day after the last entry.
        hi: the day after the span's last one, at most 130.

    Raises:
        InputError: a span that is empty or too far ahead, or too few days.
    """
    if not 0 <= lo < hi <= LONGEST:
        raise InputError(f"days {lo} to {hi} are no span", f"Take 0 <= lo < hi <= {LONGEST}.")
    if len(totals) < NEEDED_DAYS:
        raise InputError(
            f"{len(totals)} days are not enough history", f"Give at least {NEEDED_DAYS} days."
        )
    ceiling = RATE_CAP * float(totals[-28:].mean()) * (hi - lo)
    low, middle, high = band(prepare(totals), lo, hi, _NOT_REPLAYED)
    return min(low, ceiling), min(middle, ceiling), min(high, ceiling)


def _checked(month: str, as_of: int) -> tuple[int, int]:
    bounds = month_bounds(month)
    _require_midnight(as_of)
    if month > add_months(month_of(as_of), MONTHS_AHEAD):
        raise InputError(
            f"{month} is more than {MONTHS_AHEAD} months after {month_of(as_of)}",
            "Project a nearer month.",
        )
    return bounds


def _require_midnight(as_of: int) -> None:
    if as_of % DAY:
        raise InputError(f"as-of {as_of} is not a UTC midnight", "Project from a closed day.")


def known_days(daily: Mapping[int, int | None], until: int) -> dict[int, int]:
    """The known days before `until`, from the first day with use on."""
    known = {day: total for day, total in daily.items() if total is not None and day < until}
    first_use = min((day for day, total in known.items() if total), default=0)
    return {day: total for day, total in known.items() if day >= first_use}


def _projected(
    known: Mapping[int, int], span: Span, as_of: int, to_date: int, table: Table, near: int
) -> Projection:
    """The projection from known days, the newest `near` of which have an influence."""
    name, first, end = span
    history, flags = _clean(known, min(first, as_of - _RECENT * DAY), min(as_of, end))
    whole = filled(history.totals)
    ready = prepare(whole, near)
    in_month = max((first - history.start) // DAY, 0)
    holes = whole[in_month:][np.isnan(history.totals[in_month:])]
    lo, hi = max((first - history.end) // DAY, 0), (end - history.end) // DAY
    remaining = _remaining(ready, lo, hi, holes, table)
    ceiling = RATE_CAP * float(whole[-28:].mean()) * ((end - first) // DAY)
    q10, q50, q90 = (
        to_date + max(0, min(round(rest), round(ceiling) - to_date)) for rest in remaining
    )
    notes = {"short_history": near < SHORT, "level_shift": ready.shifted}
    flags = (*(note for note, on in notes.items() if on), *flags)
    return Projection(name, as_of, q10, q50, q90, to_date, METHOD, len(known), flags)


def _remaining(
    ready: Prepared, lo: int, hi: int, holes: _Floats, table: Table
) -> tuple[float, ...]:
    """q10, q50, q90 of the days to come and of the month's holes, which are as uncertain."""
    if hi > lo:
        ahead = band(ready, lo, hi, table)
        if not holes.size or ahead[1] <= 0:
            return ahead
        return tuple(q + float(holes.sum()) * q / ahead[1] for q in ahead)
    like = band(ready, 0, max(len(holes), 1), table)
    return tuple(float(holes.sum()) * q / like[1] if like[1] > 0 else 0.0 for q in like)


def _clean(known: Mapping[int, int], recent: int, until: int) -> tuple[_History, tuple[str, ...]]:
    """The history up to its last trusted day, and what is wrong with it from `recent` on.

    Missing days at its end lengthen the horizon: they are days to project like those to come.
    """
    start = max(min(known), max(known) - LOOKBACK * DAY)
    end = max(known) + DAY
    days = range(start, end, DAY)
    totals = np.array([known.get(day, math.nan) for day in days], dtype=np.float64)
    tail = max((recent - start) // DAY, 0)
    holes = end < until or bool(np.isnan(totals[tail:]).any())
    zeros = doubtful_zeros(totals)
    totals[zeros] = math.nan
    flags = {"holes": holes, "zero_days_as_missing": bool((zeros >= tail).any())}
    last = int(np.flatnonzero(~np.isnan(totals))[-1])
    return _History(start, totals[: last + 1]), tuple(name for name, on in flags.items() if on)


def doubtful_zeros(totals: _Floats) -> _Ints:
    """Indices of single zero days in a series that is far from zero around them.

    A failed collection looks like this, and so does a source's own outage; a weekly day off, a
    sparse series and an end of use do not.
    """
    zero = np.concatenate([[False], totals == 0, [False]])
    single = zero[1:-1] & ~zero[:-2] & ~zero[2:]
    candidates = np.flatnonzero(single)
    return np.array([i for i in candidates if _stands_out(totals, int(i))], dtype=np.int64)


def _stands_out(totals: _Floats, i: int) -> bool:
    near = totals[max(i - 28, 0) : i + 29]
    weekday = totals[i % 7 if i < 28 else i - 28 : i + 29 : 7]
    others = weekday[weekday > 0]
    alone = int((weekday == 0).sum()) == 1 and int((near == 0).sum()) <= 2
    if not alone or not others.size:
        return False
    return bool(np.median(others) >= _FAR_FROM_ZERO * np.nanmedian(near))


def filled(totals: _Floats) -> _Floats:
    """Missing days replaced by the median of the same weekday in the four weeks before."""
    known = totals.tolist()
    for i in np.flatnonzero(np.isnan(totals)).tolist():
        before = known[max(i % 7, i - 28) : i : 7]
        known[i] = median(before) if before else float(np.nanmedian(totals))
    return np.array(known)
