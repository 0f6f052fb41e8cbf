"""What a recommendation rests on, row by row: bills, gates, cost lines, plan, risks, the unknown.

Each takes the facts, or the comparison's row of figures, and says them in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from reports import judgement, verdict
from reports.comparison import Comparison
from reports.formats import REASON_CAP, about, count, day, name, percent, plural, rate, span
from reports.model import RecommendationFacts, Row, Standing, decimal, whole, words

ZERO = Decimal(0)
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


def at_home(row: Row) -> bool:
    """Whether all of it runs in house already: there is nothing to move."""
    return judgement.document(row).get("runs_on") == "self_host"


def compared(facts: RecommendationFacts) -> bool:
    """Whether there are two bills to compare."""
    return facts.row["month"] is not None


def cut(text: object, cap: int = _TEXT_CAP) -> str:
    """A text from outside on one line, at most so long."""
    return name(str(text), cap)


def bills(row: Row) -> list[Line]:
    """Both bills at three volumes; none where nothing is compared."""
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


def crossing(row: Row, compared: Comparison) -> str:
    """From which volume on own GPUs stay cheaper, and what a move saves as drawn; or ''."""
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


def gates(row: Row) -> Iterator[Line]:
    """Each gate with its answer, its evidence and the day of it."""
    given = judgement.document(row).get("gates")
    if given is None:
        return
    for key, label in _GATES.items():
        answer = given.get(key)
        told = answer.get("answer") if answer else None
        rest = {k: v for k, v in (answer or {}).items() if k != "answer" and v}
        remark = "; ".join(f"{k.replace('_', ' ')}: {_plain(v)}" for k, v in rest.items())
        if told or rest or key != "standing":
            shown = str(told).replace("_", " ") if told else "stated" if rest else "unanswered"
            yield Line(label, cut(shown, 48), cut(remark))


def _plain(value: object) -> str:
    """A value of an answer as words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v)
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value).replace("True", "yes")


def three(row: Row) -> Iterator[Line]:
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


def option(row: Row) -> Line:
    """A cheaper use of the API; what it saves is unknown without its fact."""
    saves = decimal(row, "saves_usd")
    if saves is None:
        shown = "unknown" if _needs(row) else "no way out"
    else:
        shown = f"saves {about(saves)}" if saves > 0 else "saves nothing"
    remark = f"{words(row, 'assumption')} ({words(row, 'source')})"
    return Line(cut(words(row, "name"), 60), shown, cut(remark))


def _needs(row: Row) -> bool:
    """Whether its fact is missing, and no gate bars it."""
    return row["saves_usd"] is None and words(row, "assumption").startswith("needs:")


def costs(facts: RecommendationFacts) -> Iterator[Line]:
    """A month of own service by line, the largest first, and what stays on the API."""
    rows = [(words(row, "line"), decimal(row, "usd") or ZERO) for row in facts.tables["costs"]]
    for line, usd in sorted(rows, key=lambda each: (-each[1], each[0])):
        if usd:
            yield Line(_COSTS.get(line, cut(line)), about(usd))
    own = decimal(facts.row, "self_host_usd_q50")
    if own is None or not rows:
        return
    stays = own - sum(usd for _, usd in rows)
    if stays >= Decimal("0.01"):
        yield Line("What stays on the API", about(stays))
    yield Line("Together", about(own))


def line(row: Row) -> Line:
    """A cost line with its amount, how it was taken, and its source."""
    state, source = words(row, "state"), words(row, "source")
    remark = _STATES.get(state, state) + ("" if source == "configuration" else f": {source}")
    priced = words(row, "priced_on")
    remark += f", price of {day(date.fromisoformat(priced), year=True)}" if priced else ""
    return Line(cut(words(row, "line"), 60), _of_line(row), cut(remark))


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


def comparison(row: Row) -> Iterator[Dimension]:
    """The rows of general knowledge, as the stored recommendation has them."""
    for each in judgement.document(row).get("comparison", ()):
        yield Dimension(*(cut(each[key], 160) for key in ("dimension", "api", "own", "here")))


def phase(row: Row) -> Phase:
    """A phase of the plan with its days."""
    starts = day(date.fromisoformat(words(row, "starts")), year=True)
    ends = words(row, "ends")
    until = f"to {day(date.fromisoformat(ends), year=True)}" if ends else "on"
    return Phase(words(row, "phase"), cut(words(row, "step")), f"{starts} {until}")


def switching(facts: RecommendationFacts) -> Iterator[Line]:
    """What moving and returning cost once, and what that brings."""
    if not at_home(facts.row):
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


def risks(row: Row) -> Iterator[Line]:
    """What may go wrong, on which side, and what is done against it."""
    for each in judgement.document(row).get("risks", ()):
        side = _BEARERS.get(each["side"], cut(each["side"], 32))
        yield Line(cut(each["risk"], 160), side, cut(each["against"], 160))


def flips(row: Row) -> Iterator[str]:
    """The nearest values that turn the answer."""
    for key in ("flip_1", "flip_2", "flip_3"):
        if told := words(row, key):
            yield cut(told)


def bands(row: Row) -> Iterator[str]:
    """Where published rules of thumb place it: a cross-check that overrules nothing."""
    for each in judgement.document(row).get("bands", ()):
        yield cut(f"{each['source']}: {each['written']}. Here: {each['place']}. {each['why']}")


def other(row: Row, standing: Standing) -> Line:
    """Another deployment of the same workload."""
    told, _ = verdict.label(row, standing)
    sure = decimal(row, "probability_cheaper")
    remark = "" if sure is None else f"cheaper in {percent(sure)} of draws"
    saved = _saved(row, "savings_usd_q50")
    return Line(name(words(row, "deployment")), told, f"{saved} a month; {remark}".rstrip("; "))


def unknown(facts: RecommendationFacts) -> Iterator[str]:
    """What nobody measured, configured or answered."""
    row, said = facts.row, judgement.document(facts.row)
    if not compared(facts):
        yield f"Both bills: {cut(words(row, 'reason'), REASON_CAP)}"
    elif row["draws"] is None:
        yield "How likely it is to be cheaper: nothing was drawn for these figures."
    if not said:
        yield "Gates, options, plan and risks: no recommendation was stored for this day."
    if asked := [words(each, "name") for each in facts.tables["options"] if _needs(each)]:
        yield cut(f"What these would save, since their facts are not given: {', '.join(asked)}.")
    if said and not facts.tables["lines"]:
        yield "Where the amounts of the cost lines come from: it is not recorded for this day."
    for each in said.get("latency", ()):
        if each["source"] != "measured":
            yield _latency(each)


def _latency(each: Mapping[str, Any]) -> str:
    side = {"api": "the API", "own": "own GPUs"}.get(each["side"], cut(each["side"], 32))
    low, high = (Decimal(str(each[end])) for end in ("low", "high"))
    return f"Latency of {side}: {each['source']}, {low:.2f} to {high:.2f} s."
