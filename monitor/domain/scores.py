"""How good a projection or an assessment was, once its month is over."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import NamedTuple

from monitor.domain import costs
from monitor.domain.scenario import Scenario

HORIZONS = (7, 14, 21, 30)
"""Days before a month's end at which the record is told; 30: about when the month begins."""
MONTHS = 10
"""How many of the newest months a record speaks of."""

_LEVELS = (Fraction(1, 10), Fraction(1, 2), Fraction(9, 10))


class Told(NamedTuple):
    """The three quantiles of a projection, in its unit."""

    q10: int
    q50: int
    q90: int


class Score(NamedTuple):
    """Of one projection; shares of the actual total, None where that is zero."""

    error: Fraction | None
    """q50 less actual."""
    inside: bool
    """Whether the actual total lies from q10 to q90, both included."""
    pinball: Fraction | None
    """Twice the pinball loss, the mean over the three quantiles: weighted quantile loss."""


class Held(NamedTuple):
    """Of one assessment, at the volume that came: dollars a month."""

    api: Fraction
    hybrid: Fraction
    was_right: bool

    @property
    def savings(self) -> Fraction:
        """What moving would have saved."""
        return self.api - self.hybrid


class Record(NamedTuple):
    """Of several months."""

    months: int
    inside: int
    median_error: Fraction | None
    """Of the errors' sizes; None: nothing came in any month."""


def score(told: Told, actual: int) -> Score:
    """What a projection was worth; both in the same unit."""
    inside = told.q10 <= actual <= told.q90
    if not actual:
        return Score(None, inside, None)
    losses = [_pinball(q, level, actual) for q, level in zip(told, _LEVELS, strict=True)]
    return Score(
        Fraction(told.q50 - actual, actual), inside, 2 * sum(losses, Fraction(0)) / (3 * actual)
    )


def _pinball(q: int, level: Fraction, actual: int) -> Fraction:
    return level * (actual - q) if actual >= q else (1 - level) * (q - actual)


def hold(scenario: Scenario, told: str, actual_requests: int) -> Held:
    """Both bills of an assessment's scenario at the volume that came.

    A verdict for the API was right where moving would have saved nothing, one for own servers
    where it would have saved something.
    """
    api = Fraction(costs.api_bill(scenario, actual_requests))
    hybrid = Fraction(costs.hybrid_bill(scenario, actual_requests))
    return Held(api, hybrid, (told != "api") == (api > hybrid))


def record(scores: Sequence[Score]) -> Record:
    """The months of one horizon together."""
    errors = [abs(each.error) for each in scores if each.error is not None]
    held = sum(each.inside for each in scores)
    return Record(len(scores), held, median(errors) if errors else None)
