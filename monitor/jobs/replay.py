"""Stored history through the rules and the machine, in memory: what would have been told.

Every day is looked at as its own look would, with the rows that are stored now and the
configuration of now; states begin at rest. Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from monitor.domain import breakeven
from monitor.domain.advice import Advice, Kind
from monitor.domain.errors import InputError
from monitor.domain.notices import Edge, Group
from monitor.domain.periods import month_of
from monitor.domain.rulebook import BOOK
from monitor.domain.scenario import from_document
from monitor.domain.usage import DAY, HOUR
from monitor.jobs import crossings, notify, watching
from monitor.jobs.alerting import Policy, raise_in
from monitor.jobs.basis import Basis, measured
from monitor.jobs.notify import Telling
from monitor.jobs.recommending import gated
from monitor.jobs.replay_book import Memory
from monitor.storage import demand, results, work
from reports import alert

NOT_STORED: Mapping[str, str] = {
    "source_stale": "what was late at an hour is not stored",
    "internal": "what waited for a person at an hour is not stored",
}
"""Rules that cannot be replayed, and why."""
_MOVES = (crossings.CROSSING, crossings.MOVE, crossings.RETURN, crossings.ABOUT)
_TOGETHER = 60
"""What happens within so many seconds is one tick of the daemon, and tells together."""
_PATIENCE = 300
"""So often what waits is asked whether it may leave."""


class Span(NamedTuple):
    """Closed days from the first to the last one that is replayed; UTC midnights, half open."""

    first: int
    end: int


class Message(NamedTuple):
    """One that would have left."""

    at: int
    """UTC epoch seconds."""
    kind: str
    """alert or digest."""
    channel: str
    recipient: str
    subject: str
    alerts: tuple[tuple[str, Edge], ...]
    """Key and edge of each."""


class Counted(NamedTuple):
    """What a rule did."""

    rule: str
    fired: int
    ended: int
    messages: int
    """Messages that told of it, to any target."""
    remark: str
    """Why it was not replayed, or what of it was not."""


class Replayed(NamedTuple):
    """What would have been told."""

    messages: Sequence[Message]
    rules: Sequence[Counted]
    waiting: int
    """Notices that still wait for the end of a rest, of quiet hours or for a digest."""
    notes: Sequence[str]
    """What could not be looked at."""


class _Event(NamedTuple):
    at: int
    what: Literal["day", "hour"]
    as_of: int


def replay(
    conn: Connection, span: Span, policy: Policy, telling: Telling, settle: int, only: str = ""
) -> Replayed:
    """Let the days and hours of a span pass once more.

    Args:
        conn: a reading transaction.
        span: closed days.
        policy: rules, limits, routes and planned quiet, as they are to be tried.
        telling: how alerts become messages.
        settle: seconds after a day's end at which it is looked at, where no run says when it was.
        only: the one rule whose messages count; '': all.

    Raises:
        InputError: the rule cannot be replayed, or the span is empty.
    """
    told = _chosen(policy, only)
    if span.first >= span.end:
        raise InputError("the span is empty", "Let --until be on or after --since.")
    # The rules about moving know of each other.
    stepped = {*told, *(_MOVES if set(_MOVES) & set(told) else ())}
    tried = policy._replace(rules={n: r for n, r in policy.rules.items() if n in stepped})
    book = Memory(conn, told)
    messages: list[Message] = []
    notes = _undecided(conn, span, told)
    events = _events(conn, span, tried, settle)
    for event, following in zip(events, [*events[1:], None], strict=True):
        until = following.at if following else event.at + _TOGETHER
        notes += _see(conn, book, event, tried)
        if until - event.at >= _TOGETHER:
            messages += _tell(book, telling, range(event.at, until, _PATIENCE))
    waiting = sum(map(len, book.waiting().values()))
    return Replayed(messages, _counts(book, messages, policy, told), waiting, notes)


def _chosen(policy: Policy, only: str) -> list[str]:
    if only and only not in BOOK:
        raise InputError(f"there is no rule {only!r}", "`crossover alerts rules` lists them.")
    if only in NOT_STORED:
        raise InputError(
            f"{only} cannot be replayed: {NOT_STORED[only]}", "`crossover alerts list --all`."
        )
    if only and only not in policy.rules:
        raise InputError(f"the rule {only} is off", f"Set alerts.rules.{only}.enabled = true.")
    return [only] if only else [name for name in policy.rules if name not in NOT_STORED]


def _undecided(conn: Connection, span: Span, told: Sequence[str]) -> list[str]:
    """Days of which there is nothing to replay for the rules that rest on the day's decision."""
    days = (span.end - span.first) // DAY
    without = days - len(work.decided_at(conn, span.first, span.end))
    if not without or not {*_MOVES, "budget", "budget_projected"} & set(told):
        return []
    unseen = "the rules about moving and about budgets see nothing of them"
    return [f"{without} of {days} days were not decided: {unseen}"]


def _events(conn: Connection, span: Span, policy: Policy, settle: int) -> list[_Event]:
    """Days when they were decided, and the hours between, each in the daemon's order."""
    decided = work.decided_at(conn, span.first, span.end)
    days = [
        _Event(decided.get(as_of, as_of + settle), "day", as_of)
        for as_of in range(span.first + DAY, span.end + DAY, DAY)
    ]
    seen_at = {each.at - each.at % HOUR: each.at for each in days if each.at % HOUR < _TOGETHER}
    hours = []
    if any(rule.cadence == "hourly" for rule in policy.rules.values()):
        hours = [
            _Event(seen_at.get(hour, hour), "hour", hour)
            for hour in range(span.first + HOUR, max(e.at for e in days) + 1, HOUR)
        ]
    return sorted([*days, *hours], key=lambda each: (each.at, each.what != "day", each.as_of))


def _see(conn: Connection, book: Memory, event: _Event, policy: Policy) -> Iterable[str]:
    if event.what == "hour":
        signals = watching.measured_by(conn, event.as_of, policy)
        raise_in(book, signals, event.at, policy)
        return []
    if set(_MOVES) & set(policy.rules):
        _moves(conn, book, event, policy)
    return watching.daily_in(book, conn, event.as_of, event.at, policy)


def _moves(conn: Connection, book: Memory, event: _Event, policy: Policy) -> None:
    """What the stored comparisons and advice of a day say."""
    for workload in demand.workloads(conn):
        for deployment in demand.deployments(conn, workload.id):
            at_rest = gated(workload, event.as_of)
            basis = measured(conn, at_rest, deployment, event.as_of)
            advised = results.advice_on(conn, workload.id, deployment.id, event.as_of)
            if advised is None or not isinstance(basis, Basis):
                continue
            advice = Advice(Kind(advised["kind"]), advised["reason"], advised["since"])
            seen = crossings.Seen(at_rest, deployment, event.as_of, advice, month_of(event.as_of))
            found = {
                volume: breakeven.assess(from_document(json.loads(scenario)))
                for volume, scenario in results.assessed_on(
                    conn, workload.id, deployment.id, event.as_of
                ).items()
            }
            daily = demand.daily(conn, workload, "requests", event.as_of, policy.live_sources)
            signals = crossings.signals(conn, seen, found, basis, daily, policy, book)
            quiet = crossings.quiet(conn, seen, policy, event.at)
            raise_in(book, signals, event.at, policy, quiet)


def _tell(book: Memory, telling: Telling, instants: Iterable[int]) -> Iterator[Message]:
    for now in instants:
        waiting = book.waiting()
        if not waiting:
            return
        for target, notices in waiting.items():
            last = book.last_told(target)
            due = notify.due_for(target, notices, last, telling, now, busy=False)
            book.drop(due.dropped)
            for ids, kind in due.messages:
                said = book.take(ids, now, kind)
                digest = kind == "digest"
                group = Group("", telling.organisation, said, now, digest, telling.demo)
                keys = tuple((each.key, each.edge) for each in said)
                yield Message(now, kind, *target, alert.subject(group), keys)


def _counts(
    book: Memory, messages: Sequence[Message], policy: Policy, told: Sequence[str]
) -> list[Counted]:
    named = [{key.partition("/")[0] for key, _ in each.alerts} for each in messages]
    return [
        Counted(
            rule,
            book.edges[rule, "fired"],
            book.edges[rule, "ended"],
            sum(rule in rules for rules in named),
            _PARTLY.get(rule, ""),
        )
        for rule in told
    ] + [
        Counted(rule, 0, 0, 0, f"not replayed: {why}")
        for rule, why in NOT_STORED.items()
        if rule in policy.rules and len(told) > 1
    ]


_PARTLY = {"expiry": "without certificates: what they said is not stored"}
