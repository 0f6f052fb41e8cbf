"""The weekly report: figures in, one view, and the same view as HTML and as plain text.

Every number is a figure of the catalogue, read before; what is derived here is their wording. The
plain twin says everything that the HTML and its pictures say, and lists each figure by its id.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from monitor.domain.money import plain
from monitor.domain.names import clean_name
from reports import after_move, formats, judgement, marks, pictures, sections
from reports.comparison import Comparison, comparison, migration
from reports.formats import month, name, short, short_range
from reports.model import (
    Rendered,
    Row,
    Standing,
    Told,
    Value,
    WeeklyFacts,
    decimal,
    words,
)
from reports.pictures import Picture
from reports.raster import Drawn
from reports.render import Image
from reports.twins import twins
from reports.verdict import Verdict, key, ranked, verdict

_IN_FULL, _NOTES = 3, 3
"""So many comparisons have all their notes; the others the first of theirs: how sure, the year,
the crossing or what would flip it. `crossover advise` has all of each."""

Draw = Callable[[Mapping[str, Mapping[str, Any]]], Drawn]
"""Definitions of pictures by name -> PNG, and what could not be drawn."""


class Traced(NamedTuple):
    """Figures of one thing, exactly as `crossover explain` prints them."""

    arguments: str
    """What `explain` is told besides the id; '' for all of them."""
    figures: Sequence[tuple[str, str, str]]
    """Id, value, unit."""


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
    verdict: Verdict
    consequence: str
    """What the verdict brings or rests on, in a sentence; or ''."""
    beside: str
    """How sure a move is, and which cost lines it takes as zero; or ''."""
    summary: str
    tiles: Sequence[sections.Tile]
    month: str
    month_before: str
    movers: Sequence[sections.Mover]
    beside_movers: Sequence[str]
    comparisons: Sequence[Comparison]
    more_comparisons: int
    moves: Sequence[after_move.Told]
    """Workloads that moved, and what that saved."""
    gpus: Sequence[str]
    hosts: Sequence[sections.Host]
    alerts: Sequence[sections.Event]
    restatements: Sequence[sections.Event]
    sources: Sequence[sections.Source]
    completeness: Sequence[str]
    record: Sequence[str]
    """How good past projections and verdicts were."""
    pictures: Mapping[str, Picture]
    not_drawn: str
    footer: Sequence[str]
    traced: Sequence[Traced]


def build(facts: WeeklyFacts, draw: Draw) -> Rendered:
    """The report; without pictures, and saying so, where they cannot be drawn."""
    shown = view(facts)
    drawn, failed = draw({cid: picture.spec for cid, picture in shown.pictures.items()})
    shown = replace(shown, not_drawn=pictures.missed(shown.pictures, failed))
    page = {"view": shown, "drawn": drawn, "cap": sections.SHOWN, "width": marks.WIDTH}
    images = [Image(cid, png, shown.pictures[cid].alt) for cid, png in drawn.items()]
    return Rendered(shown.subject, *twins("weekly", **page), images)


def view(facts: WeeklyFacts) -> View:
    """What the report says."""
    found = verdict(facts)
    movers = sections.movers(facts)
    order = ranked(facts.tables["breakevens"], facts.standings)
    comparisons = [
        told if place < _IN_FULL else told._replace(notes=told.notes[:_NOTES])
        for place, told in enumerate(comparison(*pair) for pair in order[: sections.SHOWN])
    ]
    moves = after_move.moves(facts)
    return View(
        subject=_subject(facts, found),
        organisation=name(facts.organisation),
        week=facts.week,
        period=formats.days(facts.first, facts.last),
        demo=facts.demo,
        missing=[name(reason, 200) for reason in facts.missing],
        corrected=[name(text, 300) for text in facts.corrected],
        unsent=facts.unsent,
        verdict=found,
        consequence=_consequence(found),
        beside=_beside(found, facts),
        summary=sections.summary(facts),
        tiles=sections.tiles(facts),
        month=month(facts.month),
        month_before=sections.before(facts),
        movers=movers,
        beside_movers=sections.beside_movers(facts, len(movers)),
        comparisons=comparisons,
        more_comparisons=len(order) - len(comparisons),
        moves=moves,
        gpus=sections.gpus(facts),
        hosts=sections.hosts(facts),
        alerts=sections.alerts(facts),
        restatements=sections.restatements(facts),
        sources=sections.sources(facts),
        completeness=sections.completeness(facts),
        record=sections.record(facts),
        pictures=pictures.of_week(facts, found.lead),
        not_drawn="",
        footer=_footer(facts),
        traced=_traced(facts, movers, comparisons, moves),
    )


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


def head(facts: WeeklyFacts) -> list[Told]:
    """The figures at the top, with the saving that the verdict names."""
    found = [Told(id_, label, facts.numbers[id_], facts.units[id_]) for id_, label in _HEAD.items()]
    lead = verdict(facts).lead
    if lead is not None:
        pair = " on ".join(key(lead))
        saved = decimal(lead, "savings_usd_q50")
        found.append(Told(f"saving of {pair}", f"Saving of {name(pair, 120)}", saved, "usd"))
    return found


def _consequence(found: Verdict) -> str:
    """Of a move, its whole cost and yield; else the reason of the advice."""
    if found.lead is None or found.tone != "move":
        return found.reason
    return migration(found.lead)


def _beside(found: Verdict, facts: WeeklyFacts) -> str:
    """What a reader of the headline alone must not miss."""
    row = found.lead
    if row is None or found.tone != "move":
        return ""
    contradicts = judgement.year(row, told=False)
    standing = facts.standings.get(key(row), Standing())
    zero = judgement.zero(row, standing.zero_lines)
    told = (judgement.sure(row), contradicts, f"Taken as zero: {zero}." if zero else "")
    return " ".join(text for text in told if text)


def _subject(facts: WeeklyFacts, found: Verdict) -> str:
    """The verdict with its number, and where the month is heading."""
    marks = "Demonstration: " if facts.demo else ""
    marks += "Corrected: " if facts.corrected else ""
    marks += "Incomplete: " if facts.missing else ""
    return f"{marks}{found.headline} ({_heading(facts)})"


def _heading(facts: WeeklyFacts) -> str:
    short_month, projected = month(facts.month)[:3], sections.projection(facts)
    if projected and sections.is_complete(facts):
        return f"{short_month} total {short(projected[1])}"
    if projected:
        low, middle, high = projected
        return f"{short_month} projection {short(middle)}, {short_range(low, high)}"
    spent = decimal(facts.numbers, "spend.month_to_date")
    return (
        f"{short_month}: no spend yet" if spent is None else f"{short_month} so far {short(spent)}"
    )


def _footer(facts: WeeklyFacts) -> list[str]:
    due = formats.instant(facts.due_at)
    when = (
        f"Corrected at {due}, when the data had come"
        if facts.corrected
        else f"Generated at {due}, when the report fell due"
    )
    reader = f"the addresses that {name(facts.organisation)} lists under [report] to"
    return [
        f"Sent every week to {reader}.",
        f"Figures: crossover explain ID --week {facts.week} (the plain-text part lists every ID).",
        f"Days are UTC, amounts US dollars. {when}.",
    ]


def _traced(
    facts: WeeklyFacts,
    movers: Sequence[sections.Mover],
    shown: Sequence[Comparison],
    moves: Sequence[after_move.Told],
) -> list[Traced]:
    """Every figure shown: those of the whole, then by workload, then by deployment."""
    scalars = [(id_, _exact(value), facts.units[id_]) for id_, value in facts.numbers.items()]
    found = [Traced("", scalars)]
    found += [_cells(facts, "workload", mover.row, ("workload",)) for mover in movers]
    keys = ("workload", "deployment")
    found += [_cells(facts, "breakeven", each.row, keys) for each in shown]
    return found + [_cells(facts, "moved", each.row, ("workload",)) for each in moves]


def _cells(facts: WeeklyFacts, prefix: str, row: Row, keys: Sequence[str]) -> Traced:
    arguments = " ".join(f"--{key} {shlex.quote(clean_name(words(row, key)))}" for key in keys)
    figures = [
        (f"{prefix}.{column}", _exact(value), facts.units[f"{prefix}.{column}"])
        for column, value in row.items()
        if column not in keys and facts.units[f"{prefix}.{column}"] != "json"
    ]
    return Traced(arguments, figures)


def _exact(value: Value) -> str:
    if value is None:
        return "unknown"
    return plain(value) if isinstance(value, Decimal) else clean_name(str(value), 2000)
