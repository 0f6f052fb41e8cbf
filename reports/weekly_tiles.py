"""The figures at the top of the weekly report, and the week in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.forecast import ACTUAL, NEEDED_DAYS
from monitor.domain.periods import add_months
from reports import budgets
from reports.audiences import TILES
from reports.formats import (
    about,
    change,
    count,
    count_span,
    day,
    month,
    name,
    number,
    ordinal,
    percent,
    rate,
    second,
    span,
    usd,
)
from reports.language import say, say_n
from reports.model import Value, WeeklyFacts, decimal, whole, words
from reports.weekly_tables import ZERO, begins, billed, sources


class Tile(NamedTuple):
    """One of the four figures at the top."""

    label: str
    value: str
    note: str


def is_complete(facts: WeeklyFacts) -> bool:
    """Whether the month is over, so that its projection is its total."""
    return facts.numbers["projection.method"] == ACTUAL


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
    label = say("{month} to date", month=month(facts.month))
    if spent is None:
        return Tile(label, say("no data"), say("nothing was read for these days"))
    notes = [billed(decimal(facts.numbers, "spend.month_to_date.billed_share"))]
    if words(facts.numbers, "spend.first_day") > f"{facts.month}-01":
        notes.append(begins(facts))
    return Tile(label, usd(spent), "; ".join(_also(spent) + notes))


def _also(amount: Decimal) -> list[str]:
    """The amount in the organisation's currency, where it has another with a rate."""
    converted = second(amount)
    return [converted] if converted else []


def _projection(facts: WeeklyFacts) -> Tile:
    projected = projection(facts)
    label = say("{month} projection", month=month(facts.month))
    if projected is None:
        known = whole(facts.numbers, "projection.history_days")
        if known is None:
            return Tile(label, say("none"), say("no projection was made for these days"))
        note = say(
            "{needed} days of history are needed, {known} are there",
            needed=NEEDED_DAYS,
            known=known,
        )
        return Tile(label, say("not yet"), note)
    if is_complete(facts):
        total = say("{month} total", month=month(facts.month))
        told = [*_also(projected[1]), say("the month is complete")]
        return Tile(total, usd(projected[1]), "; ".join(told))
    held = say("80% range {span}", span=span(projected[0], projected[2]))
    notes = [*_also(projected[1]), held, *_doubts(facts)]
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
        found.append(say("from only {n} days of history", n=days))
    if "holes" in flags:
        found.append(say("some days are missing"))
    made = date.fromisoformat(words(facts.numbers, "projection.as_of")) - timedelta(1)
    return found if made >= facts.last else [*found, say("as of {day}", day=day(made))]


def _change(facts: WeeklyFacts) -> Tile:
    points = decimal(facts.numbers, "spend.change_same_day")
    label = say("Against {month}, same days", month=before(facts))
    then = decimal(facts.numbers, "spend.previous_month_same_day")
    if then is None:
        known = facts.numbers["spend.first_day"] is not None
        why = begins(facts) if known else say("nothing was read yet")
        return Tile(label, say("no comparison"), why)
    if points is None:
        return Tile(label, say("no comparison"), say("nothing was spent then"))
    notes = [say("{amount} then", amount=usd(then))]
    whole_points = decimal(facts.numbers, "spend.change_full_month")
    whole_month = decimal(facts.numbers, "spend.previous_month")
    if whole_points is not None and whole_month is not None:
        text = "projection {change} on all of {month} ({amount})"
        if is_complete(facts):
            text = "this month {change} on all of {month} ({amount})"
        shown = {"change": change(whole_points), "month": before(facts)}
        notes.append(say(text, amount=usd(whole_month), **shown))
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
    label = say("Per million API tokens")
    if not tokens:
        return Tile(label, say("no tokens"), say("none went through an API this month"))
    note = say("{n} tokens this month", n=count(tokens))
    if unpriced:
        note += say(", {n} of them without a known rate", n=count(unpriced))
    return Tile(label, say("unpriced") if per_million is None else rate(per_million), note)


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
    told = [*_also(spent), say_n(n, "{n} workload", "{n} workloads", n=n)]
    return Tile(label, usd(spent), "; ".join(told))


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
        return say(
            "{who} has no spend on record for {month} so far.",
            who=name(facts.organisation),
            month=month(facts.month),
        )
    week = decimal(facts.numbers, "spend.week") or ZERO
    points = decimal(facts.numbers, "spend.week_change")
    shown = {"who": name(facts.organisation), "week": usd(week), "spent": usd(spent)}
    shown |= {"month": month(facts.month), "day": _last(facts)}
    if points is None:
        text = say(
            "{who} spent {week} on language models through APIs this week and {spent} in {month} to"
            " the {day}",
            **shown,
        )
    else:
        text = say(
            "{who} spent {week} on language models through APIs this week, {change} on the week"
            " before, and {spent} in {month} to the {day}",
            change=change(points),
            **shown,
        )
    projected = projection(facts)
    if projected and not is_complete(facts):
        text += say("; the month is heading for {amount}", amount=about(projected[1]))
    return text + "."


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
