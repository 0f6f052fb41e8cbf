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
from reports.formats import day, month_year, name, plural, signed, usd
from reports.language import say
from reports.model import Row, WeeklyFacts, decimal, whole, words
from reports.retold import retell
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
    place = say(" on {deployment}", deployment=name(words(row, "deployment")))
    of = words(row, "month")
    title = f"{name(words(row, 'workload'))}{place if row['deployment'] else ''}, {month_year(of)}"
    saved = decimal(row, "saved")
    texts: tuple[str, ...]
    if saved is None:
        reason = retell(name(words(row, "reason"), 400))
        texts = (say("What it saved is unknown. {reason}", reason=reason), _paid(row))
    else:
        why = retell(words(row, "reason"))
        said = (_saved(row, saved), _why(row, saved), why, _paid(row))
        texts = (*said, _outlook(row, advice))
    return Told(title, tuple(name(text, 600) for text in texts if text), row)


def _outlook(row: Row, advice: str | None) -> str:
    """What to do with the fleet; '' where the advice is by now another."""
    direction = words(row, "direction")
    if advice is not None and not agrees(direction, advice):
        return ""
    return f"{say(direction.capitalize())}: {retell(words(row, 'outlook'))}"


def _saved(row: Row, saved: Decimal) -> str:
    api, actual = (decimal(row, key) or ZERO for key in ("counterfactual", "actual"))
    promised = decimal(row, "promised")
    told = say("nothing was promised")
    if promised is not None:
        told = say("{amount} was promised", amount=usd(promised))
    text = "It saved {amount}; {promised}." if saved >= 0 else "It lost {amount}; {promised}."
    costs = say(
        "The API alone would have cost {api}; own engines, by the deployment's cost lines, and the"
        " rest on the API cost {actual}.",
        api=usd(api),
        actual=usd(actual),
    )
    return f"{say(text, amount=usd(abs(saved)), promised=told)} {costs}"


def _why(row: Row, saved: Decimal) -> str:
    """The difference by its causes, in cents that add up to those shown; '' without a promise."""
    promised = decimal(row, "promised")
    if promised is None:
        return ""
    parts = {part: Fraction(decimal(row, f"by_{part}") or ZERO) for part in PARTS}
    cents = in_cents(parts, int((to_cents(saved) - to_cents(promised)) * 100))
    shown = ", ".join(
        f"{say(part.replace('_', ' '))} {signed(Decimal(cents[part]).scaleb(-2))}" for part in PARTS
    )
    return say("Against the promise: {parts}.", parts=shown)


def _paid(row: Row) -> str:
    """How far the move has paid for itself; '' where it is not known what it cost."""
    moving, saved = decimal(row, "moving"), decimal(row, "cumulated")
    known = whole(row, "months_known") or 0
    if moving is None or saved is None:
        return ""
    since = day(date.fromisoformat(words(row, "since")), year=True)
    left = payback(Fraction(moving), Fraction(saved), known).months_left
    if row["paid_back_in"]:
        when = say("paid back in {month}", month=month_year(words(row, "paid_back_in")))
    elif left is None:
        when = say("not in sight at this pace")
    else:
        more = plural(-(-left // 1), "month")
        when = say("about {months} more at this pace", months=more)
    return say(
        "Since {day} {amount} in {months}, for a move that cost {moving}: {when}.",
        day=since,
        amount=usd(saved),
        months=plural(known, "month"),
        moving=usd(moving),
        when=when,
    )
