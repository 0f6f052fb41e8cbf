"""Where a workload lies in the volume bands of published comparisons.

Bands are cross-checks on the computed crossing, never instead of it. They disagree by a factor of
75, so all are put in dollars of API a month, the unit in which a crossing lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, NamedTuple

from monitor.domain.guide import Band

Place = Literal["below", "between", "above"]
ADVICE = {"below": "api", "between": "pilot", "above": "self_host"}


class Placed(NamedTuple):
    """A workload in one band; money in dollars a month."""

    band: Band
    by_usd: Place
    by_tokens: Place
    crossing: Place | None
    """Where the computed crossing lies, in dollars of API; None: there is none."""
    why: str
    """Why the computed crossing differs from the band."""

    @property
    def advice(self) -> str:
        """What the band alone would say."""
        return ADVICE[self.by_usd]


def place(
    bands: Iterable[Band], api_usd: Fraction, tokens: Fraction, crossing_usd: Fraction | None
) -> list[Placed]:
    """The workload's place in each band, by its API bill and by its tokens a month."""
    return [
        Placed(
            band,
            _place(band.usd, api_usd),
            _place(band.tokens, tokens),
            None if crossing_usd is None else _place(band.usd, crossing_usd),
            _why(band, crossing_usd),
        )
        for band in bands
    ]


def between(placed: Iterable[Placed], *, moves: bool) -> list[Placed]:
    """The bands whose ends ask for a pilot.

    A move between a band's ends is tried first. Where money speaks for staying, a band counts only
    if it holds the computed crossing too: it then agrees that the crossing is near.
    """
    return [p for p in placed if p.by_usd == "between" and (moves or p.crossing == "between")]


def _place(ends: tuple[Fraction, ...], amount: Fraction) -> Place:
    if amount <= ends[0]:
        return "below"
    return "between" if amount < ends[1] else "above"


def _why(band: Band, crossing_usd: Fraction | None) -> str:
    low, high = (round(end) for end in band.usd)
    ours = f"{band.source} assumes {band.assumes}"
    if crossing_usd is None:
        return f"No volume makes this deployment cheaper; {ours}."
    here = f"${round(crossing_usd):,} of API a month"
    side = _place(band.usd, crossing_usd)
    if side == "between":
        return f"The computed crossing, {here}, lies in the band."
    than = f"{'below' if side == 'below' else 'above'} ${low:,}-{high:,}"
    return f"The computed crossing, {here}, is {than}: {ours}; here the cost lines are yours."
