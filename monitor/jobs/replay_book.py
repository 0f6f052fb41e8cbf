"""Alerts in memory: where a replay lets them stand, and what would wait to be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain.alert_keys import Key
from monitor.domain.alerts import AlertState, State, Transition
from monitor.domain.grouping import Waiting
from monitor.domain.notices import Notice
from monitor.domain.routing import Target
from monitor.domain.silences import Window
from monitor.storage import alerts
from monitor.storage.alerts import Kept, Open, Stored

_FIRES = (State.FIRING, State.RESOLVING)
_UNFINISHED = (State.PENDING, *_FIRES)


class _Alert(NamedTuple):
    key: Key
    state: AlertState
    since: int | None


class _Told(NamedTuple):
    """A notice for a target, and what became of it."""

    target: Target
    waiting: Waiting
    notice: Notice
    state: str
    told_at: int | None = None
    kind: str = ""


class Memory:
    """A book that begins empty and leaves nothing behind.

    Args:
        conn: where silences are read; nothing is written.
        told: rules whose notices count; the others only move their states.
    """

    def __init__(self, conn: Connection, told: Collection[str]) -> None:
        self._conn, self._told = conn, told
        self._ids: dict[Key, int] = {}
        self._alerts: list[_Alert] = []
        self._transitions: list[list[Transition]] = []
        self._notices: list[_Told] = []
        self.edges: Counter[tuple[str, str]] = Counter()
        """(rule, `fired` or `ended`) -> how often."""

    def load(self, key: Key) -> Stored | None:
        """The state of an alert; nobody acknowledges one in a replay."""
        number = self._ids.get(key)
        if number is None:
            return None
        found = self._alerts[number]
        return Stored(number, found.state, found.since, acknowledged=False)

    def save(self, key: Key, state: AlertState, now: int, kept: Kept) -> int:
        """Keep the state; returns the alert's number."""
        del now
        number = self._ids.setdefault(key, len(self._alerts))
        if number == len(self._alerts):
            self._alerts.append(_Alert(key, state, kept.since))
            self._transitions.append([])
        self._alerts[number] = _Alert(key, state, kept.since)
        return number

    def append(self, alert_id: int, transition: Transition, reason: str) -> None:
        """Append a transition, and count it where it is an edge."""
        del reason
        self._transitions[alert_id].append(transition)
        rule = self._alerts[alert_id].key.rule
        if transition.after is State.FIRING and transition.before not in _FIRES:
            self.edges[rule, "fired"] += 1
        elif transition.after is State.RESOLVED:
            self.edges[rule, "ended"] += 1

    def unfinished(self) -> Sequence[Open]:
        """Every alert that fires or is about to."""
        return [
            Open(number, each.key.stored, each.key.subject, each.key.period, each.state)
            for number, each in enumerate(self._alerts)
            if each.state.name in _UNFINISHED
        ]

    def end(self, alert: Open, as_of: int, now: int, reason: str) -> None:
        """End an alert without a message."""
        ended = alerts.over(alert.state)
        self._alerts[alert.id] = self._alerts[alert.id]._replace(state=ended)
        moved = Transition(ended.seq, alert.state.name, State.RESOLVED, as_of, now)
        self.append(alert.id, moved, reason)

    def silenced(self, rule: str, subject: str, now: int, windows: Sequence[Window]) -> str:
        """As it was asked for at that instant."""
        return alerts.silenced(self._conn, rule, subject, now, windows)

    def told_of(self, alert_id: int) -> Sequence[Target]:
        """Who heard, or is to hear, that an alert fires, since it was last over."""
        before = [t.seq for t in self._transitions[alert_id][:-1] if t.after is State.RESOLVED]
        last = max(before, default=0)
        heard = {
            each.target
            for each in self._notices
            if each.waiting.alert_id == alert_id
            and each.waiting.edge in ("firing", "unstable")
            and each.state != "dropped"
            and each.waiting.seq > last
        }
        return sorted(heard)

    def put_notices(
        self,
        alert_id: int,
        seq: int,
        notice: Notice,
        targets: Sequence[Target],
        now: int,
        *,
        digest: bool,
    ) -> None:
        """What an edge has to say to each target."""
        if notice.rule not in self._told:
            return
        for target in targets:
            waits = Waiting(
                len(self._notices), alert_id, seq, notice.edge, notice.severity, now, digest
            )
            self._notices.append(_Told(target, waits, notice, "waiting"))

    def waiting(self) -> Mapping[Target, list[Waiting]]:
        """Every notice that no message took along yet, by target."""
        found: dict[Target, list[Waiting]] = {}
        for each in sorted(self._notices, key=lambda told: told.target):
            if each.state == "waiting":
                found.setdefault(each.target, []).append(each.waiting)
        return found

    def last_told(self, target: Target) -> int | None:
        """When the last message, not a digest, left for a target."""
        told = [
            each.told_at
            for each in self._notices
            if each.target == target and each.told_at is not None and each.kind != "digest"
        ]
        return max(told, default=None)

    def take(self, ids: Sequence[int], now: int, kind: str) -> list[Notice]:
        """Let a message take notices along."""
        for number in ids:
            told = self._notices[number]._replace(state="told", told_at=now, kind=kind)
            self._notices[number] = told
        return [self._notices[number].notice for number in sorted(ids)]

    def drop(self, ids: Sequence[int]) -> None:
        """Nobody needs to hear of these any more."""
        for number in ids:
            self._notices[number] = self._notices[number]._replace(state="dropped")
