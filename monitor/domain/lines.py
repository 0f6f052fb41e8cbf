"""Every cost line of self-hosting, and which of them a case takes as zero."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.domain import costs
from monitor.domain.case import Case
from monitor.domain.scenario import Scenario

LOW_USD_PER_GPU_HOUR = 1.5
"""B gives $2 to $10 for a GPU-hour, D $1.50 to $2.00 for an A100: less lies outside both."""


def assumed_zero(scenario: Scenario, case: Case) -> Iterator[str]:
    """The lines taken as zero, by name, in the order of the guide.

    What the case's own lines say counts before what the scenario shows: a line that is configured
    or assumed there is not zero, one that is `zero` there is.
    """
    said = {line.name: line.state for line in case.facts.lines}
    for name, is_zero in _lines(scenario, case).items():
        if said.pop(name, "zero" if is_zero else "configured") == "zero":
            yield name
    yield from (name for name, state in said.items() if state == "zero")


def _lines(scenario: Scenario, case: Case) -> dict[str, bool]:
    """Every line of section 2 of the guide: is it zero in this scenario?"""
    d, migration = scenario.deployment, scenario.migration
    gpus = d.usd_per_gpu_hour + d.gpu_usd_per_month
    bought = costs.usd_per_server(d.owned) if d.owned else 0
    tuning = case.facts.fine_tuning or (
        case.gates.control is not None and "fine_tuning" in case.gates.control.needs
    )
    return {
        "gpu": gpus + bought == 0,
        "peak": scenario.workload.peak_to_mean == 1 and not case.facts.hourly_requests,
        "spare_replicas": d.spare_replicas == 0,
        "people": d.people_usd_per_month == 0,
        "services": d.services_usd_per_month == 0,
        "model_updates": True,
        "first_deployment": migration.setup_usd == 0,
        "leaving_api": migration.setup_usd == 0,
        "dual_running": migration.dual_running_months == 0,
        "return_to_api": migration.exit_usd == 0,
        "second_region": True,
        "on_call": True,
        "security_patches": True,
        **({"fine_tuning": True} if tuning else {}),
        "energy": not d.owned and d.variable_usd_per_million_tokens == 0,
    }


def low_gpu_price(scenario: Scenario) -> str:
    """A sentence where a GPU-hour costs less than the published ranges, else ''."""
    d = scenario.deployment
    moved = scenario.workload.share_moved * scenario.workload.requests_per_month
    gpus = costs.fleet(scenario, moved).gpus
    hourly = d.usd_per_gpu_hour
    if d.gpu_usd_per_month and gpus:
        hourly += d.gpu_usd_per_month / (gpus * costs.HOURS)
    if not 0 < hourly < LOW_USD_PER_GPU_HOUR:
        return ""
    return f"A GPU-hour at ${float(hourly):.2f} lies below the published $1.50 to $10: check it."
