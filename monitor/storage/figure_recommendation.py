"""The figures of one recommendation beside its comparison: cost lines, a cheaper API, the plan.

Each asks for `workload` and `deployment`; the day is that of the newest advice in the week.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.storage.figure_spec import Spec

_OF = "workload = :workload AND deployment = :deployment"
_DAY = (
    "as_of = (SELECT MAX(as_of) FROM v_advice WHERE as_of <= :as_of AND as_of > :week_first"
    f" AND {_OF})"
)
_ADVICE = f"FROM v_advice WHERE {_OF} AND {_DAY}"
# Column of v_advice -> unit and what it is; a share of 1 is 100 percent.
_SCALARS = {
    "setup_usd": ("usd", "What moving costs once."),
    "lead_days": ("count", "Days from the decision to the switch."),
    "dual_running_months": ("months", "How long both sides are paid."),
    "exit_usd": ("usd", "What returning to the API would cost once."),
    "exit_lead_days": ("count", "Days that returning takes."),
    "net_12_months_usd": ("usd", "What 12 months bring, moving included, at stated prices."),
    "payback_months": ("months", "Until moving is earned back; unknown where it saves nothing."),
    "replicas": ("count", "Replicas, spares among them."),
    "gpus": ("count", "GPUs of them."),
    "peak_to_mean": ("times", "The peak that the fleet is sized on, over the mean hour."),
}

RECOMMENDATION: Mapping[str, Spec] = {
    **{
        f"recommendation.{name}": Spec(unit, about, f"SELECT {name} {_ADVICE}")
        for name, (unit, about) in _SCALARS.items()
    },
    "recommendation.utilisation": Spec(
        "percent",
        "How much of the fleet the mean hour uses.",
        f"SELECT ROUND(100.0 * utilisation, 4) {_ADVICE}",
    ),
    "recommendation.costs": Spec(
        "",
        "A month of own service by cost line, at the projection's q50.",
        f"SELECT line, ROUND(usd, 2) AS usd FROM v_assessment_line WHERE {_OF} AND {_DAY}"
        " AND volume = 'q50'",
        {"line": "text", "usd": "usd"},
        ("line",),
    ),
    "recommendation.lines": Spec(
        "",
        "Every cost line as it was taken: configured, assumed from a source, or zero.",
        "SELECT line, state, usd_per_month, usd_once, usd_per_gpu_hour, usd_per_million_tokens,"
        f" replicas, source, priced_on FROM v_advice_line WHERE {_OF} AND {_DAY}",
        {
            "line": "text",
            "state": "text",
            "usd_per_month": "usd",
            "usd_once": "usd",
            "usd_per_gpu_hour": "usd",
            "usd_per_million_tokens": "usd_per_million",
            "replicas": "count",
            "source": "text",
            "priced_on": "day",
        },
        ("line",),
    ),
    "recommendation.options": Spec(
        "",
        "What would make the API cheaper, and what each saves a month; unknown without its fact.",
        f"SELECT option_id, name, saves_usd, assumption, source FROM v_advice_option"
        f" WHERE {_OF} AND {_DAY}",
        {
            "option_id": "text",
            "name": "text",
            "saves_usd": "usd",
            "assumption": "text",
            "source": "text",
        },
        ("option_id",),
    ),
    "recommendation.plan": Spec(
        "",
        "The four phases of a migration that begins on the day of the advice.",
        f"SELECT phase, step, starts, ends FROM v_advice_phase WHERE {_OF} AND {_DAY}",
        {"phase": "count", "step": "text", "starts": "day", "ends": "day"},
        ("phase",),
    ),
}
