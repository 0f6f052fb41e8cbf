"""The rule book in force: what each rule compares, and whether there is anything to see."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from monitor.domain.alerts import Rule
from monitor.domain.rulebook import BOOK, Limits
from monitor.domain.watch_answers import NotConfigured
from monitor.jobs.alerting import Policy
from monitor.storage import watching_state

WATCHED, OFF = "watched", "off"

_UNITS = {"daily": "day", "hourly": "hour"}


def listed(conn: Connection, policy: Policy, *, certificates: bool) -> list[dict[str, object]]:
    """Every rule with its state: watched, off, or not configured and why.

    Args:
        conn: of any transaction.
        policy: the configuration's.
        certificates: whether a server is configured whose certificate is read.
    """
    missing = _missing(conn, policy, certificates=certificates)
    return [_row(name, policy, missing.get(name, "")) for name in BOOK]


def _row(name: str, policy: Policy, why_not: str) -> dict[str, object]:
    rule = policy.rules.get(name, BOOK[name])
    state = WATCHED if name in policy.rules else OFF
    if why_not and state == WATCHED:
        state = f"not configured: {why_not}"
    return {
        "rule": name,
        "state": state,
        "severity": rule.severity,
        "looks": rule.cadence,
        "fires": _fires(rule),
        "ends": f"after {_counted(rule.leave_after, rule)}",
        "limits": _limits(policy.limits.get(name, Limits())),
        "owner": rule.owner,
        "runbook": rule.runbook,
        "version": rule.version,
    }


def _fires(rule: Rule) -> str:
    if rule.n == rule.m:
        return f"on {_counted(rule.n, rule)}"
    return f"on {rule.n} of {_counted(rule.m, rule)}"


def _counted(count: int, rule: Rule) -> str:
    return f"{count} {_UNITS[rule.cadence]}{'' if count == 1 else 's'}"


def _limits(found: Limits) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in found._asdict().items() if value is not None
    )


def _missing(conn: Connection, policy: Policy, *, certificates: bool) -> Mapping[str, str]:
    """Rule -> why it sees nothing."""
    seen = watching_state.there(conn)
    compares = "" if seen.deployments else "there is no [[deployment]] to compare with"
    spends = "" if seen.usage else "no usage has been read yet"
    budget = "" if seen.budgets else "there is no [[budget]]"
    gpus = "" if seen.gpus else "no GPU has been read yet"
    home = "no workload runs on own GPUs"
    ends = certificates or seen.contracts or policy.expiring
    answers = policy.answers.reason if isinstance(policy.answers, NotConfigured) else ""
    found = {
        **dict.fromkeys(("crossing", "move", "about_to_cross"), compares),
        "return_to_api": "" if seen.moved_and_compared else f"{home} that a deployment describes",
        **dict.fromkeys(("budget", "budget_projected"), budget),
        **dict.fromkeys(
            ("spend_anomaly", "unpriced_spend", "price_change", "model_change"), spends
        ),
        "unreconciled_spend": "" if seen.bills else "no source reads bills",
        "gpu_idle": gpus,
        "telemetry_lost": gpus,
        "failover_spend": "" if seen.moved else home,
        "source_stale": "" if policy.live_sources else "there is no [[source]]",
        "expiry": "" if ends else "nothing is known to end",
        **dict.fromkeys(("rate_limit", "availability"), answers),
    }
    return {name: why for name, why in found.items() if why}
