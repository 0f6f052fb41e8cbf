"""The data files that ship with the program, each read once and parsed by the domain."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files

from monitor.domain.rate_table import RateTable, parse_rates


@cache
def rates() -> RateTable:
    """Our own dated rates, factors and names: `monitor/data/rates.toml`."""
    text = files("monitor.data").joinpath("rates.toml").read_text("utf-8")
    return parse_rates(tomllib.loads(text, parse_float=Decimal))
