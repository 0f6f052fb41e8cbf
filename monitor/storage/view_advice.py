"""The views inside a day's advice: its plan, the cheaper uses of the API, and the cost lines."""

from __future__ import annotations

from monitor.storage.spelling import Sql

_NAMED = "w.name AS workload, d.name AS deployment"
_JOINED = "JOIN workload w ON w.id = v.workload_id JOIN deployment d ON d.id = v.deployment_id"


def advice_phase(q: Sql) -> str:
    """The dated phases of each day's plan."""
    return f"""
SELECT {_NAMED}, {q.day("v.as_of")} AS as_of, CAST({_of(q, "phase")} AS INTEGER) AS phase,
  {_of(q, "name")} AS step, {_of(q, "start")} AS starts, {_of(q, "until")} AS ends
FROM advice v {_JOINED} CROSS JOIN {q.each("v.document", "plan")}"""


def advice_option(q: Sql) -> str:
    """What would make the API cheaper; a saving without its fact is unknown."""
    return f"""
SELECT {_NAMED}, {q.day("v.as_of")} AS as_of, {_of(q, "id")} AS option_id, {_of(q, "name")} AS name,
  {q.number("e.value", "saves")} AS saves_usd, {_of(q, "assumption")} AS assumption,
  {_of(q, "source")} AS source
FROM advice v {_JOINED} CROSS JOIN {q.each("v.document", "options")}"""


def advice_line(q: Sql) -> str:
    """Every cost line of a deployment as it was taken on that day."""
    units = ("usd_per_month", "usd_once", "usd_per_gpu_hour", "usd_per_million_tokens")
    keys = (*units[:3], "variable_usd_per_million_tokens")
    amounts = ", ".join(
        f"{q.number('e.value', key)} AS {unit}" for key, unit in zip(keys, units, strict=True)
    )
    return f"""
SELECT {_NAMED}, {q.day("v.as_of")} AS as_of, {_of(q, "name")} AS line, {_of(q, "state")} AS state,
  {amounts}, {q.number("e.value", "count")} AS replicas, {_of(q, "source")} AS source,
  {_of(q, "as_of")} AS priced_on
FROM advice v {_JOINED} CROSS JOIN {q.each("v.document", "cost_lines")}"""


def assessment_line(q: Sql) -> str:
    """A month of own service by cost line, at each volume."""
    return f"""
SELECT {_NAMED}, {q.day("v.as_of")} AS as_of, v.month, v.volume, e.key AS line,
  {q.real("e.value")} AS usd
FROM assessment v {_JOINED} CROSS JOIN {q.each_key("v.result", "lines")}"""


def _of(q: Sql, key: str) -> str:
    return q.words("e.value", key)
