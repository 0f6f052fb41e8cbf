"""The daily decision: project every workload, assess its deployments, advise, and alert on edges.

All of a day is one transaction: projections, assessments, advice, alert transitions and the
messages they cause are stored together or not at all.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from fractions import Fraction

from sqlalchemy import Connection

from monitor.domain import advice as advising
from monitor.domain import breakeven
from monitor.domain.forecast import NotEnough, Projection, project
from monitor.domain.periods import add_months, month_of
from monitor.domain.scenario import Scenario, to_document
from monitor.domain.usage import DAY
from monitor.jobs.alerting import Policy, Seen, raise_alerts
from monitor.jobs.basis import Basis, at_volume, measured
from monitor.jobs.plan import NotReady
from monitor.storage import results, rollup
from monitor.storage.setup import ALL
from monitor.storage.work import Claim

log = logging.getLogger("crossover.decide")

_LATE_AFTER = DAY
_AHEAD = 3


def decide(conn: Connection, claim: Claim, now: int, policy: Policy) -> Mapping[str, object]:
    """Decide for the closed day that the run names.

    Raises:
        NotReady: a source has not closed the day yet, or it waits to be rolled up.
    """
    as_of = claim.row["period_end"]
    if late := results.not_closed(conn, policy.live_sources, as_of):
        reason = f"waits for {', '.join(late)}"
        # Counted from when it was planned: the first start plans days that are long past.
        if now - claim.row["added_at"] < _LATE_AFTER:
            raise NotReady(reason)
        # Late data never changes a state: the day counts neither for nor against.
        return {"state": "skipped", "error": reason}
    if waiting := rollup.waiting(conn, as_of):
        raise NotReady(f"waits for {len(waiting)} days to be rolled up")
    for workload in results.workloads(conn):
        projected = _project_all(conn, workload, as_of, policy.lead_days)
        if workload.name != ALL:
            for deployment in results.deployments(conn, workload.id):
                _assess(conn, workload, deployment, projected, claim, now, policy)
    return {}


Projected = dict[tuple[str, str], Projection | NotEnough]
"""(unit, month) -> projection."""


def _project_all(
    conn: Connection, workload: results.Workload, as_of: int, lead_days: int
) -> Projected:
    """This month (of the last closed day) and the next ones, in tokens, requests and dollars."""
    first = month_of(as_of - DAY)
    ahead = min(_AHEAD, 1 + -(-lead_days // 30))
    found: Projected = {}
    for unit in results.UNITS:
        daily = results.daily(conn, workload, unit, as_of)
        for month in (add_months(first, n) for n in range(ahead + 1)):
            projection = project(daily, month, as_of)
            results.put_projection(conn, workload, unit, projection)
            found[unit, month] = projection
    return found


def _assess(
    conn: Connection,
    workload: results.Workload,
    deployment: results.Deployment,
    projected: Projected,
    claim: Claim,
    now: int,
    policy: Policy,
) -> None:
    as_of = claim.row["period_end"]
    month, ahead = month_of(as_of), month_of(as_of + policy.lead_days * DAY)
    basis = measured(conn, workload, deployment, as_of)
    why = basis if isinstance(basis, str) else ""
    present = projected.get(("requests", month))
    found: dict[str, breakeven.Assessment] = {}
    if isinstance(basis, Basis) and isinstance(present, Projection):
        volumes = {q: (month, getattr(present, q)) for q in ("q10", "q50", "q90")}
        later = projected.get(("requests", ahead))
        if isinstance(later, Projection):
            volumes["ahead"] = (ahead, later.q50)
        for volume, (of, requests) in volumes.items():
            scenario = at_volume(basis.scenario, requests)
            found[volume] = breakeven.assess(scenario)
            key = (workload.id, deployment.id, as_of, volume, of)
            _store(conn, key, scenario, found[volume], policy.rules_hash)
    share = basis.scenario.workload.share_moved if isinstance(basis, Basis) else Fraction(1)
    advised = _advise(conn, workload, deployment, as_of, found.get("q10"), share, why)
    seen = Seen(workload, deployment, as_of, claim.row["due_at"], advised, month, ahead)
    if isinstance(basis, Basis):
        raise_alerts(conn, seen, found, basis, now, policy)


def _store(
    conn: Connection,
    key: tuple[int, int, int, str, str],
    scenario: Scenario,
    found: breakeven.Assessment,
    rules_hash: str,
) -> None:
    names = ("workload_id", "deployment_id", "as_of", "volume", "month")
    results.put_assessment(
        conn,
        {
            **dict(zip(names, key, strict=True)),
            "scenario": json.dumps(to_document(scenario), sort_keys=True),
            "result": json.dumps(breakeven.to_json(found), sort_keys=True),
            "requests": found.requests,
            "api_pico": results.pico_of(found.api),
            "hybrid_pico": results.pico_of(found.hybrid),
            "savings_pico": results.pico_of(found.savings),
            "crossing_requests": found.crossing,
            "verdict": found.verdict,
            "rules_hash": rules_hash,
        },
    )


def _advise(
    conn: Connection,
    workload: results.Workload,
    deployment: results.Deployment,
    as_of: int,
    low: breakeven.Assessment | None,
    share_moved: Fraction,
    why_not: str,
) -> advising.Advice:
    before = results.advice_before(conn, workload.id, deployment.id, as_of)
    state = advising.from_json(before["state"]) if before else advising.AdviceState()
    evidence = advising.Evidence(
        savings_q10_pico=results.pico_of(low.savings) if low else 0,
        api_q10_pico=results.pico_of(low.api) if low else 0,
        share_moved=share_moved,
        must_stay_on_api=workload.must_stay_on_api,
        must_stay_in_house=workload.must_stay_in_house,
        enough_history=low is not None,
        currently=workload.runs_on,
        open_gates=(),
    )
    state, advised = advising.advise(state, evidence, as_of)
    if why_not:
        advised = advised._replace(reason=f"{why_not} {advised.reason}")
    results.put_advice(
        conn,
        {
            "workload_id": workload.id,
            "deployment_id": deployment.id,
            "as_of": as_of,
            "kind": str(advised.kind),
            "reason": advised.reason,
            "since": advised.since,
            "state": advising.to_json(state),
        },
    )
    return advised
