"""The break-even under uncertainty: seeded draws around the exact model.

Every draw is a whole scenario; the cost functions of `costs` compute all of them at once on numpy
arrays. Draws compare costs at their volume and never look for a crossing: the crossing is the exact
model's, and what is told of it is the chance that a month's volume reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain import costs, volumes
from monitor.domain.breakeven import HORIZON_MONTHS, Assessment, assess, net
from monitor.domain.errors import InputError
from monitor.domain.scenario import Api, Deployment, Scenario, Workload
from monitor.domain.volumes import Volume

DRAWS = 2_000
# A tie is not cheaper: floats cannot tell a difference of less than this part of both bills.
_TIE = 1e-11
# Rounded-up counts must not gain a replica from the last bit of a float.
_BELOW = 1 - 1e-12
_NAMES = (
    *("volume", "input", "cached", "output", "peak", "capacity", "api_price", "gpu_price"),
    *("api_trend", "gpu_trend", "people", "one_off"),
)

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """How far each input may be off: standard deviations of its logarithm; 0 switches it off.

    Published 80% ranges are turned into one: log(high / low) / 2.563. A default without a figure
    behind it is called a judgement. Everything is drawn independently of everything else.
    """

    projected: tuple[Volume, ...] = ()
    """The assessed month's requests and those of the months after it, as they are projected."""
    volume: float = 0.27
    """Where nothing is projected: months of public daily series differ from the one before by a
    median of 18% on the log scale, which is 0.27 standard deviations."""
    tokens: float = 0.10
    """Input, cached input and output of a mean request, each on its own: a judgement."""
    peak: float = 0.27
    """Of what the peak hour has above the mean: published practice is 2 to 4 times the mean."""
    capacity: float = 0.15
    """The fitted formula (rms up to 6%) and an own stack that reaches 70 to 100% of the vendor's
    tuned figures (0.14), together."""
    api_price: float = 0.05
    """List prices are known, the mix of models and contexts behind a mean price less so: a
    judgement."""
    gpu_price: float = 0.11
    """The same GPU is offered at $1.50 to $2.00 an hour."""
    api_trend: float = 0.05
    """Of a month's price change, about what the scenario states; no change where it states none,
    since prices of models in use rise as often as they fall (145 and 102 of the dated changes in
    genai-prices 0.2.3). A fall of 12.55% a month has been published; it lies at 2.7 deviations."""
    gpu_trend: float = 0.02
    """The same for rents: an index of H100 rents rose from $1.70 to $2.35 an hour within five
    months and one list was cut by 44%; how much of it lasts a year is a judgement."""
    people: float = 0.27
    """One to two engineers part time, at a price that is known."""
    one_off: float = 0.45
    """Four to ten engineer-weeks to deploy and to leave an API, at $2,500 to $5,000 each."""


CERTAIN = Uncertainty(
    volume=0,
    tokens=0,
    peak=0,
    capacity=0,
    api_price=0,
    gpu_price=0,
    api_trend=0,
    gpu_trend=0,
    people=0,
    one_off=0,
)
"""Everything switched off: the draws are the exact model, two thousand times."""


class Quantiles(NamedTuple):
    """q10, q50 and q90 of the draws; None: infinite, as a payback that never comes."""

    q10: float | None
    q50: float | None
    q90: float | None


@dataclass(frozen=True)
class Ranges:
    """What the draws say; money in US dollars, a month where nothing else is said."""

    draws: int
    seed: int
    probability: float
    """That own service is cheaper than the API at the month's volume."""
    savings: Quantiles
    payback_months: Quantiles
    """Over all draws, those that never pay back counted as infinite."""
    never_pays_back: float
    """The share of draws in which nothing is saved, so that no payback exists."""
    horizon_months: int
    net: Quantiles
    """Saved over the horizon after one-off cost, with both sides' prices changing as drawn."""
    net_probability: float
    """That moving pays within the horizon."""
    net_contradicts: bool
    """The median net and the month's verdict point in different directions."""
    volume: Volume
    crossing: int | None
    above_crossing: tuple[float, ...]
    """The chance that the volume of month 0 (assessed), 1, ... 12 reaches the crossing."""
    crossing_month: int | None
    """The first of these months with more than an even chance; None: none of them."""


def simulate(
    scenario: Scenario,
    uncertainty: Uncertainty | None = None,
    seed: int = 0,
    *,
    found: Assessment | None = None,
    horizon: int = HORIZON_MONTHS,
    draws: int = DRAWS,
) -> Ranges:
    """The ranges of a scenario; the same arguments give the same figures to the last bit.

    `found` is the scenario's assessment, if there is one already: its crossing is used. `horizon`
    is how many months the net counts, from the decision on.

    Raises:
        InputError: a number of the scenario is too large for floats.
    """
    unsure, found = uncertainty or Uncertainty(), found or assess(scenario)
    months = volumes.year_ahead(_known(scenario, unsure))
    with np.errstate(all="ignore"):
        drawn = _drawn(scenario, unsure, months[0], _normals(seed, draws))
        figures = {
            name: np.broadcast_to(np.asarray(values, dtype=np.float64), draws)
            for name, values in _figures(drawn, horizon).items()
        }
    if not all(np.isfinite(values).all() for values in figures.values()):
        raise InputError(
            "the scenario's numbers are too large for ranges", "Check them for a unit error."
        )
    above = tuple(volumes.chance_above(volume, found.crossing) for volume in months)
    return _ranges(figures, found, seed, horizon, months[0], above)


def _known(scenario: Scenario, unsure: Uncertainty) -> tuple[Volume, ...]:
    requests = float(scenario.workload.requests_per_month)
    return unsure.projected or (volumes.about(requests, unsure.volume),)


def _normals(seed: int, draws: int) -> Mapping[str, _Floats]:
    found = np.random.default_rng(seed).standard_normal((len(_NAMES), draws))
    return dict(zip(_NAMES, found, strict=True))


class _Factors:
    """What each number of a draw is multiplied by: 1 where its spread is switched off."""

    def __init__(self, normals: Mapping[str, _Floats]) -> None:
        self._normals = normals

    def of(self, name: str, log_sd: float) -> Any:
        return np.exp(log_sd * self._normals[name]) if log_sd else 1.0

    def trend(self, name: str, stated: Any, log_sd: float) -> Any:
        """A month's price change, with the stated one as the median."""
        return (1 + stated) * self.of(name, log_sd) - 1 if log_sd else stated


def _drawn(
    scenario: Scenario, unsure: Uncertainty, volume: Volume, normals: Mapping[str, _Floats]
) -> Scenario:
    """The scenario in floats, with an array of draws in place of each uncertain number."""
    plain, factors = in_floats(scenario), _Factors(normals)
    setup = plain.migration.setup_usd * factors.of("one_off", unsure.one_off)
    requests: Any = volumes.draws(volume, normals["volume"])
    return Scenario(
        workload=_workload(replace(plain.workload, requests_per_month=requests), unsure, factors),
        api=_api(plain.api, unsure, factors),
        deployment=_deployment(plain.deployment, unsure, factors),
        migration=replace(plain.migration, setup_usd=setup),
    )


def _workload(table: Workload, unsure: Uncertainty, factors: _Factors) -> Workload:
    above_mean = (table.peak_to_mean - 1) * factors.of("peak", unsure.peak)
    return replace(
        table,
        input_tokens=table.input_tokens * factors.of("input", unsure.tokens),
        cached_input_tokens=table.cached_input_tokens * factors.of("cached", unsure.tokens),
        output_tokens=table.output_tokens * factors.of("output", unsure.tokens),
        peak_to_mean=1 + above_mean,
    )


def _api(table: Api, unsure: Uncertainty, factors: _Factors) -> Api:
    price, cached = factors.of("api_price", unsure.api_price), table.cached_input_usd_per_million
    change = factors.trend("api_trend", table.price_change_per_month, unsure.api_trend)
    return replace(
        table,
        input_usd_per_million=table.input_usd_per_million * price,
        cached_input_usd_per_million=None if cached is None else cached * price,
        output_usd_per_million=table.output_usd_per_million * price,
        price_change_per_month=change,
    )


def _deployment(table: Deployment, unsure: Uncertainty, factors: _Factors) -> Deployment:
    price, owned = factors.of("gpu_price", unsure.gpu_price), table.owned
    change = factors.trend("gpu_trend", table.gpu_price_change_per_month, unsure.gpu_trend)
    if owned:
        owned = replace(owned, server_purchase_usd=owned.server_purchase_usd * price)
    return replace(
        table,
        software_efficiency=table.software_efficiency * factors.of("capacity", unsure.capacity),
        usd_per_gpu_hour=table.usd_per_gpu_hour * price,
        gpu_usd_per_month=table.gpu_usd_per_month * price,
        gpu_price_change_per_month=change,
        people_usd_per_month=table.people_usd_per_month * factors.of("people", unsure.people),
        owned=owned,
    )


def in_floats(table: Any) -> Any:
    """A scenario, or a table of one, whose exact fractions are floats."""
    floats: dict[str, Any] = {}
    for key in fields(table):
        value = getattr(table, key.name)
        if is_dataclass(value):
            floats[key.name] = in_floats(value)
        elif isinstance(value, Fraction):
            floats[key.name] = float(value)
    return replace(table, **floats)


def _figures(drawn: Scenario, horizon: int) -> Mapping[str, Any]:
    """Savings, one-off cost and net of every draw."""
    n: Any = drawn.workload.requests_per_month * _BELOW
    drawn = replace(drawn, workload=replace(drawn.workload, requests_per_month=n))
    api, hybrid = costs.api_bill(drawn, n), costs.hybrid_bill(drawn, n)
    saved = api - hybrid
    saved = saved * (np.abs(saved) > _TIE * (api + hybrid))
    own = costs.self_bill(drawn, drawn.workload.share_moved * n)
    migration = drawn.migration
    one_off = migration.setup_usd + migration.dual_running_months * own
    return {"saved": saved, "one_off": one_off, "net": net(drawn, horizon, float)}


def _ranges(
    figures: Mapping[str, _Floats],
    found: Assessment,
    seed: int,
    horizon: int,
    volume: Volume,
    above: tuple[float, ...],
) -> Ranges:
    saved, after = figures["saved"], figures["net"]
    pays = saved > 0
    payback = np.where(pays, figures["one_off"] / np.where(pays, saved, 1.0), math.inf)
    middle = _quantiles(after)
    return Ranges(
        draws=len(saved),
        seed=seed,
        probability=float(pays.mean()),
        savings=_quantiles(saved),
        payback_months=_quantiles(payback),
        never_pays_back=float(1 - pays.mean()),
        horizon_months=horizon,
        net=middle,
        net_probability=float((after > 0).mean()),
        net_contradicts=(found.savings > 0) != ((middle.q50 or 0) > 0),
        volume=volume,
        crossing=found.crossing,
        above_crossing=above,
        crossing_month=next((m for m, chance in enumerate(above) if chance > 0.5), None),
    )


def _quantiles(values: _Floats) -> Quantiles:
    # An observed value each: between a number and infinity there is nothing to interpolate.
    found = np.quantile(values, (0.1, 0.5, 0.9), method="inverted_cdf").tolist()
    return Quantiles(*(q if math.isfinite(q) else None for q in found))


def to_json(ranges: Ranges) -> dict[str, Any]:
    """The ranges as JSON: dollars as text in cents, ratios as numbers."""
    r = ranges
    return {
        "draws": r.draws,
        "seed": r.seed,
        "probability_cheaper": round(r.probability, 4),
        "savings_usd_per_month": _dollars(r.savings),
        "payback_months": {
            name: None if q is None else round(q, 2)
            for name, q in r.payback_months._asdict().items()
        },
        "never_pays_back": round(r.never_pays_back, 4),
        "horizon_months": r.horizon_months,
        "net_usd": _dollars(r.net),
        "net_probability": round(r.net_probability, 4),
        "net_contradicts_verdict": r.net_contradicts,
        "requests_per_month": {
            name: round(q) for name, q in r.volume._asdict().items() if name != "floor"
        },
        "above_crossing": [round(chance, 4) for chance in r.above_crossing],
        "crossing_month": r.crossing_month,
        "crossing_probability": None
        if r.crossing_month is None
        else round(r.above_crossing[r.crossing_month], 4),
    }


def _dollars(quantiles: Quantiles) -> dict[str, str | None]:
    return {
        name: None if q is None else f"{q:.2f}".replace("-0.00", "0.00")
        for name, q in quantiles._asdict().items()
    }
