"""Money: exact `Decimal` in Python, integer pico-units (10^-12) in the database, rounded once."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

PICO = 10**12
MAX_PICO = 2**63 - 1
CENT = Decimal("0.01")
ZERO = Decimal(0)

# Wide enough that no sum or product of amounts is ever rounded on the way.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def usd(text: str | int | Decimal) -> Decimal:
    """The exact amount written in `text`; refuses floats, NaN and infinities with ValueError."""
    if isinstance(text, float):
        raise TypeError(f"{text!r} is a float: money is written as text, int or Decimal")
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount") from None
    if not amount.is_finite():
        raise ValueError(f"{text!r} is not a finite amount")
    return amount


def to_pico(amount: Decimal) -> int:
    """An amount as whole pico-units, rounded half even at the twelfth decimal.

    Raises:
        ValueError: the amount does not fit the database's 64-bit column (9.2 million units).
    """
    pico = int(EXACT.quantize(EXACT.multiply(amount, Decimal(PICO)), Decimal(1)))
    if abs(pico) > MAX_PICO:
        raise ValueError(f"{amount} is too large for one row (at most {MAX_PICO // PICO} units)")
    return pico


def from_pico(pico: int) -> Decimal:
    """Whole pico-units as an exact amount."""
    return EXACT.divide(Decimal(pico), Decimal(PICO))


def to_cents(amount: Decimal) -> Decimal:
    """An amount rounded half even to cents; minus zero becomes zero."""
    cents = EXACT.quantize(amount, CENT)
    return abs(cents) if cents.is_zero() else cents


def plain(amount: Decimal) -> str:
    """An exact amount without exponent and without trailing zeros: `0.054399`, `12`, `0`."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
