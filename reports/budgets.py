"""The section for finance as words: budgets, who would pay, the year to date, contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.money import to_cents
from reports.formats import about, count, day, name, percent, plural, span, usd
from reports.language import say
from reports.model import Row, Value, decimal, whole, words
from reports.retold import retell

SHOWN = 10
"""Rows of a table; the rest is in the attached files."""

_SCOPES = {"workload": "workload", "account": "account", "cost_centre": "cost centre"}


class Budget(NamedTuple):
    """A budget in its period."""

    budget: str
    period: str
    amount: str
    spent: str
    percent: str
    """Of the amount, and how much of the period is over."""
    heading: str
    over: bool
    """What was spent or is projected exceeds the amount."""
    note: str


class Share(NamedTuple):
    """A part of the month's traffic."""

    part: str
    usd: str
    share: str


class Finance(NamedTuple):
    """The section; tables may be longer than what is shown of them."""

    budgets: Sequence[Budget]
    centres: Sequence[Share]
    labels: Sequence[Share]
    showback: Sequence[str]
    """What belongs to nobody, in sentences."""
    year: str
    contracts: Sequence[str]


def section(tables: Mapping[str, Sequence[Row]], numbers: Row) -> Finance:
    """What finance is told, from the tables `budgets`, `cost_centres`, `labels`, `contracts`."""
    return Finance(
        [budget(row) for row in tables["budgets"]],
        _shares(tables["cost_centres"], "cost_centre"),
        _shares(tables["labels"], "label"),
        _nobodys(numbers),
        _year(numbers),
        [_contract(row) for row in tables["contracts"]],
    )


def main_budget(rows: Sequence[Row]) -> Row | None:
    """The budget of all spend with the shortest period; None: there is none."""
    order = ("monthly", "quarterly", "yearly", "weekly")
    of_all = [row for row in rows if row["scope"] == "all"]
    return min(of_all, key=lambda row: order.index(words(row, "every")), default=None)


def budget(row: Row) -> Budget:
    """A row of the catalogue's `budgets` as people read it."""
    amount, spent = decimal(row, "amount"), decimal(row, "spent")
    assert amount is not None
    used, elapsed = decimal(row, "percent_spent"), decimal(row, "percent_elapsed")
    middle = decimal(row, "projected_q50")
    shown = say("unknown") if used is None else percent(used)
    if elapsed is not None:
        shown += say(", {share} of the period over", share=percent(elapsed))
    over = max((amount_ for amount_ in (spent, middle) if amount_ is not None), default=amount)
    return Budget(
        name(words(row, "budget")),
        words(row, "period"),
        usd(amount),
        say("unknown") if spent is None else usd(spent),
        shown,
        _heading(row, middle),
        over > amount,
        _note(row),
    )


def _heading(row: Row, middle: Decimal | None) -> str:
    low, high = decimal(row, "projected_q10"), decimal(row, "projected_q90")
    if middle is None or low is None or high is None:
        return say("no projection")
    if low == high:
        if decimal(row, "percent_elapsed") == 100:
            return say("ended at {amount}", amount=usd(middle))
        return say("heading for {amount}", amount=about(middle))
    return say("heading for {amount}, 80% range {span}", amount=about(middle), span=span(low, high))


def _note(row: Row) -> str:
    """How the spend is known, and what of it is not."""
    unpriced = whole(row, "unpriced_tokens")
    basis = {"billed": "billed", "mixed": "billed where final, else estimated"}
    scope, of = words(row, "scope"), name(words(row, "scope_name"))
    found = [f"{say(_SCOPES.get(scope, 'tag'))} {of}"] if of else [say("all spend")]
    found.append(say(basis.get(words(row, "basis"), "estimated")))
    if unpriced:
        found.append(say("{n} tokens without a known rate are not in it", n=count(unpriced)))
    if row["remark"]:
        found.append(retell(name(words(row, "remark"), 300)))
    return "; ".join(found)


def _shares(rows: Sequence[Row], key: str) -> list[Share]:
    ranked = sorted(rows, key=lambda row: (-(decimal(row, "usd") or 0), words(row, key)))
    return [_share(row, key) for row in ranked]


def _share(row: Row, key: str) -> Share:
    amount, share = decimal(row, "usd"), decimal(row, "share")
    unpriced = whole(row, "unpriced_tokens")
    shown = "unknown" if amount is None else usd(amount)
    if unpriced:
        shown += f" and {count(unpriced)} unpriced tokens"
    return Share(name(words(row, key)), shown, "" if share is None else percent(share))


def _nobodys(numbers: Row) -> list[str]:
    said = {
        "showback.no_cost_centre": "belongs to no cost centre",
        "showback.untagged": "carries no tag",
        "showback.unassigned": "belongs to no workload",
    }
    shares = {text: decimal(numbers, id_) for id_, text in said.items()}
    return [
        f"{percent(share)} of the month's estimate {text}."
        for text, share in shares.items()
        if share is not None
    ]


def _year(numbers: Row) -> str:
    spent = decimal(numbers, "showback.year_to_date")
    since = words(numbers, "showback.year_known_from")
    if spent is None:
        return "No spend of this year is on record."
    begins = date.fromisoformat(since)
    whole_ = begins.month == begins.day == 1
    known = "" if whole_ else f", as far as it was read: from {day(begins)} on"
    return f"{usd(spent)} in the year so far{known}."


def _contract(row: Row) -> str:
    promised, used, rest, rate = (
        decimal(row, key) or Decimal(0) for key in ("promised", "used", "to_use", "run_rate")
    )
    text = (
        f"{name(words(row, 'account'))}: {usd(used)} of the {usd(promised)} promised for the month"
        f" is drawn down"
    )
    text += f", {usd(rest)} is not" if to_cents(rest) else ", all of it"
    ended = to_cents(rate) == to_cents(used)
    text += "." if ended else f"; at its pace the month comes to {about(rate)}."
    drawn, short = decimal(row, "drawn"), decimal(row, "shortfall")
    since = day(date.fromisoformat(words(row, "known_from")), year=True)
    if drawn is not None:
        text += f" Since {since} {usd(drawn)} was drawn"
        text += f" and {usd(short)} paid without use." if short and to_cents(short) else "."
    left = whole(row, "days_left")
    if left is None:
        return f"{text} It has no end."
    last = day(date.fromisoformat(words(row, "valid_to")), year=True)
    text += f" It ends before {last}, in {plural(left, 'day')}"
    at_end = decimal(row, "at_end")
    return f"{text}, with {about(at_end)} drawn at this pace." if at_end is not None else f"{text}."


def percent_of(row: Row | None) -> Value:
    """How much of a budget is spent, in percent, for a tile; None: no budget, or unknown."""
    return None if row is None else row["percent_spent"]
