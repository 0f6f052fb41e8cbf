"""The questionnaire of a workload: what must be known before money may decide.

An answer is a word, with its evidence and date; `team = "able"` is short for a table with that
answer. What an answer means is a finding: it holds the workload on the API, in house, leaves a
question open, or is a condition of any move.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from monitor.domain.scenario import Count, CountFrom1, NotNegative, read_table

Side = Literal["api", "own", "open", "condition", "note"]

STEADY_DAYS = 60
"""Self-hosting takes days to weeks to set up, and two to three months until it is steady."""

TaskKind = Literal[
    "classification",
    "extraction",
    "summarisation",
    "embeddings",
    "simple_qa",
    "agents",
    "ambiguous_instructions",
    "creative_writing",
    "safety_critical",
    "other",
]
MOVABLE_TASKS = ("classification", "extraction", "summarisation", "embeddings", "simple_qa")
FRONTIER_TASKS = ("agents", "ambiguous_instructions", "creative_writing", "safety_critical")

Control = Literal[
    "fine_tuning",
    "quantisation",
    "pinned_versions",
    "offline",
    "edge",
    "independence",
    "model_control",
]


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Proof that a paper is there."""

    evidence: str
    date: dt.date
    valid_to: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """Whether the data may leave: `needs` are the papers that an API must bring."""

    answer: Literal["open", "contract", "closed"]
    needs: tuple[str, ...] = ()
    papers: dict[str, Paper] | None = None
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Capability:
    """Whether the task needs the newest frontier."""

    answer: Literal["movable", "frontier"] | None = None
    task: TaskKind | None = None
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Is the open model good enough for this task: a result needs score, set and date."""

    answer: Literal["good_enough", "not_good_enough"] | None = None
    score: NotNegative | None = None
    needed: NotNegative | None = None
    set: str | None = None
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Team:
    """Whether somebody can run inference."""

    answer: Literal["able", "none"]
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Licence:
    """What the weights' licence allows a business."""

    answer: Literal["commercial", "restricted", "research", "unknown"]
    terms: str | None = None
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What a faster answer is worth."""

    answer: Literal["realtime", "agents", "pipeline", "interactive", "batch"]
    calls_per_request: CountFrom1 = 1
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Controls:
    """What only the weights give; fine-tuning counts once prompting and retrieval failed."""

    needs: tuple[Control, ...] = ()
    prompting_failed: bool = False
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Time:
    """In how many days it must work."""

    needed_in_days: Count
    evidence: str | None = None
    date: dt.date | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Standing orders of the organisation, each a reason in words."""

    api: str | None = None
    own: str | None = None


@dataclass(frozen=True, kw_only=True)
class Questionnaire:
    """The answers of one workload; None is an answer that nobody gave."""

    data: Data | None = None
    capability: Capability | None = None
    quality: Quality | None = None
    team: Team | None = None
    licence: Licence | None = None
    latency: Latency | None = None
    control: Controls | None = None
    time: Time | None = None
    standing: Standing | None = None


class Finding(NamedTuple):
    """What one gate says: a stable id, the side it takes, and a sentence."""

    gate: str
    id: str
    side: Side
    text: str


_SHORT = {"control": "needs", "time": "needed_in_days"}


def read_gates(tables: object, path: str = "gates") -> tuple[Questionnaire | None, list[str]]:
    """The questionnaire of a table, or None and everything that is wrong with it.

    A bare word stands for a table with that answer: `data = "open"`. A score needs its set and
    its date to count as a result. Papers may be a list of tables, each with its `name`.
    """
    if isinstance(tables, Mapping):
        tables = {
            name: value
            if isinstance(value, Mapping) or name not in _NAMES
            else {_SHORT.get(name, "answer"): value}
            for name, value in tables.items()
        }
        tables = {n: _named_papers(v) if n == "data" else v for n, v in tables.items()}
    return read_table(Questionnaire, tables, path)


def _named_papers(data: Any) -> Any:
    """The papers by name, where a list gives each its `name`; anything else as it is."""
    papers = data.get("papers") if isinstance(data, Mapping) else None
    if not isinstance(papers, list):
        return data
    if not all(isinstance(p, Mapping) and isinstance(p.get("name"), str) for p in papers):
        return data
    if len({p["name"] for p in papers}) < len(papers):
        return data
    named = {p["name"]: {k: v for k, v in p.items() if k != "name"} for p in papers}
    return {**data, "papers": named}


_NAMES = {field.name for field in fields(Questionnaire)}


def findings(asked: Questionnaire, as_of: dt.date, lead_days: int = 0) -> list[Finding]:
    """What every gate says on a day, in our order: data first, time last."""
    return [
        *_standing(asked.standing or Standing()),
        *_data(asked.data, as_of),
        *_capability(asked.capability or Capability()),
        *_quality(asked.quality or Quality()),
        *_team(asked.team),
        *_licence(asked.licence),
        *_latency(asked.latency),
        *_control(asked.control or Controls()),
        *_time(asked.time, lead_days or STEADY_DAYS),
    ]


def open_questions(asked: Questionnaire, as_of: dt.date) -> tuple[str, ...]:
    """The unanswered questions that allow a pilot at most."""
    return tuple(f.text for f in findings(asked, as_of) if f.side == "open")


def _standing(orders: Standing) -> Iterator[Finding]:
    if orders.api:
        text = f"It must stay on the API: {orders.api}."
        yield Finding("standing", "gate.standing.api", "api", text)
    if orders.own:
        text = f"It must stay in house: {orders.own}."
        yield Finding("standing", "gate.standing.own", "own", text)


def _data(data: Data | None, as_of: dt.date) -> Iterator[Finding]:
    if data is None:
        text = "data: may it leave the network (open, contract or closed)?"
        yield Finding("data", "gate.data.unanswered", "open", text)
    elif data.answer == "closed":
        text = f"The data may not leave the network{_because(data.evidence)}."
        yield Finding("data", "gate.data.closed", "own", text)
    elif data.answer == "open":
        text = "The data is public, anonymised or of low sensitivity: an API is fine."
        yield Finding("data", "gate.data.open", "note", text)
    else:
        yield from _papers(data, as_of)


def _papers(data: Data, as_of: dt.date) -> Iterator[Finding]:
    held = data.papers or {}
    yield Finding("data", "gate.data.contract", "note", "An API is fine with its papers in place.")
    if not data.needs and not held:
        text = "Name the paper that an API must bring for this data, and have it."
        yield Finding("data", "paper.unnamed", "condition", text)
    for name in dict.fromkeys((*data.needs, *held)):
        paper = held.get(name)
        if paper is None:
            text = f"Missing paper: {name}. An API is fine once it is there."
            yield Finding("data", f"paper.{name}", "condition", text)
        elif paper.valid_to and paper.valid_to < as_of:
            text = f"The paper {name} ended on {paper.valid_to}: renew it."
            yield Finding("data", f"paper.{name}", "condition", text)


def _capability(capability: Capability) -> Iterator[Finding]:
    task = capability.task
    if capability.answer == "frontier" or (task in FRONTIER_TASKS and not capability.answer):
        what = f" ({_words(task)})" if task else ""
        text = f"The task needs the newest frontier{what}: it stays on an API."
        yield Finding("capability", "capability.frontier", "api", text)
    elif task in MOVABLE_TASKS:
        text = f"{_words(task).capitalize()} is movable as a rule."
        yield Finding("capability", "capability.movable", "note", text)


def _quality(quality: Quality) -> Iterator[Finding]:
    answer = quality.answer
    if quality.score is not None and quality.needed is not None:
        # What was measured outweighs the word beside it, unless the word is the stricter one.
        if quality.score < quality.needed:
            answer = "not_good_enough"
        answer = answer or "good_enough"
    if answer == "not_good_enough":
        text = "The open model is not good enough for this task."
        yield Finding("capability", "capability.quality", "api", text)
    elif answer is None or quality.score is None or not quality.set or not quality.date:
        text = (
            "quality: is the open model good enough for this task (a result with score, set and"
            " date)?"
        )
        yield Finding("capability", "gate.quality.unanswered", "open", text)
    else:
        text = (
            f"The open model is good enough: {float(quality.score):g} on {quality.set},"
            f" {quality.date}."
        )
        yield Finding("capability", "capability.good_enough", "note", text)


def _team(team: Team | None) -> Iterator[Finding]:
    if team is None:
        yield Finding("team", "gate.team.unanswered", "open", "team: who can run inference?")
    elif team.answer == "none":
        text = "No one can run inference: an API or a managed host, until there is."
        yield Finding("team", "gate.team.none", "api", text)
        text = "Hire or train who runs inference, and cost it as a hire."
        yield Finding("team", "team.hire", "condition", text)


def _licence(licence: Licence | None) -> Iterator[Finding]:
    if licence is None:
        text = "licence: do the weights allow this business use?"
        yield Finding("licence", "gate.licence.unanswered", "open", text)
        return
    terms = f": {licence.terms}" if licence.terms else ""
    if licence.answer == "research":
        text = f"The licence of the weights is for research only{terms}: refused."
        yield Finding("licence", "licence.research", "api", text)
    elif licence.answer == "restricted":
        text = f"The licence restricts the use{terms}: have it checked."
        yield Finding("licence", "licence.restricted", "condition", text)
    elif licence.answer == "unknown":
        text = "Find out what the licence of the weights allows."
        yield Finding("licence", "licence.unknown", "condition", text)
        yield Finding("licence", "gate.licence.unknown", "open", f"licence: unknown{terms}")


def _latency(latency: Latency | None) -> Iterator[Finding]:
    if latency is None:
        return
    if latency.answer == "batch":
        text = "A faster answer is worth nothing for batch work."
        yield Finding("latency", "latency.batch", "note", text)
    elif latency.answer != "interactive":
        calls = f" with {latency.calls_per_request} calls a request"
        text = f"Own servers save 100-500 ms a call, worth it for {latency.answer}{calls}."
        yield Finding("latency", "latency.worth", "note", text)


def _control(control: Controls) -> Iterator[Finding]:
    needs = [n for n in control.needs if n != "fine_tuning" or control.prompting_failed]
    if "fine_tuning" in control.needs and not control.prompting_failed:
        text = "Try prompting and retrieval first: four of five cases need no fine-tuning."
        yield Finding("control", "control.prompting_first", "condition", text)
    if needs:
        text = f"It needs the weights themselves: {', '.join(map(_words, needs))}."
        yield Finding("control", "control.needs_weights", "own", text)


def _time(time: Time | None, lead_days: int) -> Iterator[Finding]:
    if time and time.needed_in_days < lead_days:
        text = (
            f"It must work in {time.needed_in_days} days: an API takes minutes, own servers"
            f" about {lead_days} days."
        )
        yield Finding("time", "time.too_soon", "api", text)


def _because(evidence: str | None) -> str:
    return f" ({evidence})" if evidence else ""


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def to_plain(asked: Questionnaire) -> dict[str, Any]:
    """Every question with its answer, evidence and date, in JSON types; None: unanswered."""
    return {field.name: _plain(getattr(asked, field.name)) for field in fields(asked)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        read = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {name: item for name, item in read.items() if item is not None}
    return value if value is None or isinstance(value, str | int) else _text(value)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.date) else f"{float(value):g}"
