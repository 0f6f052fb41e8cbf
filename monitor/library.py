"""The data files that ship with the program: each read once, by what parses it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from monitor.domain.guide import Guide, parse_guide


@cache
def guide() -> Guide:
    """What published comparisons say: bands, comparison, risks, latency."""
    return parse_guide(_text("guide.toml"))


def _text(name: str) -> str:
    return files("monitor.data").joinpath(name).read_text("utf-8")
