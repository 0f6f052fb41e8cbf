"""The tables behind pictures: what is shown over days, weeks and hours."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.storage.figure_spec import Spec

WEEKS = 26
"""How far back the unit costs go."""

# A mean over measured minutes only: an hour without readings is unknown, not idle.
UTILISATION = (
    "ROUND(SUM(CASE WHEN util_mean IS NOT NULL THEN util_mean * minutes_measured END)"
    " / NULLIF(SUM(CASE WHEN util_mean IS NOT NULL THEN minutes_measured END), 0), 2)"
)

SERIES: Mapping[str, Spec] = {
    "spend.by_workload": Spec(
        "",
        "Each workload's spend by day of the month, estimated; unknown where no token has a rate.",
        "SELECT day, workload, CASE WHEN tokens > unpriced_tokens OR tokens = 0"
        " THEN estimated_usd END AS usd, unpriced_tokens FROM v_workload_daily"
        " WHERE day >= :month_first AND day < :as_of",
        {"day": "day", "workload": "text", "usd": "usd", "unpriced_tokens": "tokens"},
        ("day", "workload"),
    ),
    "unit_cost.weeks": Spec(
        "",
        f"Estimated dollars per million priced API tokens in each of the last {WEEKS} weeks, by"
        " their Mondays.",
        "SELECT week, SUM(tokens) - SUM(unpriced_tokens) AS priced_tokens,"
        " CASE WHEN SUM(tokens) > SUM(unpriced_tokens) THEN ROUND(SUM(estimated_usd) * 1000000.0"
        " / (SUM(tokens) - SUM(unpriced_tokens)), 6) END AS usd_per_million FROM v_workload_weekly"
        " WHERE week >= :weeks_first AND week <= :week_first GROUP BY week",
        {"week": "day", "priced_tokens": "tokens", "usd_per_million": "usd_per_million"},
        ("week",),
    ),
    "unit_cost.own_months": Spec(
        "",
        "Own engines' dollars per million tokens served in each closed month of workloads that"
        f" moved, by their deployments' cost lines, within the last {WEEKS} weeks.",
        "SELECT month, SUM(own_tokens) AS tokens, ROUND(SUM(own_usd) * 1000000.0"
        " / SUM(own_tokens), 6) AS usd_per_million FROM v_after_move"
        " WHERE month >= SUBSTR(:weeks_first, 1, 7) AND settled_at < :told_until"
        " AND own_usd IS NOT NULL AND own_tokens > 0 GROUP BY month",
        {"month": "month", "tokens": "tokens", "usd_per_million": "usd_per_million"},
        ("month",),
    ),
    "gpu.hourly": Spec(
        "",
        "Each GPU server's mean utilisation by hour of the week; unknown where not measured.",
        f"SELECT hour, host, {UTILISATION} AS utilisation,"
        " ROUND(SUM(minutes_measured) / 60.0, 2) AS hours_measured FROM v_gpu_hourly"
        " WHERE hour >= :week_first AND hour < :as_of GROUP BY hour, host",
        {
            "hour": "instant",
            "host": "text",
            "utilisation": "percent",
            "hours_measured": "hours",
        },
        ("hour", "host"),
    ),
}
