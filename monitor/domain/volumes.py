"""A month's volume as a distribution: three quantiles and a known part become draws and chances.

Above the part that is already known the logarithm of the volume has two pieces, one on either side
of its median, so that it passes exactly through the projection's q10, q50 and q90. Between and
beyond them it is more peaked than a normal one and has longer tails (a sinh of a normal), as real
months are: `benchmarks/calibration.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.forecast import RATE_CAP, Projection

MONTHS = 12
"""How far ahead the chance of each month is told."""

Z90 = NormalDist().inv_cdf(0.9)
TAIL = 0.8
"""Length of the tails; 0 would be log-normal. The chances of 26,722 crossings over 28 public daily
series, each projected with a table fitted without it, are told best from 0.6 to 0.8 (log loss
0.3107; 0.3136 at 0, 0.3113 at 1.0, 0.3125 at 1.2)."""

_NORMAL = NormalDist()
_AT_Z90 = math.sinh(TAIL * Z90)
# Of the other side's distance: a quantile that equals the known part is near it, not at minus
# infinity on the log scale.
_NEAR = 1e-3
_WIDEST = math.log(RATE_CAP)
# Logarithms that floats hold with room for prices.
_FINITE = 300.0

_Floats = NDArray[np.float64]


class Volume(NamedTuple):
    """A month's volume, in any unit; 80 of 100 such months lie in q10..q90."""

    q10: float
    q50: float
    q90: float
    floor: float = 0.0
    """The part that is known, such as the month to date: no draw is below it."""


class _Shape(NamedTuple):
    """Pieces above `floor`: how far q10 and q90 are from the median on the log scale."""

    floor: float
    median: float
    below: float
    above: float

    def score(self, value: float) -> float | None:
        """The standard normal draw that gives `value`, infinite without a spread; None: none."""
        if value <= self.floor or not self.median:
            return None
        distance = math.log(value - self.floor) - math.log(self.median)
        side = self.below if distance < 0 else self.above
        if not side:
            return math.copysign(math.inf, distance) if distance else 0.0
        return math.asinh(distance / side * _AT_Z90) / TAIL


def of_projection(projection: Projection) -> Volume:
    """What a projection says of its month."""
    p = projection
    return Volume(float(p.q10), float(p.q50), float(p.q90), float(p.month_to_date))


def about(median: float, log_sd: float) -> Volume:
    """A volume of which nothing more is known than its spread on the log scale."""
    factor = math.exp(Z90 * log_sd)
    return Volume(median / factor, median, median * factor)


def draws(volume: Volume, normals: _Floats) -> _Floats:
    """One volume for each standard normal draw; the same order, finite, never below the floor."""
    shape = _shape(volume)
    side = np.where(normals < 0, shape.below, shape.above)
    logs = np.clip(side * np.sinh(TAIL * normals) / _AT_Z90, -_FINITE, _FINITE)
    drawn: _Floats = shape.floor + shape.median * np.exp(logs)
    return drawn


def chance_above(volume: Volume, crossing: float | None) -> float:
    """The probability, 0..1, that the month's volume reaches `crossing`; None: never, so 0."""
    if crossing is None:
        return 0.0
    shape = _shape(volume)
    if crossing <= shape.floor:
        return 1.0
    score = shape.score(crossing)
    if score is None:
        return 0.0
    # A median on the crossing reaches it, spread or none.
    return 1 - _NORMAL.cdf(score) if math.isfinite(score) else float(score < 0)


def surprise(volume: Volume, value: float) -> float | None:
    """How many standard deviations `value` is from the median; None: it cannot occur."""
    score = _shape(volume).score(value)
    return score if score is not None and math.isfinite(score) else None


def year_ahead(known: Sequence[Volume], months: int = MONTHS) -> list[Volume]:
    """The volumes of month 0 (the one that is assessed) to month `months`.

    As projected while there are projections. Beyond them the median stays, because extrapolated
    trends are the worst of all simple projections, and the spread grows with the square root of
    the months ahead: on public daily series the error of the third month ahead is 1.73 times that
    of the first, which is the square root of three. It stops where a projection stops, at
    RATE_CAP times the median.
    """
    found = list(known[: months + 1])
    last, reached = _shape(known[-1]), max(len(known) - 1, 1)
    median = last.floor + last.median
    for ahead in range(len(found), months + 1):
        wider = math.sqrt(ahead / reached)
        low, high = (min(wider * side, max(_WIDEST, side)) for side in (last.below, last.above))
        found.append(Volume(median * math.exp(-low), median, median * math.exp(high)))
    return found


def _shape(volume: Volume) -> _Shape:
    low, middle, high = (q - volume.floor for q in (volume.q10, volume.q50, volume.q90))
    middle = max(middle, _NEAR * high)
    if middle <= 0:
        return _Shape(volume.floor, 0.0, 0.0, 0.0)
    low, high = min(max(low, _NEAR * middle), middle), max(high, middle)
    return _Shape(volume.floor, middle, math.log(middle / low), math.log(high / middle))
