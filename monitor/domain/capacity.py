"""What a fleet carries: from a published rate, line by line, down to whole replicas and servers.

The arithmetic of a request's GPU time and of the fleet is that of `costs`; this module finds the
rates for a model and a GPU, checks that the weights fit, and shows each step in between as data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, Literal, NamedTuple

from monitor.domain import costs
from monitor.domain.breakeven import utilisation
from monitor.domain.errors import InputError
from monitor.domain.hardware import (
    CONFIDENCES,
    GB,
    Gpu,
    Market,
    Model,
    Price,
    Rates,
    find_gpu,
    find_model,
    find_precision,
)
from monitor.domain.scenario import Scenario, exact_text, parse_tables

Origin = Literal["published", "default", "given"]

RATE_KEYS = (
    "gpu_input_tokens_per_second",
    "gpu_output_tokens_per_second",
    "context_coefficient",
)
_ONE = Fraction(1)
_DEFAULT_PRECISION = "fp16"
_MOST_TOKENS = 10**9
"""Far above any context, and far below where a float ends."""


class Filled(NamedTuple):
    """A value of [deployment.cost] that came from the data files, and its source."""

    value: Fraction
    source: str
    as_of: str = ""


class Fit(NamedTuple):
    """Memory of one replica in GB: weights and cache, what a card gives, how many it takes."""

    weights_gb: Fraction
    needed_gb: Fraction
    usable_gb_per_gpu: Fraction
    least_gpus: int


class Quote(NamedTuple):
    """The price that was chosen among the rows of a commitment, and how far apart they are."""

    row: Price
    low: Fraction
    high: Fraction
    rows: int


class Step(NamedTuple):
    """One line of the chain; `requests_per_second` is what a GPU carries after it."""

    name: str
    factor: Fraction
    requests_per_second: Fraction
    source: str
    origin: Origin


@dataclass(frozen=True)
class Choice:
    """A way to serve a model, in the words of the data files."""

    model: str
    gpu: str
    precision: str = ""
    commitment: str = "on_demand"


@dataclass(frozen=True)
class Sizing:
    """A fleet for a load, with everything between a benchmark and its replicas.

    Rates are per GPU and second, money is US dollars a month; `price` is None where the caller
    gave a price of their own.
    """

    scenario: Scenario
    filled: Mapping[str, Filled]
    steps: Sequence[Step]
    fleet: costs.Fleet
    utilisation: Fraction | None
    prefill_seconds: Fraction
    decode_seconds: Fraction
    gpu_usd_per_month: Fraction
    memory: Fit
    price: Quote | None
    remarks: Sequence[str]

    @property
    def replica_requests_per_month(self) -> Fraction:
        """What one replica carries in a month of mean demand whose peak it just meets."""
        return 1 / Fraction(costs.replicas_per_request(self.scenario))

    @property
    def replica_output_tokens_per_month(self) -> Fraction:
        """The output tokens of those requests."""
        return self.replica_requests_per_month * self.scenario.workload.output_tokens


def fill(
    rates: Rates, market: Market, choice: Choice, written: Mapping[str, Any]
) -> dict[str, Filled]:
    """The keys of [deployment.cost] that a model and a GPU settle and nobody wrote.

    Args:
        rates: capacity.toml.
        market: gpus.toml.
        choice: the model, GPU, precision and commitment.
        written: the keys that were written; each of them wins.

    Raises:
        InputError: an unknown name, a pair of which nothing is known, GPUs too small for the
            weights, or no price for the commitment.
    """
    model, gpu = find_model(rates, choice.model), find_gpu(market, choice.gpu)
    found: dict[str, Filled] = {}
    if any(key in written for key in RATE_KEYS):
        measured_on = 1
    else:
        found, measured_on = _rates(rates, model, gpu, choice.precision)
    memory = memory_fit(rates, model, gpu, precision_of(rates, model, gpu, choice.precision))
    if "gpus_per_replica" in written:
        require_memory(memory, model, gpu, int(written["gpus_per_replica"]))
    replica = max(memory.least_gpus, measured_on)
    found["gpus_per_replica"] = Filled(Fraction(replica), _replica_source(memory, gpu, measured_on))
    if not {"usd_per_gpu_hour", "gpu_usd_per_month"} & set(written):
        row = quote(market, gpu, choice.commitment).row
        found["usd_per_gpu_hour"] = Filled(row.usd_per_gpu_hour, _price_source(row), row.as_of)
    return {key: value for key, value in found.items() if key not in written}


def precision_of(rates: Rates, model: Model, gpu: Gpu, precision: str) -> str:
    """The precision asked for, else the one that was measured, else fp16, the most cautious."""
    if precision:
        return find_precision(rates, precision)
    fitted = [f.precision for f in rates.fits if (f.model, f.gpu) == (model.name, gpu.name)]
    return fitted[0] if fitted else _DEFAULT_PRECISION


def _rates(rates: Rates, model: Model, gpu: Gpu, precision: str) -> tuple[dict[str, Filled], int]:
    """a, b, c and the two factors, and the GPUs of the replica they were measured on."""
    chosen = precision_of(rates, model, gpu, precision)
    for fit in rates.fits:
        if (fit.model, fit.gpu, fit.precision) == (model.name, gpu.name, chosen):
            error = f"worst error {float(fit.worst_error):.0%}, rms {float(fit.rms):.0%}"
            source = f"{rates.fitting.source}, {fit.precision}, {error}"
            values = (
                fit.input_tokens_per_second,
                fit.output_tokens_per_second,
                fit.context_coefficient,
            )
            found = {k: Filled(v, source) for k, v in zip(RATE_KEYS, values, strict=True)}
            return found | _factors(rates), fit.gpus
    return _one_stream(rates, model, gpu, chosen), 1


def _factors(rates: Rates) -> dict[str, Filled]:
    headroom, gap = rates.deratings["latency headroom"], rates.deratings["software gap"]
    return {
        "headroom": Filled(headroom.factor, headroom.source),
        "software_efficiency": Filled(gap.factor, gap.source),
    }


def _one_stream(rates: Rates, model: Model, gpu: Gpu, precision: str) -> dict[str, Filled]:
    """The pessimistic fallback: requests one after the other, so nothing is left to take off."""
    sized = [s for s in rates.streams if model.parameters <= s.parameters_up_to]
    smallest = min(sized, key=lambda s: s.parameters_up_to, default=None)
    if smallest is None or smallest.gpu != gpu.name:
        raise InputError(
            f"nothing is known of {model.name} at {precision} on {gpu.name}; known of it: "
            + (_known_of(rates, model, smallest.gpu if smallest else "") or "nothing"),
            "Choose one of these, or write gpu_input_tokens_per_second and"
            " gpu_output_tokens_per_second in [deployment.cost].",
        )
    alone = "an unbatched stream is not a saturated rate: nothing to take off"
    zero, source = Fraction(0), smallest.source
    return {
        RATE_KEYS[0]: Filled(zero, f"{source}; reading is part of it"),
        RATE_KEYS[1]: Filled(smallest.tokens_per_second / smallest.gpus, source),
        RATE_KEYS[2]: Filled(zero, f"{source}; context is part of it"),
        "headroom": Filled(_ONE, alone),
        "software_efficiency": Filled(_ONE, alone),
    }


def _known_of(rates: Rates, model: Model, stream_gpu: str) -> str:
    known = [f"{f.precision} on {f.gpu}" for f in rates.fits if f.model == model.name]
    return ", ".join(known + ([f"one stream on {stream_gpu}"] if stream_gpu else []))


def memory_fit(rates: Rates, model: Model, gpu: Gpu, precision: str) -> Fit:
    """What the weights and the cache need, and the least GPUs, a power of two, that hold them."""
    weights = model.parameters * rates.bytes_per_parameter[precision] / GB
    needed = weights * (1 + rates.memory.cache_share_of_weights)
    usable = gpu.memory_gb * rates.memory.usable_share
    return Fit(weights, needed, usable, 1 << (ceil(needed / usable) - 1).bit_length())


def require_memory(memory: Fit, model: Model, gpu: Gpu, gpus: int) -> None:
    """Refuse a replica that cannot hold its weights and cache, with the figures."""
    if gpus * memory.usable_gb_per_gpu < memory.needed_gb:
        cache = memory.needed_gb - memory.weights_gb
        raise InputError(
            f"gpus_per_replica = {gpus}: {model.name} needs {float(memory.needed_gb):.1f} GB"
            f" ({float(memory.weights_gb):.1f} of weights, {float(cache):.1f} of cache), and"
            f" {gpus} x {gpu.name} give {float(gpus * memory.usable_gb_per_gpu):.1f} GB",
            f"Use at least {ceil(memory.needed_gb / memory.usable_gb_per_gpu)} GPUs a replica,"
            " or a lower precision.",
        )


def _replica_source(memory: Fit, gpu: Gpu, measured_on: int) -> str:
    needed, usable = float(memory.needed_gb), float(memory.usable_gb_per_gpu)
    text = f"{needed:.1f} GB of weights and cache, {usable:.1f} GB usable of a {gpu.name}"
    return text if measured_on <= memory.least_gpus else f"{text}; measured on {measured_on}"


def quote(market: Market, gpu: Gpu, commitment: str) -> Quote:
    """The row to count with: the best confidence, then dated ones, then the upper median.

    Raises:
        InputError: the GPU has no price row of this commitment.
    """
    rows = [p for p in market.prices if (p.gpu, p.commitment) == (gpu.name, commitment)]
    if not rows:
        known = sorted({p.commitment for p in market.prices if p.gpu == gpu.name})
        listed = ", ".join(known) or "none"
        raise InputError(
            f"no {commitment} price of {gpu.name} is known; there are: {listed}",
            "Choose another commitment, or write usd_per_gpu_hour.",
        )
    best = min(_trust(row) for row in rows)
    trusted = sorted((r for r in rows if _trust(r) == best), key=lambda r: r.usd_per_gpu_hour)
    prices = [row.usd_per_gpu_hour for row in rows]
    return Quote(trusted[len(trusted) // 2], min(prices), max(prices), len(rows))


def _trust(row: Price) -> tuple[int, bool]:
    return CONFIDENCES.index(row.confidence), not row.as_of


def price_remarks(market: Market, gpu: Gpu, found: Quote, on: date) -> list[str]:
    """What a reader must know of a chosen price: its age, the range, a place outside of ranges."""
    row, remarks = found.row, []
    if (aged := age_remark(row, on, market.stale_after_days)) is not None:
        remarks.append(aged)
    if found.low != found.high:
        remarks.append(
            f"{found.rows} {row.commitment} prices of {gpu.name} lie between"
            f" ${float(found.low):.2f} and ${float(found.high):.2f} an hour"
        )
    return remarks + low_price(gpu, row.usd_per_gpu_hour)


def age_remark(row: Price, on: date, stale_after_days: int) -> str | None:
    """A warning where a price is undated or older than the limit, with its age."""
    age = row.age_days(on)
    if age is None:
        return f"the price of {row.gpu} has no date ({row.source})"
    if age <= stale_after_days:
        return None
    return f"the price of {row.gpu} is {age} days old ({row.as_of}, {row.source})"


def low_price(gpu: Gpu, usd_per_hour: Fraction) -> list[str]:
    """A warning where a price lies below the published ranges."""
    low = gpu.published_low_usd
    if low is None or usd_per_hour >= low:
        return []
    return [
        (
            f"${float(usd_per_hour):.2f} an hour for {gpu.name} lies below the published ranges,"
            f" which begin at ${float(low):.2f}"
        )
    ]


def _price_source(row: Price) -> str:
    dated = row.as_of or "date unknown"
    region = f", {row.region}" if row.region else ""
    return f"{row.commitment} {row.gpu}, {row.source}, {dated}{region}, {row.confidence} confidence"


def size(
    rates: Rates,
    market: Market,
    choice: Choice,
    workload: Mapping[str, Any],
    written: Mapping[str, Any],
    on: date,
) -> Sizing:
    """The fleet of a choice under a load.

    Args:
        rates: capacity.toml.
        market: gpus.toml.
        choice: the model, GPU, precision and commitment.
        workload: keys of a scenario's [workload].
        written: keys of [deployment.cost] that win over the data files.
        on: the day on which the prices' ages are told.

    Raises:
        InputError: as in `fill`, a value that a scenario refuses, or no tokens at all.
    """
    # Checked before anything rests on them; the count of GPUs is the one required key.
    asked = _scenario(workload, {"gpus_per_replica": 1} | dict(written)).workload
    if max(asked.input_tokens, asked.output_tokens) > _MOST_TOKENS:
        raise InputError(
            f"a request of more than {_MOST_TOKENS:,} tokens is none",
            "Give the mean tokens of one request.",
        )
    filled = fill(rates, market, choice, written)
    values = {key: item.value for key, item in filled.items()}
    scenario = _scenario(workload, values | dict(written))
    model, gpu = find_model(rates, choice.model), find_gpu(market, choice.gpu)
    steps = chain(scenario, filled)
    load = scenario.workload.requests_per_month
    running = costs.fleet(scenario, load)
    prefill, decode = phases(scenario)
    price = None if "usd_per_gpu_hour" not in filled else quote(market, gpu, choice.commitment)
    hourly = scenario.deployment.usd_per_gpu_hour
    of_price = price_remarks(market, gpu, price, on) if price else low_price(gpu, hourly)
    return Sizing(
        scenario=scenario,
        filled=filled,
        steps=steps,
        fleet=running,
        utilisation=utilisation(scenario, Fraction(load), running),
        prefill_seconds=prefill,
        decode_seconds=decode,
        gpu_usd_per_month=Fraction(costs.self_lines(scenario, load).gpu),
        memory=memory_fit(rates, model, gpu, precision_of(rates, model, gpu, choice.precision)),
        price=price,
        remarks=[*of_price, *shape_remarks(rates, scenario, filled)],
    )


def _scenario(workload: Mapping[str, Any], deployment: Mapping[str, Any]) -> Scenario:
    nothing = {"input_usd_per_million": 0, "output_usd_per_million": 0}
    return parse_tables(
        {"workload": workload, "api": nothing, "deployment": deployment}, "capacity"
    )


def shape_remarks(rates: Rates, scenario: Scenario, filled: Mapping[str, Filled]) -> list[str]:
    """A warning where requests lie outside the shapes that a fitted formula was fitted on."""
    fitting, workload = rates.fitting, scenario.workload
    if RATE_KEYS[0] not in filled or not filled[RATE_KEYS[0]].value:
        return []
    if (
        fitting.least_input <= workload.input_tokens <= fitting.most_input
        and fitting.least_output <= workload.output_tokens <= fitting.most_output
    ):
        return []
    return [
        (
            f"the formula was fitted on {fitting.least_input:,} to {fitting.most_input:,} tokens in"
            f" and {fitting.least_output:,} to {fitting.most_output:,} out; {fitting.beyond}"
        )
    ]


def phases(scenario: Scenario) -> tuple[Fraction, Fraction]:
    """GPU-seconds of one request at saturation: reading the input, and writing the output."""
    no_output = replace(scenario.workload, output_tokens=Fraction(0))
    prefill = Fraction(costs.gpu_seconds(replace(scenario, workload=no_output)))
    return prefill, Fraction(costs.gpu_seconds(scenario)) - prefill


def chain(scenario: Scenario, filled: Mapping[str, Filled] | None = None) -> list[Step]:
    """Each factor between a saturated GPU and what one carries of mean demand, in order.

    The product without redundancy, times the GPUs of a replica and the seconds of a month, is
    exactly the inverse of `costs.replicas_per_request`.

    Raises:
        InputError: no rate limits the deployment, or a request has no tokens.
    """
    found, deployment = filled or {}, scenario.deployment
    unaided = replace(deployment, prefix_cache_hit_share=Fraction(0))
    plain = Fraction(costs.gpu_seconds(replace(scenario, deployment=unaided)))
    cached = Fraction(costs.gpu_seconds(scenario))
    if not cached:
        raise InputError(
            "a request takes no GPU time, so a capacity cannot be told",
            "Give requests tokens, and the deployment a rate above 0.",
        )
    needed = _needed(scenario)
    factors: list[tuple[str, Fraction, str, Origin]] = [
        ("latency headroom", deployment.headroom, *_why(found, "headroom")),
        ("software gap", deployment.software_efficiency, *_why(found, "software_efficiency")),
        ("peak to mean", 1 / scenario.workload.peak_to_mean, "the workload", "given"),
        ("redundancy", Fraction(needed, needed + deployment.spare_replicas), "N + spares", "given"),
        ("prefix cache", plain / cached, "the share of input found in the cache", "given"),
    ]
    source, origin = _why(found, RATE_KEYS[1])
    after = 1 / plain
    steps = [Step("saturated", _ONE, after, source, "published" if origin == "default" else origin)]
    for name, factor, why, kind in factors:
        after *= factor
        steps.append(Step(name, factor, after, why, kind))
    return steps


def _needed(scenario: Scenario) -> int:
    """Replicas without spares, at least one."""
    running = costs.fleet(scenario, scenario.workload.requests_per_month)
    return max(1, int(running.replicas) - scenario.deployment.spare_replicas)


def _why(filled: Mapping[str, Filled], key: str) -> tuple[str, Origin]:
    return (filled[key].source, "default") if key in filled else ("the deployment", "given")


def shown(value: Fraction) -> str:
    """A value as texts of what was assumed show it: 20,000 or 0.0000000255."""
    text = exact_text(value)
    return text if "/" in text else f"{Decimal(text):,f}"
