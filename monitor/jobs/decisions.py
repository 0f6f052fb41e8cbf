"""Recording what people decided, and asking whether it still stands."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from sqlalchemy import Connection

from monitor.domain.breakeven import cents
from monitor.domain.decisions import Choice, Decision, Standing, stands, worth
from monitor.domain.errors import InputError
from monitor.domain.money import PICO
from monitor.storage import decisions, demand


def decide(
    conn: Connection,
    workload: str,
    deployment: str,
    kind: Choice,
    until: int | None,
    why: str,
    by: str,
    at: datetime,
) -> None:
    """Record a decision about a deployment of a workload, or about all where it is ''.

    Raises:
        InputError: no such workload or deployment is configured, or the date is not ahead.
    """
    now = int(at.timestamp())
    if until is not None and until <= now:
        raise InputError("--until is not ahead", "Name a day after today.")
    found = next((w for w in demand.workloads(conn) if w.name == workload), None)
    if found is None:
        raise InputError(f"there is no workload {workload!r}", "Name one of the configuration.")
    every = demand.deployments(conn, found.id)
    if not every:
        raise InputError(
            f"{workload} has no deployment, so that nothing is advised on it",
            "Configure a [[deployment]] for it, or name another workload.",
        )
    chosen = [d for d in every if deployment in ("", d.name)]
    if not chosen:
        raise InputError(
            f"{workload} has no deployment {deployment!r}",
            f"Name one of: {', '.join(d.name for d in every)}.",
        )
    known = {d.name: decisions.facts(conn, found.id, d.id, now) for d in chosen}
    facts = {name: each for name, each in known.items() if each}
    named = chosen[0] if deployment else None
    decisions.put(conn, found, named, Decision(kind, until, why, by, None), facts, at)


def worths(conn: Connection) -> list[dict[str, object]]:
    """Every decision, newest first, with what following it was worth since.

    `modelled_worth_usd` is of the `assessed_days`, one-off cost left out; `measured_saving_usd` is
    what own engines saved after an accepted move. None is unknown.
    """
    known = decisions.stood(conn)
    return [_worth(dict(row), known[row["decision_id"]]) for row in decisions.listed(conn)]


def _worth(row: dict[str, object], stood: decisions.Stood) -> dict[str, object]:
    found, saved = worth(stood.kind, stood.savings), stood.measured_pico
    row.pop("decision_id")
    return row | {
        "assessed_days": found.days if found else 0,
        "modelled_worth_usd": cents(found.usd) if found else None,
        "measured_saving_usd": None if saved is None else cents(Fraction(saved, PICO)),
    }


def standing(
    conn: Connection,
    workload: demand.Workload,
    deployment: demand.Deployment,
    as_of: int,
    share: Fraction,
    until: int | None = None,
) -> Standing | None:
    """What the newest decision, of those made until an instant, comes to on a day.

    None: nobody decided.
    """
    decision = decisions.newest(conn, workload, deployment, until)
    if decision is None:
        return None
    return stands(decision, decisions.facts(conn, workload.id, deployment.id, as_of), as_of, share)
