"""The alert machine: one rule, one subject, one period; a pure step per observation.

It notifies on edges, never on levels. Every time it counts is the signal's `as_of`, so a replay of
the same signals gives the same transitions whenever it runs. A new version of a rule, or a new
period, is another alert with a state of its own: that is what re-arms it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from monitor.domain.errors import InputError
from monitor.domain.notices import Edge, Severity
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY

FLAP_EDGES = 4
FLAP_WINDOW = 14 * DAY
"""More edges than this within the window are noise: one notice that says so, then the digest."""

Told = Literal["", "aloud", "digest"]


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
    """Another one after every change of what the rule compares: that re-arms it."""
    severity: Severity
    n: int = 1
    m: int = 1
    """Fires when the condition held on `n` of the last `m` observations."""
    leave_after: int = 1
    """Resolves after so many observations in a row that let it go."""
    cadence: Literal["daily", "hourly"] = "daily"
    """How often it is observed: on closed days, or each hour."""
    owner: str = ""
    """Who answers for it."""
    runbook: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.m or self.leave_after < 1:
            raise InputError(
                f"alert rule {self.name} cannot fire on {self.n} of {self.m} observations "
                f"and leave after {self.leave_after}",
                "Use 1 <= n <= m and leave_after of at least 1.",
            )


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
    """Observations in a row that let it go."""
    told: Told = ""
    """How the present firing was told."""
    edges: tuple[int, ...] = ()
    """`as_of` of the edges inside the flap window."""
    unstable: bool = False
    suppressed_by: str = ""
    rank: int = -1
    """The highest threshold that was crossed in this period, or in this firing without one."""
    owed: bool = False
    """It fires and was kept quiet: it is told once nobody asks for quiet any more."""


class Transition(NamedTuple):
    """A row to append: unique by alert and `seq`."""

    seq: int
    before: State
    after: State
    as_of: int
    at: int
    """When the step ran, epoch seconds."""


class Notify(NamedTuple):
    """Something to tell once; it belongs to the transition of the same number."""

    edge: Edge
    seq: int
    severity: Severity
    digest: bool = False
    """Not worth a message of its own any more: it waits for the digest."""


Effect = Transition | Notify


def step(
    state: AlertState | None,
    signal: Signal,
    rule: Rule,
    now: int,
    suppressed_by: str = "",
    *,
    acknowledged: bool = False,
) -> tuple[AlertState, tuple[Effect, ...]]:
    """Count one signal of the rule; `state` None is an alert never seen.

    Unknown data, an observation not newer than the last one, and one from the future of a clock
    that went back change nothing. A suppressed step moves the machine all the same; what it kept
    quiet is told once the quiet ends, if the alert still fires and nobody acknowledged it.
    """
    state = state or AlertState()
    if _adds_nothing(state, signal, now):
        return state, ()
    counted = _count(state, signal, rule, suppressed_by)
    after = _next(counted, rule)
    if after is counted.name and after is not State.FIRING:
        return counted, ()
    transition = Transition(counted.seq + 1, counted.name, after, signal.as_of, now)
    if _is_edge(transition):
        return _cross(counted, transition, signal, rule, suppressed_by)
    if after is State.FIRING and (found := _again(counted, signal, suppressed_by, acknowledged)):
        return _tell(found, transition, rule, suppressed_by)
    if after is counted.name:
        return counted, ()
    return counted._replace(name=after, seq=transition.seq), (transition,)


def _adds_nothing(state: AlertState, signal: Signal, now: int) -> bool:
    old = state.seen is not None and signal.as_of <= state.seen
    return signal.holds is None or old or signal.as_of > now


def _count(state: AlertState, signal: Signal, rule: Rule, suppressed_by: str) -> AlertState:
    holds = bool(signal.holds)
    lets_go = not holds if signal.released is None else signal.released and not holds
    return state._replace(
        seen=signal.as_of,
        marks=(state.marks + "01"[holds])[-rule.m :],
        below=state.below + 1 if lets_go else 0,
        suppressed_by=suppressed_by,
    )


def _next(state: AlertState, rule: Rule) -> State:
    if state.name in (State.FIRING, State.RESOLVING):
        if state.below >= rule.leave_after:
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
        return transition.before not in (State.RESOLVING, State.FIRING)
    return transition.after is State.RESOLVED


def _again(
    state: AlertState, signal: Signal, suppressed_by: str, acknowledged: bool
) -> AlertState | None:
    """What an alert that fires already has to tell: a higher threshold, or what was kept quiet."""
    if signal.holds and signal.rank > state.rank:
        return state._replace(rank=signal.rank)
    if state.owed and not suppressed_by and not acknowledged:
        return state
    return None


def _tell(
    state: AlertState, transition: Transition, rule: Rule, suppressed_by: str
) -> tuple[AlertState, tuple[Effect, ...]]:
    """Say that it fires, or owe it."""
    moved = state._replace(name=transition.after, seq=transition.seq)
    if suppressed_by:
        return moved._replace(owed=True), (transition,)
    told: Told = "digest" if state.unstable else "aloud"
    notify = Notify("firing", transition.seq, rule.severity, digest=state.unstable)
    return moved._replace(told=told, owed=False), (transition, notify)


def _cross(
    state: AlertState, transition: Transition, signal: Signal, rule: Rule, suppressed_by: str
) -> tuple[AlertState, tuple[Effect, ...]]:
    """Take an edge: at most one notice, so that its number makes it unique."""
    recent = tuple(e for e in state.edges if e > signal.as_of - FLAP_WINDOW)
    edges = (*recent, signal.as_of)
    was_unstable, unstable = state.unstable, len(edges) > FLAP_EDGES
    state = state._replace(edges=edges, unstable=unstable)
    if transition.after is State.RESOLVED:
        crossed, notify = _ended(state, transition, signal, rule)
    else:
        crossed, notify = _began(state, transition, signal, rule, suppressed_by)
    if unstable and not was_unstable and not suppressed_by:
        # One notice that it goes to and fro, in place of the edge's own.
        notify = Notify("unstable", transition.seq, rule.severity)
    return crossed, (transition, notify) if notify else (transition,)


def _began(
    state: AlertState, transition: Transition, signal: Signal, rule: Rule, suppressed_by: str
) -> tuple[AlertState, Notify | None]:
    new = signal.rank > state.rank
    moved = state._replace(
        name=State.FIRING,
        seq=transition.seq,
        rank=max(signal.rank, state.rank),
        told="",
        owed=False,
    )
    if not new:
        # Of a period each threshold is told once.
        return moved, None
    if suppressed_by:
        return moved._replace(owed=True), None
    told: Told = "digest" if state.unstable else "aloud"
    return moved._replace(told=told), Notify(
        "firing", transition.seq, rule.severity, digest=state.unstable
    )


def _ended(
    state: AlertState, transition: Transition, signal: Signal, rule: Rule
) -> tuple[AlertState, Notify | None]:
    """An end is told to those who heard of the beginning, unless history itself was corrected."""
    ended = state._replace(
        name=State.RESOLVED,
        seq=transition.seq,
        # An alert that ended starts to count afresh.
        marks="",
        told="",
        owed=False,
        rank=state.rank if signal.period else -1,
    )
    if not state.told or signal.restated:
        return ended, None
    digest = state.told == "digest" or state.unstable
    return ended, Notify("resolved", transition.seq, rule.severity, digest=digest)
