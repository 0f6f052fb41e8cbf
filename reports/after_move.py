"""The section on workloads that moved: what the newest closed month saved, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from monitor.domain.aftermath import PARTS, agrees, payback
from monitor.domain.attribution import in_cents
from monitor.domain.money import to_cents
from reports.formats import day, month, name, plural, signed, usd
from reports.model import Row, WeeklyFacts, decimal, whole, words
from reports.verdict import key

SHOWN = 5
"""Workloads; the rest is in the attached file."""
ZERO = Decimal(0)


class Told(NamedTuple):
    """A workload's month after its move."""

    title: str
    texts: tuple[str, ...]
    row: Row


def moves(facts: WeeklyFacts) -> list[Told]:
    """Each workload that moved; empty where none did."""
    advised = {key(row): words(row, "advice") for row in facts.tables["breakevens"]}
    return [_told(row, advised.get(key(row))) for row in facts.tables["moves"][:SHOWN]]


def of_month(rows: Sequence[Row]) -> list[Told]:
    """The same of one closed month, whatever is advised by now."""
    return [_told(row, None) for row in rows[:SHOWN]]


def _told(row: Row, advice: str | None) -> Told:
    place = f" on {name(words(row, 'deployment'))}" if row["deployment"] else ""
    of = words(row, "month")
    title = f"{name(words(row, 'workload'))}{place}, {month(of)} {of[:4]}"
    saved = decimal(row, "saved")
    texts: tuple[str, ...]
    if saved is None:
        texts = (f"What it saved is unknown. {name(words(row, 'reason'), 400)}", _paid(row))
    else:
        said = (_saved(row, saved), _why(row, saved), words(row, "reason"), _paid(row))
        texts = (*said, _outlook(row, advice))
    return Told(title, tuple(name(text, 600) for text in texts if text), row)


def _outlook(row: Row, advice: str | None) -> str:
    """What to do with the fleet; '' where the advice is by now another."""
    direction = words(row, "direction")
    if advice is not None and not agrees(direction, advice):
        return ""
    return f"{direction.capitalize()}: {words(row, 'outlook')}"


def _saved(row: Row, saved: Decimal) -> str:
    api, actual = (decimal(row, key) or ZERO for key in ("counterfactual", "actual"))
    promised = decimal(row, "promised")
    told = "nothing was promised" if promised is None else f"{usd(promised)} was promised"
    verb = "saved" if saved >= 0 else "lost"
    return (
        f"It {verb} {usd(abs(saved))}; {told}. The API alone would have cost {usd(api)}; own"
        f" engines, by the deployment's cost lines, and the rest on the API cost {usd(actual)}."
    )


def _why(row: Row, saved: Decimal) -> str:
    """The difference by its causes, in cents that add up to those shown; '' without a promise."""
    promised = decimal(row, "promised")
    if promised is None:
        return ""
    parts = {part: Fraction(decimal(row, f"by_{part}") or ZERO) for part in PARTS}
    cents = in_cents(parts, int((to_cents(saved) - to_cents(promised)) * 100))
    shown = ", ".join(
        f"{part.replace('_', ' ')} {signed(Decimal(cents[part]).scaleb(-2))}" for part in PARTS
    )
    return f"Against the promise: {shown}."


def _paid(row: Row) -> str:
    """How far the move has paid for itself; '' where it is not known what it cost."""
    moving, saved = decimal(row, "moving"), decimal(row, "cumulated")
    known = whole(row, "months_known") or 0
    if moving is None or saved is None:
        return ""
    since = day(date.fromisoformat(words(row, "since")), year=True)
    begins = f"Since {since} {usd(saved)} in {plural(known, 'month')}, for a move that cost"
    if row["paid_back_in"]:
        paid = words(row, "paid_back_in")
        return f"{begins} {usd(moving)}: paid back in {month(paid)} {paid[:4]}."
    left = payback(Fraction(moving), Fraction(saved), known).months_left
    when = (
        "not in sight at this pace"
        if left is None
        else f"about {plural(-(-left // 1), 'month')} more at this pace"
    )
    return f"{begins} {usd(moving)}: {when}."
