"""The plan of a migration with its dates, the risks, the comparison, and both latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from monitor.domain.breakeven import DAYS_PER_MONTH, Assessment
from monitor.domain.guide import Guide, PublishedLatency
from monitor.domain.scenario import Migration, NotNegative

PILOT_DAYS = 28
"""Two to four engineer-weeks of first deployment (B)."""
STEADY_DAYS = 90
"""Steady after 60 to 90 days (B): the later end."""
LONGEST_DAYS = 3_650
"""A plan is dated ten years ahead at most for each of its steps."""


class Phase(NamedTuple):
    """One phase of a migration; `until` is exclusive, None: it stays so."""

    number: int
    name: str
    start: date
    until: date | None


STEPS = (
    "start on the API",
    "pilot both side by side; measure cost, quality, operations",
    "move the high-volume workloads",
    "fully self-hosted with the API as backup",
)
CLOSED_STEPS = (
    "set up own servers with made-up or cleared data; no API may see the real",
    "pilot in house; measure cost, quality, operations",
    "move the high-volume workloads",
    "fully self-hosted, with spares in place of an API",
)
"""The same four where the data may not leave the network."""


def phases(as_of: date, migration: Migration, *, closed: bool = False) -> list[Phase]:
    """The four phases, dated from the lead time and the double running of the scenario."""
    lead = min(migration.lead_days or PILOT_DAYS, LONGEST_DAYS)
    pilot_from = as_of + timedelta(days=lead // 2)
    moves = as_of + timedelta(days=lead)
    dual = ceil(migration.dual_running_months * DAYS_PER_MONTH) or STEADY_DAYS
    steady = moves + timedelta(days=min(dual, LONGEST_DAYS))
    starts = (as_of, pilot_from, moves, steady)
    rows = zip(CLOSED_STEPS if closed else STEPS, starts, (*starts[1:], None), strict=True)
    return [Phase(number, *row) for number, row in enumerate(rows, 1)]


@dataclass(frozen=True, kw_only=True)
class Side:
    """Seconds of one side, measured; absent parts are published ranges."""

    network_seconds: NotNegative | None = None
    queue_seconds: NotNegative | None = None
    inference_seconds: NotNegative | None = None


class Seconds(NamedTuple):
    """latency = calls x (network + queue) + inference: the ends of its range."""

    side: str
    low: Fraction
    high: Fraction
    source: str
    note: str


def latency(guide: Guide, calls: int, measured: Mapping[str, Side | None]) -> list[Seconds]:
    """A request's latency on both sides, measured where it was, else as published."""
    return [_seconds(row, calls, measured.get(row.side)) for row in guide.latency]


def _seconds(row: PublishedLatency, calls: int, side: Side | None) -> Seconds:
    side = side or Side()
    parts = {
        name: (found, found) if found is not None else getattr(row, name)
        for name, found in (
            ("network", side.network_seconds),
            ("queue", side.queue_seconds),
            ("inference", side.inference_seconds),
        )
    }
    known = sum(getattr(side, f"{name}_seconds") is not None for name in parts)
    low, high = (
        calls * (parts["network"][end] + parts["queue"][end]) + parts["inference"][end]
        for end in (0, 1)
    )
    return Seconds(
        row.side,
        low,
        high,
        ("published", "partly measured", "measured")[(known > 0) + (known > 2)],
        row.note,
    )


def comparison(
    guide: Guide, found: Assessment, lead_days: int, latencies: Sequence[Seconds]
) -> list[dict[str, Any]]:
    """The rows of general knowledge, with the workload's own facts where there are any."""
    api, own = round(found.api), round(found.hybrid)
    both = {s.side: f"{float(s.low):g}-{float(s.high):g} s" for s in latencies}
    crossing = found.crossing
    facts = {
        "setup time": f"{lead_days} days to the switch" if lead_days else "",
        "cost at low volume": f"this month: API ${api:,}, after the move ${own:,}",
        "cost at high volume": "no crossing"
        if crossing is None
        else f"own is cheaper from {crossing:,} requests a month",
        "scalability": _used(found),
        "latency": ", ".join(f"{side} {text}" for side, text in both.items()),
    }
    return [
        {
            "dimension": row.dimension,
            "api": row.api,
            "own": row.own,
            "leads": row.leads,
            "here": facts.get(row.dimension, ""),
        }
        for row in guide.comparison
    ]


def _used(found: Assessment) -> str:
    if found.utilisation is None:
        return ""
    return f"{found.fleet.gpus} GPUs, {float(found.utilisation):.1%} used in the mean hour"
