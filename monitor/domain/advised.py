"""A recommendation as JSON: stable keys, dollars as text with cents, shares as text."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from monitor.domain import plan
from monitor.domain.breakeven import fixed, ratio
from monitor.domain.costs import request_tokens
from monitor.domain.gates import to_plain
from monitor.domain.reasons import Reason
from monitor.domain.recommend import Answer, Recommendation
from monitor.domain.scenario import Migration


def to_json(said: Recommendation) -> dict[str, Any]:
    """The whole recommendation in JSON types."""
    case, answer = said.case, said.answer
    return {
        "workload": said.money.scenario.workload.name,
        "as_of": case.as_of.isoformat(),
        "runs_on": case.facts.runs_on,
        **_answer(answer),
        "would_be": _answer(said.would_be) if said.would_be else None,
        "conditions": _reasons(said.conditions),
        "open_questions": _reasons(said.open_questions),
        "notes": _reasons(said.notes),
        "assumed_zero": list(said.assumed_zero),
        "figures": _figures(said),
        "orders": {
            "ours": said.ours._asdict(),
            "b": said.b_order._asdict(),
            "same": said.ours == said.b_order,
        },
        "bands": _bands(said),
        "options": [{**option._asdict(), "saves": _cents(option.saves)} for option in said.options],
        "hybrid": _hybrid(said),
        "gates": to_plain(case.gates),
        "lines": [
            {
                "name": line.name,
                "state": line.state,
                "usd_per_month": _cents(line.usd_per_month),
                "usd_once": _cents(line.usd_once),
                "source": line.source,
            }
            for line in case.facts.lines
        ],
        "plan": [
            {
                "phase": phase.number,
                "name": phase.name,
                "start": phase.start.isoformat(),
                "until": phase.until and phase.until.isoformat(),
            }
            for phase in said.phases
        ],
        "risks": [
            {"risk": row.risk, "side": row.side, "against": row.against} for row in case.guide.risks
        ],
        "comparison": plan.comparison(
            case.guide,
            said.money.found,
            said.money.scenario.migration.lead_days,
            said.latency,
        ),
        "latency": [
            {**row._asdict(), "low": ratio(row.low), "high": ratio(row.high)}
            for row in said.latency
        ],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "kind": str(answer.kind),
        "share": _share(answer.share),
        "replicas": answer.replicas,
        "tasks": list(answer.tasks),
        "reason": answer.reasons[0].id,
        "reasons": _reasons(answer.reasons),
    }


def _figures(said: Recommendation) -> dict[str, Any]:
    """Money is US dollars a month unless its name says otherwise."""
    money, found = said.money, said.money.found
    crossing = found.crossing
    return {
        "requests_per_month": money.requests,
        "tokens_per_month": round(money.requests * request_tokens(money.scenario.workload)),
        "api_usd_per_month": _cents(money.api),
        "own_usd_per_month": _cents(money.own),
        "savings_usd_per_month": _cents(money.savings),
        "optimised_api_usd_per_month": _cents(money.optimised),
        "savings_against_optimised_usd_per_month": _cents(money.optimised - money.own),
        "net_12_months_usd": _cents(money.net),
        "payback_months": ratio(money.payback_months),
        "crossing_requests_per_month": crossing,
        "crossing_reason": found.crossing_reason,
        "constraint_usd_per_month": _cents(said.constraint_usd),
        "waiting_usd": _cents(said.waiting_usd),
        "replicas": found.fleet.replicas,
        "gpus": found.fleet.gpus,
        "utilisation": ratio(found.utilisation),
        "peak_to_mean": ratio(money.scenario.workload.peak_to_mean),
        "coefficient_of_variation": ratio(said.case.facts.coefficient_of_variation),
        "verdict": money.verdict,
        **_switching(money.scenario.migration),
    }


def _switching(migration: Migration) -> dict[str, Any]:
    """What moving and returning cost once, and how long they take."""
    return {
        "setup_usd": _cents(migration.setup_usd),
        "lead_days": migration.lead_days,
        "dual_running_months": ratio(migration.dual_running_months),
        "exit_usd": _cents(migration.exit_usd),
        "exit_lead_days": migration.exit_lead_days,
    }


def _bands(said: Recommendation) -> list[dict[str, Any]]:
    return [
        {
            "source": placed.band.source,
            "written": placed.band.written,
            "usd_per_month": [_cents(end) for end in placed.band.usd],
            "tokens_per_month": [int(end) for end in placed.band.tokens],
            "place": placed.by_usd,
            "place_by_tokens": placed.by_tokens,
            "advice": placed.advice,
            "crossing": placed.crossing,
            "why": placed.why,
        }
        for placed in said.bands
    ]


def _hybrid(said: Recommendation) -> dict[str, Any]:
    money, best, base = said.money, said.money.best_share, said.money.base
    return {
        "shares": [
            {
                "share": _share(row.share),
                "usd_per_month": _cents(row.usd),
                "api_usd_per_month": _cents(row.api_usd),
                "api_falls": _share(row.api_falls),
                "saves_usd_per_month": _cents(row.saves),
            }
            for row in said.shares
        ],
        "best_share": {
            "share": _share(best.share),
            "usd_per_month": _cents(best.usd),
            "saves_usd_per_month": _cents(best.saves),
        },
        "tasks": money.tasks
        and {
            "names": list(money.tasks.names),
            "share": _share(money.tasks.share),
            "usd_per_month": _cents(money.tasks.usd),
            "api_usd_per_month": _cents(money.tasks.api_usd),
            "api_falls": _share(money.tasks.api_falls),
            "saves_usd_per_month": _cents(money.tasks.saves),
        },
        "base_load": base
        and {
            "replicas": base.replicas,
            "share": _share(base.share),
            "usd_per_month": _cents(base.usd),
            "saves_usd_per_month": _cents(base.saves),
        },
    }


def _reasons(reasons: Iterable[Reason]) -> list[dict[str, str]]:
    return [reason._asdict() for reason in reasons]


def _cents(usd: Fraction | None) -> str | None:
    return fixed(usd, 2)


def _share(share: Fraction) -> str:
    """Six places at most, without trailing zeros."""
    text = str(fixed(share, 6)).rstrip("0").rstrip(".")
    return text or "0"
