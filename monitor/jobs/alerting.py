"""From advice to alerts: edges of assessment and advice, without thresholds of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from monitor.domain.advice import Advice, Kind
from monitor.domain.alerts import Notify, Observation, Rule, State, Transition, step
from monitor.domain.breakeven import Assessment
from monitor.domain.decisions import REOPEN_SHARE
from monitor.domain.guide import Guide
from monitor.domain.silences import Window
from monitor.jobs.basis import Basis
from monitor.jobs.decisions import standing
from monitor.jobs.mail import Envelope, addressed
from monitor.storage import alerts, figures, results, work
from reports import alert
from reports.model import AlertFacts, Crossed, Row

CROSSING = Rule("crossing", 1, "warning")
RETURN = Rule("return_to_api", 1, "warning")
ABOUT = Rule("about_to_cross", 1, "notice", leave_for_days=7)

T = TypeVar("T")

_MOVES = {Kind.SELF_HOST, Kind.HYBRID, Kind.SELF_HOST_WITH_FALLBACK, Kind.PILOT}


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
    """Planned maintenance."""


class Seen(NamedTuple):
    """One workload and deployment on one day."""

    workload: results.Workload
    deployment: results.Deployment
    as_of: int
    due_at: int
    advice: Advice
    month: str
    ahead_month: str


def raise_alerts(
    conn: Connection,
    seen: Seen,
    found: Mapping[str, Assessment],
    basis: Basis,
    now: int,
    policy: Policy,
) -> None:
    """Step each rule with what the day showed; unknown changes nothing."""
    decided = standing(conn, seen.workload, seen.deployment, seen.as_of, policy.reopen_share)
    for rule, holds in _observations(seen, found).items():
        subject = f"{seen.workload.name} on {seen.deployment.name}"
        # A new version of a rule is another alert: that is what re-arms it.
        name = f"{rule.name} v{rule.version}"
        state = alerts.load(conn, name, subject)
        held = decided.reason if decided and decided.stands else ""
        if state and state.name is State.FIRING and state.suppressed_by.startswith("Decided"):
            # A decision that no longer stands lets the alert be told after all.
            state = state if held else state._replace(name=State.INACTIVE)
        observation = Observation(
            rule,
            subject,
            seen.as_of,
            holds,
            suppressed_by=held or alerts.silenced(conn, rule.name, subject, now, policy.windows),
        )
        state, effects = step(state, observation, now)
        alert_id = alerts.save(conn, name, subject, state, now)
        for effect in effects:
            if isinstance(effect, Transition):
                alerts.append(conn, alert_id, effect, seen.advice.reason)
            elif not effect.suppressed_by and (kind := _told_as(rule, effect, seen)):
                facts = _facts(kind, seen, found, basis, policy, _figures(conn, seen))
                messages = addressed(
                    alert.build(facts),
                    policy.envelope,
                    "alert",
                    f"alert/{effect.dedup_key}",
                    facts.due_at,
                )
                work.post(conn, messages, now)


def _observations(seen: Seen, found: Mapping[str, Assessment]) -> dict[Rule, bool | None]:
    """What each rule sees; None while there is nothing to compare."""
    if "q10" not in found:
        return dict.fromkeys((CROSSING, RETURN, ABOUT))
    advised = seen.advice.kind
    at_home = seen.workload.runs_on != "api"
    gated = bool(seen.workload.must_stay_on_api or seen.workload.must_stay_in_house)
    ahead = found.get("ahead")
    near = ahead is not None and ahead.savings > 0 >= found["q50"].savings
    return {
        CROSSING: not at_home and advised in _MOVES,
        RETURN: at_home and advised is Kind.RETURN_TO_API,
        ABOUT: not at_home and not gated and near and advised is Kind.STAY,
    }


def _told_as(rule: Rule, effect: Notify, seen: Seen) -> Crossed | None:
    """The message for an edge.

    That a crossing is no longer near is told by the report alone. So is that a move was made: who
    followed the advice must not read that it changed back.
    """
    if effect.kind == "unstable":
        return "unstable"
    told: dict[tuple[str, str], Crossed] = {
        (CROSSING.name, "firing"): "crossed_up",
        (CROSSING.name, "resolved"): "crossed_down",
        (RETURN.name, "firing"): "return_to_api",
        (ABOUT.name, "firing"): "about_to_cross",
    }
    found = told.get((rule.name, effect.kind))
    return None if found == "crossed_down" and seen.workload.runs_on != "api" else found


def _figures(conn: Connection, seen: Seen) -> Row:
    """The day's comparison, as a report of that day would have it."""
    named = {"workload": seen.workload.name, "deployment": seen.deployment.name}
    return figures.row(conn, "breakevens", **figures.period(seen.as_of), **named)


def _facts(
    kind: Crossed,
    seen: Seen,
    found: Mapping[str, Assessment],
    basis: Basis,
    policy: Policy,
    row: Row,
) -> AlertFacts:
    three = [found[q] for q in ("q10", "q50", "q90")]
    return AlertFacts(
        kind=kind,
        organisation=policy.organisation,
        workload=seen.workload.name,
        deployment=seen.deployment.name,
        as_of=datetime.fromtimestamp(seen.as_of, UTC),
        due_at=datetime.fromtimestamp(seen.due_at, UTC),
        advice=str(seen.advice.kind),
        reason=seen.advice.reason,
        month=seen.month,
        requests=_three(three, lambda a: a.requests),
        crossing_requests=three[1].crossing,
        api_usd=_three(three, lambda a: _dollars(a.api)),
        self_host_usd=_three(three, lambda a: _dollars(a.hybrid)),
        savings_usd=_three(three, lambda a: _dollars(a.savings)),
        ahead_month=seen.ahead_month,
        assumptions=basis.assumptions,
        zero_lines=basis.zero_lines,
        demo=policy.demo,
        row=row,
        in_house=bool(seen.workload.must_stay_in_house),
    )


def _three(found: Sequence[Assessment], of: Callable[[Assessment], T]) -> tuple[T, T, T]:
    low, mid, high = map(of, found)
    return low, mid, high


def _dollars(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 10**6)).scaleb(-6)
