"""The sections of the weekly report as words: what is said of each figure, known or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.forecast import ACTUAL, NEEDED_DAYS
from monitor.domain.money import to_cents
from monitor.domain.periods import add_months
from monitor.domain.workloads import UNASSIGNED
from reports import budgets
from reports.audiences import TILES
from reports.formats import (
    about,
    change,
    count,
    count_span,
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
from reports.language import say, say_n
from reports.model import Row, Value, WeeklyFacts, decimal, whole, words

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


class Tile(NamedTuple):
    """One of the four figures at the top."""

    label: str
    value: str
    note: str


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


def is_complete(facts: WeeklyFacts) -> bool:
    """Whether the month is over, so that its projection is its total."""
    return facts.numbers["projection.method"] == ACTUAL


def begins(facts: WeeklyFacts) -> str:
    """`the data begins on 9 Oct 2026`."""
    first = words(facts.numbers, "spend.first_day")
    return f"the data begins on {day(date.fromisoformat(first), year=True)}"


def before(facts: WeeklyFacts) -> str:
    """The name of the month before."""
    return month(add_months(facts.month, -1))


Build = Callable[[WeeklyFacts], Tile | None]
Make = Callable[[str, Build, None], Tile | None]
"""Makes a part of the report: its name, how, and what stands for it if that fails."""


_TILES = 4


def tiles(facts: WeeklyFacts, made: Make) -> list[Tile]:
    """The figures at the top, those first that the audience asks for first."""
    found = (made(f"tile {each}", _TILE[each], None) for each in TILES[facts.audience.kind])
    return [tile for tile in found if tile][:_TILES]


def _to_date(facts: WeeklyFacts) -> Tile:
    spent = decimal(facts.numbers, "spend.month_to_date")
    label = f"{month(facts.month)} to date"
    if spent is None:
        return Tile(label, "no data", "nothing was read for these days")
    notes = [_billed(decimal(facts.numbers, "spend.month_to_date.billed_share"))]
    if words(facts.numbers, "spend.first_day") > f"{facts.month}-01":
        notes.append(begins(facts))
    return Tile(label, usd(spent), "; ".join(notes))


def _billed(share: Decimal | None) -> str:
    if share is None:
        return "nothing was spent"
    if share == 100:
        return "all of it billed"
    return f"{percent(share)} billed, the rest estimated" if share else "all of it estimated"


def _projection(facts: WeeklyFacts) -> Tile:
    projected = projection(facts)
    label = f"{month(facts.month)} projection"
    if projected is None:
        known = whole(facts.numbers, "projection.history_days")
        if known is None:
            return Tile(label, "none", "no projection was made for these days")
        return Tile(
            label, "not yet", f"{NEEDED_DAYS} days of history are needed, {known} are there"
        )
    if is_complete(facts):
        return Tile(f"{month(facts.month)} total", usd(projected[1]), "the month is complete")
    notes = [f"80% range {span(projected[0], projected[2])}", *_doubts(facts)]
    return Tile(label, about(projected[1]), "; ".join(notes))


def projection(facts: WeeklyFacts) -> tuple[Decimal, Decimal, Decimal] | None:
    """The month's total in dollars: q10, q50, q90."""
    low, middle, high = (decimal(facts.numbers, f"projection.usd.{q}") for q in _QUANTILES)
    return None if low is None or middle is None or high is None else (low, middle, high)


_QUANTILES = ("q10", "q50", "q90")


def _doubts(facts: WeeklyFacts) -> list[str]:
    """What is to be known about a projection besides its range."""
    flags = words(facts.numbers, "projection.flags").split()
    found = []
    if "short_history" in flags:
        days = whole(facts.numbers, "projection.history_days")
        found.append(f"from only {days} days of history")
    if "holes" in flags:
        found.append("some days are missing")
    made = date.fromisoformat(words(facts.numbers, "projection.as_of")) - timedelta(1)
    return found if made >= facts.last else [*found, f"as of {day(made)}"]


def _change(facts: WeeklyFacts) -> Tile:
    points = decimal(facts.numbers, "spend.change_same_day")
    label = f"Against {before(facts)}, same days"
    then = decimal(facts.numbers, "spend.previous_month_same_day")
    if then is None:
        known = facts.numbers["spend.first_day"] is not None
        return Tile(label, "no comparison", begins(facts) if known else "nothing was read yet")
    if points is None:
        return Tile(label, "no comparison", "nothing was spent then")
    notes = [f"{usd(then)} then"]
    whole_points = decimal(facts.numbers, "spend.change_full_month")
    whole_month = decimal(facts.numbers, "spend.previous_month")
    if whole_points is not None and whole_month is not None:
        what = "this month" if is_complete(facts) else "projection"
        notes.append(
            f"{what} {change(whole_points)} on all of {before(facts)} ({usd(whole_month)})"
        )
    return Tile(label, change(points), "; ".join(notes))


def _unit_cost(facts: WeeklyFacts) -> Tile:
    return _per_million(*(facts.numbers[id_] for id_ in _UNIT))


_UNIT = ("unit_cost.api", "tokens.month_to_date", "unpriced.tokens")


def _per_million(*figures: Value) -> Tile:
    row = dict(zip(_UNIT, figures, strict=True))
    per_million, tokens, unpriced = (
        decimal(row, _UNIT[0]),
        whole(row, _UNIT[1]),
        whole(row, _UNIT[2]),
    )
    label = "Per million API tokens"
    if not tokens:
        return Tile(label, "no tokens", "none went through an API this month")
    note = f"{count(tokens)} tokens this month"
    if unpriced:
        note += f", {count(unpriced)} of them without a known rate"
    return Tile(label, "unpriced" if per_million is None else rate(per_million), note)


def _budget(facts: WeeklyFacts) -> Tile | None:
    """The budget of all spend; None: there is none."""
    row = budgets.main_budget(facts.tables["budgets"])
    if row is None:
        return None
    used, elapsed = decimal(row, "percent_spent"), decimal(row, "percent_elapsed")
    amount = decimal(row, "amount")
    note = say("of {amount} for {period}", amount=usd(amount or ZERO), period=row["period"])
    if elapsed is not None:
        note += "; " + say("{share} of the time is over", share=percent(elapsed))
    label = say("Budget spent")
    return Tile(label, say("unknown") if used is None else percent(used), note)


def _requests(facts: WeeklyFacts) -> Tile:
    asked = whole(facts.numbers, "requests.month_to_date")
    label = say("Requests in {month}", month=month(facts.month))
    if asked is None:
        return Tile(label, say("no data"), say("nothing was read for these days"))
    low, high = (whole(facts.numbers, f"projection.requests.{q}") for q in ("q10", "q90"))
    if low is None or high is None or is_complete(facts):
        return Tile(label, count(asked), say("through APIs, to the {day}", day=_last(facts)))
    heading = say("heading for {span} in the month", span=count_span(low, high))
    return Tile(label, count(asked), heading)


def _last(facts: WeeklyFacts) -> str:
    return ordinal(facts.last.day)


def _utilisation(facts: WeeklyFacts) -> Tile:
    used, hours = (decimal(facts.numbers, f"gpu.{k}") for k in ("utilisation", "hours_measured"))
    label = say("Own GPUs utilised")
    if used is None or hours is None:
        return Tile(label, say("not measured"), say("no GPU gave readings this week"))
    return Tile(label, percent(used), say("over {hours} GPU hours", hours=number(hours, 1)))


def _streams(facts: WeeklyFacts) -> Tile:
    """How many streams are read as far as they should be."""
    found = sources(facts)
    well = sum(each.well for each in found)
    label = say("Sources read in full")
    if not found:
        return Tile(label, say("none"), say("no source has been read yet"))
    late = [each.name for each in found if not each.well]
    note = ", ".join(late[:2]) + (say(" and {n} more", n=len(late) - 2) if late[2:] else "")
    shown = say("{n} of {all}", n=well, all=len(found))
    return Tile(label, shown, note or say("nothing is missing"))


def _own_to_date(facts: WeeklyFacts) -> Tile:
    spent = decimal(facts.numbers, "owner.spend")
    label = say("{month} to date, estimated", month=month(facts.month))
    if spent is None:
        return Tile(label, say("no data"), say("nothing was read for these days"))
    n = len(facts.tables["workloads"])
    return Tile(label, usd(spent), say_n(n, "{n} workload", "{n} workloads", n=n))


def _own_change(facts: WeeklyFacts) -> Tile:
    points, then = (decimal(facts.numbers, f"owner.{key}") for key in ("change", "previous"))
    label = say("Against {month}, same days", month=before(facts))
    if points is None or then is None:
        return Tile(label, say("no comparison"), say("those days are not known in full"))
    return Tile(label, change(points), say("{amount} then", amount=usd(then)))


def _own_requests(facts: WeeklyFacts) -> Tile:
    asked = whole(facts.numbers, "owner.requests")
    label = say("Requests in {month}", month=month(facts.month))
    note = say("through APIs, to the {day}", day=_last(facts))
    return Tile(label, say("no data") if asked is None else count(asked), note)


def _own_unit_cost(facts: WeeklyFacts) -> Tile:
    return _per_million(*(facts.numbers[f"owner.{key}"] for key in _OWN_UNIT))


_OWN_UNIT = ("unit_cost", "tokens", "unpriced_tokens")


def summary(facts: WeeklyFacts) -> str:
    """The week in one sentence."""
    return _summary(facts) if facts.audience.whole else _own_summary(facts)


def _own_summary(facts: WeeklyFacts) -> str:
    spent, who = decimal(facts.numbers, "owner.spend"), facts.audience.owner
    if spent is None:
        return say("The workloads of {who} have no spend on record this month.", who=who)
    return say(
        "The workloads of {who} cost {amount} in {month} to the {day}, estimated from tokens.",
        who=who,
        amount=usd(spent),
        month=month(facts.month),
        day=_last(facts),
    )


def _summary(facts: WeeklyFacts) -> str:
    spent = decimal(facts.numbers, "spend.month_to_date")
    if spent is None:
        return f"{name(facts.organisation)} has no spend on record for {month(facts.month)} so far."
    week = decimal(facts.numbers, "spend.week") or ZERO
    points = decimal(facts.numbers, "spend.week_change")
    against = f", {change(points)} on the week before," if points is not None else ""
    text = (
        f"{name(facts.organisation)} spent {usd(week)} on language models through APIs this week"
        f"{against} and {usd(spent)} in {month(facts.month)} to the {ordinal(facts.last.day)}"
    )
    projected = projection(facts)
    if projected and not is_complete(facts):
        text += f"; the month is heading for {about(projected[1])}"
    return text + "."


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 22nd."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


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
        return "new this month"
    return f"volume {signed(volume)}, price and mix {signed(price)}"


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
    more = f" and {len(unpriced) - 3} more" if len(unpriced) > 3 else ""
    return [f"No rate is known for {', '.join(unpriced[:3])}{more}."]


def beside_movers(facts: WeeklyFacts, shown: int) -> list[str]:
    """What the table of movers leaves out."""
    rows = facts.tables["workloads"]
    if not rows:
        return ["No workload has used an API yet."]
    notes = []
    if not shown:
        unknown = all(row["change"] is None for row in rows)
        notes.append(f"No comparison: {begins(facts)}." if unknown else "No workload changed.")
    if len(rows) > shown and shown:
        notes.append(f"All {len(rows)} workloads are in the attached workloads.csv.")
    notes += _unpriced(rows)
    notes += [
        f"{usd(spent)} is unassigned: no workload's patterns match it."
        for row in rows
        if row["workload"] == UNASSIGNED and (spent := decimal(row, "spend"))
    ]
    outside = decimal(facts.numbers, "spend.outside_workloads")
    if outside is not None and to_cents(outside):
        notes.append(
            f"{usd(outside)} of the month to date is in no workload: what bills hold beyond the"
            " price of tokens."
        )
    return notes


def gpus(facts: WeeklyFacts) -> list[str]:
    """What own GPUs did, in sentences."""
    seen, hours = whole(facts.numbers, "gpu.count"), decimal(facts.numbers, "gpu.hours_measured")
    used = decimal(facts.numbers, "gpu.utilisation")
    served = whole(facts.numbers, "served.tokens")
    if not seen or hours is None:
        found = ["No GPU was measured this week."]
    elif used is None:
        found = [f"{plural(seen, 'GPU')} seen, without readings of utilisation."]
    else:
        found = [f"{plural(seen, 'GPU')}, {percent(used)} utilised over {hours:,.1f} GPU hours."]
    if served is not None:
        found.append(f"Own engines served {count(served)} tokens.")
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
        "none" if hours is None else f"{hours:,.1f}",
        "not measured" if used is None else percent(used),
    )


def alerts(facts: WeeklyFacts) -> list[Event]:
    """Alerts that fired or ended, newest first."""
    return [_alert(row) for row in reversed(facts.tables["alerts.week"])]


def _alert(row: Row) -> Event:
    rule = words(row, "rule").partition(" v")[0]
    what = f"{_RULES.get(rule, name(rule))}: {name(words(row, 'subject'), 80)}"
    ended = "" if row["became"] == "firing" else ", ended"
    when = day(date.fromisoformat(words(row, "at")[:10]))
    return Event(when, what + ended, name(words(row, "reason"), 400))


def restatements(facts: WeeklyFacts) -> list[Event]:
    """Closed days that changed after all."""
    return [_restatement(row) for row in facts.tables["restatements.week"]]


def _restatement(row: Row) -> Event:
    tokens = [count(whole(row, f"tokens_{side}") or 0) for side in ("before", "after")]
    dollars = [usd(decimal(row, f"usd_{side}") or ZERO) for side in ("before", "after")]
    return Event(
        day(date.fromisoformat(words(row, "day"))),
        name(f"{row['source']} {row['stream']}"),
        f"{tokens[0]} tokens became {tokens[1]}, {dollars[0]} became {dollars[1]}",
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
        f"through {day(through - timedelta(1))}" if through else "nothing yet",
        instant(read) if read else "never",
        state,
        state in _WELL,
    )


_WELL = ("complete", "bills follow", "not counted")


def _state(row: Row, complete: bool) -> str:
    if row["counts"] == "no":
        return "not counted"
    if whole(row, "failures_in_a_row"):
        return f"fails: {name(words(row, 'last_error'), 80) or 'no reason given'}"
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
        found.append(f"The month to date: {_billed(share)}.")
    if unpriced:
        found.append(f"{count(unpriced)} tokens have no known rate: they are in no amount.")
    elif unpriced == 0:
        found.append("Every token has a known rate.")
    if odd := whole(facts.numbers, "spend.days_unconverted"):
        found.append(f"{plural(odd, 'day')} billed in a currency without a rate: not in totals.")
    rows = plural(waiting, "row") if waiting else "No row"
    found.append(f"{rows} in quarantine, where unreadable ones are kept.")
    return [*found, *(_rates(row) for row in facts.tables["data.rates"])]


def record(facts: WeeklyFacts) -> list[str]:
    """How good past projections and verdicts were, in sentences."""
    months, inside = (whole(facts.numbers, f"record.{name}") for name in ("months", "inside"))
    told, right = (whole(facts.numbers, f"record.verdicts_{name}") for name in ("told", "right"))
    error = decimal(facts.numbers, "record.median_error")
    found = ["No month was scored yet: that happens when the first one is closed."]
    if months:
        missed = "" if error is None else f"; the median error was {percent(error)}"
        held = f"Of the last {plural(months, 'month')} {inside} fell inside the range projected"
        found = [f"{held} two weeks before the month's end{missed}."]
    if told:
        found.append(f"Of {plural(told, 'verdict')} {right} were right at the volume that came.")
    return found


def _rates(row: Row) -> str:
    checked = words(row, "newest_check")
    when = f"checked {checked[:10]}" if checked else "no check recorded"
    version = f" {name(words(row, 'source_version'))}" if row["source_version"] else ""
    cards = plural(whole(row, "cards") or 0, "rate card")
    return f"Prices: {name(words(row, 'source'))}{version}, {cards}, {when}."


_TILE: Mapping[str, Build] = {
    "to_date": _to_date,
    "projection": _projection,
    "budget": _budget,
    "change": _change,
    "unit_cost": _unit_cost,
    "requests": _requests,
    "utilisation": _utilisation,
    "streams": _streams,
    "own_to_date": _own_to_date,
    "own_change": _own_change,
    "own_requests": _own_requests,
    "own_unit_cost": _own_unit_cost,
}
