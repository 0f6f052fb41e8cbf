"""The monthly closing report for finance: figures in, one view, and the same view twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from monitor.domain.attribution import in_cents
from monitor.domain.money import to_cents
from monitor.domain.reconciled import CAUSES, unit_suspicion
from reports import after_move, budgets, formats
from reports.audiences import FINANCE, Audience
from reports.formats import change, count, day, month, name, percent, plural, signed, span, usd
from reports.language import Style, use
from reports.model import Rendered, Row, Told, Value, decimal, whole, words
from reports.tracing import Traced, cells, scalars
from reports.twins import logo, twins
from reports.weekly_tables import SHOWN, Event
from reports.weekly_tiles import Tile

ZERO = Decimal(0)
CELLS = {
    "bills": "bill",
    "reconciliation": "reconciled",
    "budgets": "budget",
    "cost_centres": "cost_centre",
    "labels": "label",
    "contracts": "contract",
}
"""The tables whose cells are figures of their own; all are attached."""


class ClosingFacts(NamedTuple):
    """Everything that a closing report says. Every number in it is a figure."""

    organisation: str
    month: str
    first: date
    last: date
    due_at: datetime
    demo: bool
    missing: Sequence[str]
    numbers: Mapping[str, Value]
    units: Mapping[str, str]
    tables: Mapping[str, Sequence[Row]]
    corrected: Sequence[str] = ()
    unsent: str = ""
    audience: Audience = FINANCE


class Bill(NamedTuple):
    """An account's month: the bill beside the estimate, over the days that have a final bill."""

    account: str
    billed: str
    estimated: str
    difference: str
    why: str


@dataclass(frozen=True)
class View:
    """The report as words; templates only place them."""

    subject: str
    headline: str
    organisation: str
    period: str
    demo: bool
    missing: Sequence[str]
    corrected: Sequence[str]
    unsent: str
    summary: str
    tiles: Sequence[Tile]
    bills: Sequence[Bill]
    finance: budgets.Finance
    restatements: Sequence[Event]
    record: Sequence[str]
    moves: Sequence[after_move.Told]
    footer: Sequence[str]
    traced: Sequence[Traced]


def build(facts: ClosingFacts) -> Rendered:
    """The report, without its files."""
    with use(style_of(facts.audience)):
        shown = view(facts)
        bodies = twins("closing", view=shown, cap=SHOWN)
        return Rendered(
            shown.subject, *bodies, logo(shown.organisation), style=style_of(facts.audience)
        )


def style_of(audience: Audience) -> Style:
    """English for every audience: half a report in another language would be misread."""
    return audience.style._replace(language="en")


def head(facts: ClosingFacts) -> list[Told]:
    """The figures at the top."""
    labels = {
        "spend.month_to_date": "Spend of the month",
        "closing.compared_billed": "Billed",
        "closing.compared_estimated": "Estimated for the same days",
        "closing.difference": "Bill above estimate",
        "showback.year_to_date": "Year to date",
    }
    found = [
        Told(id_, label, facts.numbers[id_], facts.units[id_]) for id_, label in labels.items()
    ]
    return found + [
        Told(f"spent {row['budget']}", f"Budget {name(words(row, 'budget'))}", row["spent"], "usd")
        for row in facts.tables["budgets"]
    ]


def view(facts: ClosingFacts) -> View:
    """What the report says."""
    headline = _headline(facts)
    marks = "Demonstration: " if facts.demo else ""
    marks += "Corrected: " if facts.corrected else ""
    marks += "Incomplete: " if facts.missing else ""
    return View(
        subject=marks + headline,
        headline=headline,
        organisation=name(facts.organisation),
        period=formats.days(facts.first, facts.last),
        demo=facts.demo,
        missing=[name(reason, 200) for reason in facts.missing],
        corrected=[name(text, 300) for text in facts.corrected],
        unsent=facts.unsent,
        summary=_summary(facts),
        tiles=_tiles(facts),
        bills=[_bill(row, _causes(facts, row)) for row in facts.tables["bills"]],
        finance=budgets.section(facts.tables, facts.numbers),
        restatements=[_restated(row) for row in facts.tables["restatements.month"]],
        record=_record(facts),
        moves=after_move.of_month(facts.tables["closing.moves"]),
        footer=_footer(facts),
        traced=_traced(facts),
    )


def _headline(facts: ClosingFacts) -> str:
    """The month's total, and how it differs from the bill and the budget."""
    spent = decimal(facts.numbers, "spend.month_to_date")
    total = "no spend on record" if spent is None else f"{usd(spent)} spent"
    parts = [f"{month(facts.month)} {facts.month[:4]}: {total}", _against_bill(facts)]
    row = budgets.main_budget(facts.tables["budgets"])
    if row is not None:
        used = decimal(row, "percent_spent")
        shown = "an unknown share" if used is None else percent(used)
        parts.append(f"{shown} of the {words(row, 'period')} budget")
    return ", ".join(parts)


def _against_bill(facts: ClosingFacts) -> str:
    apart = decimal(facts.numbers, "closing.difference")
    if apart is None:
        return "no bill to compare"
    if not to_cents(apart):
        return "bills as estimated"
    where = "above" if apart > 0 else "below"
    return f"bills {usd(abs(apart))} {where} estimate"


def _summary(facts: ClosingFacts) -> str:
    spent, before = (
        decimal(facts.numbers, f"spend.{key}") for key in ("month_to_date", "previous_month")
    )
    who, of = name(facts.organisation), month(facts.month)
    if spent is None:
        return f"{who} has no spend on record for {of}."
    text = f"{who} spent {usd(spent)} on language models through APIs in {of}"
    if before:
        points = (spent - before) * 100 / before
        text += f", {change(points)} on the month before ({usd(before)})"
    return text + "."


def _tiles(facts: ClosingFacts) -> list[Tile]:
    numbers = facts.numbers
    spent, share = (
        decimal(numbers, f"spend.{key}") for key in ("month_to_date", "month_to_date.billed_share")
    )
    billed = "none of it billed" if not share else f"{percent(share)} of it billed"
    unpriced = whole(numbers, "unpriced.tokens")
    note = billed + (f"; {count(unpriced)} tokens have no known rate" if unpriced else "")
    apart, points = (
        decimal(numbers, f"closing.{key}") for key in ("difference", "difference_percent")
    )
    said = "over the days with a final bill"
    bill = (
        Tile("Bill against estimate", "not compared", "no bill is read")
        if apart is None
        else Tile(
            "Bill against estimate",
            signed(apart),
            said if points is None else f"{change(points)}, {said}",
        )
    )
    return [
        Tile(f"Spent in {month(facts.month)}", "nothing" if spent is None else usd(spent), note),
        bill,
        _budget_tile(budgets.main_budget(facts.tables["budgets"])),
        _year_tile(numbers),
    ]


def _budget_tile(row: Row | None) -> Tile:
    if row is None:
        return Tile("Budget", "none", "no budget of all spend is configured")
    used, amount = decimal(row, "percent_spent"), decimal(row, "amount")
    label = f"Budget {words(row, 'period')}"
    shown = "unknown" if used is None else percent(used)
    return Tile(label, shown, f"of {usd(amount or ZERO)}")


def _year_tile(numbers: Row) -> Tile:
    spent = decimal(numbers, "showback.year_to_date")
    since = words(numbers, "showback.year_known_from")
    note = f"from {day(date.fromisoformat(since))} on" if since else "nothing on record"
    return Tile("Year to date", "unknown" if spent is None else usd(spent), note)


def _causes(facts: ClosingFacts, bill: Row) -> dict[str, Decimal]:
    """Why an account's bill differs, in cents that add up to the difference as it is shown."""
    rows = [r for r in facts.tables["reconciliation"] if r["account"] == bill["account"]]
    apart = decimal(bill, "difference")
    if not rows or apart is None:
        return {}
    parts = {words(row, "cause"): Fraction(decimal(row, "usd") or ZERO) for row in rows}
    # What came after the closing was not looked at then.
    parts["unexplained"] = parts.get("unexplained", Fraction(0)) + (
        Fraction(apart) - sum(parts.values())
    )
    shared = in_cents(parts, int(to_cents(apart) * 100))
    return {cause: Decimal(shared[cause]).scaleb(-2) for cause in CAUSES if shared.get(cause)}


def _bill(row: Row, causes: Mapping[str, Decimal]) -> Bill:
    billed, estimated, apart = (
        decimal(row, key) for key in ("compared_billed", "compared_estimated", "difference")
    )
    if billed is None or apart is None:
        own = decimal(row, "estimated")
        shown = "unknown" if own is None else usd(own)
        why = (
            "Not configured: no bill of this account is read, so that nothing checks the estimate."
            if row["billed"] is None
            else "No day of its bill is final yet."
        )
        return Bill(name(words(row, "account")), "none", shown, "", why)
    return Bill(
        name(words(row, "account")),
        usd(billed),
        usd(estimated or ZERO),
        signed(apart),
        _why(row, causes, billed, estimated or ZERO),
    )


def _why(row: Row, causes: Mapping[str, Decimal], billed: Decimal, estimated: Decimal) -> str:
    """Why both differ, as far as it is known."""
    found = []
    if causes:
        found.append("Apart by " + ", ".join(f"{c} {signed(usd)}" for c, usd in causes.items()))
    if suspicion := unit_suspicion(billed, estimated):
        found.append(f"It looks like {suspicion.rstrip('?')}: check it before anything is paid")
    if unpriced := whole(row, "unpriced_tokens"):
        found.append(f"{count(unpriced)} tokens have no known rate: they are in no estimate")
    if odd := whole(row, "unconverted_days"):
        found.append(f"{plural(odd, 'day')} billed in a currency without a rate")
    days, final = whole(row, "days") or 0, whole(row, "billed_days") or 0
    if final < days:
        found.append(f"{plural(days - final, 'day')} without a final bill are not compared")
    if not to_cents(billed - estimated):
        found.append("Both agree to the cent")
    elif "unexplained" in causes:
        found.append(
            "What is unexplained may be fees and charges for more than tokens: `crossover"
            " reconcile` shows each day"
        )
    elif not causes:
        found.append("Why is told once the month is closed")
    return ". ".join(found) + "."


def _restated(row: Row) -> Event:
    tokens = [count(whole(row, f"tokens_{side}") or 0) for side in ("before", "after")]
    dollars = [usd(decimal(row, f"usd_{side}") or ZERO) for side in ("before", "after")]
    return Event(
        day(date.fromisoformat(words(row, "day"))),
        name(f"{row['source']} {row['stream']}"),
        f"{tokens[0]} tokens became {tokens[1]}, {dollars[0]} became {dollars[1]}",
    )


def _record(facts: ClosingFacts) -> list[str]:
    told, inside, judged, right = (
        whole(facts.numbers, f"closing.{key}")
        for key in ("scored", "scored_inside", "verdicts", "verdicts_right")
    )
    found = []
    if told:
        found.append(
            f"Of {plural(told, 'projection')} of the month's total {inside} held it in their range."
        )
    else:
        found.append("No projection of the month's total was scored.")
    found += [
        _projected(row)
        for row in facts.tables["closing.projections"]
        if decimal(row, "q50") is not None and decimal(row, "actual") is not None
    ]
    if judged:
        found.append(
            f"Of {plural(judged, 'daily verdict')} {right} were right at the volume that came."
        )
    else:
        found.append("No verdict of the month was scored.")
    return found


def _projected(row: Row) -> str:
    low, middle, high, actual = (
        decimal(row, key) or ZERO for key in ("q10", "q50", "q90", "actual")
    )
    error = decimal(row, "error")
    missed = "" if error is None else f", {change(error)} off"
    left = plural(whole(row, "days_left") or 0, "day")
    held = "inside" if row["inside"] else "outside"
    return (
        f"{left} before its end: {usd(middle)}, 80% range {span(low, high)}; it came to"
        f" {usd(actual)}, {held}{missed}."
    )


def _footer(facts: ClosingFacts) -> list[str]:
    at = formats.instant(facts.due_at)
    when = (
        f"Corrected at {at}, when the data had come"
        if facts.corrected
        else f"Generated at {at}, when the report fell due"
    )
    reader = f"the addresses that {name(facts.organisation)} lists under [report] to"
    if facts.audience.name != FINANCE.name:
        listed = f"for the audience {name(facts.audience.name)}"
        reader = f"the addresses that {name(facts.organisation)} lists {listed}"
    return [
        f"Sent every month to {reader}.",
        f"Figures: crossover explain ID --month {facts.month} (the plain-text part lists all IDs).",
        f"Days are UTC, amounts US dollars. {when}.",
    ]


def _traced(facts: ClosingFacts) -> list[Traced]:
    """Every figure: those of the whole, then row by row as far as shown."""
    keys: dict[str, tuple[str, ...]] = {"bills": ("account",)}
    keys |= {"budgets": ("budget",), "cost_centres": ("cost_centre",)}
    keys |= {"labels": ("label",), "contracts": ("account",)}
    keys |= {"reconciliation": ("account", "cause")}
    rows = [
        cells(facts.units, CELLS[table], row, keys[table])
        for table in CELLS
        for row in facts.tables[table][:SHOWN]
    ]
    return [scalars(facts.numbers, facts.units), *rows]
