"""A ratio that holds day after day: what an agreed discount leaves in the bills."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

LEAST_DAYS = 5
_NEAR = Fraction(5, 1000)
SHARE = Fraction(3, 5)
"""Of the days from the first to the last."""
_AS_AGREED = ((100, Fraction(2, 10_000)), (1000, Fraction(2, 100_000)))
"""People agree on whole percents, or tenths of one: how near a ratio must be to count as such."""


class Steady(NamedTuple):
    """What was billed of each estimated dollar, from the first to the last such day."""

    rate: Fraction
    first: int
    last: int


def steady(
    points: Sequence[tuple[int, int, int]], band: tuple[Fraction, Fraction]
) -> Steady | None:
    """The ratio that most days share; None: too few do.

    Args:
        points: (day, billed, estimated) of single days, both amounts above 0.
        band: between which two ratios one is looked for.
    """
    ratios = [(day, Fraction(billed, estimated)) for day, billed, estimated in points]
    inside = sorted(ratio for _, ratio in ratios if band[0] <= ratio <= band[1])
    most = max(inside, key=lambda r: sum(_near(other, r) for other in inside), default=None)
    if most is None:
        return None
    same = [point for point in points if _near(Fraction(point[1], point[2]), most)]
    first, last = min(day for day, *_ in same), max(day for day, *_ in same)
    between = sum(first <= day <= last for day, *_ in points)
    if len(same) < LEAST_DAYS or len(same) < SHARE * between:
        return None
    rate = Fraction(sum(billed for _, billed, _ in same), sum(own for *_, own in same))
    if not band[0] <= rate <= band[1]:
        return None
    return Steady(_as_agreed(rate), first, last)


def _near(ratio: Fraction, middle: Fraction) -> bool:
    return abs(ratio - middle) <= _NEAR * middle


def _as_agreed(rate: Fraction) -> Fraction:
    for parts, near in _AS_AGREED:
        whole = Fraction(round(rate * parts), parts)
        if abs(rate - whole) <= near:
            return whole
    return rate
