"""What a line of a bill says beside its model: a tier, or that it is not by token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

_WORD = re.compile(r"[a-z0-9]+", re.ASCII)
_UNIT = re.compile(r"\b1m\s+tokens?\b", re.ASCII)
"""What a price is of, and no tier."""
_CHEAPER = {"batch", "flex"}
_DEARER = {"priority", "fast", "long", "200k", "1m"}
_NOT_BY_TOKEN = {
    *(
        "search",
        "searches",
        "session",
        "sessions",
        "execution",
        "interpreter",
        "storage",
        "hosting",
    ),
    *("container", "containers", "training", "seconds", "minutes", "hours", "characters", "images"),
    *("gibibyte", "seat", "seats", "support", "fee"),
}
# Between which shares of the standard price tiers were ever sold: a quarter, three times.
_CHEAPEST, _DEAREST = Fraction(1, 4), 3


class _Charge(Protocol):
    @property
    def model(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def pico(self) -> int: ...


class _Use(Protocol):
    @property
    def context(self) -> str: ...
    @property
    def pico(self) -> int: ...
    @property
    def at_standard(self) -> bool: ...


def words(item: str, model: str) -> set[str]:
    """The words of a line without its model's name, which may be named like a tier."""
    low = _UNIT.sub(" tokens ", item.lower())
    return set(_WORD.findall(low.replace(model.lower(), " ") if model else low))


def not_by_token(item: str, model: str) -> bool:
    """Whether a line says that it charges something else than tokens."""
    found = words(item, model)
    return bool(found & _NOT_BY_TOKEN) and not found & {"token", "tokens"}


def seen(charges: Sequence[_Charge], uses: Sequence[_Use]) -> bool:
    """Whether a tier is named that the estimate does not price."""
    return room(charges, uses) != (0, 0)


def room(charges: Sequence[_Charge], uses: Sequence[_Use]) -> tuple[int, int]:
    """By how much the bill may be below (first, not above 0) and above what standard costs."""
    priced = {
        word for use in uses if not use.at_standard for word in _WORD.findall(use.context.lower())
    }
    low, high = Fraction(0), Fraction(0)
    for charge in charges:
        named = words(f"{charge.item} {charge.tier}", charge.model) - priced
        if charge.pico > 0 and named & _CHEAPER:
            low -= charge.pico / _CHEAPEST - charge.pico
        if charge.pico > 0 and named & _DEARER:
            high += charge.pico - Fraction(charge.pico, _DEAREST)
    for use in uses:
        if use.at_standard:
            low -= use.pico - use.pico * _CHEAPEST
            high += use.pico * (_DEAREST - 1)
    return -int(-low), int(high)
