"""A scenario computed: both bills at its volume, the crossing, and what moving would bring.

Everything here is exact; rounding (half even) happens in `to_json` alone, each figure from its own
exact value, so that two programs that follow the model give the same cents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, count, islice
from typing import Any, Literal

from monitor.domain import costs
from monitor.domain.crossings import Region, solve
from monitor.domain.scenario import Migration, Scenario

Reason = Literal["nothing_moved", "marginal_cost", "fixed_cost"]
WHY_NEVER: Mapping[Reason, str] = {
    "nothing_moved": "no request would move",
    "marginal_cost": "one more own request costs at least the API's price",
    "fixed_cost": "the fixed cost is too high",
}
"""Why there is no crossing, in words."""
Verdict = Literal["api", "hybrid", "self_host"]

DAYS_PER_MONTH = Fraction("30.4375")
HORIZON_MONTHS = 12


@dataclass(frozen=True)
class Assessment:
    """Exact figures of one scenario, at its volume V; money in US dollars per month.

    None is unknown or undefined: no servers where GPUs are bought singly, no price per token
    without tokens, no payback without savings, no crossing with its `crossing_reason`.
    """

    scenario: Scenario
    api: Fraction
    self_host: Fraction
    """self(s*V): the moved share alone."""
    hybrid: Fraction
    lines: costs.Lines
    fleet: costs.Fleet
    utilisation: Fraction | None
    api_usd_per_million: Fraction | None
    self_host_usd_per_million: Fraction | None
    crossing: int | None
    crossing_reason: Reason | None
    cheaper_regions: tuple[Region, ...]
    cheaper_regions_cut: bool
    savings: Fraction
    payback_months: Fraction | None
    net_12_months: Fraction
    """The API path minus the migration path, in dollars; positive: moving pays within the year."""
    verdict: Verdict

    @property
    def requests(self) -> int:
        """The monthly volume V."""
        return self.scenario.workload.requests_per_month


def assess(scenario: Scenario) -> Assessment:
    """All results of a scenario."""
    n, tokens = scenario.workload.requests_per_month, costs.request_tokens(scenario.workload)
    moved = scenario.workload.share_moved * n
    lines, fleet = costs.self_lines(scenario, moved), costs.fleet(scenario, moved)
    api, own = Fraction(costs.api_bill(scenario, n)), Fraction(sum(lines))
    hybrid = Fraction(costs.hybrid_bill(scenario, n))
    crossings = solve(scenario)
    return Assessment(
        scenario=scenario,
        api=api,
        self_host=own,
        hybrid=hybrid,
        lines=lines,
        fleet=fleet,
        utilisation=utilisation(scenario, moved, fleet),
        api_usd_per_million=_usd_per_million(api, n * tokens),
        self_host_usd_per_million=_usd_per_million(own, moved * tokens),
        crossing=crossings.lasting,
        crossing_reason=_reason(scenario) if crossings.lasting is None else None,
        cheaper_regions=crossings.regions,
        cheaper_regions_cut=crossings.cut,
        savings=api - hybrid,
        payback_months=_payback_months(scenario, own, api - hybrid),
        net_12_months=Fraction(net(scenario)),
        verdict=_verdict(scenario, api - hybrid),
    )


def to_json(assessment: Assessment) -> dict[str, Any]:
    """The figures as `crossover breakeven --format json` prints them."""
    a, workload = assessment, assessment.scenario.workload
    tokens = costs.request_tokens(workload)
    return {
        "workload": workload.name,
        "requests_per_month": a.requests,
        "tokens_per_month": round(a.requests * tokens),
        "api_usd_per_month": cents(a.api),
        "self_host_usd_per_month": cents(a.self_host),
        "hybrid_usd_per_month": cents(a.hybrid),
        "lines": {line: cents(usd) for line, usd in a.lines._asdict().items()},
        **a.fleet._asdict(),
        "utilisation": ratio(a.utilisation),
        "usd_per_million_tokens": {
            "api": fixed(a.api_usd_per_million, 4),
            "self_host": fixed(a.self_host_usd_per_million, 4),
        },
        "crossing": {
            "requests_per_month": a.crossing,
            "tokens_per_month": None if a.crossing is None else round(a.crossing * tokens),
            "reason": a.crossing_reason,
        },
        "cheaper_regions": [[region.start, region.end] for region in a.cheaper_regions],
        "cheaper_regions_cut": a.cheaper_regions_cut,
        "savings_usd_per_month": cents(a.savings),
        "payback_months": ratio(a.payback_months),
        "net_12_months_usd": cents(a.net_12_months),
        "verdict": a.verdict,
    }


def utilisation(scenario: Scenario, n: Fraction, fleet: costs.Fleet) -> Fraction | None:
    """The share of saturated GPU time that the mean hour uses."""
    if not fleet.gpus:
        return None
    available = costs.SECONDS * fleet.gpus * scenario.deployment.software_efficiency
    return Fraction(n * costs.gpu_seconds(scenario) / available)


def _usd_per_million(usd: Fraction, tokens: Fraction) -> Fraction | None:
    return usd / tokens * costs.MILLION if tokens else None


def _reason(scenario: Scenario) -> Reason:
    """Why own service never becomes and stays cheaper."""
    if not scenario.workload.share_moved:
        return "nothing_moved"
    dearer = costs.own_usd_per_request(scenario) >= costs.api_usd_per_request(scenario)
    return "marginal_cost" if dearer else "fixed_cost"


def _payback_months(scenario: Scenario, own: Fraction, savings: Fraction) -> Fraction | None:
    migration = scenario.migration
    one_off = migration.setup_usd + migration.dual_running_months * own
    return one_off / savings if savings > 0 else None


def _verdict(scenario: Scenario, savings: Fraction) -> Verdict:
    if savings <= 0:
        return "api"
    return "self_host" if scenario.workload.share_moved == 1 else "hybrid"


def net(
    scenario: Scenario,
    months: int = HORIZON_MONTHS,
    number: Callable[[costs.Number], costs.Number] = Fraction,
) -> costs.Number:
    """What so many months save, at a constant volume, beginning with the decision to move.

    `number` makes the parts of a month the type that the scenario's other numbers have: the fields
    of `scenario` may be numpy arrays with `float`, all but the lead time and the double running.
    """
    return sum(islice(_net_of_months(scenario, number), months), -scenario.migration.setup_usd)


def net_by_month(scenario: Scenario, months: int) -> list[Fraction]:
    """The net over 1, 2, ... `months` months, exactly."""
    saved = islice(_net_of_months(scenario, Fraction), months)
    return list(accumulate(saved, initial=-scenario.migration.setup_usd))[1:]


def net_of(
    migration: Migration,
    saved: Callable[[int], Fraction],
    own: Callable[[int], Fraction],
    months: int = HORIZON_MONTHS,
) -> Fraction:
    """The net of a form of moving that has no scenario of its own, by the rules of `net`.

    Args:
        migration: what moving costs once, and how long it takes.
        saved: month after the decision -> the API's bill minus that of the form.
        own: month -> what its own servers alone cost, paid beside the API in double running.
        months: of the horizon.
    """
    parts = islice(_net_by_month(migration, saved, own, Fraction), months)
    return Fraction(sum(parts, -migration.setup_usd))


def _net_of_months(
    scenario: Scenario, number: Callable[[costs.Number], costs.Number]
) -> Iterator[costs.Number]:
    """What each month from the decision on saves, setup left out; without an end."""
    n = scenario.workload.requests_per_month
    moved = scenario.workload.share_moved * n

    def saved(month: int) -> costs.Number:
        return costs.api_bill(scenario, n, month) - costs.hybrid_bill(scenario, n, month)

    def own(month: int) -> costs.Number:
        return costs.self_bill(scenario, moved, month)

    return _net_by_month(scenario.migration, saved, own, number)


def _net_by_month(
    migration: Migration,
    saved: Callable[[int], costs.Number],
    own: Callable[[int], costs.Number],
    number: Callable[[costs.Number], costs.Number],
) -> Iterator[costs.Number]:
    """Nothing in the lead time, both bills in double running, then what the form saves."""
    switched = migration.lead_days / DAYS_PER_MONTH
    settled = switched + migration.dual_running_months
    for month in count():
        total: costs.Number = 0
        if alone := number(1 - _part(month, settled)):
            total = alone * saved(month)
        if dual := number(_part(month, settled) - _part(month, switched)):
            total = total - dual * own(month)
        yield total


def _part(month: int, until: Fraction) -> Fraction:
    """The part of a month that has passed at `until`, in months after the decision."""
    return min(max(until - month, Fraction(0)), Fraction(1))


def fixed(exact: Fraction | int | None, places: int) -> str | None:
    """An exact amount with so many decimals, half even; minus zero is zero."""
    if exact is None:
        return None
    units = round(exact * 10**places)
    whole, rest = divmod(abs(units), 10**places)
    return f"{'-' if units < 0 else ''}{whole}.{rest:0{places}d}"


def cents(usd: Fraction | int) -> str:
    """Dollars as text, rounded half even to cents."""
    return str(fixed(Fraction(usd), 2))


def ratio(exact: Fraction | None) -> float | None:
    """A ratio as a JSON number of six places; None stays unknown."""
    if exact is None:
        return None
    # Where a double has no decimals left, an integer is a JSON number of any size.
    return float(round(exact, 6)) if exact < 2**53 else round(exact)
