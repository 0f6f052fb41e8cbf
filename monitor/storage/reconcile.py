"""Bills and estimates of the same closed days."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.periods import day_of
from monitor.storage.export import number


class BothAmounts(NamedTuple):
    """What one account was billed and what we estimated for it, in dollars."""

    account: str
    billed: Decimal
    estimated: Decimal


def both_amounts(conn: Connection, since: int) -> list[BothAmounts]:
    """By account, over the days from `since` (UTC midnight) that are closed and have both."""
    found = conn.execute(
        text(
            "SELECT account, SUM(billed_usd), SUM(estimated_usd) FROM v_spend_daily"
            " WHERE day >= :since AND basis = 'billed' AND billed_usd IS NOT NULL"
            " AND estimated_usd IS NOT NULL GROUP BY account ORDER BY account"
        ),
        {"since": day_of(since)},
    )
    return [BothAmounts(name, exact(billed), exact(own)) for name, billed, own in found]


def exact(value: object) -> Decimal:
    """A sum that the database added, to the digits that are sure."""
    amount = number(value)
    assert amount is not None
    return amount
