"""From signals to alerts and notices: states, transitions and what people are told, together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from monitor.domain import routing
from monitor.domain.alert_keys import Key, of_row
from monitor.domain.alerts import AlertState, Notify, Rule, State, Transition, step
from monitor.domain.decisions import REOPEN_SHARE
from monitor.domain.guide import Guide
from monitor.domain.model_names import ModelNames
from monitor.domain.notices import Notice, said_to_json
from monitor.domain.routing import Routes, Target
from monitor.domain.rulebook import BOOK, LIMITS, Limits
from monitor.domain.signals import Signal
from monitor.domain.silences import Window
from monitor.domain.usage import DAY
from monitor.domain.watch import Thresholds
from monitor.domain.watch_answers import NOBODY_REPORTS, Answered, NotConfigured
from monitor.domain.watch_health import Expiring
from monitor.jobs.mail import Envelope
from monitor.storage import alerts
from monitor.storage.alerts import Kept, Open, Stored

_UNSEEN_AFTER = 30 * DAY
"""An alert of which nothing is observed for so long ends without a message."""


class Policy(NamedTuple):
    """What the decision needs to know of the configuration."""

    organisation: str
    live_sources: Sequence[str]
    lead_days: int
    rules_hash: str
    envelope: Envelope
    demo: bool
    guide: Guide = Guide()
    """What published comparisons say."""
    reopen_share: Fraction = REOPEN_SHARE
    """A decision is open again once the saving moved by more than this share."""
    windows: Sequence[Window] = ()
    """Planned maintenance: alerts change their state and tell nobody."""
    routes: Routes = Routes()
    rules: Mapping[str, Rule] = BOOK
    """The rule book by name; a rule that is off is not in it."""
    owners: Mapping[str, str] = {}
    """Workload -> mail address of its owner."""
    thresholds: Mapping[str, Thresholds] = {}
    """Of budgets, by name."""
    limits: Mapping[str, Limits] = LIMITS
    """Rule -> what it compares with."""
    expiring: Sequence[Expiring] = ()
    """What is configured with an end, besides what the database has."""
    names: ModelNames = ModelNames()
    """Which names are of one model."""
    answers: Callable[[Connection, int], Sequence[Answered]] | NotConfigured = NOBODY_REPORTS
    """What became of an hour's requests, by the end of the hour; else why nobody knows."""


class Book(Protocol):
    """Where alerts stand and what waits to be told: rows of the database, or memory."""

    def load(self, key: Key) -> Stored | None:
        """The state of an alert; None: never seen."""

    def save(self, key: Key, state: AlertState, now: int, kept: Kept) -> int:
        """Keep the state and what is said of it now; returns the alert's number."""

    def append(self, alert_id: int, transition: Transition, reason: str) -> None:
        """Append a transition."""

    def unfinished(self) -> Sequence[Open]:
        """Every alert that fires or is about to."""

    def end(self, alert: Open, as_of: int, now: int, reason: str) -> None:
        """End an alert without a message."""

    def silenced(self, rule: str, subject: str, now: int, windows: Sequence[Window]) -> str:
        """Who asked for quiet about an alert and why; '' if nobody did."""

    def told_of(self, alert_id: int) -> Sequence[Target]:
        """Who heard, or is to hear, that an alert fires, since it was last over."""

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
        """What an edge has to say to each target, once."""


def raise_signals(
    conn: Connection,
    signals: Sequence[Signal],
    now: int,
    policy: Policy,
    quiet: Mapping[tuple[str, str], str] | None = None,
    late: Collection[str] = (),
) -> None:
    """Step each alert of the database, in a writing transaction; see `raise_in`.

    States, transitions and notices stand or fall together.
    """
    raise_in(alerts.Rows(conn), signals, now, policy, quiet, late)


def raise_in(
    book: Book,
    signals: Sequence[Signal],
    now: int,
    policy: Policy,
    quiet: Mapping[tuple[str, str], str] | None = None,
    late: Collection[str] = (),
) -> None:
    """Step each alert with what was seen of it; unknown changes nothing.

    Args:
        book: where the alerts stand.
        signals: of one day or hour.
        now: UTC epoch seconds.
        policy: rules, routes and planned quiet.
        quiet: (rule, subject) -> why nobody is told now, besides silences.
        late: sources that are late: what rests on one of them is unknown.
    """
    for signal in signals:
        rule = policy.rules.get(signal.rule)
        if rule is None:
            continue
        if signal.holds is not None and set(signal.sources) & set(late):
            signal = signal._replace(holds=None)  # noqa: PLW2901 - as it counts
        reason = (quiet or {}).get((signal.rule, signal.subject), "")
        _raise(book, signal, rule, reason, now, policy)
    _end_orphans(book, signals, now, policy)


def _raise(book: Book, signal: Signal, rule: Rule, reason: str, now: int, policy: Policy) -> None:
    key = Key(rule.name, rule.version, signal.subject, signal.period)
    stored = book.load(key)
    before = stored.state if stored else AlertState()
    since = stored.since if stored else None
    quiet = reason or book.silenced(rule.name, signal.subject, now, policy.windows)
    taken_up = bool(stored and stored.acknowledged)
    state, effects = step(before, signal, rule, now, quiet, acknowledged=taken_up)
    began = [e for e in effects if isinstance(e, Transition) and _begins(e)]
    since = began[-1].as_of if began else since
    severity = signal.severity or rule.severity
    kept = Kept(severity, signal.workload, since, said_to_json(signal.said))
    alert_id = book.save(key, state, now, kept)
    for effect in effects:
        if isinstance(effect, Transition):
            book.append(alert_id, effect, signal.said.title)
        else:
            _tell(book, alert_id, effect, (signal, rule, key), since, now, policy)


def _begins(transition: Transition) -> bool:
    return transition.after is State.FIRING and transition.before not in (
        State.FIRING,
        State.RESOLVING,
    )


def _tell(
    book: Book,
    alert_id: int,
    notify: Notify,
    about: tuple[Signal, Rule, Key],
    since: int | None,
    now: int,
    policy: Policy,
) -> None:
    signal, rule, key = about
    severity = signal.severity or rule.severity
    notice = Notice(
        key=str(key),
        edge=notify.edge,
        severity=severity,
        rule=rule.name,
        subject=signal.subject,
        said=signal.said,
        since=signal.as_of if since is None else since,
        at=signal.as_of,
        period=signal.period,
        workload=signal.workload,
        owner=rule.owner or signal.owner,
        runbook=rule.runbook,
    )
    if notify.edge == "resolved":
        targets = book.told_of(alert_id)
    else:
        owner = policy.owners.get(signal.workload, "")
        targets = routing.targets(policy.routes, severity, rule.name, signal.workload, owner)
    book.put_notices(alert_id, notify.seq, notice, targets, now, digest=notify.digest)


def _end_orphans(book: Book, signals: Sequence[Signal], now: int, policy: Policy) -> None:
    """End what nothing is observed of any more: an edited rule, a past period, a gone subject."""
    if not signals:
        return
    as_of = max(signal.as_of for signal in signals)
    seen: dict[tuple[str, str], set[str]] = {}
    for signal in signals:
        seen.setdefault((signal.rule, signal.subject), set()).add(signal.period)
    for alert in book.unfinished():
        key = of_row(alert.rule, alert.subject, alert.period)
        reason = _orphaned(key, alert.state, seen, as_of, policy)
        if reason:
            book.end(alert, as_of, now, reason)


def _orphaned(
    key: Key,
    state: AlertState,
    seen: Mapping[tuple[str, str], Collection[str]],
    as_of: int,
    policy: Policy,
) -> str:
    rule = policy.rules.get(key.rule)
    if rule is None:
        return "The rule is off."
    if rule.version != key.version:
        return "The rule was changed."
    periods = seen.get((key.rule, key.subject), ())
    if periods and key.period not in periods and max(periods) > key.period:
        return "Its period ended."
    if state.seen is not None and as_of - state.seen > _UNSEEN_AFTER:
        return "Nothing is observed of it any more."
    return ""
