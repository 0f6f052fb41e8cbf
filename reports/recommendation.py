"""The recommendation on one workload and deployment: figures in, one view, the same view twice.

It says what is advised and how sure that is, and everything that it rests on. What is unknown is
said to be so; nothing is filled in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from reports import judgement, marks, pictures, verdict
from reports.comparison import A_MONTH, Comparison, comparison, migration
from reports.formats import (
    REASON_CAP,
    about,
    count,
    day,
    month,
    name,
    percent,
    plural,
    rate,
    span,
)
from reports.judgement import Note
from reports.language import AS_IT_COMES, Style, use
from reports.model import Rendered, Row, Standing, Value, decimal, whole, words
from reports.pictures import Picture
from reports.raster import Drawn
from reports.render import Image
from reports.tracing import Traced, cells, exact
from reports.twins import logo, twins
from reports.twins import page as twins_page
from reports.verdict import Verdict

ZERO = Decimal(0)
SHOWN = 24
"""Rows of a table; `crossover advise` and the views have all."""
TABLES = ("costs", "lines", "options", "plan")
_TEXT_CAP = 300

_GATES = {
    "data": "Data",
    "capability": "Capability",
    "quality": "Quality of the open model",
    "team": "Team",
    "licence": "Licence",
    "latency": "Latency",
    "control": "Control",
    "time": "Time",
    "standing": "Standing orders",
}
_COSTS = {
    "gpu": "GPUs, rented",
    "owned": "Servers, bought",
    "people": "People",
    "services": "Storage, network, monitoring",
    "variable": "Energy above idle",
}
_STATES = {"assumed": "assumed", "configured": "configured", "zero": "taken as zero"}
_BEARERS = {"api": "on the API", "own": "on own GPUs", "both": "on both sides"}

_SOURCES = (
    "They overrule nothing. Letters name published comparisons; docs/advice.md says which they are."
)

Draw = Callable[[Mapping[str, Mapping[str, Any]]], Drawn]


class RecommendationFacts(NamedTuple):
    """Everything that a recommendation says. Every number in it is a figure."""

    organisation: str
    workload: str
    deployment: str
    as_of: datetime
    """The UTC midnight that ends the newest day used."""
    demo: bool
    row: Row
    """The comparison, as the weekly report has it."""
    standing: Standing
    numbers: Mapping[str, Value]
    """Of `recommendation.*`, by id."""
    tables: Mapping[str, Sequence[Row]]
    """The TABLES."""
    units: Mapping[str, str]
    style: Style = AS_IT_COMES
    """How it looks; it speaks English in any."""
    others: Sequence[tuple[Row, Standing]] = ()
    """Further deployments of the workload, the most pressing first."""


class Line(NamedTuple):
    """A row of a table: what it is, its amount, and a remark."""

    label: str
    amount: str
    remark: str = ""


class Phase(NamedTuple):
    """A phase of the plan; `days` is from when to when."""

    number: str
    step: str
    days: str


class Dimension(NamedTuple):
    """A row of the general comparison; `here` is this workload's own fact, or ''."""

    dimension: str
    api: str
    own: str
    here: str


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
    bills: Sequence[Line]
    """Both bills at three volumes."""
    crossing: str
    """From which volume on own GPUs stay cheaper, and what a move saves as drawn."""
    gates: Sequence[Line]
    held: Sequence[Note]
    """What gates bring: conditions, open questions, a constraint, notes."""
    three: Sequence[Line]
    """The API as it is used, as it could be used, and own GPUs."""
    options: Sequence[Line]
    costs: Sequence[Line]
    lines: Sequence[Line]
    zero: str
    comparison: Sequence[Dimension]
    plan: Sequence[Phase]
    switching: Sequence[Line]
    risks: Sequence[Line]
    flips: Sequence[str]
    bands: Sequence[str]
    sources: str
    """What the letters stand for that name published comparisons."""
    unknown: Sequence[str]
    others: Sequence[Line]
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
        bills=_bills(facts.row),
        crossing=_crossing(facts.row, compared),
        gates=list(_gates(facts.row)),
        held=_held(facts),
        three=list(_three(facts.row)),
        options=[_option(row) for row in facts.tables["options"]],
        costs=list(_costs(facts)),
        lines=[_line(row) for row in facts.tables["lines"]],
        zero=_zero(facts),
        comparison=list(_comparison(facts.row)),
        plan=[] if _at_home(facts.row) else [_phase(row) for row in facts.tables["plan"]],
        switching=list(_switching(facts)) if _compared(facts) else [],
        risks=list(_risks(facts.row)),
        flips=list(_flips(facts.row)),
        bands=list(_bands(facts.row)),
        sources=_SOURCES,
        unknown=list(_unknown(facts)),
        others=[_other(*pair) for pair in facts.others],
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


def _zero(facts: RecommendationFacts) -> str:
    """Which cost lines are taken as zero, as far as that is known."""
    if listed := name(judgement.zero(facts.row, facts.standing.zero_lines), REASON_CAP):
        return f"Taken as zero: {listed}."
    known = _document(facts.row) or _compared(facts)
    return "No cost line is taken as zero." if known else "Which lines are zero is not known."


def _compared(facts: RecommendationFacts) -> bool:
    """Whether there are two bills to compare."""
    return facts.row["month"] is not None


def _at_home(row: Row) -> bool:
    """Whether all of it runs in house already: there is nothing to move."""
    return _document(row).get("runs_on") == "self_host"


def _document(row: Row) -> Mapping[str, Any]:
    return judgement.document(row)


def _text(text: object, cap: int = _TEXT_CAP) -> str:
    return name(str(text), cap)


def _sure(facts: RecommendationFacts) -> list[str]:
    """How likely it is: of a month, of a year, and of the crossing."""
    row = facts.row
    if not _compared(facts):
        return []
    found = [judgement.sure(row)]
    if not _at_home(row):
        found.append(judgement.year(row, told=True))
    found += [
        f"The break-even: {note.text}" for note in judgement.notes(row) if note.label == "Crossing"
    ]
    return [text for text in found if text]


def _bills(row: Row) -> list[Line]:
    if row["month"] is None:
        return []
    labels = {"q10": "low (q10)", "q50": "middle (q50)", "q90": "high (q90)"}
    return [
        Line(
            f"{count(whole(row, f'requests_{q}') or 0)} requests, {label}",
            _saved(row, f"savings_usd_{q}"),
            f"API {_amount(row, f'api_usd_{q}')}, own GPUs {_amount(row, f'self_host_usd_{q}')}",
        )
        for q, label in labels.items()
    ]


def _crossing(row: Row, compared: Comparison) -> str:
    if compared.compared is None:
        return ""
    requests = whole(row, "crossing_requests")
    text = f"There is no volume from which own GPUs stay cheaper ({compared.compared.crossing})."
    if requests is not None:
        text = "Own GPUs are cheaper at any volume."
    if requests:
        text = f"From {count(requests)} requests a month own GPUs stay cheaper."
    drawn = judgement.drawn_savings(row)
    return f"{text} Four of five draws save {drawn} a month." if drawn else text


def _amount(row: Row, key: str) -> str:
    found = decimal(row, key)
    return "unknown" if found is None else about(found)


def _saved(row: Row, key: str) -> str:
    found = decimal(row, key)
    if found is None:
        return "unknown"
    return f"saves {about(found)}" if found >= 0 else f"costs {about(-found)} more"


def _gates(row: Row) -> Iterator[Line]:
    """Each gate with its answer, its evidence and the day of it."""
    given = _document(row).get("gates")
    if given is None:
        return
    for key, label in _GATES.items():
        answer = given.get(key)
        told = answer.get("answer") if answer else None
        rest = {k: v for k, v in (answer or {}).items() if k != "answer" and v}
        remark = "; ".join(f"{k.replace('_', ' ')}: {_plain(v)}" for k, v in rest.items())
        if told or rest or key != "standing":
            shown = str(told).replace("_", " ") if told else "stated" if rest else "unanswered"
            yield Line(label, _text(shown, 48), _text(remark))


def _plain(value: object) -> str:
    """A value of an answer as words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value).replace("True", "yes")


def _held(facts: RecommendationFacts) -> list[Note]:
    said = _document(facts.row)
    cost = decimal(facts.row, "constraint_usd")
    found = [
        *(Note("On condition", each["text"]) for each in said.get("conditions", ())),
        *(Note("Open", each["text"]) for each in said.get("open_questions", ())),
        *(Note("To know", each["text"]) for each in said.get("notes", ())),
    ]
    if cost is not None:
        found.append(Note("The constraint", f"What the gate holds costs {about(cost)} a month."))
    return [note._replace(text=_text(note.text)) for note in found]


def _three(row: Row) -> Iterator[Line]:
    """A month at the middle volume: two ways to use the API, and own GPUs."""
    api, own = decimal(row, "api_usd_q50"), decimal(row, "self_host_usd_q50")
    if api is None or own is None:
        return
    yield Line("API as it is used", about(api))
    changed = decimal(row, "optimised_api_usd")
    if changed is None:
        yield Line("API used better", "unknown", "no recommendation was stored with these figures")
    elif changed >= api:
        yield Line("API used better", "unknown", "no cheaper use is known; see what is unknown")
    else:
        yield Line("API used better", about(changed), f"saves {about(api - changed)}, no move")
    left = decimal(row, "savings_against_optimised_usd")
    remark = _saved(row, "savings_usd_q50")
    if left is not None and changed is not None and changed < api:
        better = f"saves {about(left)}" if left >= 0 else f"costs {about(-left)} more"
        remark += f"; against the better use {better}"
    yield Line("Own GPUs, with what stays on the API", about(own), remark)


def _option(row: Row) -> Line:
    saves = decimal(row, "saves_usd")
    if saves is None:
        shown = "unknown" if _needs(row) else "no way out"
    else:
        shown = f"saves {about(saves)}" if saves > 0 else "saves nothing"
    remark = f"{words(row, 'assumption')} ({words(row, 'source')})"
    return Line(_text(words(row, "name"), 60), shown, _text(remark))


def _needs(row: Row) -> bool:
    """Whether its fact is missing, and no gate bars it."""
    return row["saves_usd"] is None and words(row, "assumption").startswith("needs:")


def _costs(facts: RecommendationFacts) -> Iterator[Line]:
    """A month of own service by line, the largest first, and what stays on the API."""
    rows = [(words(row, "line"), decimal(row, "usd") or ZERO) for row in facts.tables["costs"]]
    for line, usd in sorted(rows, key=lambda each: (-each[1], each[0])):
        if usd:
            yield Line(_COSTS.get(line, _text(line)), about(usd))
    own = decimal(facts.row, "self_host_usd_q50")
    if own is None or not rows:
        return
    stays = own - sum(usd for _, usd in rows)
    if stays >= Decimal("0.01"):
        yield Line("What stays on the API", about(stays))
    yield Line("Together", about(own))


def _line(row: Row) -> Line:
    state, source = words(row, "state"), words(row, "source")
    remark = _STATES.get(state, state) + ("" if source == "configuration" else f": {source}")
    priced = words(row, "priced_on")
    remark += f", price of {day(date.fromisoformat(priced), year=True)}" if priced else ""
    return Line(_text(words(row, "line"), 60), _of_line(row), _text(remark))


def _of_line(row: Row) -> str:
    """The amount in the unit that it is written in."""
    if row["state"] == "zero":
        return "$0"
    forms: dict[str, Callable[[Decimal], str]] = {
        "usd_per_month": lambda usd: f"{about(usd)} a month",
        "usd_once": lambda usd: f"{about(usd)} once",
        "usd_per_gpu_hour": lambda usd: f"{rate(usd)} a GPU hour",
        "usd_per_million_tokens": lambda usd: f"{rate(usd)} a million tokens",
    }
    for key, form in forms.items():
        if (found := decimal(row, key)) is not None:
            return form(found)
    replicas = whole(row, "replicas")
    return "unknown" if replicas is None else plural(replicas, "replica")


def _comparison(row: Row) -> Iterator[Dimension]:
    for each in _document(row).get("comparison", ()):
        yield Dimension(*(_text(each[key], 160) for key in ("dimension", "api", "own", "here")))


def _phase(row: Row) -> Phase:
    starts = day(date.fromisoformat(words(row, "starts")), year=True)
    ends = words(row, "ends")
    until = f"to {day(date.fromisoformat(ends), year=True)}" if ends else "on"
    return Phase(words(row, "phase"), _text(words(row, "step")), f"{starts} {until}")


def _switching(facts: RecommendationFacts) -> Iterator[Line]:
    """What moving and returning cost once, and what that brings."""
    if not _at_home(facts.row):
        yield from _moving(facts)
    back = _once(facts, "exit_usd", "Returning to the API, once", "no cost of returning is set")
    days = _whole(facts, "exit_lead_days")
    yield back._replace(remark=f"takes {plural(days, 'day')}") if days else back


def _moving(facts: RecommendationFacts) -> Iterator[Line]:
    """Of a move that is still to be made."""
    yield _once(facts, "setup_usd", "Moving, once", "no cost of moving is set")
    days = _whole(facts, "lead_days")
    yield Line("Until the switch", "unknown" if days is None else plural(days, "day"))
    yield _months(facts, "dual_running_months", "Both sides paid", "none is set")
    low, high = (decimal(facts.row, f"payback_months_{q}") for q in ("q10", "q90"))
    far = "never" if high is None else f"{high:,.1f}"
    remark = "" if low is None else f"drawn: {low:,.1f} to {far}"
    yield _months(facts, "payback_months", "Earned back after", "at once")._replace(remark=remark)
    yield _year(facts)
    if waits := decimal(facts.row, "waiting_usd"):
        yield Line("Forgone until it is done", about(waits), "the saving of the lead time")


def _number(facts: RecommendationFacts, key: str) -> Decimal | None:
    return decimal(facts.numbers, f"recommendation.{key}")


def _whole(facts: RecommendationFacts, key: str) -> int | None:
    return whole(facts.numbers, f"recommendation.{key}")


def _once(facts: RecommendationFacts, key: str, label: str, none: str) -> Line:
    found = _number(facts, key)
    return Line(label, "unknown" if found is None else about(found) if found else none)


def _months(facts: RecommendationFacts, key: str, label: str, none: str) -> Line:
    found = _number(facts, key)
    shown = f"{found:,.1f} months" if found else none
    return Line(label, "unknown" if found is None else shown)


def _year(facts: RecommendationFacts) -> Line:
    net = _number(facts, "net_12_months_usd")
    low, high = (decimal(facts.row, f"net_usd_{q}") for q in ("q10", "q90"))
    remark = "" if low is None or high is None else f"drawn: {span(low, high)}"
    verb = "" if net is None else "saves" if net >= 0 else "loses"
    shown = "unknown" if net is None else f"{verb} {about(abs(net))}"
    return Line("12 months, moving included", shown, remark)


def _risks(row: Row) -> Iterator[Line]:
    for each in _document(row).get("risks", ()):
        side = _BEARERS.get(each["side"], _text(each["side"], 32))
        yield Line(_text(each["risk"], 160), side, _text(each["against"], 160))


def _flips(row: Row) -> Iterator[str]:
    for key in ("flip_1", "flip_2", "flip_3"):
        if told := words(row, key):
            yield _text(told)


def _bands(row: Row) -> Iterator[str]:
    """Where published rules of thumb place it: a cross-check that overrules nothing."""
    for each in _document(row).get("bands", ()):
        yield _text(f"{each['source']}: {each['written']}. Here: {each['place']}. {each['why']}")


def _unknown(facts: RecommendationFacts) -> Iterator[str]:
    """What nobody measured, configured or answered."""
    row, said = facts.row, _document(facts.row)
    if not _compared(facts):
        yield f"Both bills: {_text(words(row, 'reason'), REASON_CAP)}"
    elif row["draws"] is None:
        yield "How likely it is to be cheaper: nothing was drawn for these figures."
    if not said:
        yield "Gates, options, plan and risks: no recommendation was stored for this day."
    if asked := [words(each, "name") for each in facts.tables["options"] if _needs(each)]:
        yield _text(f"What these would save, since their facts are not given: {', '.join(asked)}.")
    if said and not facts.tables["lines"]:
        yield "Where the amounts of the cost lines come from: it is not recorded for this day."
    for each in said.get("latency", ()):
        if each["source"] != "measured":
            yield _latency(each)


def _latency(each: Mapping[str, Any]) -> str:
    side = {"api": "the API", "own": "own GPUs"}.get(each["side"], _text(each["side"], 32))
    low, high = (Decimal(str(each[end])) for end in ("low", "high"))
    return f"Latency of {side}: {each['source']}, {low:.2f} to {high:.2f} s."


def _rests_on(row: Row, compared: Comparison) -> list[str]:
    """The comparison's assumptions, without what stands in tables of its own here."""
    told = migration(row)
    return [t for t in compared.assumptions if t != told and not t.startswith(A_MONTH)]


def _other(row: Row, standing: Standing) -> Line:
    """Another deployment of the same workload."""
    told, _ = verdict.label(row, standing)
    sure = decimal(row, "probability_cheaper")
    remark = "" if sure is None else f"cheaper in {percent(sure)} of draws"
    saved = _saved(row, "savings_usd_q50")
    return Line(name(words(row, "deployment")), told, f"{saved} a month; {remark}".rstrip("; "))


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
