"""How far a price list's new word is from its old one: a mistake is not taken over unseen."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from monitor.domain.pricing import RateCard, Rates

LARGEST = Fraction(1, 2)
"""A change of more than this, either way, waits for a person: a list once raised prices by half
for a night, and was wrong (pydantic/genai-prices#703)."""


def jump(old: RateCard, new: RateCard) -> Fraction | None:
    """The largest relative change of any rate, base and tiers; 0: none, None: beyond measure.

    Beyond measure is a rate that was 0, or that is no longer given. A rate that was not given
    before is news and no change.
    """
    largest = Fraction(0)
    for before, after in _pairs(old, new):
        if before is None or before == after:
            continue
        if after is None or before == 0:
            return None
        largest = max(largest, abs(Fraction(after - before, before)))
    return largest


def too_large(old: RateCard, new: RateCard) -> bool:
    """Whether the change must be confirmed."""
    found = jump(old, new)
    return found is None or found > LARGEST


def _pairs(old: RateCard, new: RateCard) -> Iterator[tuple[int | None, int | None]]:
    yield from zip(old.rates, new.rates, strict=True)
    thresholds = {tier.above_input_tokens for tier in (*old.tiers, *new.tiers)}
    for threshold in sorted(thresholds):
        yield from zip(_above(old, threshold), _above(new, threshold), strict=True)


def _above(card: RateCard, threshold: int) -> Rates:
    """The rates of a request just above a threshold."""
    reached = [tier.rates for tier in card.tiers if tier.above_input_tokens <= threshold]
    return reached[-1] if reached else card.rates
