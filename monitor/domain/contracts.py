"""Committed use: what a month costs where a contract promises a least spend.

A commitment holds for the UTC month and not for a token: the bill is the larger of what was
promised and what was used at the contract's rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple


class Contract(NamedTuple):
    """A promise of an account; `until` is the first day without it, None: no end."""

    account: str
    since: date
    until: date | None


class Settled(NamedTuple):
    """A month under a contract, in pico-USD."""

    billed: int
    shortfall: int
    """What is paid without use; 0 where use reaches the commitment."""


def settle(commit: int, used: int) -> Settled:
    """The bill of a month; both amounts in pico-USD, the use at the contract's rates."""
    return Settled(max(commit, used), max(0, commit - used))


def problems(contracts: Sequence[Contract]) -> list[str]:
    """What is wrong with the terms: parts of months, and two contracts of one account at once."""
    found = [
        f"contract of {c.account}: valid_from and valid_to must be first days of months"
        for c in contracts
        if c.since.day != 1 or (c.until is not None and c.until.day != 1)
    ]
    found += [
        f"contract of {c.account}: valid_to must be after valid_from"
        for c in contracts
        if c.until is not None and c.until <= c.since
    ]
    for earlier, later in pairwise(sorted(contracts, key=lambda c: (c.account, c.since))):
        ended = earlier.until is not None and earlier.until <= later.since
        if earlier.account == later.account and not ended:
            found.append(f"contract of {later.account}: two contracts hold on {later.since}")
    return found
