"""What published comparisons say, read from the data that ships: bands, risks, latency."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.domain.errors import InputError
from monitor.domain.scenario import NotNegative, read_table, read_toml


@dataclass(frozen=True, kw_only=True)
class Band:
    """A source's rule of thumb: API below the first end, self-host above the second."""

    source: str
    written: str
    usd: tuple[NotNegative, ...]
    """Dollars of API a month."""
    tokens: tuple[NotNegative, ...]
    """Tokens a month."""
    assumes: str


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One row of the comparison; general knowledge."""

    dimension: str
    api: str
    own: str
    leads: str


@dataclass(frozen=True, kw_only=True)
class Risk:
    """A risk, the side that bears it, and what is done against it."""

    risk: str
    side: str
    against: str


@dataclass(frozen=True, kw_only=True)
class PublishedLatency:
    """Published ranges of one side, in seconds."""

    side: str
    network: tuple[NotNegative, ...]
    queue: tuple[NotNegative, ...]
    inference: tuple[NotNegative, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class Guide:
    """All of it."""

    bands: tuple[Band, ...] = ()
    comparison: tuple[Dimension, ...] = ()
    risks: tuple[Risk, ...] = ()
    latency: tuple[PublishedLatency, ...] = ()


def parse_guide(text: str) -> Guide:
    """The guide of a TOML text; InputError names what is wrong with it."""
    guide, problems = read_table(Guide, read_toml(text, "guide.toml"))
    if guide is None:
        raise InputError("guide.toml: " + "; ".join(problems), "Reinstall Crossover.")
    return guide
