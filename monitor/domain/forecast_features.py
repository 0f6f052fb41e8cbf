"""What a projection looks at in a series: its weekdays, its levels, and how restless it is.

Everything is computed for many origins at once, an origin being the index of the first unknown day,
so that one piece of code serves the present, the replay of the past and the fit of the table. Each
figure looks only at days before its origin.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = (7, 14, 56, 112, 364)
LEVEL_NAMES = (*(f"mean{days}" for days in LEVELS), "limited7", "limited28", "median28")
"""The logarithms of `Seen.levels` after the first, each relative to the mean of 28 days."""
SPREAD_NAMES = ("one", "weekly", "monthly", "rising", "falling")
"""The columns of `Seen.unrest`: volatilities in logs, and the change of 7 against 28 days."""
MONTH = 28
WEEKS = 8
FARTHEST = 14 * MONTH
"""No figure looks further back than this many days."""

_PROFILE_SHRUNK = 0.1  # towards a day like any other: eight weeks say little of a quiet weekday
_FARTHEST_LEVEL = math.log(20)  # one silent week does not make a workload vanish
_LIMIT = 2.0  # times the median of 28 days
_SPIKE = 10.0  # times the median of 28 days: what is above says nothing of the days to come
_PRIOR_UNREST = 0.25  # about the median weekly and monthly |log ratio| of the public series
_UNREST = (math.log(0.03), math.log(1.5))
_UNREST_CENTRE = math.log(_PRIOR_UNREST)
_SHIFT = math.log(4)
_SHIFT_DAYS = (3, 112)
_SHIFT_TRUSTED = 7.0


class Seen(NamedTuple):
    """What is seen from each of n origins."""

    mean: Floats
    """(n,) mean of the last 28 days, or of all there are."""
    profile: Floats
    """(n, 7) weekday factors with mean 1; column 0 is the weekday of the origin."""
    levels: Floats
    """(n, 9) how far the growth of other series counts, 0 to 1, then LEVEL_NAMES."""
    unrest: Floats
    """(n, 5) SPREAD_NAMES."""


def seen(totals: Floats, origins: Ints) -> Seen:
    """Look at `totals` (daily, without holes, none negative) from origins of at least 14."""
    sums = np.concatenate([[0.0], np.cumsum(totals)])
    mean = _mean(sums, origins, MONTH)
    profile = weekday_profile(totals, origins)
    weekly = _unrest(sums, origins, mean, 7, 17, 4)
    monthly = _unrest(sums, origins, mean, MONTH, 13, 2)
    # What grows elsewhere is no reason to expect growth of a series whose months are all alike.
    growth = np.minimum(np.exp(monthly), 1.0) ** 2
    levels = np.column_stack([growth, _levels(totals, sums, origins, mean, profile)])
    change = levels[:, 1]
    ones = np.ones(len(origins))
    columns = (ones, weekly, monthly, np.maximum(change, 0), np.maximum(-change, 0))
    return Seen(mean, profile, levels, np.column_stack(columns))


def expected(view: Seen, lo: int, hi: int) -> Floats:
    """(n,) the total of the days lo..hi-1 after each origin at the mean of the last 28 days."""
    whole, rest = divmod(hi - lo, 7)
    days = np.full(7, float(whole))
    days[(lo + np.arange(rest)) % 7] += 1
    total: Floats = view.mean * (view.profile @ days)
    return total


def weekday_profile(totals: Floats, origins: Ints) -> Floats:
    """Median share of each weekday in the last whole weeks, at most 8, as factors with mean 1.

    A median of shares, so that neither growth nor one wild day turns a weekday into another.
    """
    weeks = max(min(WEEKS, int(origins.min()) // 7), 1)
    starts = origins[:, None] - 7 * np.arange(1, weeks + 1)
    days = totals[starts[:, :, None] + np.arange(7)]
    whole = days.sum(axis=2, keepdims=True)
    shares = _median(days / np.where(whole > 0, whole, 1.0), axis=1)
    sums = shares.sum(axis=1, keepdims=True)
    factors = np.where(sums > 0, 7 * shares / np.where(sums > 0, sums, 1.0), 1.0)
    profile: Floats = factors + _PROFILE_SHRUNK * (1 - factors)
    return profile


def without_spikes(totals: Floats) -> Floats:
    """Days above 10 times the median day of their 28 days, or of the 28 before, cut to that."""
    blocks = len(totals) // MONTH
    if not blocks:
        middle = float(np.median(totals))
        return np.minimum(totals, _SPIKE * middle) if middle > 0 else totals
    odd = len(totals) - blocks * MONTH
    own = _median(totals[odd:].reshape(blocks, MONTH), axis=1)
    before = np.concatenate([own[:1], own[:-1]])
    caps = _SPIKE * np.maximum(own, before)
    caps = np.where(caps > 0, caps, np.inf)
    cut: Floats = np.minimum(
        totals, np.concatenate([np.full(odd, caps[0]), np.repeat(caps, MONTH)])
    )
    return cut


class Shift(NamedTuple):
    """A level that changed at once: every day since lies beyond all days of four weeks before."""

    days: int
    """Since the change."""
    log_ratio: float
    """Of the median day after it to the one before."""


def level_shift(totals: Floats) -> Shift | None:
    """The sharpest change by at least four times, 3 to 112 days ago; None if there is none."""
    least, most = _SHIFT_DAYS
    most = min(most, len(totals) - 14)
    if most < least or not totals[-1] > 0:
        return None
    window = min(MONTH, len(totals) - most)
    near = totals[-most - window :]
    back = near[::-1][:most]
    before = np.lib.stride_tricks.sliding_window_view(near, window)[:most][::-1]
    lowest, highest = np.minimum.accumulate(back), np.maximum.accumulate(back)
    tiny = max(float(near.max()) * 1e-6, 1e-300)
    up = np.log((lowest + tiny) / (before.max(axis=1) + tiny))
    down = np.log((before.min(axis=1) + tiny) / (highest + tiny))
    gap = np.maximum(up, down)
    gap[: least - 1] = -np.inf
    days = int(np.argmax(gap)) + 1
    if gap[days - 1] <= 0:
        return None
    after, earlier = np.median(near[-days:]), np.median(before[days - 1])
    if not (after > 0 and earlier > 0):
        return None
    ratio = float(np.log(after / earlier))
    return Shift(days, ratio) if abs(ratio) >= _SHIFT else None


def at_new_level(totals: Floats, shift: Shift) -> Floats:
    """The days before a shift brought to the level after it; wholly so once it is a week old."""
    trust = min(shift.days / _SHIFT_TRUSTED, 1.0)
    raised = totals.copy()
    raised[: -shift.days] *= math.exp(shift.log_ratio * trust)
    return raised


def _median(values: Floats, axis: int) -> Floats:
    """As numpy's, without its search for NaN: half the time on arrays as small as these."""
    count = values.shape[axis]
    ordered = np.sort(values, axis=axis)
    lower, upper = (ordered.take(i, axis=axis) for i in ((count - 1) // 2, count // 2))
    middle: Floats = (lower + upper) / 2
    return middle


def _mean(sums: Floats, origins: Ints, days: int) -> Floats:
    mean: Floats = (sums[origins] - sums[np.maximum(origins - days, 0)]) / np.minimum(origins, days)
    return np.maximum(mean, 0.0)


def _levels(totals: Floats, sums: Floats, origins: Ints, mean: Floats, profile: Floats) -> Floats:
    width = min(MONTH, int(origins.min()))
    back = np.arange(-width, 0)
    # As if every weekday were alike, so that a median does not jump between days and weekends.
    even = totals[origins[:, None] + back] / np.maximum(profile[:, back % 7], 0.2)
    median = _median(even, axis=1)
    limited = np.minimum(even, _LIMIT * median[:, None])
    found = [_mean(sums, origins, days) for days in LEVELS]
    found += [limited[:, -7:].mean(axis=1), limited.mean(axis=1), median]
    ratios = np.array(found) / np.where(mean > 0, mean, 1.0)
    logs = np.log(np.maximum(ratios, 1e-9)).clip(-_FARTHEST_LEVEL, _FARTHEST_LEVEL)
    return logs.T


def _unrest(sums: Floats, origins: Ints, mean: Floats, step: int, count: int, prior: int) -> Floats:
    """Log of the mean |log ratio| of neighbouring spans of `step` days, drawn to a prior."""
    ends = origins[:, None] - step * np.arange(count + 1)
    marks = sums[np.maximum(ends, 0)]
    spans = np.maximum(marks[:, :-1] - marks[:, 1:], 0.05 * step * mean[:, None])
    known = ends[:, 2:] >= 0
    steps = np.abs(np.diff(np.log(np.maximum(spans, 1e-300)), axis=1)) * known
    unrest = (steps.sum(axis=1) + prior * _PRIOR_UNREST) / (known.sum(axis=1) + prior)
    logs: Floats = np.log(np.maximum(unrest, 1e-9)).clip(*_UNREST) - _UNREST_CENTRE
    return logs
