"""Which side of the break-even a volume is on, and whether it is about to change it.

Both look at the logarithm of each day's volume over the break-even volume, weekdays evened out. A
side is stated when the level at the end lies beyond the break-even by more than its own doubt:
at once after three closed days that all lie there, else by a line through the last weeks. Between
the two it stays as it was, so that a volume that walks around the break-even is told of a few times
a year and not every other day. What the thresholds do to delay and noise: `benchmarks/noise.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.forecast import filled, known_days
from monitor.domain.forecast_features import weekday_profile
from monitor.domain.usage import DAY

Side = Literal["above", "below"]

DAYS = 140
"""No older day counts."""
NEEDED_DAYS = 14

_SIGNS: tuple[tuple[Side, float], ...] = (("above", 1.0), ("below", -1.0))
_DAYS_PER_MONTH = 365.25 / 12
_NORMAL = NormalDist()

_SIDE_DAYS = (14, 28, 56)
_SIDE_DOUBT = 2.2
"""Standard errors that the end of the line must lie beyond the break-even."""
_AT_ONCE_DOUBT = 3.0
_MARGIN = 0.02
"""2% of the break-even volume: closer than that neither side is worth a message."""

_TREND_DAYS = (56, 84, 120)
_TREND_DOUBT = 2.0
"""A line that is not steeper than so many of its standard errors is no trend."""
_LOOK_AHEAD = 1.25
"""Of the lead time: what is announced at the lead time exactly is announced too late half of the
time."""
CHANCE = 0.55
"""Announced from this chance on."""

_NEIGHBOURS = 1.6
"""Days that follow each other err alike: variances of means are larger by so much."""
_WALK = 0.008
"""The level's own wandering, in logs a square root of a day."""
_LEAST_NOISE = 0.03
_USUAL_NOISE = 0.3
_TO_SD = 1 / 0.6745
"""From a median absolute deviation to a standard deviation."""

_Floats = NDArray[np.float64]


class Volumes(NamedTuple):
    """Known days as logs over the break-even volume, oldest first, without weekdays and holes."""

    logs: _Floats
    noise: float
    """Standard deviation of a day around its level."""


class Outlook(NamedTuple):
    """Whether the volume is about to change its side."""

    chance: float
    """That it lies on the other side at the end of the time looked ahead."""
    days: int | None
    """Until the line meets the break-even; None: it does not head there."""


class _Line(NamedTuple):
    level: float
    slope: float
    variances: tuple[float, float, float]
    """Of the level, of the slope, and between them."""

    def variance(self, days: float) -> float:
        """Of the line's value so many days after its end."""
        at_end, of_slope, between = self.variances
        return at_end + days * days * of_slope + 2 * days * between


def volumes(daily: Mapping[int, int | None], as_of: int, crossing: int) -> Volumes | None:
    """What is known at `as_of`; None: no break-even to compare with, or too few days.

    Args:
        daily: UTC midnight (epoch seconds) -> the day's total; None or absent is missing.
        as_of: UTC midnight, exclusive.
        crossing: the break-even volume of a month, in the same unit; None or 0 is no volume.
    """
    known = {d: n for d, n in known_days(daily, as_of).items() if d >= as_of - DAYS * DAY}
    if crossing <= 0 or len(known) < NEEDED_DAYS:
        return None
    start, end = min(known), max(known)
    totals = np.array([known.get(d, math.nan) for d in range(start, end + DAY, DAY)])
    if len(totals) < NEEDED_DAYS:
        return None
    # Column 0 of the profile is the weekday after the last day.
    profile = weekday_profile(np.maximum(filled(totals), 0.0), np.array([len(totals)]))[0]
    even = totals / np.maximum(profile[np.arange(-len(totals), 0) % 7], 0.05)
    even = even[~np.isnan(even)] * (_DAYS_PER_MONTH / crossing)
    logs = np.log(np.maximum(even, 1e-6))
    return Volumes(logs, _noise(logs))


def side(seen: Volumes, before: Side | None) -> Side | None:
    """Where the volume is; `before` while that is in doubt."""
    logs, noise = seen
    for name, sign in _SIGNS:
        if _at_once(sign * logs, noise):
            return name
    for days in _SIDE_DAYS:
        if len(logs) < days:
            break
        line = _line(logs[-days:], noise)
        doubt = _SIDE_DOUBT * math.sqrt(line.variance(0))
        if abs(line.level) > doubt + _MARGIN and logs[-7:].mean() * line.level > 0:
            return "above" if line.level > 0 else "below"
    return before


def outlook(seen: Volumes, standing: Side, lead_days: int) -> Outlook:
    """How likely the volume changes its side about `lead_days` from now, by its trend.

    The chance is the middle one of three lines of different length, so that neither a burst nor an
    old trend decides alone.
    """
    towards = 1.0 if standing == "below" else -1.0
    ahead = lead_days * _LOOK_AHEAD
    found = []
    for days in _TREND_DAYS:
        if len(seen.logs) >= days:
            line = _line(seen.logs[-days:], seen.noise)
            wander = _WALK**2 * ahead * (1 + ahead / days)
            found.append(_towards(line, towards, ahead, wander))
    if not found:
        return Outlook(0.0, None)
    return sorted(found, key=lambda each: each.chance)[len(found) // 2]


def _towards(line: _Line, towards: float, ahead: float, wander: float) -> Outlook:
    slope = towards * line.slope
    if slope <= _TREND_DOUBT * math.sqrt(line.variances[1]):
        return Outlook(0.0, None)
    reached = towards * line.level + slope * ahead
    chance = _NORMAL.cdf(reached / math.sqrt(line.variance(ahead) + wander))
    return Outlook(chance, max(round(-towards * line.level / slope), 0))


def _at_once(logs: _Floats, noise: float) -> bool:
    """Three closed days that all lie beyond, and together by more than chance."""
    newest = logs[-3:]
    doubt = _AT_ONCE_DOUBT * noise * math.sqrt(1.3 / 3)
    return bool(newest.min() > _MARGIN and newest.mean() > doubt + _MARGIN)


def _noise(logs: _Floats) -> float:
    """From the steps between days and from the distances to a level of two weeks."""
    if len(logs) < 2 * NEEDED_DAYS:
        return _USUAL_NOISE
    recent = logs[-84:]
    steps = float(np.median(np.abs(np.diff(recent)))) * _TO_SD / math.sqrt(2)
    padded = np.pad(recent, 6, mode="reflect")
    level = np.median(np.lib.stride_tricks.sliding_window_view(padded, 13), axis=1)
    around = float(np.median(np.abs(recent - level))) * _TO_SD
    return math.hypot(max(steps, around), _LEAST_NOISE)


def _line(logs: _Floats, noise: float) -> _Line:
    """A line through the days in which far ones count less; day 0 is the last one."""
    days = np.arange(len(logs)) - (len(logs) - 1.0)
    design = np.column_stack([np.ones(len(logs)), days])
    weights = np.ones(len(logs))
    for _ in range(3):
        weighted = design * weights[:, None]
        level, slope = np.linalg.solve(design.T @ weighted, weighted.T @ logs)
        distances = np.abs(logs - level - slope * days)
        sd = float(np.median(distances)) * _TO_SD + 1e-6
        weights = 1 / np.maximum(1, distances / (1.5 * sd))
    spread = np.linalg.inv(design.T @ design) * _NEIGHBOURS * max(sd, 0.7 * noise) ** 2
    variances = (float(spread[0, 0]), float(spread[1, 1]), float(spread[0, 1]))
    return _Line(float(level), float(slope), variances)
