"""The data that ships with the program, each file read once and parsed by the domain."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from monitor.domain import cost_lines, hardware
from monitor.domain.guide import Guide, parse_guide
from monitor.domain.model_names import Known, parse_names
from monitor.domain.rate_table import RateTable, parse_rates


@cache
def rates() -> RateTable:
    """Our own dated rates, factors and names."""
    return parse_rates(_tables("rates.toml"))


@cache
def names() -> Sequence[Known]:
    """Names of models that stand for another one."""
    return tuple(parse_names(_tables("names.toml")))


@cache
def capacity() -> hardware.Rates:
    """How fast models run, and what they need of a card's memory."""
    return hardware.parse_rates(_tables("capacity.toml"), "capacity.toml")


@cache
def gpus() -> hardware.Market:
    """GPU types and what an hour of one costs."""
    return hardware.parse_market(_tables("gpus.toml"), "gpus.toml")


@cache
def costs() -> cost_lines.Defaults:
    """What a live deployment costs where its configuration is silent."""
    return cost_lines.parse_defaults(_tables("costs.toml"), "costs.toml")


@cache
def guide() -> Guide:
    """What published comparisons say: bands, comparison, risks, latency."""
    return parse_guide(_text("guide.toml"))


def _tables(name: str) -> dict[str, Any]:
    return tomllib.loads(_text(name), parse_float=Decimal)


def _text(name: str) -> str:
    return files("monitor.data").joinpath(name).read_text("utf-8")
