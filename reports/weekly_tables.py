"""The sections of the weekly report as words: what is said of each figure, known or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.money import to_cents
from monitor.domain.workloads import UNASSIGNED
from reports.formats import (
    count,
    day,
    instant,
    month,
    name,
    number,
    percent,
    plural,
    rate,
    signed,
    span,
    usd,
)
from reports.language import say
from reports.model import Row, WeeklyFacts, decimal, whole, words
from reports.retold import retell

ZERO = Decimal(0)
SHOWN = 10
"""Rows of a table; the rest is in the attached files."""
MOVERS = 5

_RULES = {
    "crossing": "Break-even",
    "move": "Move",
    "return_to_api": "Return to the API",
    "about_to_cross": "About to cross",
}


class Mover(NamedTuple):
    """A workload whose cost changed."""

    workload: str
    spend: str
    change: str
    why: str
    row: Row


class Host(NamedTuple):
    """A GPU server's week."""

    host: str
    gpus: str
    hours: str
    utilisation: str


class Event(NamedTuple):
    """An alert, or a day that was restated."""

    when: str
    what: str
    detail: str


class Source(NamedTuple):
    """How far a stream was read."""

    name: str
    closed: str
    read: str
    state: str
    well: bool


def begins(facts: WeeklyFacts) -> str:
    """`the data begins on 9 Oct 2026`."""
    first = words(facts.numbers, "spend.first_day")
    return say("the data begins on {day}", day=day(date.fromisoformat(first), year=True))


def billed(share: Decimal | None) -> str:
    """How much of the spend is on bills, in words; `share` in percent, None: there is no spend."""
    if share is None:
        return say("nothing was spent")
    if share == 100:
        return say("all of it billed")
    if not share:
        return say("all of it estimated")
    return say("{share} billed, the rest estimated", share=percent(share))


def movers(facts: WeeklyFacts) -> list[Mover]:
    """The workloads that changed most, by amount."""
    moved = [row for row in facts.tables["workloads"] if decimal(row, "change")]
    moved.sort(key=lambda row: (-abs(decimal(row, "change") or ZERO), words(row, "workload")))
    return [_mover(row) for row in moved[:MOVERS]]


def _mover(row: Row) -> Mover:
    spent, changed = decimal(row, "spend"), decimal(row, "change")
    assert spent is not None
    assert changed is not None
    return Mover(name(words(row, "workload")), usd(spent), signed(changed), _why(row), row)


def _why(row: Row) -> str:
    volume, price = decimal(row, "by_volume"), decimal(row, "by_price")
    if volume is None or price is None:
        return say("new this month")
    return say("volume {volume}, price and mix {price}", volume=signed(volume), price=signed(price))


def own_workloads(facts: WeeklyFacts) -> list[Mover]:
    """An owner's workloads, the dearest first, whether they changed or not."""
    rows = sorted(
        facts.tables["workloads"],
        key=lambda row: (-(decimal(row, "spend") or ZERO), words(row, "workload")),
    )
    return [_own(row) for row in rows[:SHOWN]]


def _own(row: Row) -> Mover:
    spent, changed = decimal(row, "spend"), decimal(row, "change")
    low, high = decimal(row, "projected_q10"), decimal(row, "projected_q90")
    why = _why(row) if changed else say("no change")
    if changed is None:
        why = say("no comparison")
    if low is not None and high is not None:
        why += "; " + say("the month is projected to {span}", span=span(low, high))
    return Mover(
        name(words(row, "workload")),
        say("unpriced") if spent is None else usd(spent),
        "" if changed is None else signed(changed),
        why,
        row,
    )


def beside_own(facts: WeeklyFacts, shown: int) -> list[str]:
    """What the table of an owner's workloads leaves out."""
    rows = facts.tables["workloads"]
    if not rows:
        return [say("No workload of yours has used an API yet.")]
    notes = [say("All {n} workloads are in the attached workloads.csv.", n=len(rows))]
    return (notes if len(rows) > shown else []) + _unpriced(rows)


def unit_cost(facts: WeeklyFacts) -> list[str]:
    """What a million tokens cost through APIs and on own engines, in sentences."""
    api, tokens = decimal(facts.numbers, "unit_cost.api"), facts.numbers["tokens.month_to_date"]
    found = [say("No priced token went through an API this month.")]
    if api is not None and tokens:
        found = [
            say(
                "Through APIs a million tokens cost {rate} in {month}, estimated.",
                rate=rate(api),
                month=month(facts.month),
            )
        ]
    known = [
        (words(row, "month"), cost)
        for row in facts.tables["unit_cost.own_months"]
        if (cost := decimal(row, "usd_per_million")) is not None
    ]
    if known:
        last, cost = max(known)
        text = "On own engines they cost {rate} in {month}, by the deployments' cost lines."
        found.append(say(text, rate=rate(cost), month=month(last)))
    else:
        found.append(
            say(
                "What they cost on own engines is unknown: no closed month of a workload that moved"
                " holds it."
            )
        )
    used = decimal(facts.numbers, "gpu.utilisation")
    if used is not None:
        text = "Own GPUs were {share} utilised; their idle hours are paid for all the same."
        found.append(say(text, share=percent(used)))
    return found


def _unpriced(rows: Sequence[Row]) -> list[str]:
    """Workloads without a rate, as a sentence."""
    unpriced = [name(words(row, "workload")) for row in rows if row["spend"] is None]
    if not unpriced:
        return []
    listed = ", ".join(unpriced[:3])
    if len(unpriced) > 3:
        listed += say(" and {n} more", n=len(unpriced) - 3)
    return [say("No rate is known for {workloads}.", workloads=listed)]


def beside_movers(facts: WeeklyFacts, shown: int) -> list[str]:
    """What the table of movers leaves out."""
    rows = facts.tables["workloads"]
    if not rows:
        return [say("No workload has used an API yet.")]
    notes = []
    if not shown:
        unknown = all(row["change"] is None for row in rows)
        notes.append(
            say("No comparison: {why}.", why=begins(facts))
            if unknown
            else say("No workload changed.")
        )
    if len(rows) > shown and shown:
        notes.append(say("All {n} workloads are in the attached workloads.csv.", n=len(rows)))
    notes += _unpriced(rows)
    notes += [
        say("{amount} is unassigned: no workload's patterns match it.", amount=usd(spent))
        for row in rows
        if row["workload"] == UNASSIGNED and (spent := decimal(row, "spend"))
    ]
    outside = decimal(facts.numbers, "spend.outside_workloads")
    if outside is not None and to_cents(outside):
        notes.append(
            say(
                "{amount} of the month to date is in no workload: what bills hold beyond the price"
                " of tokens.",
                amount=usd(outside),
            )
        )
    return notes


def gpus(facts: WeeklyFacts) -> list[str]:
    """What own GPUs did, in sentences."""
    seen, hours = whole(facts.numbers, "gpu.count"), decimal(facts.numbers, "gpu.hours_measured")
    used = decimal(facts.numbers, "gpu.utilisation")
    served = whole(facts.numbers, "served.tokens")
    if not seen or hours is None:
        found = [say("No GPU was measured this week.")]
    elif used is None:
        found = [say("{gpus} seen, without readings of utilisation.", gpus=plural(seen, "GPU"))]
    else:
        found = [
            say(
                "{gpus}, {share} utilised over {hours} GPU hours.",
                gpus=plural(seen, "GPU"),
                share=percent(used),
                hours=number(hours, 1),
            )
        ]
    if served is not None:
        found.append(say("Own engines served {n} tokens.", n=count(served)))
    return found


def hosts(facts: WeeklyFacts) -> list[Host]:
    """By server, as far as shown; a single one is said in words already."""
    rows = facts.tables["gpu.hosts"]
    return [_host(row) for row in rows[:SHOWN]] if len(rows) > 1 else []


def _host(row: Row) -> Host:
    used, hours = decimal(row, "utilisation"), decimal(row, "hours_measured")
    return Host(
        name(words(row, "host")),
        words(row, "gpus"),
        say("none") if hours is None else number(hours, 1),
        say("not measured") if used is None else percent(used),
    )


def alerts(facts: WeeklyFacts) -> list[Event]:
    """Alerts that fired or ended, newest first."""
    return [_alert(row) for row in reversed(facts.tables["alerts.week"])]


def _alert(row: Row) -> Event:
    rule = words(row, "rule").partition(" v")[0]
    what = f"{say(_RULES.get(rule, name(rule)))}: {name(words(row, 'subject'), 80)}"
    ended = "" if row["became"] == "firing" else say(", ended")
    when = day(date.fromisoformat(words(row, "at")[:10]))
    return Event(when, what + ended, retell(name(words(row, "reason"), 400)))


def restatements(facts: WeeklyFacts) -> list[Event]:
    """Closed days that changed after all."""
    return [_restatement(row) for row in facts.tables["restatements.week"]]


def _restatement(row: Row) -> Event:
    tokens = [count(whole(row, f"tokens_{side}") or 0) for side in ("before", "after")]
    dollars = [usd(decimal(row, f"usd_{side}") or ZERO) for side in ("before", "after")]
    return Event(
        day(date.fromisoformat(words(row, "day"))),
        name(f"{row['source']} {row['stream']}"),
        say(
            "{before} tokens became {after}, {usd_before} became {usd_after}",
            before=tokens[0],
            after=tokens[1],
            usd_before=dollars[0],
            usd_after=dollars[1],
        ),
    )


def sources(facts: WeeklyFacts) -> list[Source]:
    """Each stream, those with trouble first."""
    found = [_source(row, facts.last + timedelta(1)) for row in facts.tables["data.sources"]]
    return sorted(found, key=lambda source: source.well)


def _source(row: Row, end: date) -> Source:
    closed, read = words(row, "closed_through"), words(row, "last_read_at")
    through = min(date.fromisoformat(closed[:10]), end) if closed else None
    state = _state(row, through is not None and through >= end)
    return Source(
        name(f"{row['source']} {row['stream']}"),
        say("through {day}", day=day(through - timedelta(1))) if through else say("nothing yet"),
        instant(read) if read else say("never"),
        say(state) if state in _STATES else state,
        state in _WELL,
    )


_WELL = ("complete", "bills follow", "not counted")
_STATES = (*_WELL, "behind")


def _state(row: Row, complete: bool) -> str:
    if row["counts"] == "no":
        return "not counted"
    if whole(row, "failures_in_a_row"):
        why = name(words(row, "last_error"), 80) or say("no reason given")
        return say("fails: {why}", why=why)
    if complete:
        return "complete"
    return "bills follow" if row["feeds"] == "bill" else "behind"


def completeness(facts: WeeklyFacts) -> list[str]:
    """What the totals hold and what they do not."""
    share = decimal(facts.numbers, "spend.month_to_date.billed_share")
    unpriced = whole(facts.numbers, "unpriced.tokens")
    waiting = whole(facts.numbers, "data.quarantined_rows")
    found = []
    if share is not None:
        found.append(say("The month to date: {billed}.", billed=billed(share)))
    if unpriced:
        text = "{n} tokens have no known rate: they are in no amount."
        found.append(say(text, n=count(unpriced)))
    elif unpriced == 0:
        found.append(say("Every token has a known rate."))
    if odd := whole(facts.numbers, "spend.days_unconverted"):
        text = "{days} billed in a currency without a rate: not in totals."
        found.append(say(text, days=plural(odd, "day")))
    rows = plural(waiting, "row") if waiting else say("No row")
    found.append(say("{rows} in quarantine, where unreadable ones are kept.", rows=rows))
    return [*found, *(_rates(row) for row in facts.tables["data.rates"])]


def record(facts: WeeklyFacts) -> list[str]:
    """How good past projections and verdicts were, in sentences."""
    months, inside = (whole(facts.numbers, f"record.{name}") for name in ("months", "inside"))
    told, right = (whole(facts.numbers, f"record.verdicts_{name}") for name in ("told", "right"))
    error = decimal(facts.numbers, "record.median_error")
    found = [say("No month was scored yet: that happens when the first one is closed.")]
    if months:
        missed = (
            "" if error is None else say("; the median error was {error}", error=percent(error))
        )
        held = say(
            "Of the last {months} {n} fell inside the range projected two weeks before the month's"
            " end",
            months=plural(months, "month"),
            n=inside,
        )
        found = [f"{held}{missed}."]
    if told:
        text = "Of {verdicts} {n} were right at the volume that came."
        found.append(say(text, verdicts=plural(told, "verdict"), n=right))
    return found


def _rates(row: Row) -> str:
    checked = words(row, "newest_check")
    when = say("checked {day}", day=checked[:10]) if checked else say("no check recorded")
    version = f" {name(words(row, 'source_version'))}" if row["source_version"] else ""
    return say(
        "Prices: {source}, {cards}, {when}.",
        source=f"{name(words(row, 'source'))}{version}",
        cards=plural(whole(row, "cards") or 0, "rate card"),
        when=when,
    )
