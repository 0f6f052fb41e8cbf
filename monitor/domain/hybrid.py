"""Parts of a workload on own servers: a share, some of its tasks, or the base load.

Each form gives the cheapest split on the model of `costs`; all money is US dollars per month.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, combinations
from math import ceil, gcd
from typing import Any, Literal, NamedTuple

from monitor.domain import costs
from monitor.domain.gates import FRONTIER_TASKS, TaskKind
from monitor.domain.scenario import NotNegative, Scenario, Share

SHOWN_SHARES = (Fraction(6, 10), Fraction(7, 10), Fraction(8, 10))
"""The shares of the traffic that published comparisons move."""
FRONTIER_ABOVE, MIDDLE_ABOVE = Fraction(8, 10), Fraction(5, 10)
"""Routing by complexity (C): above the first a frontier API, above the second a 70B, else an 8B."""
_EVERY = 2_000
_LONGEST = 100
"""Replicas looked at beside each end; longer periods belong to no server that exists."""
_MOST_TASKS = 12


class Split(NamedTuple):
    """A share of the requests on own servers, the rest on the API."""

    share: Fraction
    usd: Fraction
    """Both together."""
    api_usd: Fraction
    """The API bill that is left."""
    api_falls: Fraction
    """By which share of itself the API bill falls."""
    saves: Fraction
    """Against the whole on the API: less than the fall of the API bill, own servers cost too."""


class Base(NamedTuple):
    """K replicas for the base load, the API for what is above them."""

    replicas: int
    usd: Fraction
    saves: Fraction
    share: Fraction
    """Of the requests that the replicas serve."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A part of the workload's requests; absent tokens are those of its mean request."""

    name: str
    share: Share
    kind: TaskKind | None = None
    frontier: bool = False
    complexity: Share | None = None
    tier: Literal["free", "paying"] | None = None
    input_tokens: NotNegative | None = None
    cached_input_tokens: NotNegative | None = None
    output_tokens: NotNegative | None = None


class Chosen(NamedTuple):
    """The set of tasks that share a fleet most cheaply."""

    names: tuple[str, ...]
    share: Fraction
    """Of all requests."""
    usd: Fraction
    api_usd: Fraction
    api_falls: Fraction
    saves: Fraction


def route(complexity: Fraction) -> str:
    """Where a request of this complexity goes: `frontier_api`, `own_70b` or `own_8b`."""
    if complexity > FRONTIER_ABOVE:
        return "frontier_api"
    return "own_70b" if complexity > MIDDLE_ABOVE else "own_8b"


def split(scenario: Scenario, share: Fraction) -> Split:
    """The workload with this share moved; at 0 nothing moves and no fleet is kept."""
    n = scenario.workload.requests_per_month
    whole = Fraction(costs.api_bill(scenario, n))
    if not share:
        return Split(share, whole, whole, Fraction(0), Fraction(0))
    moved = replace(scenario, workload=replace(scenario.workload, share_moved=share))
    usd = Fraction(costs.hybrid_bill(moved, n))
    left = Fraction(0) if share == 1 else Fraction(costs.api_bill(scenario, (1 - share) * n))
    return Split(share, usd, left, _fall(whole, left), whole - usd)


def best_share(scenario: Scenario) -> Split:
    """The cheapest share, exactly; of two that cost the same the smaller one.

    The bill is linear between full replicas and servers and bends where a committed minimum is
    used up, and full fleets repeat with a period: so only those near the ends of each straight
    part can be cheapest.
    """
    candidates = {Fraction(0), Fraction(1), *_full_shares(scenario), *_bend(scenario)}
    return min((split(scenario, s) for s in candidates), key=lambda found: (found.usd, found.share))


def _bend(scenario: Scenario) -> Iterator[Fraction]:
    """The share at which the rest of the API bill reaches the committed minimum."""
    api, n = scenario.api, scenario.workload.requests_per_month
    usage = n * costs.api_usd_per_request(scenario)
    if usage and api.minimum_usd_per_month > api.fixed_usd_per_month:
        share = 1 - (api.minimum_usd_per_month - api.fixed_usd_per_month) / usage
        if 0 < share < 1:
            yield share


def _full_shares(scenario: Scenario) -> Iterator[Fraction]:
    """Shares that fill a fleet to the last request, near the ends of each straight part."""
    deployment, n = scenario.deployment, scenario.workload.requests_per_month
    per_request = n * costs.replicas_per_request(scenario)
    if not per_request:
        return
    period = deployment.gpus_per_server or 1
    period = min(_LONGEST, period // gcd(period, deployment.gpus_per_replica))
    least, most = max(1, deployment.min_replicas), int(per_request)
    edges = [least, most, *(int(share * per_request) for share in _bend(scenario))]
    for edge in edges:
        for replicas in range(max(least, edge - period), min(most, edge + period) + 1):
            yield replicas / per_request


def best_tasks(scenario: Scenario, tasks: Sequence[Task]) -> Chosen | None:
    """The movable tasks that together save most on one shared fleet; None: no set saves.

    Every set is tried up to 12 movable tasks; beyond that the sets in falling order of API
    dollars for a second of GPU.
    """
    movable = [task for task in tasks if not stays(task)]
    found = [chosen(scenario, tasks, some) for some in _sets(scenario, movable)]
    best = min(found, key=lambda c: (c.usd, len(c.names)), default=None)
    return best if best and best.saves > 0 else None


def moved_tasks(scenario: Scenario, tasks: Sequence[Task]) -> Chosen:
    """All movable tasks on one shared fleet."""
    return chosen(scenario, tasks, [task for task in tasks if not stays(task)])


def stays(task: Task) -> bool:
    """Whether a task needs the frontier API: by its kind, its complexity, or who pays for it."""
    hard = task.complexity is not None and route(task.complexity) == "frontier_api"
    return task.frontier or task.kind in FRONTIER_TASKS or hard or task.tier == "paying"


def _sets(scenario: Scenario, movable: Sequence[Task]) -> Iterator[Sequence[Task]]:
    if len(movable) <= _MOST_TASKS:
        for size in range(1, len(movable) + 1):
            yield from combinations(movable, size)
        return
    ordered = sorted(movable, key=lambda task: _worth(scenario, task), reverse=True)
    yield from (ordered[:size] for size in range(1, len(ordered) + 1))


def _worth(scenario: Scenario, task: Task) -> Fraction:
    alone = _alone(scenario, task)
    seconds, usd = costs.gpu_seconds(alone), costs.api_usd_per_request(alone)
    return Fraction(usd / seconds) if seconds else Fraction(usd * 10**9)


def _alone(scenario: Scenario, task: Task) -> Scenario:
    """The scenario with a mean request of this task."""
    own = {
        name: getattr(task, name)
        for name in ("input_tokens", "cached_input_tokens", "output_tokens")
        if getattr(task, name) is not None
    }
    return replace(scenario, workload=replace(scenario.workload, **own))


def mean_request(scenario: Scenario, tasks: Sequence[Task]) -> Scenario:
    """The scenario with the mean request of its tasks, each with its own tokens."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens")
    alone = [(task.share, _alone(scenario, task).workload) for task in tasks]
    means: dict[str, Any] = {
        name: Fraction(sum(share * getattr(own, name) for share, own in alone)) for name in names
    }
    return replace(scenario, workload=replace(scenario.workload, **means))


def chosen(scenario: Scenario, tasks: Sequence[Task], moved: Sequence[Task]) -> Chosen:
    """These tasks on one shared fleet, the others on the API."""
    whole = api_of_tasks(scenario, tasks)
    left = api_of_tasks(scenario, rest) if (rest := _others(tasks, moved)) else Fraction(0)
    usd = own_of_tasks(scenario, moved) + left if moved else whole
    share = Fraction(sum(task.share for task in moved))
    names = tuple(task.name for task in moved)
    return Chosen(names, share, usd, left, _fall(whole, left), whole - usd)


def tasks_in(
    scenario: Scenario, tasks: Sequence[Task], names: Sequence[str], month: int
) -> tuple[Fraction, Fraction]:
    """What the tasks of these names save in a month after the decision, and what their fleet costs.

    No tasks save nothing and cost nothing.
    """
    moved = [task for task in tasks if task.name in names]
    if not moved:
        return Fraction(0), Fraction(0)
    own, rest = own_of_tasks(scenario, moved, month), _others(tasks, moved)
    left = api_of_tasks(scenario, rest, month) if rest else Fraction(0)
    return api_of_tasks(scenario, tasks, month) - own - left, own


def _others(tasks: Sequence[Task], moved: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task not in moved]


def api_of_tasks(scenario: Scenario, tasks: Sequence[Task], month: int = 0) -> Fraction:
    """The API bill of all requests of the tasks, each with its own tokens."""
    n, api = scenario.workload.requests_per_month, scenario.api
    usage = sum(n * t.share * costs.api_usd_per_request(_alone(scenario, t), month) for t in tasks)
    return Fraction(max(api.minimum_usd_per_month, api.fixed_usd_per_month + usage))


def own_of_tasks(scenario: Scenario, tasks: Sequence[Task], month: int = 0) -> Fraction:
    """One fleet for the peaks of all tasks together."""
    n = scenario.workload.requests_per_month
    alone = [(n * task.share, _alone(scenario, task)) for task in tasks]
    needed = sum(requests * costs.replicas_per_request(s) for requests, s in alone)
    per_request = costs.replicas_per_request(scenario)
    # The load in requests of the scenario's own mean size, so that the fleet is the model's.
    load = needed / per_request if per_request else Fraction(sum(r for r, _ in alone))
    variable = sum(requests * costs.variable_usd_per_request(s) for requests, s in alone)
    return Fraction(sum(costs.self_lines(scenario, load, month)._replace(variable=variable)))


def best_base(scenario: Scenario, hourly: Sequence[Fraction]) -> Base | None:
    """The cheapest number of replicas with the API for each hour's demand above them.

    cost(K) = own(K replicas) + API price of the demand above K x r in every hour. `hourly` is a
    typical period's requests by hour, scaled to the scenario's volume. K = 0 is the API alone;
    own servers alone, sized on the scenario's peak, compete too: no result is dearer than either.
    None: there is no demand.
    """
    n, total = scenario.workload.requests_per_month, sum(hourly)
    if not n or not total:
        return None
    demand = _Demand(scenario, hourly)
    api = Fraction(costs.api_bill(scenario, n))
    own = Fraction(costs.self_bill(scenario, n))
    fleet = costs.fleet(scenario, n).replicas - scenario.deployment.spare_replicas
    forms = [
        Base(0, api, Fraction(0), Fraction(0)),
        *(demand.with_replicas(k, api)[0] for k in demand.replicas()),
        Base(fleet, own, api - own, Fraction(1)),
    ]
    return min(forms, key=lambda form: (form.usd, form.replicas))


def base_in(
    scenario: Scenario, hourly: Sequence[Fraction], replicas: int, month: int
) -> tuple[Fraction, Fraction]:
    """What K replicas for the base load save in a month after the decision, and what they cost."""
    api = Fraction(costs.api_bill(scenario, scenario.workload.requests_per_month, month))
    found, own = _Demand(scenario, hourly).with_replicas(replicas, api, month)
    return found.saves, own


class _Demand:
    """Demand by hour of a mean month, to be served by K replicas and the API above them."""

    def __init__(self, scenario: Scenario, hourly: Sequence[Fraction]) -> None:
        self._scenario = scenario
        self._n = scenario.workload.requests_per_month
        scale = Fraction(self._n) / sum(hourly)
        self._hours = sorted(scale * requests for requests in hourly)
        self._sums = [Fraction(0), *accumulate(self._hours)]
        # What a replica serves in the part of the month that one entry stands for.
        seconds = Fraction(costs.SECONDS, len(hourly))
        flat = replace(scenario, workload=replace(scenario.workload, peak_to_mean=Fraction(1)))
        per_request = costs.replicas_per_request(flat)
        self._served = seconds / (per_request * costs.SECONDS) if per_request else self._hours[-1]

    def replicas(self) -> Iterator[int]:
        """Numbers of replicas worth trying: all, or, above 2,000, a grid over them."""
        least = max(1, self._scenario.deployment.min_replicas)
        most = max(least, ceil(self._hours[-1] / self._served))
        return iter(range(least, most + 1, max(1, (most - least) // _EVERY)))

    def with_replicas(self, k: int, api: Fraction, month: int = 0) -> tuple[Base, Fraction]:
        """K replicas, spares included, with the API above them; and what they cost without it."""
        scenario, above = self._scenario, self._above(k * self._served)
        per_request = costs.replicas_per_request(scenario)
        lines = costs.self_lines(scenario, k / per_request if per_request else Fraction(1), month)
        served = self._n - above
        variable = served * costs.variable_usd_per_request(scenario)
        own = Fraction(sum(lines._replace(variable=variable)))
        usd = own + (Fraction(costs.api_bill(scenario, above, month)) if above else 0)
        return Base(k, usd, api - usd, served / self._n), own

    def _above(self, capacity: Fraction) -> Fraction:
        first = bisect_right(self._hours, capacity)
        return self._sums[-1] - self._sums[first] - (len(self._hours) - first) * capacity


def _fall(whole: Fraction, left: Fraction) -> Fraction:
    return (whole - left) / whole if whole else Fraction(0)
