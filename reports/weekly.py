"""The weekly report: figures in, one view, and the same view as HTML and as plain text.

Every number is a figure of the catalogue, read before; what is derived here is their wording. The
plain twin says everything that the HTML and its pictures say, and lists each figure by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from reports import (
    after_move,
    budgets,
    formats,
    judgement,
    marks,
    pictures,
    weekly_tables,
    weekly_tiles,
)
from reports.audiences import FINANCE
from reports.comparison import Comparison, comparison, migration
from reports.formats import month, name, short, short_range
from reports.language import say, style, use
from reports.model import Rendered, Row, Standing, Told, Value, WeeklyFacts, decimal
from reports.pictures import Picture
from reports.raster import Drawn
from reports.render import Image
from reports.retold import retell
from reports.tracing import Traced, cells, scalars
from reports.twins import logo, twins
from reports.verdict import UNKNOWN, Verdict, key, ranked, verdict
from reports.weekly_tables import SHOWN, Event, Host, Mover, Source
from reports.weekly_tiles import Tile

_IN_FULL, _NOTES = 3, 3
"""So many comparisons have all their notes; the others the first of theirs: how sure, the year,
the crossing or what would flip it. `crossover advise` has all of each."""

TITLES = {
    "movers": "What moved",
    "workloads": "Your workloads",
    "budgets": "Budgets",
    "unit_cost": "What a token costs",
    "alerts": "Alerts and restatements",
    "breakeven": "Break-even",
    "moves": "After the move",
    "gpus": "Own GPUs",
    "record": "How good past figures were",
    "sources": "What the figures rest on",
}
"""Of sections, as they are read; what has none stands without a heading."""
PICTURES = {
    "spend": "spend",
    "cost": "breakeven",
    "unit-cost": "unit_cost",
    "utilisation": "gpus",
}
"""The section that shows each picture."""

Draw = Callable[[Mapping[str, Mapping[str, Any]]], Drawn]
"""Definitions of pictures by name -> PNG, and what could not be drawn."""


@dataclass(frozen=True)
class View:
    """The report as words; templates only place them."""

    subject: str
    organisation: str
    week: str
    period: str
    demo: bool
    missing: Sequence[str]
    corrected: Sequence[str]
    unsent: str
    whole: bool
    """Told of all workloads."""
    order: Sequence[str]
    """The sections, as this audience reads them."""
    titles: Mapping[str, str]
    failed: Mapping[str, str]
    """Sections that could not be made -> the cause."""
    verdict: Verdict
    consequence: str
    """What the verdict brings or rests on, in a sentence; or ''."""
    beside: str
    """How sure a move is, and which cost lines it takes as zero; or ''."""
    summary: str
    tiles: Sequence[Tile]
    month: str
    month_before: str
    movers: Sequence[Mover]
    beside_movers: Sequence[str]
    budgets: Sequence[budgets.Budget]
    unit_cost: Sequence[str]
    comparisons: Sequence[Comparison]
    more_comparisons: int
    moves: Sequence[after_move.Told]
    """Workloads that moved, and what that saved."""
    gpus: Sequence[str]
    hosts: Sequence[Host]
    alerts: Sequence[Event]
    restatements: Sequence[Event]
    sources: Sequence[Source]
    completeness: Sequence[str]
    record: Sequence[str]
    """How good past projections and verdicts were."""
    pictures: Mapping[str, Picture]
    not_drawn: str
    footer: Sequence[str]
    traced: Sequence[Traced]


_Made = TypeVar("_Made")


class _Making:
    """Makes one section after the other; what fails is left out, and remembered with its cause."""

    def __init__(self, facts: WeeklyFacts) -> None:
        self._facts = facts
        self.failed: dict[str, str] = {}

    def __call__(
        self, section: str, build: Callable[[WeeklyFacts], _Made], otherwise: _Made
    ) -> _Made:
        """What `build` makes of the facts; `otherwise` where the audience has no such section."""
        if section in TITLES and section not in self._facts.audience.sections:
            return otherwise
        try:
            return build(self._facts)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are made
            self.failed.setdefault(section, self._cause(error))
            return otherwise

    def _cause(self, error: Exception) -> str:
        """Of what rests on a figure that could not be read: why it could not."""
        missed = str(error.args[0]) if isinstance(error, KeyError) and error.args else ""
        return self._facts.failed.get(missed, f"{type(error).__name__}: {error}")


def build(facts: WeeklyFacts, draw: Draw) -> Rendered:
    """The report in its audience's style; without pictures, and saying so, if none can be drawn."""
    with use(facts.audience.style):
        shown = view(facts)
        drawn, failed = draw({cid: picture.spec for cid, picture in shown.pictures.items()})
        shown = replace(shown, not_drawn=pictures.missed(shown.pictures, failed))
        page = {"view": shown, "drawn": drawn, "cap": SHOWN, "width": marks.WIDTH}
        bodies = twins("weekly", **page)
        own = logo(shown.organisation)
    images = [Image(cid, png, shown.pictures[cid].alt) for cid, png in drawn.items()]
    lost = [f"{section} ({name(cause, 200)})" for section, cause in shown.failed.items()]
    return Rendered(
        shown.subject, *bodies, [*own, *images], failed=lost, style=facts.audience.style
    )


def view(facts: WeeklyFacts) -> View:
    """What the report says, as far as it can be made."""
    made, whole = _Making(facts), facts.audience.whole
    found = made("verdict", verdict, UNKNOWN)
    movers = made("movers", weekly_tables.movers, list[Mover]())
    beside = made("movers", lambda of: weekly_tables.beside_movers(of, len(movers)), list[str]())
    if not whole:
        movers = made("workloads", weekly_tables.own_workloads, list[Mover]())
        beside = made(
            "workloads", lambda of: weekly_tables.beside_own(of, len(movers)), list[str]()
        )
    comparisons, more = made("breakeven", _comparisons, (list[Comparison](), 0))
    moves = made("moves", after_move.moves, list[after_move.Told]())
    of_budgets = made("budgets", _budgets, list[tuple[budgets.Budget, Row]]())
    return View(
        subject=made("subject", lambda of: _subject(of, found), found.headline),
        organisation=name(facts.organisation),
        week=facts.week,
        period=formats.days(facts.first, facts.last),
        demo=facts.demo,
        missing=[retell(name(reason, 200)) for reason in facts.missing],
        corrected=[name(text, 300) for text in facts.corrected],
        unsent=facts.unsent,
        verdict=found,
        consequence=made("consequence", lambda _: _consequence(found), ""),
        beside=made("consequence", lambda of: _beside(found, of), ""),
        summary=made("summary", weekly_tiles.summary, ""),
        tiles=weekly_tiles.tiles(facts, made),
        month=month(facts.month),
        month_before=weekly_tiles.before(facts),
        movers=movers,
        beside_movers=beside,
        budgets=[of for of, _ in of_budgets],
        unit_cost=made("unit_cost", weekly_tables.unit_cost, []),
        comparisons=comparisons,
        more_comparisons=more,
        moves=moves,
        gpus=made("gpus", weekly_tables.gpus, []),
        hosts=made("gpus", weekly_tables.hosts, []),
        alerts=made("alerts", weekly_tables.alerts, []),
        restatements=made("alerts", weekly_tables.restatements, []) if whole else [],
        sources=made("sources", weekly_tables.sources, []),
        completeness=made("sources", weekly_tables.completeness, []) if whole else [],
        record=made("record", weekly_tables.record, []),
        pictures=_pictures(facts, found, made),
        not_drawn="",
        footer=_footer(facts),
        traced=made("figures", lambda of: _traced(of, movers, comparisons, moves, of_budgets), []),
        whole=whole,
        order=_order(facts, moves, of_budgets, made.failed),
        titles={section: say(title) for section, title in TITLES.items()},
        failed=made.failed,
    )


def _pictures(facts: WeeklyFacts, found: Verdict, made: _Making) -> dict[str, Picture]:
    """By id: of the sections that are read and could be made."""
    shown = {}
    for cid, section in PICTURES.items():
        if section not in facts.audience.sections or section in made.failed:
            continue
        picture = made(f"picture of {section}", partial(_picture, cid, found), None)
        if picture:
            shown[cid] = picture
    return shown


def _picture(cid: str, found: Verdict, facts: WeeklyFacts) -> Picture | None:
    return pictures.one(cid, facts, found.lead)


def _order(
    facts: WeeklyFacts,
    moves: Sequence[after_move.Told],
    of_budgets: Sequence[object],
    failed: Mapping[str, str],
) -> list[str]:
    """The sections in order, without those that have nothing to say."""
    empty = {"moves"} - {"moves" if moves else ""} | ({"budgets"} if not of_budgets else set())
    return [each for each in facts.audience.sections if each in failed or each not in empty]


def _comparisons(facts: WeeklyFacts) -> tuple[list[Comparison], int]:
    """Those that are shown, and how many are not."""
    order = ranked(facts.tables["breakevens"], facts.standings)
    told = [comparison(*pair) for pair in order[:SHOWN]]
    short_ = [
        each
        if place < _IN_FULL
        else each._replace(notes=each.notes[:_NOTES], assumptions=each.assumptions[:_NOTES])
        for place, each in enumerate(told)
    ]
    return short_, len(order) - len(told)


def _budgets(facts: WeeklyFacts) -> list[tuple[budgets.Budget, Row]]:
    """Each with its row, those that are exceeded first."""
    found = [(budgets.budget(row), row) for row in facts.tables["budgets"]]
    return sorted(found, key=lambda pair: not pair[0].over)


_HEAD = {
    "spend.week": "Spend of the week",
    "spend.month_to_date": "Month to date",
    "projection.usd.q10": "Month as projected, q10",
    "projection.usd.q50": "Month as projected",
    "projection.usd.q90": "Month as projected, q90",
    "spend.previous_month_same_day": "Same days of the month before",
    "spend.change_same_day": "Change on them",
    "unit_cost.api": "Per million API tokens",
    "tokens.month_to_date": "Tokens of the month to date",
}


_OWN_HEAD = {
    "owner.spend": "Month to date, estimated",
    "owner.previous": "Same days of the month before",
    "owner.unit_cost": "Per million API tokens",
    "owner.tokens": "Tokens of the month to date",
}


def head(facts: WeeklyFacts) -> list[Told]:
    """The figures at the top, with the saving that the verdict names."""
    labels = _HEAD if facts.audience.whole else _OWN_HEAD
    found = [
        Told(id_, say(label), facts.numbers[id_], facts.units[id_])
        for id_, label in labels.items()
        if id_ in facts.numbers
    ]
    lead = _Making(facts)("verdict", verdict, UNKNOWN).lead
    if lead is not None:
        pair = " on ".join(key(lead))
        saved = decimal(lead, "savings_usd_q50")
        label = say("Saving of {pair}", pair=name(pair, 120))
        found.append(Told(f"saving of {pair}", label, saved, "usd"))
    return found


def _consequence(found: Verdict) -> str:
    """Of a move, its whole cost and yield; else the reason of the advice."""
    if found.lead is None or found.tone != "move":
        return retell(found.reason)
    return migration(found.lead)


def _beside(found: Verdict, facts: WeeklyFacts) -> str:
    """What a reader of the headline alone must not miss."""
    row = found.lead
    if row is None or found.tone != "move":
        return ""
    contradicts = judgement.year(row, told=False)
    standing = facts.standings.get(key(row), Standing())
    zero = judgement.zero(row, standing.zero_lines)
    told = (
        judgement.sure(row),
        contradicts,
        say("Taken as zero: {lines}.", lines=zero) if zero else "",
    )
    return " ".join(text for text in told if text)


def _subject(facts: WeeklyFacts, found: Verdict) -> str:
    """The verdict with its number, and where the month is heading."""
    marks = say("Demonstration: ") if facts.demo else ""
    marks += say("Corrected: ") if facts.corrected else ""
    marks += say("Incomplete: ") if facts.missing else ""
    return f"{marks}{found.headline} ({_heading(facts)})"


def _heading(facts: WeeklyFacts) -> str:
    short_month = formats.short_month(facts.month)
    if not facts.audience.whole:
        spent = decimal(facts.numbers, "owner.spend")
        return _so_far(short_month, spent)
    projected = weekly_tiles.projection(facts)
    if projected and weekly_tiles.is_complete(facts):
        text = say("{month} total {amount}", month=short_month, amount=short(projected[1]))
        return text + _budgeted(facts)
    if projected:
        low, middle, high = projected
        return say(
            "{month} projection {amount}, {range}",
            month=short_month,
            amount=short(middle),
            range=short_range(low, high),
        ) + _budgeted(facts)
    return _so_far(short_month, decimal(facts.numbers, "spend.month_to_date"))


def _so_far(short_month: str, spent: Decimal | None) -> str:
    if spent is None:
        return say("{month}: no spend yet", month=short_month)
    return say("{month} so far {amount}", month=short_month, amount=short(spent))


def _budgeted(facts: WeeklyFacts) -> str:
    """The budget of the month, for those who read of budgets; '' without one."""
    if "budgets" not in facts.audience.sections:
        return ""
    row = budgets.main_budget(facts.tables["budgets"])
    amount = decimal(row, "amount") if row and row["every"] == "monthly" else None
    return "" if amount is None else say(", budget {amount}", amount=short(amount))


def _footer(facts: WeeklyFacts) -> list[str]:
    due = formats.instant(facts.due_at)
    when = (
        say("Corrected at {at}, when the data had come.", at=due)
        if facts.corrected
        else say("Generated at {at}, when the report fell due.", at=due)
    )
    explained = say(
        "Figures: crossover explain ID --week {week} (the plain-text part lists every ID).",
        week=facts.week,
    )
    return [
        _readers(facts),
        explained,
        f"{say('Days are UTC, amounts US dollars.')} {_converted()} {when}".replace("  ", " "),
    ]


def _converted() -> str:
    """How amounts are converted, or that they are not; '' where nobody asked for it."""
    second = style().second
    if second is None:
        return ""
    if not second.usd:
        text = "No rate of {currency} is known: nothing is converted."
        return say(text, currency=second.currency)
    return say(
        "{currency} by the rate of {day}: {currency} 1 is ${rate}.",
        currency=second.currency,
        day=formats.day(date.fromisoformat(second.day), year=True),
        rate=formats.plain_number(second.usd),
    )


def _readers(facts: WeeklyFacts) -> str:
    """Who gets this, and why."""
    audience, who = facts.audience, name(facts.organisation)
    if audience.kind == "owner":
        return say(
            "Sent every week to {owner}, whom {who} names as owner of these workloads.",
            owner=audience.owner,
            who=who,
        )
    if audience.name == FINANCE.name:
        return say("Sent every week to the addresses that {who} lists under [report] to.", who=who)
    return say(
        "Sent every week to the addresses that {who} lists for the audience {audience}.",
        who=who,
        audience=name(audience.name),
    )


def _traced(
    facts: WeeklyFacts,
    movers: Sequence[Mover],
    shown: Sequence[Comparison],
    moves: Sequence[after_move.Told],
    of_budgets: Sequence[tuple[budgets.Budget, Row]],
) -> list[Traced]:
    """Every figure shown: those of the whole, then by workload, deployment and budget."""
    units, owner = facts.units, facts.audience.owner
    kinds: dict[str, dict[str, Value]] = {"": {}, "owner": {}, "fx": {}}
    for id_, value in facts.numbers.items():
        kind = id_.partition(".")[0]
        kinds[kind if kind in kinds else ""][id_] = value
    found = [scalars(kinds[""], units)]
    if kinds["owner"]:
        found.append(scalars(kinds["owner"], units, owner=owner))
    if kinds["fx"] and facts.audience.style.second:
        currency = facts.audience.style.second.currency
        found.append(scalars(kinds["fx"], units, currency=currency))
    found += [cells(units, "workload", mover.row, ("workload",)) for mover in movers]
    pair = ("workload", "deployment")
    found += [cells(units, "breakeven", each.row, pair) for each in shown]
    found += [cells(units, "moved", each.row, ("workload",)) for each in moves]
    found += [cells(units, "budget", row, ("budget",)) for _, row in of_budgets[:SHOWN]]
    return found
