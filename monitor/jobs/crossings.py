"""What the rules about moving see of one workload and deployment on one closed day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from monitor.domain import nearing
from monitor.domain.advice import Advice, Kind
from monitor.domain.alert_keys import Key
from monitor.domain.alerts import Rule, State
from monitor.domain.breakeven import Assessment
from monitor.domain.nearing import Outlook, Side
from monitor.domain.signals import Signal
from monitor.jobs.alerting import Book, Policy
from monitor.jobs.basis import Basis
from monitor.jobs.decisions import standing
from monitor.storage import alerts, decisions, demand, figures
from reports import crossing
from reports.model import AlertFacts, Crossed, Row

CROSSING, MOVE, RETURN, ABOUT = "crossing", "move", "return_to_api", "about_to_cross"

T = TypeVar("T")

_MOVES = {Kind.SELF_HOST, Kind.HYBRID, Kind.SELF_HOST_WITH_FALLBACK, Kind.PILOT}
_LET_GO = nearing.CHANCE / 4
"""A crossing is near no more below this chance."""


class Seen(NamedTuple):
    """One workload and deployment on one day."""

    workload: demand.Workload
    deployment: demand.Deployment
    as_of: int
    advice: Advice
    month: str

    @property
    def subject(self) -> str:
        """What the alerts are about."""
        return f"{self.workload.name} on {self.deployment.name}"

    @property
    def at_home(self) -> bool:
        """Whether it runs on own GPUs, all or in part."""
        return self.workload.runs_on != "api"


class Place(NamedTuple):
    """Where the volume is and where it heads; both None: too little is known."""

    side: Side | None
    outlook: Outlook | None


def signals(
    conn: Connection,
    seen: Seen,
    found: Mapping[str, Assessment],
    basis: Basis,
    daily: Mapping[int, int | None],
    policy: Policy,
    book: Book | None = None,
) -> list[Signal]:
    """One for each rule; none while there is nothing to compare.

    `book` says what was stated last; None: the alerts of the database.
    """
    if "q10" not in found:
        return []
    place = _place(book or alerts.Rows(conn), seen, found["q50"], daily, policy)
    told = _words(conn, seen, found, basis, policy, place)
    moves, returns = seen.advice.kind in _MOVES, seen.advice.kind is Kind.RETURN_TO_API
    up = None if place.side is None else place.side == "above" and not seen.at_home
    near, released = _near(seen, place)
    return [
        told(CROSSING, "above" if up else "below", up),
        # Who followed the advice must not read that it changed back.
        told(MOVE, "crossed_up" if moves else "crossed_down", moves and not seen.at_home)._replace(
            restated=seen.at_home
        ),
        told(RETURN, "return_to_api" if returns else "stays_home", returns and seen.at_home),
        # That a crossing is near no more is told by the report alone.
        told(ABOUT, "about_to_cross", near)._replace(released=released, restated=True),
    ]


def quiet(conn: Connection, seen: Seen, policy: Policy, now: int) -> dict[tuple[str, str], str]:
    """Which of these rules tell nobody at an instant, and why."""
    found: dict[tuple[str, str], str] = {}
    decided = standing(conn, seen.workload, seen.deployment, seen.as_of, policy.reopen_share, now)
    if decided and decided.stands:
        found = dict.fromkeys(
            [(rule, seen.subject) for rule in (CROSSING, MOVE, RETURN, ABOUT)], decided.reason
        )
        if _gated_since(conn, seen, now):
            del found[RETURN, seen.subject]
    if order := seen.workload.must_stay_on_api or seen.workload.must_stay_in_house:
        found.setdefault((CROSSING, seen.subject), f"It must stay where it is: {order}")
    if seen.advice.kind in _MOVES:
        found.setdefault((CROSSING, seen.subject), "It is told with the advice to move.")
    return found


def _gated_since(conn: Connection, seen: Seen, now: int) -> bool:
    """Whether an order to leave own GPUs is newer than the decision, which did not know of it."""
    decision = decisions.newest(conn, seen.workload, seen.deployment, now)
    known = decision.facts.as_of if decision and decision.facts else None
    ordered = bool(seen.workload.must_stay_on_api) and seen.at_home
    return ordered and known is not None and seen.advice.since > known


def _place(
    book: Book,
    seen: Seen,
    middle: Assessment,
    daily: Mapping[int, int | None],
    policy: Policy,
) -> Place:
    if not middle.crossing:
        # Own GPUs are cheaper at any volume, or at none.
        return Place("below" if middle.crossing is None else "above", None)
    volumes = nearing.volumes(daily, seen.as_of, middle.crossing)
    if volumes is None:
        return Place(None, None)
    side = nearing.side(volumes, _side_before(book, seen, policy.rules.get(CROSSING)))
    outlook = nearing.outlook(volumes, side, policy.lead_days) if side else None
    return Place(side, outlook)


def _side_before(book: Book, seen: Seen, rule: Rule | None) -> Side | None:
    """What was stated last; None: nothing was."""
    stored = book.load(Key(rule.name, rule.version, seen.subject)) if rule else None
    if stored is None or stored.state.seen is None:
        return None
    return "above" if stored.state.name in (State.FIRING, State.RESOLVING) else "below"


def _near(seen: Seen, place: Place) -> tuple[bool | None, bool]:
    """Whether a crossing is near, and whether it is so no more."""
    gated = bool(seen.workload.must_stay_on_api or seen.workload.must_stay_in_house)
    if gated or seen.at_home or place.side == "above" or seen.advice.kind is not Kind.STAY:
        return False, True
    if place.outlook is None:
        return None, False
    return place.outlook.chance >= nearing.CHANCE, place.outlook.chance < _LET_GO


def _words(
    conn: Connection,
    seen: Seen,
    found: Mapping[str, Assessment],
    basis: Basis,
    policy: Policy,
    place: Place,
) -> Callable[[str, Crossed, bool | None], Signal]:
    """Makes a rule's signal with its words; the day's comparison is read once."""
    named = {"workload": seen.workload.name, "deployment": seen.deployment.name}
    row = figures.row(conn, "breakevens", **figures.period(seen.as_of), **named)

    def signal(rule: str, kind: Crossed, holds: bool | None) -> Signal:
        return Signal(
            rule,
            seen.subject,
            seen.as_of,
            holds,
            crossing.said(_facts(kind, seen, found, basis, policy, row, place)),
            rank=0,
            workload=seen.workload.name,
        )

    return signal


def _facts(
    kind: Crossed,
    seen: Seen,
    found: Mapping[str, Assessment],
    basis: Basis,
    policy: Policy,
    row: Row,
    place: Place,
) -> AlertFacts:
    three = [found[q] for q in ("q10", "q50", "q90")]
    return AlertFacts(
        kind=kind,
        organisation=policy.organisation,
        workload=seen.workload.name,
        deployment=seen.deployment.name,
        as_of=datetime.fromtimestamp(seen.as_of, UTC),
        advice=str(seen.advice.kind),
        reason=seen.advice.reason,
        month=seen.month,
        requests=_three(three, lambda a: a.requests),
        crossing_requests=three[1].crossing,
        api_usd=_three(three, lambda a: _dollars(a.api)),
        self_host_usd=_three(three, lambda a: _dollars(a.hybrid)),
        savings_usd=_three(three, lambda a: _dollars(a.savings)),
        assumptions=basis.assumptions,
        zero_lines=basis.zero_lines,
        row=row,
        in_house=bool(seen.workload.must_stay_in_house),
        near_days=place.outlook.days if place.outlook else None,
        near_chance=place.outlook.chance if place.outlook else None,
    )


def _three(found: Sequence[Assessment], of: Callable[[Assessment], T]) -> tuple[T, T, T]:
    low, mid, high = map(of, found)
    return low, mid, high


def _dollars(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 10**6)).scaleb(-6)
