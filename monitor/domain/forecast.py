"""The month's total of a workload: what is known of it, plus what remains with an 80% range.

What remains is the recent level of the series (geometric mean of its 7, 14 and 28-day means) spread
over the days by its weekday profile. The range comes from replaying exactly that on the series' own
past with the same horizon, blended with a prior that stands for series in general. The prior, the
blend and the level were chosen on 28 public daily series (downloads, page views, clones).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist, median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.errors import InputError
from monitor.domain.periods import add_months, days_in, month_bounds, month_of
from monitor.domain.usage import DAY

NEEDED_DAYS = 14
"""Two whole weeks: below that there is no weekday profile, and no projection."""
REPLAY_DAYS = 28
"""From here on the series' own past can be replayed."""
MONTHS_AHEAD = 3
RATE_CAP = 20
"""No projection exceeds this multiple of the last 28 days' rate."""

METHOD = "weekday-level-1"
ACTUAL = "actual"

_LEVELS = (7, 14, 28)
_LEVEL_FLOOR = 0.05  # of the 28-day mean: one silent week does not make a workload vanish
_WEEKS = 8
_RECENT = _WEEKS * 7
_REPLAY_SPAN = 540
_LOOKBACK = _REPLAY_SPAN + 240  # the rest is for the longest horizon and the origins' own past
_ORIGINS = 80
_DECAY = 0.985
_PRIOR_WEIGHT = 20.0
_PRIOR_Z = np.array([NormalDist().inv_cdf((i + 0.5) / 25) for i in range(25)])
_RATIO_CAP = math.log(RATE_CAP)
_FAR_FROM_ZERO = 0.1  # of the median day: a quiet weekend is, a weekday hardly used is not

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


class Projection(NamedTuple):
    """A month's total in the unit of the daily totals; 80 of 100 actual totals lie in q10..q90."""

    month: str
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
    """short_history (range from the prior alone), holes, zero_days_as_missing."""


class NotEnough(NamedTuple):
    """Too little history to say anything about the month."""

    month: str
    as_of: int
    history_days: int
    needed: int
    month_to_date: int


class _History(NamedTuple):
    """Known days as an array that starts at `start`; NaN is a missing day."""

    start: int
    totals: _Floats

    @property
    def end(self) -> int:
        return self.start + len(self.totals) * DAY


def project(daily: Mapping[int, int | None], month: str, as_of: int) -> Projection | NotEnough:
    """The total of `month` as seen at `as_of`.

    Args:
        daily: UTC midnight (epoch seconds) -> total of that day in any unit that adds up. A day
            that is None or absent is missing, never zero; days before the first use of all are
            no part of the history. Only days before `as_of` are read.
        month: any closed month, the present one or one of the next three.
        as_of: UTC midnight, exclusive: the end of the newest closed day.

    Returns:
        A projection; of a closed month without holes its actual total, three times. NotEnough
        below 14 known days, and for a month that ended before the first of them.
    """
    first, end = _checked(month, as_of)
    known = _known(daily, min(as_of, end))
    to_date = sum(total for day, total in known.items() if day >= first)
    start = min(known, default=end)
    expected = range(max(first, start), end, DAY)
    if known and as_of >= end and all(day in known for day in expected):
        return Projection(month, as_of, to_date, to_date, to_date, to_date, ACTUAL, len(known), ())
    if len(known) < NEEDED_DAYS:
        return NotEnough(month, as_of, len(known), NEEDED_DAYS, to_date)
    return _projected(known, month, as_of, to_date)


def span_total(totals: _Floats, lo: int, hi: int) -> tuple[float, float, float]:
    """q10, q50, q90 of the total of the days lo..hi-1 after the last entry of `totals`.

    Args:
        totals: daily totals without holes, oldest first, at least 14 of them.
        lo: first day of the span; 0 is the day after the last entry.
        hi: the day after the span's last one, at most 130.
    """
    low, high = _band(totals, lo, hi, replay=len(totals) >= REPLAY_DAYS)
    middle = float(_predictions(totals, np.array([len(totals)]), lo, hi)[0])
    return middle * math.exp(low), middle, middle * math.exp(high)


def _checked(month: str, as_of: int) -> tuple[int, int]:
    bounds = month_bounds(month)
    if as_of % DAY:
        raise InputError(f"as-of {as_of} is not a UTC midnight", "Project from a closed day.")
    if month > add_months(month_of(as_of), MONTHS_AHEAD):
        raise InputError(
            f"{month} is more than {MONTHS_AHEAD} months after {month_of(as_of)}",
            "Project a nearer month.",
        )
    return bounds


def _known(daily: Mapping[int, int | None], until: int) -> dict[int, int]:
    """The known days before `until`, from the first day with use on."""
    known = {day: total for day, total in daily.items() if total is not None and day < until}
    first_use = min((day for day, total in known.items() if total), default=0)
    return {day: total for day, total in known.items() if day >= first_use}


def _projected(known: Mapping[int, int], month: str, as_of: int, to_date: int) -> Projection:
    first, end = month_bounds(month)
    history, flags = _clean(known, min(first, as_of - _RECENT * DAY), min(as_of, end))
    filled = _filled(history.totals)
    in_month = max((first - history.start) // DAY, 0)
    holes = float(filled[in_month:][np.isnan(history.totals[in_month:])].sum())
    lo, hi = max((first - history.end) // DAY, 0), (end - history.end) // DAY
    short = len(known) < REPLAY_DAYS
    low, high = _band(filled, lo, hi, replay=not short)
    middle = holes + float(_predictions(filled, np.array([len(filled)]), lo, hi)[0])
    ceiling = RATE_CAP * float(filled[-28:].mean()) * days_in(month)
    q10, q50, q90 = (
        to_date + max(0, min(round(middle * factor), round(ceiling) - to_date))
        for factor in (math.exp(low), 1.0, math.exp(high))
    )
    flags = ("short_history", *flags) if short else flags
    return Projection(month, as_of, q10, q50, q90, to_date, METHOD, len(known), flags)


def _clean(known: Mapping[int, int], recent: int, until: int) -> tuple[_History, tuple[str, ...]]:
    """The history up to its last trusted day, and what is wrong with it from `recent` on.

    Missing days at its end lengthen the horizon: they are days to project like those to come.
    """
    start = max(min(known), max(known) - _LOOKBACK * DAY)
    days = range(start, until, DAY)
    totals = np.array([known.get(day, math.nan) for day in days], dtype=np.float64)
    tail = max((recent - start) // DAY, 0)
    holes = bool(np.isnan(totals[tail:]).any())
    zeros = _doubtful_zeros(totals)
    totals[zeros] = math.nan
    flags = {"holes": holes, "zero_days_as_missing": bool((zeros >= tail).any())}
    last = int(np.flatnonzero(~np.isnan(totals))[-1])
    return _History(start, totals[: last + 1]), tuple(name for name, on in flags.items() if on)


def _doubtful_zeros(totals: _Floats) -> _Ints:
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


def _filled(totals: _Floats) -> _Floats:
    """Missing days replaced by the median of the same weekday in the four weeks before."""
    filled = totals.tolist()
    for i in np.flatnonzero(np.isnan(totals)).tolist():
        before = filled[max(i % 7, i - 28) : i : 7]
        filled[i] = median(before) if before else float(np.nanmedian(totals))
    return np.array(filled)


def _predictions(totals: _Floats, origins: _Ints, lo: int, hi: int) -> _Floats:
    """For each origin, the total of the days origin+lo .. origin+hi-1 as seen just before it."""
    days = np.bincount(np.arange(lo, hi) % 7, minlength=7)
    return _level(totals, origins) * (_profile(totals, origins) @ days)


def _level(totals: _Floats, origins: _Ints) -> _Floats:
    """Geometric mean of the 7, 14 and 28-day means: between them, and calm about a spike."""
    sums = np.concatenate([[0.0], np.cumsum(totals)])
    starts = [np.maximum(origins - days, 0) for days in _LEVELS]
    means = np.array([(sums[origins] - sums[start]) / (origins - start) for start in starts])
    longest = np.maximum(means[-1], 0.0)
    relative = means / np.where(longest > 0, longest, 1.0)
    level: _Floats = longest * np.exp(np.log(np.maximum(relative, _LEVEL_FLOOR)).mean(axis=0))
    return level


def _profile(totals: _Floats, origins: _Ints) -> _Floats:
    """Weekday factors (mean 1) of the 8 whole weeks before each origin; column 0 is its day."""
    weeks = origins[:, None] - 7 * np.arange(1, _WEEKS + 1)
    days = np.maximum(weeks[:, :, None] + np.arange(7), 0)
    sums = np.maximum((totals[days] * (weeks >= 0)[:, :, None]).sum(axis=1), 0.0)
    whole = sums.sum(axis=1, keepdims=True)
    profile: _Floats = np.where(whole > 0, 7 * sums / np.where(whole > 0, whole, 1.0), 1.0)
    return profile


def _band(totals: _Floats, lo: int, hi: int, *, replay: bool) -> tuple[float, float]:
    """Log ratios of q10 and q90 to the prediction: at most 0 and at least 0."""
    errors = _replayed(totals, lo, hi) if replay else np.array([])
    weights = _DECAY ** np.arange(len(errors))
    prior = _PRIOR_Z * _prior_sd(lo, hi)
    ratios = np.concatenate([errors, prior])
    shares = np.concatenate([weights, np.full(len(prior), _PRIOR_WEIGHT / len(prior))])
    order = np.argsort(ratios, kind="stable")
    position = (np.cumsum(shares[order]) - shares[order] / 2) / shares.sum()
    low, high = np.interp((0.1, 0.9), position, ratios[order])
    return min(float(low), 0.0), max(float(high), 0.0)


def _prior_sd(lo: int, hi: int) -> float:
    """Spread of the log ratio for a span that starts in `lo` and ends in `hi` days."""
    return 0.18 + 0.15 * math.sqrt(hi / 30) + 0.12 * lo / 30


def _replayed(totals: _Floats, lo: int, hi: int) -> _Floats:
    """Log of actual over predicted for the same span at past origins, newest first."""
    last = len(totals) - hi
    if hi == 0 or last < REPLAY_DAYS:
        return np.array([])
    step = (min(last, _REPLAY_SPAN) - REPLAY_DAYS) // _ORIGINS + 1
    origins = np.arange(last, REPLAY_DAYS - 1, -step)[:_ORIGINS]
    sums = np.concatenate([[0.0], np.cumsum(totals)])
    actual = sums[origins + hi] - sums[origins + lo]
    # A hundredth of the usual total keeps silent spans finite, whatever the unit.
    small = max(float(totals.mean()) * (hi - lo) / 100, 1e-9)
    ratios = (actual + small) / (_predictions(totals, origins, lo, hi) + small)
    errors: _Floats = np.clip(np.log(np.maximum(ratios, 1e-9)), -_RATIO_CAP, _RATIO_CAP)
    return errors
