"""What to do about a workload: gates first, then money, by the rule of `switching`.

The state is what one daily assessment leaves for the next. Advice owns the hysteresis: the crossing
alert follows its edges and has no thresholds of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from monitor.domain import switching
from monitor.domain.case import Signal
from monitor.domain.usage import DAY

Place = Literal["api", "self_host", "hybrid"]


class Kind(StrEnum):
    """The possible advice."""

    STAY = "stay"
    STAY_BUT_CHANGE = "stay_but_change"
    PILOT = "pilot"
    HYBRID = "hybrid"
    SELF_HOST_WITH_FALLBACK = "self_host_with_fallback"
    SELF_HOST = "self_host"
    RETURN_TO_API = "return_to_api"


class Judged(NamedTuple):
    """What gates and figures make of the money signal."""

    kind: Kind
    text: str
    """Why, in sentences; money's own sentence is added where `by_money`."""
    by_money: bool


_HERE: dict[Place, Kind] = {
    "api": Kind.STAY,
    "hybrid": Kind.HYBRID,
    "self_host": Kind.SELF_HOST,
}
"""The advice that leaves a workload where it runs."""

Judge = Callable[[Signal], Judged]


class Evidence(NamedTuple):
    """What one day's assessment found."""

    view: switching.View | None
    """Demand so far and both bills by volume; None: not enough history to compare a month's."""
    share_moved: Fraction
    """The share of the requests that would move; below 1 the move is a hybrid."""
    must_stay_on_api: str
    """Why, or ''."""
    must_stay_in_house: str
    """Why, or ''."""
    currently: Place
    """Where the workload runs today."""
    open_gates: tuple[str, ...]
    """Questions without an answer: quality, data, licence, team."""


class Advice(NamedTuple):
    """What to do, why, and since which day (UTC midnight, epoch seconds) it has been said."""

    kind: Kind
    reason: str
    since: int


class Standing(NamedTuple):
    """What one assessment leaves behind."""

    moved: bool
    """The workload did not run on the API alone."""
    rule: switching.State
    """Where money wants it to run."""
    advice: Advice


class AdviceState(NamedTuple):
    """The newest day assessed, and the standing before and after it: a day can be replaced."""

    day: int | None = None
    before: Standing | None = None
    current: Standing | None = None


def advise(
    state: AdviceState, evidence: Evidence, as_of: int, judge: Judge | None = None
) -> tuple[AdviceState, Advice]:
    """One daily assessment; `judge` decides with the band's signal where there is history.

    The same `as_of` again replaces that day's assessment; an older one changes nothing. A day
    without an assessment counts neither for nor against. Where the workload moved or returned since
    the last one, the rule starts again from where it runs.

    Raises:
        InputError: the demand of the view has holes or negative days.
    """
    if state.current and state.day is not None and as_of < state.day:
        return state, state.current.advice
    before = state.before if as_of == state.day else state.current
    standing = _assess(before, evidence, as_of, judge)
    if evidence.view is None and not _gated(evidence):
        return state, standing.advice
    return AdviceState(as_of, before, standing), standing.advice


def to_json(state: AdviceState) -> str:
    """The state as JSON text; `from_json` gives it back."""
    return json.dumps(
        {
            "day": state.day,
            "before": _plain(state.before),
            "current": _plain(state.current),
        }
    )


def from_json(text: str) -> AdviceState:
    """The state that `to_json` wrote."""
    document = json.loads(text)
    return AdviceState(
        document["day"], _standing(document["before"]), _standing(document["current"])
    )


def _assess(
    before: Standing | None, evidence: Evidence, as_of: int, judge: Judge | None
) -> Standing:
    moved = evidence.currently != "api"
    rule = before.rule if before else switching.State()
    if before is None or before.moved != moved:
        rule = switching.placed(rule, "self_host" if moved else "api", as_of // DAY)
    money = ""
    if evidence.view:
        stepped = _stepped(rule, evidence.view, moved=moved)
        money = _money_reason(rule, stepped, evidence.view, moved=moved)
        rule = stepped
    inside = rule.place == "self_host"
    if judge and evidence.view:
        kind, text, by_money = judge(signal(inside=inside, moved=moved))
        reason = f"{money} {text}".strip() if by_money else text
    else:
        kind, reason = _decide(evidence, money, inside=inside)
    unchanged = before is not None and before.advice.kind is kind
    since = before.advice.since if before and unchanged else as_of
    return Standing(moved, rule, Advice(kind, reason, since))


def _stepped(rule: switching.State, view: switching.View, *, moved: bool) -> switching.State:
    """The rule's next state. A move that was advised, not made, and saves no more is withdrawn."""
    stepped, _ = switching.step(rule, view)
    if (
        not moved
        and rule.place == "self_host" == stepped.place
        and not switching.saves(stepped, view)
    ):
        return switching.placed(stepped, "api", view.day)
    return stepped


def signal(*, inside: bool, moved: bool) -> Signal:
    """The rule as a signal: inside a workload on the API moves, outside a moved one returns.

    This is the seam: another rule of entering and leaving gives the same three words.
    """
    if inside:
        return "hold" if moved else "move"
    return "return" if moved else "hold"


def _gated(evidence: Evidence) -> bool:
    return bool(evidence.must_stay_on_api or evidence.must_stay_in_house)


def _decide(evidence: Evidence, money: str, *, inside: bool) -> tuple[Kind, str]:
    """Gates, then history, then money; an open question turns a move into a pilot."""
    api, own = evidence.must_stay_on_api, evidence.must_stay_in_house
    if api and own:
        return Kind.STAY, f"The gates contradict each other: {api}; {own}."
    if api:
        kind = Kind.STAY if evidence.currently == "api" else Kind.RETURN_TO_API
        return kind, f"It must stay on the API: {api}."
    if own:
        reason = f"It must stay in house: {own}."
        at_home = evidence.currently == "self_host"
        return (
            (Kind.SELF_HOST, reason) if at_home else _unless_open(evidence, Kind.SELF_HOST, reason)
        )
    if evidence.view is None:
        return _HERE[evidence.currently], "There is not enough history to compare a month's bills."
    return _by_money(evidence, inside, money)


def _by_money(evidence: Evidence, inside: bool, reason: str) -> tuple[Kind, str]:
    moved = evidence.currently != "api"
    if not inside:
        return (Kind.RETURN_TO_API if moved else Kind.STAY), reason
    kind = Kind.HYBRID if evidence.share_moved < 1 else Kind.SELF_HOST
    return (kind, reason) if moved else _unless_open(evidence, kind, reason)


def _unless_open(evidence: Evidence, kind: Kind, reason: str) -> tuple[Kind, str]:
    if not evidence.open_gates:
        return kind, reason
    return Kind.PILOT, f"{reason} Still open: {'; '.join(evidence.open_gates)}."


def _money_reason(
    rule: switching.State, stepped: switching.State, view: switching.View, *, moved: bool
) -> str:
    """What the rule weighed, told from where the workload runs."""
    seen_from = rule if moved else rule._replace(place="api")
    found = switching.reading(seen_from, view)
    if found is None:
        return ""
    if not moved and stepped.place == "self_host" and not found.moves:
        return f"{found.reason} It was advised before, and still saves at the higher of the two."
    return found.reason


def _plain(standing: Standing | None) -> dict[str, Any] | None:
    return standing and {
        "moved": standing.moved,
        "rule": standing.rule._asdict(),
        "advice": standing.advice._asdict(),
    }


def _standing(document: dict[str, Any] | None) -> Standing | None:
    if document is None:
        return None
    advice = document["advice"]
    return Standing(
        document["moved"],
        _rule(document),
        Advice(**{**advice, "kind": Kind(advice["kind"])}),
    )


def _rule(document: dict[str, Any]) -> switching.State:
    """The stored rule, or the place in which an earlier form of the rule had it."""
    if "rule" in document:
        return switching.State(**document["rule"])
    return switching.State(place="self_host" if document["inside"] else "api")
