"""Why a month's saving moved from one week to the next, in dollars that add up exactly.

Each group of inputs gets its Shapley value: its effect averaged over every order in which the
groups could have changed, so that no order is favoured and the parts add up (L. S. Shapley, A value
for n-person games, 1953).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from math import factorial
from typing import NamedTuple

from monitor.domain import costs
from monitor.domain.scenario import Scenario

# How GPUs are bought decides whether they come in whole servers, so that goes with their price.
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "volume": {"workload": ("requests_per_month",)},
    "mix": {
        "workload": ("input_tokens", "cached_input_tokens", "output_tokens", "share_moved"),
    },
    "API price": {
        "api": (
            "input_usd_per_million",
            "cached_input_usd_per_million",
            "output_usd_per_million",
            "price_change_per_month",
        )
    },
    "GPU price": {
        "deployment": (
            "usd_per_gpu_hour",
            "gpu_price_change_per_month",
            "gpu_usd_per_month",
            "variable_usd_per_million_tokens",
            "gpus_per_server",
            "owned",
        )
    },
    "utilisation": {
        "workload": ("peak_to_mean",),
        "deployment": (
            "gpus_per_replica",
            "gpu_input_tokens_per_second",
            "gpu_output_tokens_per_second",
            "context_coefficient",
            "prefix_cache_hit_share",
            "headroom",
            "software_efficiency",
            "min_replicas",
            "spare_replicas",
        ),
    },
    "fixed lines": {
        "api": ("fixed_usd_per_month", "minimum_usd_per_month"),
        "deployment": ("services_usd_per_month", "people_usd_per_month"),
    },
}
"""Every input of a month's saving, in exactly one group: table -> fields."""


class Attribution(NamedTuple):
    """Of the saving in dollars a month; the parts add up to `after - before` exactly."""

    before: Fraction
    after: Fraction
    parts: Mapping[str, Fraction]
    """By group, in the order of GROUPS."""


def saving(scenario: Scenario) -> Fraction:
    """What moving saves a month at the scenario's volume, in dollars."""
    n = scenario.workload.requests_per_month
    return Fraction(costs.api_bill(scenario, n)) - Fraction(costs.hybrid_bill(scenario, n))


def attribute(before: Scenario, after: Scenario) -> Attribution:
    """The change of the saving from one scenario to another, by group of inputs."""
    changed = [group for group in GROUPS if _with(before, after, {group}) != before]
    worth = {
        chosen: saving(_with(before, after, set(chosen)))
        for size in range(len(changed) + 1)
        for chosen in combinations(changed, size)
    }
    parts = {group: _shapley(group, changed, worth) for group in GROUPS}
    return Attribution(saving(before), saving(after), parts)


def _shapley(group: str, changed: list[str], worth: Mapping[tuple[str, ...], Fraction]) -> Fraction:
    if group not in changed:
        return Fraction(0)
    others, n = [each for each in changed if each != group], len(changed)
    total = Fraction(0)
    for size in range(n):
        weight = Fraction(factorial(size) * factorial(n - size - 1), factorial(n))
        for chosen in combinations(others, size):
            joined = tuple(each for each in changed if each in {*chosen, group})
            total += weight * (worth[joined] - worth[chosen])
    return total


def _with(before: Scenario, after: Scenario, groups: set[str]) -> Scenario:
    """The scenario before with these groups of inputs as they are after."""
    tables = {"workload": before.workload, "api": before.api, "deployment": before.deployment}
    for group in groups:
        for table, names in GROUPS[group].items():
            new = {name: getattr(getattr(after, table), name) for name in names}
            tables[table] = replace(tables[table], **new)  # type: ignore[type-var]
    return replace(before, **tables)  # type: ignore[arg-type]


def in_cents(parts: Mapping[str, Fraction], total_cents: int) -> dict[str, int]:
    """Parts as whole cents that add up to the total as it is shown."""
    return in_units(parts, total_cents, 100)


def in_units(parts: Mapping[str, Fraction], total: int, units_per_usd: int) -> dict[str, int]:
    """Parts as whole units, such as cents, that add up to the total in the same unit.

    Each is rounded down, and the units that lack go to the largest remainders.
    """
    down = {name: part * units_per_usd // 1 for name, part in parts.items()}
    lacking = total - sum(down.values())
    rest = sorted(parts, key=lambda name: down[name] - parts[name] * units_per_usd)
    # The total is rounded too, within a few units of the exact one, so a part moves by few.
    for n in range(abs(lacking)):
        down[rest[n % len(rest)] if lacking > 0 else rest[-1 - n % len(rest)]] += (
            1 if lacking > 0 else -1
        )
    return down
