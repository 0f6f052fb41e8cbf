"""The recommendation on one workload and deployment: figures in, one view, the same view twice.

It says what is advised and how sure that is, and everything that it rests on. What is unknown is
said to be so; nothing is filled in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from reports import grounds, judgement, marks, pictures, verdict
from reports.comparison import A_MONTH, Comparison, comparison, migration
from reports.formats import REASON_CAP, about, day, month, name, plural
from reports.judgement import Note
from reports.language import AS_IT_COMES, Style, use
from reports.model import RecommendationFacts, Rendered, Row, decimal, words
from reports.pictures import Picture
from reports.raster import Drawn
from reports.render import Image
from reports.tracing import Traced, cells, exact
from reports.twins import logo, twins
from reports.twins import page as twins_page
from reports.verdict import Verdict

SHOWN = 24
"""Rows of a table; `crossover advise` and the views have all."""
TABLES = ("costs", "lines", "options", "plan")
"""The tables of figures that it shows, each `recommendation.NAME`."""

_SOURCES = (
    "They overrule nothing. Letters name published comparisons; docs/advice.md says which they are."
)

Draw = Callable[[Mapping[str, Mapping[str, Any]]], Drawn]


@dataclass(frozen=True)
class View:
    """The recommendation as words; templates only place them."""

    subject: str
    organisation: str
    dateline: str
    demo: bool
    verdict: Verdict
    about: str
    """Workload and deployment in a sentence, and since when it has been advised."""
    compared: Comparison
    rests_on: Sequence[str]
    """Fleet, request, how the crossing moved, what was assumed."""
    sure: Sequence[str]
    bills: Sequence[grounds.Line]
    """Both bills at three volumes."""
    crossing: str
    """From which volume on own GPUs stay cheaper, and what a move saves as drawn."""
    gates: Sequence[grounds.Line]
    held: Sequence[Note]
    """What gates bring: conditions, open questions, a constraint, notes."""
    three: Sequence[grounds.Line]
    """The API as it is used, as it could be used, and own GPUs."""
    options: Sequence[grounds.Line]
    costs: Sequence[grounds.Line]
    lines: Sequence[grounds.Line]
    zero: str
    comparison: Sequence[grounds.Dimension]
    plan: Sequence[grounds.Phase]
    switching: Sequence[grounds.Line]
    risks: Sequence[grounds.Line]
    flips: Sequence[str]
    bands: Sequence[str]
    sources: str
    """What the letters stand for that name published comparisons."""
    unknown: Sequence[str]
    others: Sequence[grounds.Line]
    picture: Picture | None
    footer: Sequence[str]
    traced: Sequence[Traced]


def build(facts: RecommendationFacts, draw: Draw | None = None) -> Rendered:
    """The recommendation; without `draw` its picture is said in words."""
    chosen = _english(facts.style)
    with use(chosen):
        shown, page = _page(facts, draw)
        images = [Image(cid, png, _alt(shown)) for cid, png in page["drawn"].items()]
        images += logo(shown.organisation)
        bodies = twins("recommendation", **page)
        return Rendered(shown.subject, *bodies, images, style=chosen)


def page(facts: RecommendationFacts) -> str:
    """The same in HTML whose styles stand in its head, for a browser; its picture in words."""
    with use(_english(facts.style)):
        return twins_page("recommendation", **_page(facts, None)[1])


def _english(style: Style) -> Style:
    """The same look, in the one language that all of its words have."""
    return style._replace(language=AS_IT_COMES.language)


def _page(facts: RecommendationFacts, draw: Draw | None) -> tuple[View, dict[str, Any]]:
    """The view, and what a template is filled with."""
    shown = view(facts)
    drawn: Mapping[str, bytes] = {}
    if draw and shown.picture:
        drawn = draw({shown.picture.cid: shown.picture.spec}).pictures
    return shown, {"view": shown, "drawn": drawn, "cap": SHOWN, "width": marks.WIDTH}


def _alt(shown: View) -> str:
    return shown.picture.alt if shown.picture else ""


def view(facts: RecommendationFacts) -> View:
    """What the recommendation says."""
    found = verdict.among([(facts.row, facts.standing)])
    marked = "Demonstration: " if facts.demo else ""
    compared = comparison(facts.row, facts.standing)
    return View(
        subject=f"{marked}{found.headline}",
        organisation=name(facts.organisation),
        dateline=f"recommendation, data before {day(facts.as_of, year=True)}",
        demo=facts.demo,
        verdict=found,
        about=_about(facts, compared),
        compared=compared,
        rests_on=_rests_on(facts.row, compared),
        sure=_sure(facts),
        bills=grounds.bills(facts.row),
        crossing=grounds.crossing(facts.row, compared),
        gates=list(grounds.gates(facts.row)),
        held=_held(facts),
        three=list(grounds.three(facts.row)),
        options=[grounds.option(row) for row in facts.tables["options"]],
        costs=list(grounds.costs(facts)),
        lines=[grounds.line(row) for row in facts.tables["lines"]],
        zero=_zero(facts),
        comparison=list(grounds.comparison(facts.row)),
        plan=[]
        if grounds.at_home(facts.row)
        else [grounds.phase(row) for row in facts.tables["plan"]],
        switching=list(grounds.switching(facts)) if grounds.compared(facts) else [],
        risks=list(grounds.risks(facts.row)),
        flips=list(grounds.flips(facts.row)),
        bands=list(grounds.bands(facts.row)),
        sources=_SOURCES,
        unknown=list(grounds.unknown(facts)),
        others=[grounds.other(*pair) for pair in facts.others],
        picture=_picture(facts.row),
        footer=_footer(facts),
        traced=_traced(facts),
    )


def _about(facts: RecommendationFacts, compared: Comparison) -> str:
    """What is advised on what, and since when; beside a decision the advice itself."""
    since = day(date.fromisoformat(words(facts.row, "since")), year=True)
    advice = words(facts.row, "advice")
    told = verdict.LABELS.get(advice, advice) if facts.standing.stands else compared.advice
    return f"{compared.workload} on {compared.deployment}. Advice: {told}, since {since}."


def _plan(facts: RecommendationFacts) -> list[grounds.Phase]:
    """The dated phases; none for what runs in house already."""
    rows = () if grounds.at_home(facts.row) else facts.tables["plan"]
    return [grounds.phase(row) for row in rows]


def _zero(facts: RecommendationFacts) -> str:
    """Which cost lines are taken as zero, as far as that is known."""
    if listed := name(judgement.zero(facts.row, facts.standing.zero_lines), REASON_CAP):
        return f"Taken as zero: {listed}."
    known = judgement.document(facts.row) or grounds.compared(facts)
    return "No cost line is taken as zero." if known else "Which lines are zero is not known."


def _sure(facts: RecommendationFacts) -> list[str]:
    """How likely it is: of a month, of a year, and of the crossing."""
    row = facts.row
    if not grounds.compared(facts):
        return []
    found = [judgement.sure(row)]
    if not grounds.at_home(row):
        found.append(judgement.year(row, told=True))
    found += [
        f"The break-even: {note.text}" for note in judgement.notes(row) if note.label == "Crossing"
    ]
    return [text for text in found if text]


def _held(facts: RecommendationFacts) -> list[Note]:
    said = judgement.document(facts.row)
    cost = decimal(facts.row, "constraint_usd")
    found = [
        *(Note("On condition", each["text"]) for each in said.get("conditions", ())),
        *(Note("Open", each["text"]) for each in said.get("open_questions", ())),
        *(Note("To know", each["text"]) for each in said.get("notes", ())),
    ]
    if cost is not None:
        found.append(Note("The constraint", f"What the gate holds costs {about(cost)} a month."))
    return [note._replace(text=grounds.cut(note.text)) for note in found]


def _rests_on(row: Row, compared: Comparison) -> list[str]:
    """The comparison's assumptions, without what stands in tables of its own here."""
    told = migration(row)
    return [t for t in compared.assumptions if t != told and not t.startswith(A_MONTH)]


def _picture(row: Row) -> Picture | None:
    return pictures.cost(row) if row["month"] is not None else None


def _footer(facts: RecommendationFacts) -> list[str]:
    of = "" if facts.row["month"] is None else f" of {month(words(facts.row, 'month'))}"
    where = f"--as-of {facts.as_of:%Y-%m-%d} --workload W --deployment D"
    return [
        f"Crossover only advises. Days are UTC, amounts US dollars{of}, if they say nothing else.",
        f"Figures: crossover explain ID {where} (the plain-text form lists every ID).",
    ]


def _traced(facts: RecommendationFacts) -> list[Traced]:
    """Every figure, and the tables whose rows are shown."""
    of = cells(facts.units, "breakeven", facts.row, ("workload", "deployment"))
    found = [(id_, exact(value), facts.units[id_]) for id_, value in facts.numbers.items()]
    found += [
        (f"recommendation.{key}", plural(len(facts.tables[key]), "row"), "text") for key in TABLES
    ]
    return [of._replace(figures=[*of.figures, *found])]
