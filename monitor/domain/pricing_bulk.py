"""Many usages priced at once, in 64-bit integers, equal to `pricing.price` to the last digit.

What a row of integers cannot say goes through `price` one by one: a class without a rate of its
own, a bucket that may hide a long request, an amount that 64 bits do not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.pricing import Priced, RateCard, Rates, price
from monitor.domain.usage import INPUT_CLASSES, QUANTITY_FIELDS, Quantities

UNKNOWN = -1
"""Stands for None in a table of counts."""

NO_CARD = -1
"""Stands for no card in a column of card numbers."""

Counts = NDArray[np.int64]
"""One row for each usage, its columns those of `Quantities`."""

_INPUT = [QUANTITY_FIELDS.index(name) for name in INPUT_CLASSES]
_REQUESTS = QUANTITY_FIELDS.index("requests")
_CLASSES = len(QUANTITY_FIELDS) - 2  # without reasoning and requests, which have rates of 0
_SAFE = 2.0**62
_BLOCK = 2_000  # rows turned into columns at a time: they stay in the processor's cache
_NEVER = np.iinfo(np.int64).max


class PricedMany(NamedTuple):
    """What many usages cost."""

    femto: NDArray[np.int64]
    """Femto-USD of each row; 0 where the row stands in `others`."""
    others: dict[int, Priced]
    """The rows that were priced one by one, by their number."""

    @property
    def total_femto(self) -> int:
        """The exact sum of all that is priced, however large."""
        # Two halves: a sum of 2^31 rows of 32 bits each stays within 64.
        high, low = int((self.femto >> 32).sum()), int((self.femto & 0xFFFFFFFF).sum())
        return (high << 32) + low + sum(priced.femto or 0 for priced in self.others.values())


def counts_of(usages: Sequence[Quantities]) -> Counts:
    """A table of counts, with `UNKNOWN` for None."""
    table = np.empty((len(QUANTITY_FIELDS), len(usages)), np.int64)
    for begin in range(0, len(usages), _BLOCK):
        block = usages[begin : begin + _BLOCK]
        for row, column in zip(table, zip(*block, strict=True), strict=True):
            row[begin : begin + _BLOCK] = _known(column)
    return table.T


def _known(column: tuple[int | None, ...]) -> Any:
    unknown = column.count(None)
    if unknown == len(column):
        return UNKNOWN
    return [UNKNOWN if n is None else n for n in column] if unknown else column


def price_many(
    cards: Sequence[RateCard],
    card_of: NDArray[np.intp],
    counts: Counts,
    *,
    per_request: bool = False,
) -> PricedMany:
    """The price of every row of `counts`.

    Args:
        cards: resolved cards.
        card_of: for each row the number of its card, or `NO_CARD`.
        counts: see `counts_of`.
        per_request: every row is one request; else those that counted exactly one are.
    """
    if not len(counts):
        return PricedMany(np.empty(0, np.int64), {})
    shelf = _Shelf.of(cards)
    rows, alone = _rate_rows(shelf, card_of, counts, per_request)
    femto = np.zeros(len(counts), np.int64)
    used = [c for c in range(_CLASSES) if (counts[:, c] > 0).any()]
    estimate = np.zeros(len(counts)) if _may_overflow(counts, shelf, used) else None
    for column in used:
        tokens = np.maximum(counts[:, column], 0)
        rates = shelf.rates[rows, column]
        alone |= (rates < 0) & (tokens > 0)
        femto += tokens * rates
        if estimate is not None:
            estimate += tokens.astype(np.float64) * rates
    if estimate is not None:
        alone |= estimate > _SAFE
    alone |= femto == 0
    femto[alone] = 0
    one_by_one = map(int, alone.nonzero()[0])
    return PricedMany(
        femto, {row: _one(cards, card_of, counts, row, per_request) for row in one_by_one}
    )


def _rate_rows(
    shelf: _Shelf, card_of: NDArray[np.intp], counts: Counts, per_request: bool
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The row of rates that each usage takes, and which usages must be priced one by one."""
    rows = shelf.first[card_of]
    alone = (card_of == NO_CARD) | shelf.surcharged[card_of]
    if shelf.thresholds.shape[1]:
        single = (counts[:, _REQUESTS] == 1) | per_request
        total = np.maximum(counts[:, _INPUT], 0).sum(axis=1)
        above = (total[:, None] > shelf.thresholds[card_of]).sum(axis=1)
        rows = rows + np.where(single, above, 0)
        alone |= (above > 0) & ~single
    return rows, alone


def _may_overflow(counts: Counts, shelf: _Shelf, used: Sequence[int]) -> bool:
    most = (float(counts[:, c].max()) * float(shelf.rates[:, c].max(initial=0)) for c in used)
    return sum(most) > _SAFE


def _one(
    cards: Sequence[RateCard],
    card_of: NDArray[np.intp],
    counts: Counts,
    row: int,
    per_request: bool,
) -> Priced:
    known = (None if n == UNKNOWN else int(n) for n in counts[row])
    number = int(card_of[row])
    card = None if number == NO_CARD else cards[number]
    return price(Quantities(*known), card, per_request)


class _Shelf(NamedTuple):
    """Cards as tables: the base rates of a card, then those of its tiers, one row each."""

    rates: NDArray[np.int64]
    """-1: no rate."""
    first: NDArray[np.intp]
    """For each card the row of its base rates."""
    thresholds: NDArray[np.int64]
    """For each card its tiers' thresholds, filled up with what no count reaches."""
    surcharged: NDArray[np.bool_]
    """Whether a card charges requests, or reasoning apart from output."""

    @classmethod
    def of(cls, cards: Sequence[RateCard]) -> _Shelf:
        # One more card without any rate, at the end: NO_CARD, -1, finds it.
        nothing = RateCard("", "", "", 0, Rates())
        every = [[card.rates, *(t.rates for t in card.tiers)] for card in (*cards, nothing)]
        sizes = [len(tables) for tables in every]
        tiers = np.full((len(every), max(sizes) - 1), _NEVER, np.int64)
        for number, card in enumerate(cards):
            tiers[number, : len(card.tiers)] = [t.above_input_tokens for t in card.tiers]
        flat = [[-1 if r is None else r for r in rates] for tables in every for rates in tables]
        return cls(
            np.array(flat, np.int64),
            np.cumsum([0, *sizes[:-1]]),
            tiers,
            np.array([any(r.per_request or r.reasoning for r in tables) for tables in every]),
        )
