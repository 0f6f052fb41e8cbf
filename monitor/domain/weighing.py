"""What money says about a case: the move it is about, its forms, and the signal.

A fleet that a scenario holds fixed is sized anew where it is known what it really carries, and a
deployment that cannot serve at all is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from monitor.domain import breakeven, costs, hybrid
from monitor.domain.breakeven import HORIZON_MONTHS
from monitor.domain.case import Case, Signal
from monitor.domain.gates import Finding
from monitor.domain.options import optimised
from monitor.domain.scenario import ONE, Owned, Scenario

LEAVE_BELOW = Fraction(-1, 10)
"""A moved workload returns only where it costs more than a tenth of the API bill: far below."""

_BUSY_HOUR = Fraction(233, 100)
"""Standard deviations above the mean that 99 of 100 hours stay below, were they normal."""


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
    kept: Fraction
    """What 12 months save where the move is made already: no setup, no lead time."""
    fleet: Fraction
    """Own servers alone, without what is left on the API."""
    optimised: Fraction
    best_share: hybrid.Split
    base: hybrid.Base | None
    low_savings: Fraction
    """At the low end of the volume's range."""
    resized: str
    """What was sized anew, or ''."""
    peak: str
    """Where the peak was taken from if nobody wrote it, or ''."""

    @property
    def savings(self) -> Fraction:
        """Against the API bill as it is."""
        return self.api - self.own

    @property
    def payback_months(self) -> Fraction | None:
        """Months of saving that cover setup and double running; None: it does not save."""
        migration = self.scenario.migration
        one_off = migration.setup_usd + migration.dual_running_months * self.fleet
        return one_off / self.savings if self.savings > 0 else None

    @property
    def verdict(self) -> breakeven.Verdict:
        """What this month's bills say, without what moving costs."""
        if self.savings <= 0:
            return "api"
        return "self_host" if self.share == 1 else "hybrid"

    @property
    def requests(self) -> int:
        """The monthly volume."""
        return self.found.requests


def weigh(case: Case, *, all_moves: bool) -> Money:
    """Everything that money says; `all_moves`: a constraint moves every request."""
    case, peak = _peaked(case)
    asked, resized = _sized(case)
    if all_moves:
        asked = _with_share(asked, ONE)
    tasks = None if all_moves else _tasks(case, asked)
    scenario = hybrid.mean_request(asked, case.facts.tasks) if case.facts.tasks else asked
    if tasks:
        scenario = _with_share(scenario, tasks.share)
    found, months = breakeven.assess(scenario), _months(case, asked, scenario, tasks)
    api, own, net = found.api, found.hybrid, found.net_12_months
    if tasks:
        own, net = tasks.usd, _net_of(scenario, months)
    low = case.facts.requests_low
    return Money(
        scenario=scenario,
        found=found,
        share=scenario.workload.share_moved,
        tasks=tasks,
        api=api,
        own=own,
        net=net,
        kept=Fraction(sum(saved for saved, _ in months)),
        fleet=months[0][1],
        optimised=min(api, optimised(scenario, case.facts.options)),
        best_share=hybrid.best_share(scenario),
        base=hybrid.best_base(_with_share(scenario, ONE), case.facts.hourly_requests),
        low_savings=api - own if low is None else _savings_at(case, asked, scenario, tasks, low),
        resized=resized,
        peak=peak,
    )


def _peaked(case: Case) -> tuple[Case, str]:
    """The case with the peak that its demand shows, where its scenario is silent about one.

    A fleet for the mean hour would fail in the busy one. A rule of entering and leaving has
    measured its own.
    """
    facts, workload = case.facts, case.scenario.workload
    shown, how = ONE, ""
    if sum(facts.hourly_requests):
        mean = Fraction(sum(facts.hourly_requests)) / len(facts.hourly_requests)
        shown, how = max(facts.hourly_requests) / mean, "its hours show"
    elif facts.coefficient_of_variation:
        shown = 1 + _BUSY_HOUR * facts.coefficient_of_variation
        how = "99 of 100 hours stay below, by its variation"
    if workload.peak_to_mean > 1 or shown <= 1 or facts.signal:
        return case, ""
    scenario = replace(case.scenario, workload=replace(workload, peak_to_mean=shown))
    text = f"The peak is taken as {float(shown):.3g} times the mean, as {how}."
    return replace(case, scenario=scenario), text


def _months(
    case: Case, asked: Scenario, scenario: Scenario, tasks: hybrid.Chosen | None
) -> list[tuple[Fraction, Fraction]]:
    """What the move, once made, saves in each month of the horizon, and what its fleet costs."""
    if tasks:
        names = tasks.names
        return [hybrid.tasks_in(asked, case.facts.tasks, names, k) for k in range(HORIZON_MONTHS)]
    n = scenario.workload.requests_per_month
    return [
        (
            Fraction(costs.api_bill(scenario, n, k) - costs.hybrid_bill(scenario, n, k)),
            Fraction(costs.self_bill(scenario, scenario.workload.share_moved * n, k)),
        )
        for k in range(HORIZON_MONTHS)
    ]


def signal(case: Case, money: Money) -> Signal:
    """Move, hold or return; the enter and leave rule's where it spoke, else this month's figures.

    The horizon decides, so that prices that change and what moving costs count. What has moved paid
    for it already: there only the year's bills of both sides count, the API's as it is and as it
    could be, and what leaving costs.
    """
    if case.facts.signal == "move" and not money.share:
        return "hold"
    if case.facts.signal:
        return case.facts.signal
    if case.facts.runs_on != "api":
        kept = (money.kept, kept_against_better(money))
        year = (_year_on_api(money), HORIZON_MONTHS * money.optimised)
        losses = (k for k, bill in zip(kept, year, strict=True) if k < LEAVE_BELOW * bill)
        loss = min(losses, default=None)
        if loss is None and not money.requests:
            loss = money.kept
        pays = loss is not None and -loss > money.scenario.migration.exit_usd
        return "return" if pays else "hold"
    surely = case.facts.requests_low is None or money.low_savings > 0
    return "move" if money.net > 0 and surely and money.requests else "hold"


def kept_against_better(money: Money) -> Fraction:
    """What 12 months save where the move is made, against the API bill as it could be."""
    return money.kept - HORIZON_MONTHS * (money.api - money.optimised)


def _year_on_api(money: Money) -> Fraction:
    bills = (api_at(money.scenario, money.requests, month) for month in range(HORIZON_MONTHS))
    return sum(bills, Fraction(0))


def share_pays(money: Money) -> bool:
    """Whether the best share saves, and pays within the horizon."""
    split = money.best_share
    return split.saves > 0 and breakeven.net(_with_share(money.scenario, split.share)) > 0


def base_pays(case: Case, money: Money) -> bool:
    """Whether own replicas for the base load save, and pay within the horizon."""
    base = money.base
    if base is None or base.saves <= 0:
        return False
    whole, hours = _with_share(money.scenario, ONE), case.facts.hourly_requests
    months = [hybrid.base_in(whole, hours, base.replicas, k) for k in range(HORIZON_MONTHS)]
    return _net_of(whole, months) > 0


def _net_of(scenario: Scenario, months: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    """The net of a form that saves and costs so much in each month of the horizon."""
    saved, own = zip(*months, strict=True)
    return breakeven.net_of(scenario.migration, saved.__getitem__, own.__getitem__)


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


def api_at(scenario: Scenario, requests: int, month: int = 0) -> Fraction:
    """The API bill of another volume, or in another month after the decision."""
    return Fraction(costs.api_bill(scenario, requests, month))


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


def _savings_at(
    case: Case,
    asked: Scenario,
    scenario: Scenario,
    tasks: hybrid.Chosen | None,
    requests: int,
) -> Fraction:
    """What the same move saves at another volume."""
    if tasks:
        other = replace(asked, workload=replace(asked.workload, requests_per_month=requests))
        saved, _ = hybrid.tasks_in(other, case.facts.tasks, tasks.names, 0)
        return saved
    return Fraction(costs.api_bill(scenario, requests) - costs.hybrid_bill(scenario, requests))
