"""The figures of budgets, showback and contracts."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.storage.figure_spec import Spec, cells

_STATE = {
    "every": "text",
    "period": "text",
    "first_day": "day",
    "end_day": "day",
    "scope": "text",
    "scope_name": "text",
    "owner": "text",
    "as_of": "day",
    "amount": "usd",
    "spent": "usd",
    "basis": "text",
    "unpriced_tokens": "tokens",
    "projected_q10": "usd",
    "projected_q50": "usd",
    "projected_q90": "usd",
    "percent_spent": "percent",
    "percent_projected": "percent",
    "percent_elapsed": "percent",
    "remark": "text",
}
_COLUMNS = ", ".join(
    f"b.{name}_usd AS {name}" if unit == "usd" else f"b.{name}" for name, unit in _STATE.items()
)
_NEWEST = (
    "SELECT MAX(n.as_of) FROM v_budget_daily n WHERE n.budget = b.budget AND n.as_of <= :as_of"
)
BUDGETS = Spec(
    "",
    "Where each budget stands in the period of the last day.",
    f"SELECT b.budget, {_COLUMNS} FROM v_budget_daily b WHERE b.as_of = ({_NEWEST})"
    " AND b.first_day < :as_of AND b.end_day >= :as_of",
    {"budget": "text", **_STATE},
    ("budget",),
)

_OF_MONTH = "FROM v_showback_daily WHERE day >= :month_first AND day < :as_of"
_TOTAL = f"NULLIF((SELECT SUM(estimated_usd) {_OF_MONTH}), 0)"
_AMOUNTS = (
    "SUM(tokens) AS tokens, ROUND(SUM(estimated_usd), 6) AS usd,"
    f" ROUND(100.0 * SUM(estimated_usd) / {_TOTAL}, 2) AS share,"
    " SUM(unpriced_tokens) AS unpriced_tokens"
)
_PARTS = {"tokens": "tokens", "usd": "usd", "share": "percent", "unpriced_tokens": "tokens"}
UNTAGGED, NO_COST_CENTRE = "untagged", "no cost centre"


def _by(column: str, name: str, absent: str) -> str:
    shown = f"COALESCE(NULLIF({column}, ''), '{absent}')"
    return f"SELECT {shown} AS {name}, {_AMOUNTS} {_OF_MONTH} GROUP BY {shown}"


def _share(condition: str) -> str:
    return (
        f"SELECT ROUND(100.0 * SUM(CASE WHEN {condition} THEN estimated_usd ELSE 0 END)"
        f" / {_TOTAL}, 2) {_OF_MONTH}"
    )


COST_CENTRES = Spec(
    "",
    "The month to date by cost centre of the workload, estimated.",
    _by("cost_centre", "cost_centre", NO_COST_CENTRE),
    {"cost_centre": "text", **_PARTS},
    ("cost_centre",),
)
LABELS = Spec(
    "",
    "The month to date by tag of the source, estimated.",
    _by("label", "label", UNTAGGED),
    {"label": "text", **_PARTS},
    ("label",),
)

_DRAWN = {
    "day": "day",
    "valid_from": "day",
    "valid_to": "day",
    "days_left": "count",
    "promised": "usd",
    "used": "usd",
    "to_use": "usd",
    "run_rate": "usd",
    "known_from": "day",
    "committed": "usd",
    "drawn": "usd",
    "shortfall": "usd",
    "at_end": "usd",
    "unpriced_tokens": "tokens",
}
_TERMS = ", ".join(
    f"c.{name}_usd AS {name}" if unit == "usd" else f"c.{name}" for name, unit in _DRAWN.items()
).replace("c.promised_usd", "c.commit_usd")
CONTRACTS = Spec(
    "",
    "How each commitment is drawn down, as of the month's last day that was metered.",
    f"SELECT c.account, {_TERMS} FROM v_contract c WHERE c.day = (SELECT MAX(n.day)"
    " FROM v_contract n WHERE n.account = c.account AND n.day >= :month_first AND n.day < :as_of)",
    {"account": "text", **_DRAWN},
    ("account",),
)

FINANCE: Mapping[str, Spec] = {
    "budgets": BUDGETS,
    **cells("budget", BUDGETS),
    "cost_centres": COST_CENTRES,
    **cells("cost_centre", COST_CENTRES),
    "labels": LABELS,
    **cells("label", LABELS),
    "contracts": CONTRACTS,
    **cells("contract", CONTRACTS),
    "showback.untagged": Spec(
        "percent", "How much of the month's estimate carries no tag.", _share("label = ''")
    ),
    "showback.no_cost_centre": Spec(
        "percent",
        "How much of the month's estimate no cost centre answers for.",
        _share("cost_centre = ''"),
    ),
    "showback.unassigned": Spec(
        "percent",
        "How much of the month's estimate belongs to no workload.",
        _share("workload = 'unassigned'"),
    ),
    "showback.year_to_date": Spec(
        "usd",
        "Spend from the first of the year, as far as it was read: billed where final, else"
        " estimated.",
        "SELECT ROUND(SUM(usd), 6) FROM v_spend_daily WHERE day >= :year_first AND day < :as_of",
    ),
    "showback.year_known_from": Spec(
        "day",
        "The first day of the year with any spend on record.",
        "SELECT MIN(day) FROM v_spend_daily WHERE day >= :year_first AND day < :as_of",
    ),
}
