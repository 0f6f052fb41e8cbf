"""Amounts, shares and names as the rules say them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from monitor.domain.money import PICO, to_cents

MONTH_DAYS = Fraction(365, 12)
"""Days of a mean month."""


def usd(pico: int | Fraction | None) -> str:
    """Dollars and cents; of an unknown amount, that it is unknown."""
    if pico is None:
        return "an unknown amount"
    return f"${to_cents(Decimal(round(pico)) / PICO):,.2f}"


def dollars(pico: int | Fraction) -> Decimal:
    """Exact dollars of whole pico-USD."""
    return Decimal(round(pico)) / PICO


def a_month(pico: int | Fraction, days: int = 1) -> int:
    """What so many days cost, as pico-USD of a mean month."""
    return round(Fraction(pico) * MONTH_DAYS / days)


def percent_of(part: int, whole: int) -> Decimal:
    """A share in percent; `whole` is not 0."""
    return Decimal(part) * 100 / Decimal(whole)


def shown(percent: Decimal | None) -> str:
    """A share with one decimal."""
    return "unknown" if percent is None else f"{percent:.1f}%"


def quoted(name: str) -> str:
    """A name inside a literal of SQL."""
    return name.replace("'", "''")


def counted(count: int, noun: str) -> str:
    """A count with its noun, which takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
