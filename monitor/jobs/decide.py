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
from sqlalchemy.exc import DBAPIError

from monitor.domain import advice as advising
from monitor.domain import breakeven, switching
from monitor.domain.errors import CrossoverError, InputError
from monitor.domain.forecast import MONTHS_AHEAD, Projection
from monitor.domain.gates import open_questions
from monitor.domain.periods import add_months, month_of
from monitor.domain.scenario import to_document
from monitor.domain.usage import DAY
from monitor.domain.volumes import of_projection
from monitor.jobs import budgets, crossings, ranging, watching
from monitor.jobs.alerting import Policy, raise_signals
from monitor.jobs.basis import MIX_DAYS, Basis, at_volume, measured
from monitor.jobs.plan import NotReady
from monitor.jobs.projecting import Projected, project_all
from monitor.jobs.recommending import Judging, case_of, cost_lines, day_of, gated, questionnaire
from monitor.storage import demand, results, rollup
from monitor.storage.work import Claim

log = logging.getLogger("crossover.decide")

_LATE_AFTER = DAY


def decide(conn: Connection, claim: Claim, now: int, policy: Policy) -> Mapping[str, object]:
    """Decide for the closed day that the run names.

    A workload whose sources are late after a day of waiting is left out: late data counts neither
    for nor against. So is one whose figures cannot be computed. Neither stops the others.

    Raises:
        NotReady: a source has not closed the day yet, or it waits to be rolled up.
    """
    as_of = claim.row["period_end"]
    late = demand.not_closed(conn, policy.live_sources, as_of)
    # Counted from when it was planned: the first start plans days that are long past.
    if late and now - claim.row["added_at"] < _LATE_AFTER:
        raise NotReady(f"waits for {', '.join(late)}")
    if waiting := rollup.waiting(conn, as_of):
        raise NotReady(f"waits for {len(waiting)} days to be rolled up")
    workloads = demand.workloads(conn)
    left_out = [note for w in workloads if (note := _decide_one(conn, w, claim, now, policy))]
    state = "skipped" if len(left_out) == len(workloads) else "done"
    left_out += budgets.stand_at(conn, as_of, policy.live_sources)
    left_out += watching.daily(conn, as_of, now, policy)
    return {"state": state, "error": "; ".join(left_out)}


def fill_in(conn: Connection, as_of: int, policy: Policy) -> None:
    """Project what a day's decision left out because its data was late, and stand its budgets.

    Only days before `as_of` are used, as on the day itself. Nothing is assessed, advised or
    alerted of a day that later ones have passed: their states depend on the order of days.
    """
    projected = results.projected_at(conn, as_of)
    for workload in demand.workloads(conn):
        if workload.id not in projected:
            _project_all(conn, workload, as_of, policy)
    budgets.stand_at(conn, as_of, policy.live_sources)


def _decide_one(
    conn: Connection, workload: demand.Workload, claim: Claim, now: int, policy: Policy
) -> str:
    """Project and assess one workload; returns why it was left out, or ''."""
    as_of = claim.row["period_end"]
    if late := demand.not_closed(conn, policy.live_sources, as_of, workload):
        return f"{workload.name} was left out: {', '.join(late)} did not close the day"
    notes = []
    projected = _project_all(conn, workload, as_of, policy)
    for deployment in demand.deployments(conn, workload.id):
        try:
            # What fails takes back its own rows alone.
            with conn.begin_nested():
                _assess(conn, workload, deployment, projected, claim, now, policy)
        except (CrossoverError, ArithmeticError, ValueError, DBAPIError) as error:
            log.warning("%s on %s was not compared: %s", workload.name, deployment.name, error)
            notes.append(f"{workload.name} on {deployment.name} was not compared: {error}")
    return "; ".join(notes)


def _project_all(
    conn: Connection, workload: demand.Workload, as_of: int, policy: Policy
) -> Projected:
    """The month of the last closed day and those up to the lead time, in every unit, stored."""
    months = _months(as_of, policy.lead_days)
    found = project_all(conn, workload, months, as_of, policy.live_sources)
    for unit in demand.UNITS:
        for month in months:
            results.put_projection(conn, workload, unit, found[unit, month])
    return found


def _months(as_of: int, lead_days: int) -> list[str]:
    last = min(month_of(as_of + lead_days * DAY), add_months(month_of(as_of), MONTHS_AHEAD))
    months = [month_of(as_of - DAY)]
    while months[-1] < max(last, add_months(months[0], 1)):
        months.append(add_months(months[-1], 1))
    return months


def _assess(
    conn: Connection,
    workload: demand.Workload,
    deployment: demand.Deployment,
    projected: Projected,
    claim: Claim,
    now: int,
    policy: Policy,
) -> None:
    as_of = claim.row["period_end"]
    configured, workload = workload, gated(workload, as_of)
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
            ranged = _ranged(found[volume], projected, month) if volume == "q50" else ""
            _store(conn, key, found[volume], basis, policy.rules_hash, ranged)
    share = basis.scenario.workload.share_moved if isinstance(basis, Basis) else Fraction(1)
    judging = view = None
    if isinstance(basis, Basis) and "q50" in found:
        view = _view(conn, workload, basis, as_of, policy)
        hours = demand.hourly_requests(conn, workload, as_of - MIX_DAYS * DAY, as_of)
        scenario = found["q50"].scenario
        judging = Judging(
            case_of(
                configured, deployment, scenario, as_of, hours, basis.assumptions, policy.guide
            ),
            cost_lines(deployment),
        )
    advised = _advise(conn, workload, deployment, as_of, view, share, why, judging)
    seen = crossings.Seen(workload, deployment, as_of, advised, month)
    if isinstance(basis, Basis):
        daily = demand.daily(conn, workload, "requests", as_of, policy.live_sources)
        signals = crossings.signals(conn, seen, found, basis, daily, policy)
        raise_signals(conn, signals, now, policy, crossings.quiet(conn, seen, policy, now))


def _view(
    conn: Connection, workload: demand.Workload, basis: Basis, as_of: int, policy: Policy
) -> switching.View:
    """What the rule of moving and returning sees: daily demand, and both bills by volume."""
    daily = demand.daily(conn, workload, "requests", as_of, policy.live_sources)
    return switching.View(
        as_of // DAY, switching.history(daily, as_of), switching.Bills(basis.scenario)
    )


def _ranged(found: breakeven.Assessment, projected: Projected, month: str) -> str:
    """Ranges and flips as JSON, or '' where the figures are too large for them."""
    known = []
    while isinstance(projection := projected.get(("requests", month)), Projection):
        known.append(of_projection(projection))
        month = add_months(month, 1)
    try:
        return json.dumps(ranging.document(found, known), sort_keys=True)
    except InputError as error:
        log.warning("%s has no ranges: %s", found.scenario.workload.name, error)
        return ""


def _store(
    conn: Connection,
    key: tuple[int, int, int, str, str],
    found: breakeven.Assessment,
    basis: Basis,
    rules_hash: str,
    ranged: str,
) -> None:
    names = ("workload_id", "deployment_id", "as_of", "volume", "month")
    results.put_assessment(
        conn,
        {
            **dict(zip(names, key, strict=True)),
            "scenario": json.dumps(to_document(found.scenario), sort_keys=True),
            "result": json.dumps(breakeven.to_json(found), sort_keys=True),
            "requests": found.requests,
            "api_pico": results.pico_of(found.api),
            "hybrid_pico": results.pico_of(found.hybrid),
            "savings_pico": results.pico_of(found.savings),
            "crossing_requests": found.crossing,
            "verdict": found.verdict,
            "rules_hash": rules_hash,
            "ranges": ranged,
            "assumptions": json.dumps(list(basis.assumptions)),
        },
    )


def _advise(
    conn: Connection,
    workload: demand.Workload,
    deployment: demand.Deployment,
    as_of: int,
    view: switching.View | None,
    share_moved: Fraction,
    why_not: str,
    judging: Judging | None,
) -> advising.Advice:
    before = results.advice_before(conn, workload.id, deployment.id, as_of)
    state = advising.from_json(before["state"]) if before else advising.AdviceState()
    evidence = advising.Evidence(
        view=view,
        share_moved=share_moved,
        must_stay_on_api=workload.must_stay_on_api,
        must_stay_in_house=workload.must_stay_in_house,
        currently=workload.runs_on,
        open_gates=open_questions(questionnaire(workload), day_of(as_of)),
    )
    state, advised = advising.advise(state, evidence, as_of, judging)
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
            "document": judging.document() if judging else "{}",
        },
    )
    return advised
