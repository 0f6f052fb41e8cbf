"""A month's volume as a distribution: three quantiles and a known part become draws and chances.

Above the part that is already known the volume is log-normal in two pieces, one on either side of
its median, so that it passes exactly through the projection's q10, q50 and q90.
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
_NORMAL = NormalDist()
# Of the other side's distance: a quantile that equals the known part is near it, not at minus
# infinity on the log scale.
_NEAR = 1e-3
_WIDEST = math.log(RATE_CAP) / Z90

_Floats = NDArray[np.float64]


class Volume(NamedTuple):
    """A month's volume, in any unit; 80 of 100 such months lie in q10..q90."""

    q10: float
    q50: float
    q90: float
    floor: float = 0.0
    """The part that is known, such as the month to date: no draw is below it."""


class _Shape(NamedTuple):
    """Log-normal pieces above `floor`; both spreads are standard deviations of the logarithm."""

    floor: float
    median: float
    below: float
    above: float


def of_projection(projection: Projection) -> Volume:
    """What a projection says of its month."""
    p = projection
    return Volume(float(p.q10), float(p.q50), float(p.q90), float(p.month_to_date))


def about(median: float, log_sd: float) -> Volume:
    """A log-normal volume that nothing more is known of."""
    factor = math.exp(Z90 * log_sd)
    return Volume(median / factor, median, median * factor)


def draws(volume: Volume, normals: _Floats) -> _Floats:
    """One volume for each standard normal draw; the same order, finite, never below the floor."""
    shape = _shape(volume)
    spread = np.where(normals < 0, shape.below, shape.above)
    drawn: _Floats = shape.floor + shape.median * np.exp(spread * normals)
    return drawn


def chance_above(volume: Volume, crossing: float | None) -> float:
    """The probability, 0..1, that the month's volume reaches `crossing`; None: never, so 0."""
    if crossing is None:
        return 0.0
    shape = _shape(volume)
    beyond = crossing - shape.floor
    if beyond <= 0:
        return 1.0
    if not shape.median:
        return 0.0
    distance = math.log(beyond) - math.log(shape.median)
    spread = shape.below if distance < 0 else shape.above
    if not spread:
        return float(distance <= 0)
    return 1 - _NORMAL.cdf(distance / spread)


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
        wider = math.sqrt(max(ahead, 1) / reached)
        low, high = (min(wider * sd, max(_WIDEST, sd)) for sd in (last.below, last.above))
        found.append(Volume(median * math.exp(-Z90 * low), median, median * math.exp(Z90 * high)))
    return found


def surprise(volume: Volume, value: float) -> float | None:
    """How many standard deviations `value` is from the median; None: it cannot occur."""
    shape = _shape(volume)
    if value <= shape.floor or not shape.median:
        return None
    distance = math.log(value - shape.floor) - math.log(shape.median)
    spread = shape.below if distance < 0 else shape.above
    return distance / spread if spread else None


def _shape(volume: Volume) -> _Shape:
    low, middle, high = (q - volume.floor for q in (volume.q10, volume.q50, volume.q90))
    middle = max(middle, _NEAR * high)
    if middle <= 0:
        return _Shape(volume.floor, 0.0, 0.0, 0.0)
    low, high = max(low, _NEAR * middle), max(high, middle)
    below, above = math.log(middle / min(low, middle)), math.log(high / middle)
    return _Shape(volume.floor, middle, below / Z90, above / Z90)
