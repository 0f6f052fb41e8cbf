"""What an assessment of a live workload rests on: its measured mix, prices and peak."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from sqlalchemy import Connection

from monitor.domain import load_bands
from monitor.domain.periods import day_of
from monitor.domain.scenario import Api, Deployment, Scenario, from_document
from monitor.domain.usage import DAY
from monitor.storage import demand, engines

MIX_DAYS = 28
"""Four whole weeks: the shape of a mean request is measured over these closed days."""
PEAK_QUANTILE = 0.99
"""Capacity is sized on this quantile of hourly demand."""
DEFAULT_PEAK = Fraction(3)
"""Peak to mean where demand is not known by the hour; published practice is 2 to 4."""


class Basis(NamedTuple):
    """A deployment's tables, what was assumed for it, and the measured workload."""

    scenario: Scenario
    assumptions: Sequence[str]
    zero_lines: Sequence[str]


def measured(
    conn: Connection, workload: demand.Workload, deployment: demand.Deployment, as_of: int
) -> Basis | str:
    """The scenario of a deployment with the workload's own mix, prices and peak.

    A text says why there is none.

    The volume is what was measured, to be replaced by the projection's.
    """
    start = as_of - MIX_DAYS * DAY
    mix = demand.mix(conn, workload, start, as_of)
    if not mix.requests:
        return f"No requests were counted in the last {MIX_DAYS} days."
    paid, aged = _paid(conn, workload, mix, as_of)
    if not paid.paid_tokens:
        return "No API ever served it, so that there are no prices to compare with."
    if paid.unpriced_tokens * 2 > paid.paid_tokens:
        return "More than half of its tokens have no price."
    document = json.loads(deployment.document)
    stored = from_document(document["scenario"])
    assumptions = [
        *document["assumed"],
        *document.get("remarks", ()),
        *_aged(document, as_of),
        *aged,
    ]
    peak = stored.workload.peak_to_mean if document["peak_given"] else None
    if peak is None:
        hours = demand.hourly_requests(conn, workload, start, as_of)
        peak = peak_to_mean(hours, start, as_of)
    if peak is None:
        peak = DEFAULT_PEAK
        assumptions.append(f"peak demand {DEFAULT_PEAK} times the mean: it is not read by the hour")
    own, said = _own_rates(conn, stored.deployment, document.get("engine_model", ""), start, as_of)
    assumptions += said
    if paid.unpriced_tokens:
        assumptions.append(f"{paid.unpriced_tokens:,} unpriced tokens cost as much as the others")
    per = demand.whole_tokens
    scenario = Scenario(
        workload=replace(
            stored.workload,
            name=workload.name,
            requests_per_month=mix.requests,
            input_tokens=per(mix.input_tokens, mix.requests),
            cached_input_tokens=per(mix.cached_tokens, mix.requests),
            output_tokens=per(mix.output_tokens, mix.requests),
            peak_to_mean=peak,
        ),
        api=_api(paid),
        deployment=own,
        migration=stored.migration,
    )
    return Basis(scenario, assumptions, zero_lines(scenario))


def _paid(
    conn: Connection, workload: demand.Workload, mix: demand.Mix, as_of: int
) -> tuple[demand.Mix, list[str]]:
    """The mix that has the API's prices: an older one, and a word, where no API served of late."""
    if mix.paid_tokens:
        return mix, []
    last = demand.last_paid(conn, workload, as_of)
    if last is None:
        return mix, []
    end = last + DAY
    old = demand.mix(conn, workload._replace(runs_on="api"), end - MIX_DAYS * DAY, end)
    return old, [f"API prices as last paid, on {day_of(last)}: no API has served it since"]


def _own_rates(
    conn: Connection, deployment: Deployment, model: str, start: int, end: int
) -> tuple[Deployment, list[str]]:
    """The deployment as its own engines were measured, where they were ever full; and a word."""
    if not model:
        return deployment, []
    found = load_bands.measured(engines.hours(conn, start, end, model))
    if isinstance(found, str):
        return deployment, [f"published or written rates: {model} was not measured"]
    top = found.bands[-1]
    full = found.saturated
    if full is None:
        seen = f"{top.output_tokens_per_second:,.0f} output tokens/s an engine"
        return deployment, [
            (
                f"published or written rates: {model} was measured up to {seen} at {top.load:.1f}"
                f" running requests ({found.hours:.0f} hours), and was not full for a day"
            )
        ]
    own = load_bands.as_measured(deployment, full)
    rate = f"{full.output_tokens_per_second:,.0f} output tokens/s an engine"
    return own, [f"capacity as measured: {rate}, {full.hours:.0f} hours at {full.load:.1f} running"]


def _aged(document: Mapping[str, Any], as_of: int) -> list[str]:
    """A text for each assumed price that is older than prices should be."""
    most, today = document.get("price_stale_after_days", 0), as_of // DAY
    quoted = [line for line in document.get("lines", ()) if "as_of" in line]
    ages = [(line, today - _day(line["as_of"])) for line in quoted]
    return [
        f"the price of {line['name']} is {age} days old ({line['as_of']})"
        for line, age in ages
        if age > most
    ]


def _day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def _api(mix: demand.Mix) -> Api:
    """Mean prices of the measured mix, so that the model's bill is the measured one."""
    return Api(
        input_usd_per_million=demand.per_million(mix.input_pico, mix.paid_input_tokens),
        cached_input_usd_per_million=demand.per_million(mix.cached_pico, mix.paid_cached_tokens),
        output_usd_per_million=demand.per_million(mix.output_pico, mix.paid_output_tokens),
    )


def peak_to_mean(hours: Mapping[int, int], start: int, end: int) -> Fraction | None:
    """The PEAK_QUANTILE of hourly requests over their mean, at least 1; None: too few hours.

    An hour without a row between hours that have one had no requests.
    """
    first = min(hours, default=end)
    count = (end - max(start, first)) // 3600
    total = sum(hours.values())
    if count < 7 * 24 or not total:
        return None
    ordered = sorted(hours.values()) if len(hours) >= count else _padded(hours, count)
    peak = ordered[min(count - 1, int(PEAK_QUANTILE * count))]
    return max(Fraction(1), Fraction(peak * count, total))


def _padded(hours: Mapping[int, int], count: int) -> list[int]:
    return sorted([0] * (count - len(hours)) + list(hours.values()))


_LINES: Mapping[str, Callable[[Deployment], Fraction]] = {
    "people": lambda d: d.people_usd_per_month,
    "storage, network and monitoring": lambda d: d.services_usd_per_month,
    "GPUs": lambda d: (
        d.usd_per_gpu_hour
        + d.gpu_usd_per_month
        + (d.owned.server_purchase_usd + d.owned.hosting_usd_per_server_month if d.owned else 0)
    ),
    "energy above idle": lambda d: d.variable_usd_per_million_tokens,
}


def zero_lines(scenario: Scenario) -> list[str]:
    """The cost lines that a scenario takes as nothing."""
    zero = [name for name, of in _LINES.items() if of(scenario.deployment) == 0]
    return zero + (["migration"] if scenario.migration.setup_usd == 0 else [])


def at_volume(scenario: Scenario, requests: int) -> Scenario:
    """The same scenario at another monthly volume."""
    return replace(scenario, workload=replace(scenario.workload, requests_per_month=requests))


class Owned(NamedTuple):
    """A deployment's cost side, whatever the volume."""

    deployment: Deployment
    """With the rates that its own engines were measured to reach, where they were ever full."""
    peak: Fraction | None
    """Peak to mean, where it is configured."""
    stored: Scenario


def owned(conn: Connection, deployment: demand.Deployment, start: int, end: int) -> Owned:
    """What a deployment costs, as it is configured and as its engines were measured."""
    document = json.loads(deployment.document)
    stored = from_document(document["scenario"])
    own, _ = _own_rates(conn, stored.deployment, document.get("engine_model", ""), start, end)
    return Owned(own, stored.workload.peak_to_mean if document["peak_given"] else None, stored)
