"""The alert machine: one rule, one subject, one period; a pure step per daily observation.

It notifies on edges, never on levels. Every time it counts is the observation's `as_of`, so a
replay of the same observations gives the same transitions whenever it runs. A new version of a
rule, or a new period, is another alert with a state of its own: that is what re-arms it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from monitor.domain.alert_keys import escaped
from monitor.domain.errors import InputError
from monitor.domain.usage import DAY

FLAP_EDGES = 4
FLAP_WINDOW = 14 * DAY
"""More edges than this within the window are noise: one notice that says so, then quiet."""


class State(StrEnum):
    """Where an alert stands."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVING = "resolving"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Rule:
    """When an alert fires and when it lets go."""

    name: str
    version: int
    """Raised at every change of the rule."""
    severity: str
    n: int = 1
    m: int = 1
    """Fires when the condition held on `n` of the last `m` daily observations."""
    leave_for_days: int = 1
    """Resolves after this many daily observations in a row on which it did not hold."""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.m or self.leave_for_days < 1:
            raise InputError(
                f"alert rule {self.name} cannot fire on {self.n} of {self.m} observations "
                f"and leave after {self.leave_for_days}",
                "Use 1 <= n <= m and leave_for_days of at least 1.",
            )


class Observation(NamedTuple):
    """What a rule saw of a subject on closed days."""

    rule: Rule
    subject: str
    as_of: int
    """UTC midnight that ends the newest closed day, epoch seconds."""
    value: bool | None
    """The condition holds; None is unknown. A rule with a band compares with its upper end until it
    fires and with its lower end from then on."""
    period: str = ""
    threshold: str = ""
    """The highest threshold crossed, for rules that have several."""
    stale: bool = False
    """A source behind the value is late or incomplete."""
    suppressed_by: str = ""
    """The silence or the inhibiting alert, or ''."""


class AlertState(NamedTuple):
    """Everything the next step needs; all fields are plain values."""

    name: State = State.INACTIVE
    seq: int = 0
    """Number of the last transition."""
    seen: int | None = None
    """`as_of` of the last observation that counted."""
    marks: str = ""
    """The last `m` observations, oldest first: 1 held, 0 did not."""
    below: int = 0
    """Observations in a row on which the condition did not hold."""
    told: bool = False
    """The present firing was notified."""
    edges: tuple[int, ...] = ()
    """`as_of` of the edges inside the flap window."""
    unstable: bool = False
    suppressed_by: str = ""


class Transition(NamedTuple):
    """A row to append: unique by alert and `seq`."""

    seq: int
    before: State
    after: State
    as_of: int
    at: int
    """When the step ran, epoch seconds."""


class Notify(NamedTuple):
    """A message to send once, unless suppressed."""

    kind: Literal["firing", "resolved", "unstable"]
    dedup_key: str
    severity: str
    suppressed_by: str


Effect = Transition | Notify


def step(
    state: AlertState | None, observation: Observation, now: int
) -> tuple[AlertState, tuple[Effect, ...]]:
    """Count one observation; `state` None is an alert never seen.

    Missing or late data, an observation not newer than the last one, and one from the future of a
    clock that went back change nothing. A suppressed step moves the machine all the same.
    """
    state = state or AlertState()
    if _adds_nothing(state, observation, now):
        return state, ()
    counted = _count(state, observation)
    after = _next(counted, observation.rule)
    if after is counted.name:
        return counted, ()
    transition = Transition(counted.seq + 1, counted.name, after, observation.as_of, now)
    if not _is_edge(transition):
        return counted._replace(name=after, seq=transition.seq), (transition,)
    return _cross(counted, transition, observation)


def _adds_nothing(state: AlertState, observation: Observation, now: int) -> bool:
    unknown = observation.value is None or observation.stale
    old = state.seen is not None and observation.as_of <= state.seen
    return unknown or old or observation.as_of > now


def _count(state: AlertState, observation: Observation) -> AlertState:
    holds = bool(observation.value)
    return state._replace(
        seen=observation.as_of,
        marks=(state.marks + "01"[holds])[-observation.rule.m :],
        below=0 if holds else state.below + 1,
        suppressed_by=observation.suppressed_by,
    )


def _next(state: AlertState, rule: Rule) -> State:
    if state.name in (State.FIRING, State.RESOLVING):
        if state.below >= rule.leave_for_days:
            return State.RESOLVED
        return State.RESOLVING if state.below else State.FIRING
    held = state.marks.count("1")
    if held >= rule.n:
        return State.FIRING
    if held:
        return State.PENDING
    return State.INACTIVE if state.name is State.PENDING else state.name


def _is_edge(transition: Transition) -> bool:
    """Whether an alert began or ended; one that only wavered is still the same alert."""
    if transition.after is State.FIRING:
        return transition.before is not State.RESOLVING
    return transition.after is State.RESOLVED


def _cross(
    state: AlertState, transition: Transition, observation: Observation
) -> tuple[AlertState, tuple[Effect, ...]]:
    """Take an edge: at most one message, so that its number makes the dedup key unique."""
    recent = tuple(e for e in state.edges if e > observation.as_of - FLAP_WINDOW)
    edges = (*recent, observation.as_of)
    unstable = len(edges) > FLAP_EDGES
    kind = _message(state, transition.after, unstable)
    crossed = state._replace(
        name=transition.after,
        seq=transition.seq,
        # An alert that ended starts to count afresh.
        marks="" if transition.after is State.RESOLVED else state.marks,
        told=kind == "firing" and not observation.suppressed_by,
        edges=edges,
        unstable=unstable,
    )
    if kind is None:
        return crossed, (transition,)
    key, rule = _dedup_key(observation, transition.seq), observation.rule
    return crossed, (transition, Notify(kind, key, rule.severity, observation.suppressed_by))


def _message(
    state: AlertState, after: State, unstable: bool
) -> Literal["firing", "resolved", "unstable"] | None:
    if unstable:
        return None if state.unstable else "unstable"
    if after is State.FIRING:
        return "firing"
    return "resolved" if state.told else None


def _dedup_key(observation: Observation, seq: int) -> str:
    rule = observation.rule
    parts = (rule.name, f"v{rule.version}", observation.subject, observation.period)
    return "/".join(map(escaped, (*parts, observation.threshold, str(seq))))
