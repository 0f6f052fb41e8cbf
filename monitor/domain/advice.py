"""What to do about a workload: gates first, then money, in near the crossing and out far below it.

The state is what one daily assessment leaves for the next. Advice owns the hysteresis: the crossing
alert follows its edges and has no thresholds of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from monitor.domain.money import from_pico, to_cents

ENTER_DAYS = 3
ENTER_WINDOW = 4
"""In on 3 positive of the last 4 daily assessments: the usual "N of M" of spend alerts, so that one
noisy day neither starts nor stops a migration."""

LEAVE_BELOW = Fraction(-1, 10)
"""Out only where moving would cost more than a tenth of the API bill: a ratio of 0.90, the usual
lower end of a spend alert's band. On replayed real series a band that is left far below its entry
had half the regret of a single line, and 2% false migrations instead of 62%."""

LEAVE_DAYS = 7
"""Consecutive daily assessments below that: one whole week, so that no weekday decides alone."""

_SAVES, _BETWEEN, _FAR_BELOW = "+", "0", "-"

Place = Literal["api", "self_host", "hybrid"]
Signal = Literal["hold", "move", "return"]
"""What money says: stay where it runs, move in, or go back."""


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


Judge = Callable[[Signal], Judged]


class Evidence(NamedTuple):
    """What one day's assessment found. Money is integer pico-USD a month at the q10 volume."""

    savings_q10_pico: int
    """What moving saves; negative if it costs more."""
    api_q10_pico: int
    """The API bill."""
    share_moved: Fraction
    """The share of the requests that would move; below 1 the move is a hybrid."""
    must_stay_on_api: str
    """Why, or ''."""
    must_stay_in_house: str
    """Why, or ''."""
    enough_history: bool
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
    inside: bool
    """Money speaks for own servers."""
    marks: str
    """The last assessments with enough history, oldest first: + saves, 0 between, - far below."""
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
    the last one, the band starts again from where it runs.
    """
    if state.current and state.day is not None and as_of < state.day:
        return state, state.current.advice
    before = state.before if as_of == state.day else state.current
    standing = _assess(before, evidence, as_of, judge)
    if not evidence.enough_history and not _gated(evidence):
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
    inside, marks = moved, ""
    if before and before.moved == moved:
        inside, marks = before.inside, before.marks
    if evidence.enough_history:
        marks = (marks + _mark(evidence))[-LEAVE_DAYS:]
        inside = _is_inside(inside, marks)
    if judge and evidence.enough_history:
        kind, text, by_money = judge(signal(inside=inside, moved=moved))
        reason = f"{_money_reason(evidence, marks)} {text}".strip() if by_money else text
    else:
        kind, reason = _decide(evidence, inside, marks)
    unchanged = before is not None and before.advice.kind is kind
    since = before.advice.since if before and unchanged else as_of
    return Standing(moved, inside, marks, Advice(kind, reason, since))


def signal(*, inside: bool, moved: bool) -> Signal:
    """The band as a signal: inside it a workload on the API moves, outside it a moved one returns.

    This is the seam: another rule of entering and leaving gives the same three words.
    """
    if inside:
        return "hold" if moved else "move"
    return "return" if moved else "hold"


def _mark(evidence: Evidence) -> str:
    if evidence.savings_q10_pico > 0:
        return _SAVES
    far = evidence.savings_q10_pico < LEAVE_BELOW * evidence.api_q10_pico
    return _FAR_BELOW if far else _BETWEEN


def _is_inside(inside: bool, marks: str) -> bool:
    if inside:
        return marks != _FAR_BELOW * LEAVE_DAYS
    return marks[-ENTER_WINDOW:].count(_SAVES) >= ENTER_DAYS


def _gated(evidence: Evidence) -> bool:
    return bool(evidence.must_stay_on_api or evidence.must_stay_in_house)


def _decide(evidence: Evidence, inside: bool, marks: str) -> tuple[Kind, str]:
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
    if not evidence.enough_history:
        return Kind.STAY, "There is not enough history to compare a month's bills."
    return _by_money(evidence, inside, _money_reason(evidence, marks))


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


def _money_reason(evidence: Evidence, marks: str) -> str:
    savings, bill = (
        f"${to_cents(abs(from_pico(pico))):,}"
        for pico in (evidence.savings_q10_pico, evidence.api_q10_pico)
    )
    verb = "saves" if evidence.savings_q10_pico > 0 else "costs"
    last = marks[-ENTER_WINDOW:]
    return (
        f"At the projection's q10 volume self-hosting {verb} {savings} a month against an API bill "
        f"of {bill}; it saved on {last.count(_SAVES)} of the last {len(last)} daily assessments."
    )


def _plain(standing: Standing | None) -> dict[str, Any] | None:
    return standing and {**standing._asdict(), "advice": standing.advice._asdict()}


def _standing(document: dict[str, Any] | None) -> Standing | None:
    if document is None:
        return None
    advice = document["advice"]
    kind = Kind(advice["kind"])
    return Standing(**{**document, "advice": Advice(**{**advice, "kind": kind})})
