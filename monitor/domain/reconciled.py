"""What a comparison of bill and estimate reads and says: lines, tokens, causes, findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

Cause = Literal[
    "unpriced",
    "tier",
    "discount",
    "late data",
    "credits",
    "rounding",
    "unit",
    "double count",
    "unexplained",
]
CAUSES: tuple[Cause, ...] = get_args(Cause)
MEANING: Mapping[Cause, str] = {
    "unpriced": "billed, and in no estimate: tokens without a known rate, or no tokens at all",
    "tier": "billed in a tier (batch, flex, priority, long context), estimated at standard",
    "discount": "the bill is a steady share of the list price",
    "late data": "one side of the day has not come, or came after the other",
    "credits": "lines below zero: credits, refunds, corrections",
    "rounding": "less than a cent for each line of a day",
    "unit": "cents where dollars are expected, tokens by the thousand, or the other way round",
    "double count": "two reports of the same traffic are both added",
    "unexplained": "no evidence says why",
}
LEAST = Decimal(1)
# The further apart, the more a real difference (discounts, charges that are not by token) may add.
FAR = (Decimal(50), Decimal(200))
TWICE = (Decimal("1.8"), Decimal("2.2"))


def unit_suspicion(billed: Decimal, estimated: Decimal) -> str:
    """What the ratio of two amounts in dollars looks like; '': nothing, or too little to say.

    A ratio near 100 or 0.01 is an error in a unit, near 2 or 0.5 a double count. Any other has
    honest causes: a discount, models without a rate, charges for more than tokens.
    """
    if min(billed, estimated) <= LEAST:
        return ""
    factor = max(billed / estimated, estimated / billed)
    if FAR[0] <= factor <= FAR[1]:
        return "a unit error: cents where dollars are expected, or the other way round"
    if TWICE[0] <= factor <= TWICE[1]:
        return "a double count?"
    return ""


class Charge(NamedTuple):
    """A line of a day's bill, in pico-USD; below 0 it is a credit."""

    day: int
    provider: str
    model: str
    """As the bill calls it; '' names none."""
    item: str
    tier: str
    reporter: str
    """Which stream of the source that bills."""
    pico: int


class Use(NamedTuple):
    """A day's tokens of one model from one source, as they were estimated."""

    day: int
    provider: str
    model: str
    context: str
    """What the price depends on, as `processing=batch`; '' is standard."""
    reporter: str
    """Which source and stream."""
    tokens: int
    unpriced: int
    """Tokens that are in no amount."""
    pico: int
    at_standard: bool = False
    """The context was not priced, or not surely."""


class Compared(NamedTuple):
    """A day, provider and model: both sides, and why they differ; all in pico-USD."""

    day: int
    provider: str
    model: str
    """Behind every form of its name; '': the bill names no model on this day."""
    billed: int
    estimated: int
    causes: Mapping[Cause, int]
    """They add up to billed less estimated; none is 0."""
    unpriced_tokens: int = 0


class Finding(NamedTuple):
    """What was seen behind one cause, and what helps."""

    cause: Cause
    provider: str
    models: tuple[str, ...]
    days: tuple[int, ...]
    pico: int
    seen: str
    remedy: str
    rate: Fraction | None = None
    """Of a discount: what is paid of one dollar at the list price."""


class Reconciled(NamedTuple):
    """An account's bill and estimate, compared."""

    compared: Sequence[Compared]
    findings: Sequence[Finding]


def total(compared: Iterable[Compared]) -> dict[Cause, int]:
    """Causes added up, in their order; those that are 0 in sum are left out."""
    sums: dict[Cause, int] = defaultdict(int)
    for each in compared:
        for cause, pico in each.causes.items():
            sums[cause] += pico
    return ordered(sums)


def ordered(causes: Mapping[Cause, int]) -> dict[Cause, int]:
    """The causes that are not 0, in their order."""
    return {cause: causes[cause] for cause in CAUSES if causes.get(cause)}
