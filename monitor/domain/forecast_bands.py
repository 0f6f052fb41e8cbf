"""From what is seen in a series to q10, q50 and q90 of a span of days ahead.

The middle is the weekday profile times a blend of levels; below and above it lies a spread that
grows with how restless the series is. Weights and spreads come from a table fitted on public
series for some spans and interpolated between them; the series' own past, replayed, then widens or
narrows the spread as far as it is long enough to be believed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from monitor.domain import forecast_table
from monitor.domain.forecast_features import (
    FARTHEST,
    MONTH,
    Floats,
    Ints,
    Seen,
    at_new_level,
    expected,
    level_shift,
    seen,
    without_spikes,
)

LONGEST = 130
"""A span may end this many days ahead: the month three months after the present one does."""
REPLAY_SPAN = 540
LOOKBACK = REPLAY_SPAN + LONGEST + FARTHEST
"""Older days have no influence."""
SHORT = 28
"""Below this many days the spread is a prior's."""

_REPLAYED = 40
_REPLAY_FROM = 56  # eight weeks make a whole weekday profile
_REPLAY_NEEDED = 180
_TRUSTED = (0.5, 2.0)  # how far the own past may narrow or widen the table's spread
_LOG_CAP = math.log(20)
_WIDEST_SHIFT = 3.0


class Table(NamedTuple):
    """Coefficients for spans of days: see `forecast_table`, which is one."""

    anchors: tuple[tuple[int, int], ...]
    """k spans (lo, hi) in days after the last known day, by their middle."""
    centre: Floats
    """(k, 9) weights of `Seen.levels`: log of the middle over `expected`."""
    upper: Floats
    """(k, 5) weights of `Seen.unrest`: log of the distance to q90, itself in logs."""
    lower: Floats
    """(k, 5) the same for q10."""
    widen: float
    """Factor on both distances, chosen for coverage on series not fitted on."""
    widen_short: float
    """A further factor below 28 days."""
    replay_weight: float
    """The own past counts as n / (n + this), n being its spans that do not overlap."""

    def at(self, lo: int, hi: int) -> tuple[Floats, Floats, Floats]:
        """The coefficients of a span, linear in the log of its middle between the anchors."""
        places = [math.log(low + high) for low, high in self.anchors]
        place = min(max(math.log(max(lo + hi, 1)), places[0]), places[-1])
        right = max(int(np.searchsorted(places, place)), 1)
        share = (place - places[right - 1]) / (places[right] - places[right - 1])
        mixed = (m[right - 1] + share * (m[right] - m[right - 1]) for m in self[1:4])
        centre, upper, lower = mixed
        return centre, upper, lower


TABLE = Table(
    forecast_table.ANCHORS,
    np.array(forecast_table.CENTRE),
    np.array(forecast_table.UPPER),
    np.array(forecast_table.LOWER),
    forecast_table.WIDEN,
    forecast_table.WIDEN_SHORT,
    forecast_table.REPLAY_WEIGHT,
)


class Prepared(NamedTuple):
    """A history made ready to look ahead from its end."""

    totals: Floats
    """Spikes cut, and older days brought to the present level."""
    view: Seen
    known: int
    """Days that are no guess, at most all."""
    shifted: bool
    unsettled: float
    """Factor on the spread, above 1 while a shift is recent."""


def prepare(totals: Floats, known: int | None = None) -> Prepared:
    """Make daily totals ready, without holes and at least 14; `known` of them are no guess."""
    # A credit makes a day of dollars negative: it says nothing of the level.
    recent = np.maximum(totals[-LOOKBACK:], 0.0)
    shift = level_shift(recent)
    if shift:
        recent = at_new_level(recent, shift)
    calm = without_spikes(recent)
    view = seen(calm, np.array([len(calm)]))
    unsettled = 1.0
    if shift:
        unsettled += 0.5 * abs(shift.log_ratio) * math.exp(-shift.days / 14)
    count = len(totals) if known is None else known
    return Prepared(calm, view, count, shift is not None, min(unsettled, _WIDEST_SHIFT))


def quantiles(
    ready: Prepared, lo: int, hi: int, table: Table = TABLE
) -> tuple[float, float, float]:
    """q10, q50 and q90 of the total of the days lo..hi-1 after the history."""
    centre, upper, lower = table.at(lo, hi)
    usual = float(expected(ready.view, lo, hi)[0])
    middle = float(ready.view.levels[0] @ centre)
    above = math.exp(float(ready.view.unrest[0] @ upper))
    below = math.exp(float(ready.view.unrest[0] @ lower))
    wide = table.widen * ready.unsettled
    if ready.known < SHORT:
        wide *= table.widen_short
    elif ready.known >= _REPLAY_NEEDED and table.replay_weight > 0 and not ready.shifted:
        own_above, own_below = _own(ready.totals, lo, hi, table)
        above, below = above * own_above, below * own_below
    logs = (middle - below * wide, middle, middle + above * wide)
    low, mid, high = (usual * math.exp(min(max(at, -30.0), _LOG_CAP)) for at in logs)
    return low, mid, high


def _own(totals: Floats, lo: int, hi: int, table: Table) -> tuple[float, float]:
    """Factors on the spread, above and below, from the same span at past origins."""
    last = len(totals) - hi
    first = max(_REPLAY_FROM, last - REPLAY_SPAN)
    if last - first < MONTH:
        return 1.0, 1.0
    origins = np.linspace(first, last, _REPLAYED).astype(np.int64)
    above, below = residuals(totals, origins, lo, hi, table)
    spans = (last - first + hi - lo) / max(hi - lo, 7)
    trust = spans / (spans + table.replay_weight)
    # Of few spans the 90% quantile falls short: the usual correction for their number.
    level = min(0.9 * (1 + 1 / spans), 0.99)
    place = level * (_REPLAYED - 1)
    up, down = (
        float(np.interp(place, np.arange(_REPLAYED), np.sort(side)).clip(*_TRUSTED))
        for side in (above, below)
    )
    return up**trust, down**trust


def residuals(
    totals: Floats, origins: Ints, lo: int, hi: int, table: Table
) -> tuple[Floats, Floats]:
    """How far past totals lay above and below the middle, in the table's distances: about 80% < 1.

    Each is (n,), positive outwards: one is the negative of the other up to its unit.
    """
    centre, upper, lower = table.at(lo, hi)
    view = seen(totals, origins)
    usual = expected(view, lo, hi)
    sums = np.concatenate([[0.0], np.cumsum(totals)])
    actual = sums[origins + hi] - sums[origins + lo]
    # A share of the usual total keeps silent spans finite, whatever the unit.
    small = max(float(actual.mean()) / 50, 1e-9)
    errors = np.log((actual + small) / (usual + small)) - view.levels @ centre
    return errors / np.exp(view.unrest @ upper), -errors / np.exp(view.unrest @ lower)
