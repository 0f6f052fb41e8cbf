"""What a month costs at n requests: through the API, on own GPUs, and with a share on each.

Written once for any type of number: exact fractions give the exact cents of a scenario, numpy
arrays in a scenario's fields give one cost per draw. So `max` and `ceil` are spelled out below,
and nothing branches on a number that may be drawn. All money is US dollars per month.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from monitor.domain.scenario import Owned, Scenario, Workload

HOURS = 730
"""Hours of a month: 8,760 / 12."""
SECONDS = 3_600 * HOURS
MILLION = 10**6

Number: TypeAlias = Any
"""A Fraction, an int, or a numpy array of draws."""


class Fleet(NamedTuple):
    """What runs for a load; `servers` is None where GPUs are bought singly."""

    replicas: Number
    gpus: Number
    servers: Number | None


class Lines(NamedTuple):
    """The cost lines of own service."""

    gpu: Number
    services: Number
    people: Number
    variable: Number
    owned: Number


def request_tokens(workload: Workload) -> Number:
    """All tokens of a mean request."""
    return workload.input_tokens + workload.cached_input_tokens + workload.output_tokens


def api_usd_per_request(scenario: Scenario, month: int = 0) -> Number:
    """The unit price u, `month` months after the decision."""
    workload, api = scenario.workload, scenario.api
    usd_per_million_cached = api.cached_input_usd_per_million
    if usd_per_million_cached is None:
        usd_per_million_cached = api.input_usd_per_million
    usd = (
        workload.input_tokens * api.input_usd_per_million
        + workload.cached_input_tokens * usd_per_million_cached
        + workload.output_tokens * api.output_usd_per_million
    )
    return usd * (1 + api.price_change_per_month) ** month / MILLION


def api_bill(scenario: Scenario, n: Number, month: int = 0) -> Number:
    """api(n): the committed minimum is a floor under fixed sum and usage together."""
    api = scenario.api
    usage = api.fixed_usd_per_month + n * api_usd_per_request(scenario, month)
    return _larger(api.minimum_usd_per_month, usage)


def gpu_seconds(scenario: Scenario) -> Number:
    """t: seconds of one saturated GPU for a mean request; a rate of 0 drops its term."""
    workload, deployment = scenario.workload, scenario.deployment
    fresh = workload.input_tokens * (1 - deployment.prefix_cache_hit_share)
    written = workload.output_tokens
    return (
        _seconds(fresh, deployment.gpu_input_tokens_per_second)
        + _seconds(written, deployment.gpu_output_tokens_per_second)
        + deployment.context_coefficient * written * (fresh + written / 2)
    )


def replicas_per_request(scenario: Scenario) -> Number:
    """The part of a replica that one request a month needs in the peak hour: d(n) / r / n."""
    deployment = scenario.deployment
    used = deployment.gpus_per_replica * deployment.headroom * deployment.software_efficiency
    return scenario.workload.peak_to_mean * gpu_seconds(scenario) / (SECONDS * used)


def fleet(scenario: Scenario, n: Number) -> Fleet:
    """The replicas, GPUs and servers that serve n requests a month."""
    deployment = scenario.deployment
    # Any load at all needs a replica, even where none is too much for it.
    needed = _larger(_whole(n * replicas_per_request(scenario)), (n > 0) * 1)
    replicas = _larger(deployment.min_replicas, needed) + deployment.spare_replicas
    gpus = replicas * deployment.gpus_per_replica
    if not deployment.gpus_per_server:
        return Fleet(replicas, gpus, None)
    servers = -(-gpus // deployment.gpus_per_server)
    return Fleet(replicas, servers * deployment.gpus_per_server, servers)


def usd_per_server(owned: Owned) -> Number:
    """What an owned server costs a month: depreciation, energy, hosting."""
    depreciation = owned.server_purchase_usd * (1 - owned.residual_share) / owned.life_months
    energy = owned.server_kw * owned.pue * HOURS * owned.usd_per_kwh
    return depreciation + energy + owned.hosting_usd_per_server_month


def variable_usd_per_request(scenario: Scenario) -> Number:
    """Own cost that follows the tokens, for one request."""
    rate = scenario.deployment.variable_usd_per_million_tokens
    return request_tokens(scenario.workload) * rate / MILLION


def self_lines(scenario: Scenario, n: Number, month: int = 0) -> Lines:
    """The lines of self(n); own service costs its minimum fleet even at n = 0."""
    deployment, running = scenario.deployment, fleet(scenario, n)
    usd_per_hour = (
        deployment.usd_per_gpu_hour * (1 + deployment.gpu_price_change_per_month) ** month
    )
    return Lines(
        gpu=running.gpus * usd_per_hour * HOURS + deployment.gpu_usd_per_month,
        services=deployment.services_usd_per_month,
        people=deployment.people_usd_per_month,
        variable=n * variable_usd_per_request(scenario),
        owned=running.servers * usd_per_server(deployment.owned) if deployment.owned else 0,
    )


def self_bill(scenario: Scenario, n: Number, month: int = 0) -> Number:
    """self(n): what n requests a month cost on own GPUs."""
    return sum(self_lines(scenario, n, month))


def hybrid_bill(scenario: Scenario, n: Number, month: int = 0) -> Number:
    """hybrid(n): the moved share on own GPUs, the rest through an account that stays open."""
    share = scenario.workload.share_moved
    own = self_bill(scenario, share * n, month)
    return own if share == 1 else own + api_bill(scenario, (1 - share) * n, month)


def own_usd_per_request(scenario: Scenario) -> Number:
    """v: what one more own request costs in the long run, whole replicas and servers aside."""
    deployment = scenario.deployment
    usd_per_gpu = deployment.usd_per_gpu_hour * HOURS
    if deployment.owned:
        usd_per_gpu += usd_per_server(deployment.owned) / deployment.gpus_per_server
    gpus_per_request = replicas_per_request(scenario) * deployment.gpus_per_replica
    return variable_usd_per_request(scenario) + gpus_per_request * usd_per_gpu


def _larger(a: Number, b: Number) -> Number:
    return a + (b - a) * (b > a)


def _whole(amount: Number) -> Number:
    """The amount rounded up to whole ones."""
    return -(-amount // 1)


def _seconds(tokens: Number, tokens_per_second: Number) -> Number:
    """Tokens at a rate; 0 where the rate is 0, which stands for no limit."""
    limited = tokens_per_second > 0
    return tokens * limited / (tokens_per_second + (1 - limited))
