"""What people decided about a move, and whether it still stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from monitor.domain.breakeven import DAYS_PER_MONTH
from monitor.domain.money import PICO, from_pico, to_cents
from monitor.domain.periods import day_of

Choice = Literal["accept", "defer", "reject"]

REOPEN_SHARE = Fraction(1, 5)
"""A decision is open again once the saving moved by more than this share of what it was."""

_PAST = {"accept": "accepted", "defer": "deferred", "reject": "rejected"}


class Facts(NamedTuple):
    """What was known of one deployment on a day; money is integer pico-USD a month."""

    as_of: int
    savings: tuple[int, int, int]
    """At the q10, q50 and q90 volume."""
    api: int
    """At the q50 volume, as all that follows."""
    requests: int
    crossing: int | None
    verdict: str


class Decision(NamedTuple):
    """A decision about one workload and deployment."""

    kind: Choice
    until: int | None
    """The day (UTC midnight) on which it is open again; None: none was named."""
    why: str
    by: str
    facts: Facts | None
    """What was known when it was made; None: nothing was compared yet."""


class Standing(NamedTuple):
    """Whether a decision holds, and the sentence that says so."""

    stands: bool
    reason: str


def stands(
    decision: Decision, now: Facts | None, as_of: int, share: Fraction = REOPEN_SHARE
) -> Standing:
    """Whether advice still leaves this decision alone on the day that ends at `as_of`.

    It does not once its date has passed, the cheaper side is another one, or the q50 saving moved
    by more than `share` of what it was. What is not known, then or now, reopens nothing.
    """
    was = f"{_PAST[decision.kind]}{_until(decision)} because {decision.why} ({decision.by})"
    if reason := _reopened(decision, now, as_of, share):
        return Standing(stands=False, reason=f"It was {was}; that is open again: {reason}.")
    return Standing(stands=True, reason=f"Decided: {was}.")


class Worth(NamedTuple):
    """What following a decision was worth so far, as modelled."""

    days: int
    """On which both bills were compared while it stood."""
    usd: Fraction
    """Of these days, beside the other choice; negative: the other choice would have cost less."""


def worth(kind: Choice, savings: Sequence[int]) -> Worth | None:
    """What a decision was worth over days, beside doing the other thing; None: no day is known.

    Args:
        kind: an accepted move is beside staying; a deferred or rejected one beside moving.
        savings: what moving would save a month at each day's q50 volume, in pico-USD.
    """
    if not savings:
        return None
    usd = Fraction(sum(savings), PICO) / DAYS_PER_MONTH
    return Worth(len(savings), usd if kind == "accept" else -usd)


def _until(decision: Decision) -> str:
    return "" if decision.until is None else f" until {day_of(decision.until)}"


def _reopened(decision: Decision, now: Facts | None, as_of: int, share: Fraction) -> str:
    then = decision.facts
    if decision.until is not None and as_of >= decision.until:
        return "its date has passed"
    if then is None or now is None:
        return ""
    before, after = then.savings[1], now.savings[1]
    moved = f"the saving went from {_usd(before)} to {_usd(after)} a month"
    if (before > 0) != (after > 0):
        return f"{moved}, so the other side is cheaper"
    if abs(after - before) > share * abs(before):
        return f"{moved}, by more than {round(100 * share)}%"
    return ""


def _usd(pico: int) -> str:
    return f"{'-' if pico < 0 else ''}${to_cents(abs(from_pico(pico))):,}"


def to_document(facts: Facts) -> dict[str, object]:
    """Facts in JSON types; `from_document` gives them back."""
    return {**facts._asdict(), "savings": list(facts.savings)}


def from_document(document: Mapping[str, Any]) -> Facts:
    """The facts that `to_document` wrote."""
    low, middle, high = document["savings"]
    return Facts(**{**document, "savings": (low, middle, high)})
