"""The inputs of a scenario that people talk about, by short name, read and changed exactly.

A name stands for one or more keys of the scenario: the GPU price is what an hour costs, or a fixed
sum, or a purchase. Keys are written with their tables, `deployment.people_usd_per_month`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any, NamedTuple

from monitor.domain.scenario import Scenario, parse_tables


class Input(NamedTuple):
    """One input: its name on the command line, in words, and the keys that it scales together."""

    name: str
    label: str
    keys: tuple[str, ...]
    form: str = "{}"
    """How a value is shown to people."""
    percent: str = "relative"
    """What `-20%` means: relative to the present value, or absolute (`-0.2`)."""


INPUTS = (
    Input("volume", "volume", ("workload.requests_per_month",), "{} requests a month"),
    Input("input_tokens", "input of a request", ("workload.input_tokens",), "{} tokens"),
    Input(
        "cached_tokens", "cached input of a request", ("workload.cached_input_tokens",), "{} tokens"
    ),
    Input("output_tokens", "output of a request", ("workload.output_tokens",), "{} tokens"),
    Input("peak", "peak hour", ("workload.peak_to_mean",), "{} times the mean"),
    Input("share", "share moved", ("workload.share_moved",)),
    Input(
        "api_price",
        "API price",
        (
            "api.input_usd_per_million",
            "api.cached_input_usd_per_million",
            "api.output_usd_per_million",
        ),
        "${} per million tokens, the others alike",
    ),
    Input("input_price", "API input price", ("api.input_usd_per_million",), "${} per million"),
    Input(
        "cached_price", "API cached price", ("api.cached_input_usd_per_million",), "${} per million"
    ),
    Input("output_price", "API output price", ("api.output_usd_per_million",), "${} per million"),
    Input("api_minimum", "committed spend", ("api.minimum_usd_per_month",), "${} a month"),
    Input("api_trend", "API price change", ("api.price_change_per_month",), percent="absolute"),
    Input(
        "gpu_price",
        "GPU price",
        (
            "deployment.usd_per_gpu_hour",
            "deployment.gpu_usd_per_month",
            "deployment.owned.server_purchase_usd",
        ),
    ),
    Input(
        "gpu_trend",
        "GPU price change",
        ("deployment.gpu_price_change_per_month",),
        percent="absolute",
    ),
    Input(
        "efficiency",
        "capacity of a GPU",
        ("deployment.software_efficiency",),
        "{} times the figures behind it",
    ),
    Input("cache_hit", "own cache hit share", ("deployment.prefix_cache_hit_share",)),
    Input("headroom", "headroom", ("deployment.headroom",)),
    Input("min_replicas", "least replicas", ("deployment.min_replicas",)),
    Input("spares", "spare replicas", ("deployment.spare_replicas",)),
    Input("people", "cost of people", ("deployment.people_usd_per_month",), "${} a month"),
    Input("services", "cost of services", ("deployment.services_usd_per_month",), "${} a month"),
    Input("power", "price of power", ("deployment.owned.usd_per_kwh",), "${} a kWh"),
    Input("setup", "setup cost", ("migration.setup_usd",), "${}"),
    Input("lead_days", "lead time", ("migration.lead_days",), "{} days"),
    Input("dual_running", "double running", ("migration.dual_running_months",), "{} months"),
)
BY_NAME: Mapping[str, Input] = {i.name: i for i in INPUTS}

_FORMS = {
    "deployment.usd_per_gpu_hour": "${} an hour",
    "deployment.gpu_usd_per_month": "${} a month",
    "deployment.owned.server_purchase_usd": "${} a server",
}
_PERCENT = {"share", "cache_hit", "api_trend", "gpu_trend", "headroom"}


def read(scenario: Scenario, key: str) -> Any:
    """The value of a dotted key; None where it is absent."""
    found: Any = scenario
    for part in key.split("."):
        found = None if found is None else getattr(found, part)
    return found


def write(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """The scenario with other values, of any number type and not checked."""
    for key, value in values.items():
        scenario = _written(scenario, key.split("."), value)
    return scenario


def _written(table: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    return replace(table, **{name: _written(getattr(table, name), rest, value) if rest else value})


def checked(scenario: Scenario, values: Mapping[str, Any], where: str) -> Scenario:
    """The scenario with other values under the rules of a scenario file.

    Raises:
        ScenarioError: a value breaks its rule; named with its key, after `where`.
    """
    tables = _present(asdict(scenario))
    for key, value in values.items():
        *path, name = key.split(".")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[name] = value
    return parse_tables(tables, where)


def _present(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _present(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }


def main_key(scenario: Scenario, item: Input) -> str:
    """The key whose value stands for the input: the first that is not 0, else the first."""
    used = [key for key in item.keys if read(scenario, key)]
    return used[0] if used else item.keys[0]


def moved(scenario: Scenario, item: Input, value: Any) -> dict[str, Any]:
    """The keys of an input, moved together so that its main key has this value."""
    main = main_key(scenario, item)
    now = read(scenario, main)
    others = {key: read(scenario, key) for key in item.keys if key != main}
    scaled = {key: other * (value / now) for key, other in others.items() if other}
    return {main: value, **scaled}


def worded(scenario: Scenario, item: Input, value: Fraction, digits: int = 4) -> str:
    """A value of an input as people read it, of so many digits at least."""
    if item.name in _PERCENT:
        sign, each = ("+", " a month") if item.percent == "absolute" else ("", "")
        sign = sign if value else ""
        return f"{float(value * 100):{sign}.{digits}g}%{each}"
    form = item.form
    if item.name == "gpu_price":
        form = _FORMS[main_key(scenario, item)]
    if item.name == "api_price":
        kind = main_key(scenario, item).removeprefix("api.").split("_")[0]
        form = f"${{}} per million {kind} tokens, the others alike"
    return form.format(figure(value, digits))


def exact_text(value: Fraction | int) -> str:
    """A number for machines: whole, or of twelve digits."""
    exact = Fraction(value)
    return str(exact.numerator) if exact.denominator == 1 else f"{float(exact):.12g}"


def figure(value: Fraction, digits: int) -> str:
    """A number as people compare it: whole from a thousand on, of so many digits below."""
    return f"{round(value):,}" if abs(value) >= 1000 else f"{float(value):.{digits}g}"
