"""The views: what people query. The same names and columns on both engines.

Days, months and instants are ISO 8601 text in UTC; `usd` columns are rounded to six places; an
amount of pico-units is summed as two parts, because one 64-bit SUM overflows at 9.2 million
dollars. Views hold no data: every migration drops them and makes them anew from this file.
"""

from __future__ import annotations

from sqlalchemy import Connection

from monitor.domain.usage import TOKEN_CLASSES
from monitor.domain.workloads import UNASSIGNED
from monitor.storage import view_advice, view_money
from monitor.storage.setup import ALL
from monitor.storage.spelling import COUNTED, TOKENS, Sql

_SERIES = """
  JOIN series s ON s.id = d.series_id
  JOIN stream t ON t.id = s.stream_id
  JOIN source o ON o.id = t.source_id
  JOIN account a ON a.id = s.account_id
  LEFT JOIN workload w ON w.id = s.workload_id"""
_CLASSES = ", ".join(f"SUM(d.{name}) AS {name}" for name in TOKEN_CLASSES)
_DIMENSIONS = (
    "s.provider, s.model, s.project, s.api_key, s.actor, s.tier, s.batch, s.region, s.label"
)


def _usage_daily(q: Sql) -> str:
    return f"""
SELECT {q.day("d.day")} AS day, a.name AS account, o.name AS source, t.name AS stream,
  {_DIMENSIONS}, COALESCE(w.name, 'unassigned') AS workload,
  SUM(d.requests) AS requests, SUM(d.tokens) AS tokens, {_CLASSES}, SUM(d.reasoning) AS reasoning,
  {q.sum_pico("d.estimated_pico")} AS estimated_usd, SUM(d.unpriced_tokens) AS unpriced_tokens
FROM usage_day d {_SERIES}
WHERE {COUNTED}
GROUP BY d.day, a.name, o.name, t.name, s.id, {_DIMENSIONS}, w.name"""


# The first day of 1970 was a Thursday.
_MONDAY = "(d.day - (d.day / 86400 + 3) % 7 * 86400)"


def _workload(q: Sql, period: str, name: str) -> str:
    usd = q.sum_pico("d.estimated_pico")
    return f"""
SELECT {period} AS {name}, COALESCE(w.name, 'unassigned') AS workload,
  SUM(d.requests) AS requests, SUM(d.tokens) AS tokens, {usd} AS estimated_usd,
  SUM(d.unpriced_tokens) AS unpriced_tokens,
  CASE WHEN SUM(d.tokens) > SUM(d.unpriced_tokens) THEN
    ROUND({q.real(usd)} * 1000000.0 / (SUM(d.tokens) - SUM(d.unpriced_tokens)), 6)
  END AS usd_per_million_tokens
FROM usage_day d {_SERIES}
WHERE {COUNTED} AND s.provider <> 'self'
GROUP BY {period}, w.name"""


# What is configured, without what the setup adds: the whole and what no pattern matches.
_WORKLOADS = f"""
SELECT w.name AS workload, w.owner, w.cost_centre, w.runs_on
FROM workload w WHERE w.configured AND w.name NOT IN ('{ALL}', '{UNASSIGNED}')"""


# The spend of an account and day: billed once every bill stream of its money source is closed
# through that day and has billed something for it, else estimated: a bill that did not come is
# not a bill of $0. One row for each, amounts in two parts (see `parts`).
def _spend_parts(q: Sql) -> str:
    rate = (
        "(SELECT f.usd_nano FROM fx f WHERE f.currency = d.currency AND f.day <= d.day"
        " ORDER BY f.day DESC LIMIT 1)"
    )
    # Whole numbers round alike on both engines: whole units, and their hundred-millionths.
    nano = f"(d.amount_pico / 1000000000000 * {rate})"
    pico = f"(d.amount_pico % 1000000000000 / 10000 * {rate} / 100000)"
    micro = (
        "CASE WHEN d.currency = 'USD' THEN d.amount_pico / 1000000"
        f" ELSE {nano} / 1000 + {pico} / 1000000 END"
    )
    rest = (
        "CASE WHEN d.currency = 'USD' THEN d.amount_pico % 1000000"
        f" ELSE {nano} % 1000 * 1000 + {pico} % 1000000 END"
    )
    unconverted = f"CASE WHEN d.currency <> 'USD' AND {rate} IS NULL THEN d.amount_pico END"
    return f"""
WITH estimated AS (
  SELECT s.account_id, d.day, {q.parts("d.estimated_pico", "estimated")},
    SUM(d.unpriced_tokens) AS unpriced_tokens
  FROM usage_day d JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id
    JOIN account a ON a.id = s.account_id
  WHERE {COUNTED} AND s.provider <> 'self'
  GROUP BY s.account_id, d.day
), billed AS (
  SELECT s.account_id, d.day, SUM({micro}) AS billed_micro, SUM({rest}) AS billed_rest,
    {q.parts(unconverted, "unconverted")}
  FROM bill d JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id
    JOIN account a ON a.id = s.account_id
  WHERE a.money_from = t.source_id
  GROUP BY s.account_id, d.day
), days AS (
  SELECT account_id, day FROM estimated UNION SELECT account_id, day FROM billed
)
SELECT k.day, k.account_id, a.name AS account,
  CASE WHEN EXISTS (SELECT 1 FROM stream t WHERE t.source_id = a.money_from AND t.feeds = 'bill')
    AND NOT EXISTS (
      SELECT 1 FROM stream t LEFT JOIN watermark m ON m.stream_id = t.id
      WHERE t.source_id = a.money_from AND t.feeds = 'bill'
        AND COALESCE(m.closed_through, 0) < k.day + 86400)
    AND b.account_id IS NOT NULL
    THEN 1 ELSE 0 END AS closed,
  e.estimated_micro, e.estimated_rest, COALESCE(e.unpriced_tokens, 0) AS unpriced_tokens,
  b.billed_micro, b.billed_rest, b.unconverted_micro, b.unconverted_rest
FROM days k JOIN account a ON a.id = k.account_id
  LEFT JOIN estimated e ON e.account_id = k.account_id AND e.day = k.day
  LEFT JOIN billed b ON b.account_id = k.account_id AND b.day = k.day"""


def _spend(q: Sql, period: str, name: str) -> str:
    return f"""
WITH chosen AS (
  SELECT p.*,
    CASE WHEN closed = 1 THEN billed_micro ELSE estimated_micro END AS spend_micro,
    CASE WHEN closed = 1 THEN billed_rest ELSE estimated_rest END AS spend_rest,
    CASE WHEN closed = 1 THEN billed_micro END AS final_micro,
    CASE WHEN closed = 1 THEN billed_rest END AS final_rest
  FROM spend_parts p
)
SELECT {period} AS {name}, account,
  CASE WHEN MIN(closed) = 1 THEN 'billed' WHEN MAX(closed) = 0 THEN 'estimated' ELSE 'mixed' END
    AS basis,
  {q.usd("spend")} AS usd, COALESCE({q.usd("final")}, 0) AS of_which_billed_usd,
  {q.usd("billed")} AS billed_usd, {q.usd("estimated")} AS estimated_usd,
  SUM(CASE WHEN closed = 1 THEN 0 ELSE unpriced_tokens END) AS unpriced_tokens,
  {q.usd("unconverted")} AS unconverted_amount
FROM chosen GROUP BY {period}, account"""


# Months in which anything at all was metered; in whole millionths, which both engines add alike.
def _contract_monthly(q: Sql) -> str:
    used = f"(COALESCE(u.used_micro, 0) + {q.micro('COALESCE(u.used_rest, 0)')})"
    committed = "(c.commit_pico_per_month / 1000000)"
    more = f"{used} > {committed}"
    return f"""
WITH months AS (
  SELECT DISTINCT {q.month("d.day")} AS month FROM usage_day d
), used AS (
  SELECT {q.month("p.day")} AS month, p.account_id, SUM(p.estimated_micro) AS used_micro,
    SUM(p.estimated_rest) AS used_rest, SUM(p.unpriced_tokens) AS unpriced_tokens
  FROM spend_parts p GROUP BY {q.month("p.day")}, p.account_id
)
SELECT m.month, a.name AS account, ROUND({committed} / 1000000.0, 6) AS commit_usd,
  ROUND({used} / 1000000.0, 6) AS used_usd,
  ROUND(CASE WHEN {more} THEN 0 ELSE {committed} - {used} END / 1000000.0, 6) AS shortfall_usd,
  ROUND(CASE WHEN {more} THEN {used} ELSE {committed} END / 1000000.0, 6) AS billed_usd,
  COALESCE(u.unpriced_tokens, 0) AS unpriced_tokens
FROM contract c JOIN account a ON a.id = c.account_id
  JOIN months m ON m.month >= {q.month("c.valid_from")}
    AND (c.valid_to IS NULL OR m.month < {q.month("c.valid_to")})
  LEFT JOIN used u ON u.account_id = c.account_id AND u.month = m.month"""


def _bill_daily(q: Sql) -> str:
    return f"""
SELECT {q.day("d.day")} AS day, a.name AS account, o.name AS source, s.provider, s.model,
  s.project, s.api_key, d.line_item, d.currency, {q.sum_pico("d.amount_pico")} AS amount
FROM bill d {_SERIES}
WHERE a.money_from = t.source_id
GROUP BY d.day, a.name, o.name, s.provider, s.model, s.project, s.api_key, d.line_item,
  d.currency"""


def _tokens_served(q: Sql) -> str:
    return f"""
SELECT {q.day("d.day")} AS day, o.name AS source, s.model,
  COALESCE(w.name, 'unassigned') AS workload,
  SUM(d.requests) AS requests, SUM(d.tokens) AS tokens, {_CLASSES}
FROM usage_day d {_SERIES}
WHERE {COUNTED} AND s.provider = 'self'
GROUP BY d.day, o.name, s.model, w.name"""


def _gpu_hourly(q: Sql) -> str:
    return f"""
SELECT {q.instant("g.hour")} AS hour, h.name AS host, d.uuid AS gpu, d.name AS gpu_name,
  g.minutes, g.minutes_measured, ROUND({q.real("g.util_min")}, 2) AS util_min,
  ROUND({q.real("g.util_mean")}, 2) AS util_mean, ROUND({q.real("g.util_max")}, 2) AS util_max,
  ROUND(g.mem_used_max / 1073741824.0, 3) AS mem_used_max_gib,
  ROUND({q.real("g.power_mean_mw")} / 1000.0, 3) AS power_mean_w,
  ROUND(g.energy_mj / 3600000.0, 3) AS energy_wh, g.temp_max AS temp_max_celsius,
  ROUND(g.throttle_ns / 1000000000.0, 3) AS throttled_seconds
FROM gpu_hour g JOIN device d ON d.id = g.device_id JOIN host h ON h.id = d.host_id"""


def _in_unit(q: Sql, column: str) -> str:
    """A column in the row's unit: dollars, or a count."""
    return (
        f"CASE WHEN p.unit = 'usd' THEN {q.one('p.' + column)}"
        f" ELSE {q.real('p.' + column)} END AS {column}"
    )


def _projection(q: Sql) -> str:
    columns = ", ".join(_in_unit(q, c) for c in ("month_to_date", "q10", "q50", "q90"))
    return f"""
SELECT w.name AS workload, p.month, {q.day("p.as_of")} AS as_of, p.unit, {columns},
  p.history_days, p.method, p.flags
FROM projection p JOIN workload w ON w.id = p.workload_id"""


# Column -> where it stands in the stored ranges.
_RANGED = {
    "draws": "draws",
    "probability": "probability_cheaper",
    **{f"savings_{n}_usd": f"savings_usd_per_month.{n}" for n in ("q10", "q50", "q90")},
    **{f"payback_{n}_months": f"payback_months.{n}" for n in ("q10", "q50", "q90")},
    "never_pays_back": "never_pays_back",
    **{f"net_{n}_usd": f"net_usd.{n}" for n in ("q10", "q50", "q90")},
    "net_probability": "net_probability",
    "crossing_ahead": "crossing_month",
    "crossing_probability": "crossing_probability",
}
FLIPS = 3
"""How many of the nearest flips have a column."""


def _ranged(q: Sql) -> str:
    """Each range as a column, whether month and year disagree, and the nearest flips."""
    found = [f"{q.number('s.ranges', f'ranges.{at}')} AS {name}" for name, at in _RANGED.items()]
    for ahead, name in ((0, "above_crossing_now"), (12, "above_crossing_in_a_year")):
        found.append(f"{q.number('s.ranges', f'ranges.above_crossing{q.nth(ahead)}')} AS {name}")
    found.append(f"{q.flag('s.ranges', 'ranges.net_contradicts_verdict')} AS net_contradicts")
    for n in range(FLIPS):
        # Those that change nothing come last, and have no value.
        value, said = (
            q.words("s.ranges", f"flips{q.nth(n)}.{key}") for key in ("value", "sentence")
        )
        found.append(f"CASE WHEN {value} IS NOT NULL THEN {said} END AS flip_{n + 1}")
    return ",\n  ".join(found)


# Rows hold documents. A day or a volume is looked for in the key alone, and its rows read then.
def _assessment(q: Sql) -> str:
    return f"""
SELECT w.name AS workload, d.name AS deployment, {q.day("k.as_of")} AS as_of, s.month, k.volume,
  s.requests, {q.one("s.api_pico")} AS api_usd, {q.one("s.hybrid_pico")} AS self_host_usd,
  {q.one("s.savings_pico")} AS savings_usd, s.crossing_requests, s.verdict,
  {_ranged(q)},
  s.scenario, s.result, s.ranges, s.assumptions
FROM assessment k JOIN assessment s ON s.workload_id = k.workload_id
    AND s.deployment_id = k.deployment_id AND s.as_of = k.as_of AND s.volume = k.volume
  JOIN workload w ON w.id = k.workload_id JOIN deployment d ON d.id = k.deployment_id"""


# Column -> where it stands in the stored recommendation.
_ADVISED = {
    "optimised_api_usd": "figures.optimised_api_usd_per_month",
    "savings_against_optimised_usd": "figures.savings_against_optimised_usd_per_month",
    "constraint_usd": "figures.constraint_usd_per_month",
    "waiting_usd": "figures.waiting_usd",
    "best_share": "hybrid.best_share.share",
    "best_share_saves_usd": "hybrid.best_share.saves_usd_per_month",
    "base_load_replicas": "hybrid.base_load.replicas",
    "base_load_share": "hybrid.base_load.share",
    "base_load_saves_usd": "hybrid.base_load.saves_usd_per_month",
    "setup_usd": "figures.setup_usd",
    "lead_days": "figures.lead_days",
    "dual_running_months": "figures.dual_running_months",
    "exit_usd": "figures.exit_usd",
    "exit_lead_days": "figures.exit_lead_days",
    "net_12_months_usd": "figures.net_12_months_usd",
    "payback_months": "figures.payback_months",
    "replicas": "figures.replicas",
    "gpus": "figures.gpus",
    "utilisation": "figures.utilisation",
    "peak_to_mean": "figures.peak_to_mean",
}


def _advice(q: Sql) -> str:
    columns = [f"{q.number('v.document', at)} AS {name}" for name, at in _ADVISED.items()]
    for key, name in (("name", "next_step"), ("start", "next_step_from")):
        columns.append(f"{q.words('v.document', f'plan{q.nth(1)}.{key}')} AS {name}")
    advised = ",\n  ".join(columns)
    return f"""
SELECT w.name AS workload, d.name AS deployment, {q.day("k.as_of")} AS as_of, v.kind AS advice,
  v.reason, {q.day("v.since")} AS since, {advised},
  v.document
FROM advice k JOIN advice v ON v.workload_id = k.workload_id
    AND v.deployment_id = k.deployment_id AND v.as_of = k.as_of
  JOIN workload w ON w.id = k.workload_id JOIN deployment d ON d.id = k.deployment_id"""


def _projection_score(q: Sql) -> str:
    columns = ", ".join(_in_unit(q, c) for c in ("actual", "q10", "q50", "q90"))
    return f"""
SELECT w.name AS workload, p.month, {q.day("p.as_of")} AS as_of, p.days_left, p.unit, {columns},
  ROUND(p.error_ppm / 10000.0, 4) AS error_percent, CASE WHEN p.inside THEN 1 ELSE 0 END AS inside,
  ROUND(p.pinball_ppm / 10000.0, 4) AS pinball_percent, {q.instant("p.scored_at")} AS scored_at
FROM projection_score p JOIN workload w ON w.id = p.workload_id"""


def _assessment_score(q: Sql) -> str:
    return f"""
SELECT w.name AS workload, d.name AS deployment, {q.day("s.as_of")} AS as_of, s.month, s.volume,
  s.actual_requests, {q.one("s.api_pico")} AS api_usd, {q.one("s.hybrid_pico")} AS self_host_usd,
  {q.one("s.savings_pico")} AS savings_usd, s.told,
  CASE WHEN s.was_right THEN 1 ELSE 0 END AS was_right, {q.instant("s.scored_at")} AS scored_at
FROM assessment_score s JOIN workload w ON w.id = s.workload_id
  JOIN deployment d ON d.id = s.deployment_id"""


def _decision(q: Sql) -> str:
    return f"""
SELECT c.id AS decision_id, w.name AS workload, COALESCE(d.name, '') AS deployment,
  {q.stamp("c.decided_at")} AS decided_at, c.kind, {q.day("c.until")} AS until, c.reason AS why,
  c."by" AS decided_by, c.facts,
  CASE WHEN EXISTS (SELECT 1 FROM decision n WHERE n.workload_id = c.workload_id AND n.id > c.id
    AND (n.deployment_id IS NULL OR n.deployment_id = c.deployment_id))
    THEN 1 ELSE 0 END AS superseded
FROM decision c JOIN workload w ON w.id = c.workload_id
  LEFT JOIN deployment d ON d.id = c.deployment_id"""


# A saving is what the API would have charged less what own engines cost; what stayed on the API
# costs the same on both sides. Amounts are added in two parts, because one of them may be large.
def _after_move(q: Sql) -> str:
    at_api, own, api = (
        [q.half(f"m.{name}_pico", n) for n in (0, 1)] for name in ("at_api", "own", "api")
    )
    saved = [f"({a} - {b})" for a, b in zip(at_api, own, strict=True)]
    both = [f"({a} + {b})" for a, b in zip(at_api, api, strict=True)]
    actual = [f"({a} + {b})" for a, b in zip(own, api, strict=True)]
    so_far = "OVER (PARTITION BY m.workload_id, m.since ORDER BY m.month)"
    summed = q.parted(*(f"SUM({half}) {so_far}" for half in saved))
    parts = ", ".join(
        f"{q.one(f'm.{name}_pico')} AS by_{name}_usd"
        for name in ("volume", "mix", "price", "own_cost")
    )
    return f"""
SELECT w.name AS workload, COALESCE(d.name, '') AS deployment, {q.day("m.since")} AS since,
  m.month, m.status, m.reason, m.days, m.known_days, m.own_requests, m.own_tokens,
  m.api_requests, {q.one("m.promised_pico")} AS promised_usd,
  {q.parted(*both)} AS counterfactual_usd, {q.one("m.own_pico")} AS own_usd,
  {q.one("m.api_pico")} AS api_usd, {q.parted(*actual)} AS actual_usd,
  {q.parted(*saved)} AS saved_usd, {parts}, m.unpriced_tokens,
  {q.one("m.one_off_pico")} AS moving_usd, {summed} AS cumulated_usd,
  COUNT(m.own_pico) {so_far} AS months_known, m.direction, m.outlook, m.scenario,
  {q.instant("m.settled_at")} AS settled_at
FROM after_move m JOIN workload w ON w.id = m.workload_id
  LEFT JOIN deployment d ON d.id = m.deployment_id"""


def _rate(q: Sql) -> str:
    classes = ", ".join(
        f"ROUND(r.{c}_nano / 1000000000.0, 9) AS {c}_usd_per_million" for c in TOKEN_CLASSES
    )
    return f"""
SELECT r.id AS rate_id, r.account, r.provider, r.model, r.context,
  {q.day("r.valid_from")} AS valid_from, {q.instant("r.added_at")} AS added_at, {classes},
  r.marks AS flags, r.source, r.source_version, {q.instant("r.checked_at")} AS checked_at
FROM rate r"""


def _fx(q: Sql) -> str:
    return f"""
SELECT currency, {q.day("day")} AS day, ROUND({q.real("usd_nano")} / 1000000000.0, 9) AS usd, source
FROM fx"""


def _restatement(q: Sql) -> str:
    return f"""
SELECT {q.day("r.day")} AS day, {q.stamp("r.found_at")} AS found_at, o.name AS source,
  t.name AS stream, r.tokens_before, r.tokens_after, {q.one("r.pico_before")} AS usd_before,
  {q.one("r.pico_after")} AS usd_after
FROM restatement r JOIN stream t ON t.id = r.stream_id JOIN source o ON o.id = t.source_id"""


def _data_quality(q: Sql) -> str:
    return f"""
SELECT o.name AS source, o.kind, t.name AS stream, t.feeds,
  {q.instant("m.closed_through")} AS closed_through, {q.instant("m.seen_at")} AS last_read_at,
  t.failures AS failures_in_a_row,
  COALESCE((SELECT f.error FROM "fetch" f WHERE f.stream_id = t.id ORDER BY f.id DESC LIMIT 1), '')
    AS last_error,
  COALESCE((SELECT SUM(u.count) FROM quarantine u WHERE u.stream_id = t.id), 0) AS quarantined_rows,
  COALESCE((SELECT SUM(d.unpriced_tokens) FROM usage_day d JOIN series s ON s.id = d.series_id
    WHERE s.stream_id = t.id), 0) AS unpriced_tokens,
  COALESCE((SELECT COUNT(*) FROM dirty y WHERE y.stream_id = t.id), 0) AS days_to_roll_up,
  CASE WHEN EXISTS (SELECT 1 FROM account a WHERE a.tokens_from = o.id OR a.money_from = o.id)
    OR EXISTS (SELECT 1 FROM series s JOIN stream u ON u.id = s.stream_id
      JOIN account a ON a.id = s.account_id
      WHERE u.source_id = o.id AND u.feeds = 'usage' AND a.tokens_from IS NULL)
    THEN 'yes' ELSE 'no' END AS counts
FROM stream t JOIN source o ON o.id = t.source_id LEFT JOIN watermark m ON m.stream_id = t.id"""


def _set_aside(q: Sql) -> str:
    return f"""
SELECT {q.day("x.hour")} AS day, o.name AS source, t.name AS stream,
  CAST(SUM({TOKENS}) AS BIGINT) AS tokens, c.name AS counted_stream
FROM set_aside x JOIN stream t ON t.id = x.stream_id JOIN source o ON o.id = t.source_id
  JOIN stream c ON c.id = x.counts_stream_id JOIN series s ON s.stream_id = x.stream_id
  JOIN usage u ON u.series_id = s.id AND u.bucket_start >= x.hour
    AND u.bucket_start < x.hour + 3600
GROUP BY {q.day("x.hour")}, o.name, t.name, c.name"""


def _alerts(q: Sql) -> str:
    return f"""
SELECT a.rule, a.subject, a.period, a.severity, a.workload, x.seq, {q.instant("x.at")} AS at,
  x.was, x.became, x.reason, a.status AS status_now
FROM alert_transition x JOIN alert a ON a.id = x.alert_id"""


def _notices(q: Sql) -> str:
    return f"""
SELECT a.rule, a.subject, a.period, n.seq, n.edge, n.severity, n.channel, n.recipient, n.state,
  {q.instant("n.made_at")} AS made_at, {q.instant("n.told_at")} AS told_at,
  n.dedup_key AS message_key
FROM notice n JOIN alert a ON a.id = n.alert_id"""


def _messages(q: Sql) -> str:
    return f"""
SELECT id, kind, channel, recipient, subject, state, attempts, ambiguous AS ambiguous_attempts,
  last_phase, last_code, last_text, {q.instant("created_at")} AS created_at,
  {q.instant("sent_at")} AS sent_at, message_id
FROM outbox"""


def _runs(q: Sql) -> str:
    return f"""
SELECT run_key, kind, {q.day("period_start")} AS period_start, {q.day("period_end")} AS period_end,
  {q.instant("due_at")} AS due_at, state, attempts, error,
  {q.instant("finished_at")} AS finished_at
FROM run"""


def _repricing(q: Sql) -> str:
    before, after = (q.parted(f"r.{n}_micro", f"r.{n}_rest") for n in ("before", "after"))
    return f"""
SELECT r.id AS repricing, {q.instant("r.at")} AS at, {q.day("r.first_day")} AS first_day,
  {q.day("r.end_day - 86400")} AS last_day, r.days, r."by" AS ordered_by, r.why,
  {before} AS usd_before, {after} AS usd_after, r.editions
FROM repricing r"""


def definitions(dialect: str) -> dict[str, str]:
    """Name -> SELECT, in an order in which each may use those before it."""
    q = Sql(dialect)
    return {
        "spend_parts": _spend_parts(q),
        "v_usage_daily": _usage_daily(q),
        "v_workload": _WORKLOADS,
        "v_workload_daily": _workload(q, q.day("d.day"), "day"),
        "v_workload_weekly": _workload(q, q.day(_MONDAY), "week"),
        "v_workload_cost": _workload(q, q.month("d.day"), "month"),
        "v_spend_daily": _spend(q, q.day("day"), "day"),
        "v_spend_monthly": _spend(q, q.month("day"), "month"),
        "v_contract_monthly": _contract_monthly(q),
        "v_contract": view_money.contract(q),
        "v_budget_daily": view_money.budget_daily(q),
        "v_budget": view_money.budget(q),
        "v_showback_daily": view_money.showback_daily(q),
        "v_showback": view_money.showback(q),
        "v_bill_daily": _bill_daily(q),
        "v_reconciliation": view_money.reconciliation(q),
        "v_tokens_served": _tokens_served(q),
        "v_gpu_hourly": _gpu_hourly(q),
        "v_projection": _projection(q),
        "v_assessment": _assessment(q),
        "v_advice": _advice(q),
        "v_advice_phase": view_advice.advice_phase(q),
        "v_advice_option": view_advice.advice_option(q),
        "v_advice_line": view_advice.advice_line(q),
        "v_assessment_line": view_advice.assessment_line(q),
        "v_projection_score": _projection_score(q),
        "v_assessment_score": _assessment_score(q),
        "v_decision": _decision(q),
        "v_after_move": _after_move(q),
        "v_rate": _rate(q),
        "v_fx": _fx(q),
        "v_restatement": _restatement(q),
        "v_data_quality": _data_quality(q),
        "v_set_aside": _set_aside(q),
        "v_alerts": _alerts(q),
        "v_notices": _notices(q),
        "v_messages": _messages(q),
        "v_runs": _runs(q),
        "v_repricing": _repricing(q),
    }


def public_names() -> list[str]:
    """The views that people may query; the rest only serve other views."""
    return [name for name in definitions("sqlite") if name.startswith("v_")]


def drop(conn: Connection) -> None:
    """Remove every view, so that tables beneath may change."""
    for name in reversed(definitions(conn.dialect.name)):
        conn.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def create(conn: Connection) -> None:
    """Make every view anew."""
    # Only psycopg reads a percent sign as a parameter.
    percent = "%%" if conn.dialect.name == "postgresql" else "%"
    for name, select in definitions(conn.dialect.name).items():
        conn.exec_driver_sql(f"CREATE VIEW {name} AS {select}".replace("%", percent))
