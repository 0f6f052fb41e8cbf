"""What money says about a case: the move it is about, its forms, and the signal.

A fleet that a scenario holds fixed is sized anew where it is known what it really carries, and a
deployment that cannot serve at all is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from monitor.domain import breakeven, costs, hybrid
from monitor.domain.advice import Signal
from monitor.domain.breakeven import DAYS_PER_MONTH, HORIZON_MONTHS
from monitor.domain.case import Case
from monitor.domain.gates import Finding
from monitor.domain.options import optimised
from monitor.domain.scenario import ONE, Owned, Scenario

LEAVE_BELOW = Fraction(-1, 10)
"""A moved workload returns only where it costs more than a tenth of the API bill: far below."""


@dataclass(frozen=True)
class Money:
    """Figures of one case; money in exact dollars a month."""

    scenario: Scenario
    """As computed: the closed share, the fleet that really carries the load."""
    found: breakeven.Assessment
    share: Fraction
    tasks: hybrid.Chosen | None
    api: Fraction
    own: Fraction
    """After the move: own servers and what is left on the API."""
    net: Fraction
    """Over 12 months after the decision."""
    optimised: Fraction
    best_share: hybrid.Split
    base: hybrid.Base | None
    low_savings: Fraction
    """At the low end of the volume's range."""
    resized: str
    """What was sized anew, or ''."""

    @property
    def savings(self) -> Fraction:
        """Against the API bill as it is."""
        return self.api - self.own

    @property
    def requests(self) -> int:
        """The monthly volume."""
        return self.found.requests


def weigh(case: Case, *, all_moves: bool) -> Money:
    """Everything that money says; `all_moves`: a constraint moves every request."""
    scenario, resized = _sized(case)
    if all_moves:
        scenario = _with_share(scenario, ONE)
    tasks = None if all_moves else _tasks(case, scenario)
    if tasks:
        scenario = _with_share(scenario, tasks.share)
    found = breakeven.assess(scenario)
    api, own, net = found.api, found.hybrid, found.net_12_months
    if tasks:
        api, own = tasks.usd + tasks.saves, tasks.usd
        net += _months_after(scenario) * (tasks.saves - found.savings)
    low = case.facts.requests_low
    return Money(
        scenario=scenario,
        found=found,
        share=scenario.workload.share_moved,
        tasks=tasks,
        api=api,
        own=own,
        net=net,
        optimised=min(api, optimised(scenario, case.facts.options)),
        best_share=hybrid.best_share(scenario),
        base=hybrid.best_base(_with_share(scenario, ONE), case.facts.hourly_requests),
        low_savings=api - own if low is None else _savings_at(scenario, low),
        resized=resized,
    )


def signal(case: Case, money: Money) -> Signal:
    """Move, hold or return; the enter and leave rule's where it spoke, else this month's figures.

    The net over the horizon decides, so that prices that fall and what moving costs count.
    """
    if case.facts.signal:
        return case.facts.signal
    if case.facts.runs_on != "api":
        exit_usd = money.scenario.migration.exit_usd
        far = money.savings < LEAVE_BELOW * money.api or not money.requests
        pays = -HORIZON_MONTHS * money.savings > exit_usd
        return "return" if far and pays else "hold"
    surely = case.facts.requests_low is None or money.low_savings > 0
    return "move" if money.net > 0 and surely and money.requests else "hold"


def pays(money: Money, usd: Fraction) -> bool:
    """Whether another form, at this cost a month, saves, and pays within the horizon."""
    saves = money.api - usd
    migration = money.scenario.migration
    flat = _months_after(money.scenario) * saves - migration.setup_usd
    flat -= migration.dual_running_months * usd
    return saves > 0 and flat + _price_effect(money) > 0


def busy_would_save(money: Money) -> bool:
    """Whether the same volume without its peaks would save: then it is the shape that forbids."""
    workload = replace(money.scenario.workload, peak_to_mean=ONE)
    flat = replace(money.scenario, workload=workload)
    return bool(costs.hybrid_bill(flat, money.requests) < money.api)


def refusals(case: Case, money: Money) -> Iterator[Finding]:
    """Why this deployment cannot serve the workload at all."""
    yield from _memory(case)
    facts, gpus = case.facts, money.found.fleet.gpus
    if facts.fleet_output_tokens_per_second == 0:
        text = "The fleet has a capacity of zero: give what it really serves."
        yield Finding("capacity", "refused.capacity", "api", text)
    elif facts.max_gpus is not None and gpus > facts.max_gpus:
        text = f"The volume needs {gpus:,} GPUs, and {facts.max_gpus:,} can be had."
        yield Finding("capacity", "refused.capacity", "api", text)


def _memory(case: Case) -> Iterator[Finding]:
    """Weights and cache must fit the GPUs of a replica."""
    model = case.facts.model
    if model is None:
        return
    needed = model.parameters_billion * model.bytes_per_parameter + (model.cache_gb or 0)
    gpus = case.scenario.deployment.gpus_per_replica
    if needed > gpus * model.gpu_memory_gb:
        enough = ceil(needed / model.gpu_memory_gb) if model.gpu_memory_gb else 0
        remedy = f": it takes {enough}" if enough else ""
        text = (
            f"{gpus} GPUs with {_gb(model.gpu_memory_gb)} GB cannot hold"
            f" {_gb(needed)} GB of weights and cache{remedy}."
        )
        yield Finding("capacity", "refused.memory", "api", text)


def _gb(amount: Fraction) -> str:
    """Gigabytes with a decimal where there is one."""
    tenths = round(amount * 10)
    return f"{tenths // 10:,}" + (f".{tenths % 10}" if tenths % 10 else "")


def api_at(scenario: Scenario, requests: int) -> Fraction:
    """The API bill of another volume."""
    return Fraction(costs.api_bill(scenario, requests))


def _tasks(case: Case, scenario: Scenario) -> hybrid.Chosen | None:
    """The set of tasks that saves most, else all that can move."""
    if not case.facts.tasks:
        return None
    best = hybrid.best_tasks(scenario, case.facts.tasks)
    return best or hybrid.moved_tasks(scenario, case.facts.tasks)


def _sized(case: Case) -> tuple[Scenario, str]:
    """The scenario with the fleets that its volume takes, where one fleet was held fixed."""
    scenario, rate = case.scenario, case.facts.fleet_output_tokens_per_second
    written = scenario.workload.output_tokens
    if not rate or not written or costs.gpu_seconds(scenario):
        return scenario, ""
    workload, deployment = scenario.workload, scenario.deployment
    each = rate * costs.SECONDS / (written * workload.peak_to_mean)
    fleets = ceil(workload.share_moved * workload.requests_per_month / each)
    fixed = deployment.gpu_usd_per_month
    grown = replace(
        deployment,
        gpu_output_tokens_per_second=rate / deployment.gpus_per_replica,
        gpu_input_tokens_per_second=Fraction(0),
        headroom=ONE,
        software_efficiency=ONE,
    )
    if fixed:
        owned = deployment.owned or Owned()
        hosting = owned.hosting_usd_per_server_month + fixed
        grown = replace(
            grown,
            gpu_usd_per_month=Fraction(0),
            gpus_per_server=deployment.gpus_per_replica,
            owned=replace(owned, hosting_usd_per_server_month=hosting),
        )
    text = ""
    if fleets > 1 or (crossing := breakeven.assess(scenario).crossing) is None or crossing > each:
        text = (
            f"One fleet carries {int(each):,} requests a month at its peak:"
            f" it was sized anew, to {max(fleets, 1):,}."
        )
    return replace(scenario, deployment=grown), text


def _with_share(scenario: Scenario, share: Fraction) -> Scenario:
    return replace(scenario, workload=replace(scenario.workload, share_moved=share))


def _savings_at(scenario: Scenario, requests: int) -> Fraction:
    return Fraction(costs.api_bill(scenario, requests) - costs.hybrid_bill(scenario, requests))


def _months_after(scenario: Scenario) -> Fraction:
    """Months of the horizon in which only the new form is paid."""
    migration = scenario.migration
    before = migration.lead_days / DAYS_PER_MONTH + migration.dual_running_months
    return max(HORIZON_MONTHS - before, Fraction(0))


def _price_effect(money: Money) -> Fraction:
    """What falling or rising prices do to the horizon's net, as the scenario's own move shows."""
    scenario = money.scenario
    flat = replace(
        scenario,
        api=replace(scenario.api, price_change_per_month=Fraction(0)),
        deployment=replace(scenario.deployment, gpu_price_change_per_month=Fraction(0)),
    )
    if flat == scenario:
        return Fraction(0)
    return money.found.net_12_months - Fraction(breakeven.net(flat))
