"""The bill beside our own estimate of the same days: an error in a unit or a count shows."""

from __future__ import annotations

from decimal import Decimal

_LEAST = Decimal(1)

# The further apart, the more a real difference (discounts, charges that are not by token) may add.
_UNIT = (Decimal(50), Decimal(200))
_DOUBLE = (Decimal("1.8"), Decimal("2.2"))


def unit_suspicion(billed: Decimal, estimated: Decimal) -> str:
    """What the ratio of two amounts in dollars looks like; '': nothing, or too little to say.

    A ratio near 100 or 0.01 is an error in a unit, near 2 or 0.5 a double count. Any other has
    honest causes: a discount, models without a rate, charges for more than tokens.
    """
    if min(billed, estimated) <= _LEAST:
        return ""
    factor = max(billed / estimated, estimated / billed)
    if _UNIT[0] <= factor <= _UNIT[1]:
        return "a unit error: cents where dollars are expected, or the other way round"
    if _DOUBLE[0] <= factor <= _DOUBLE[1]:
        return "a double count?"
    return ""
