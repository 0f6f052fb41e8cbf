"""What is published about models and GPUs: rates, memory, prices; each figure with its source.

The tables are data files. A table that breaks a rule is refused whole, naming the row and the key.
Rates are tokens per second and GPU, memory is in GB of 10^9 bytes, prices in US dollars an hour.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from monitor.domain.errors import InputError
from monitor.domain.scenario import (
    CountFrom1,
    Headroom,
    Keys,
    NotNegative,
    Positive,
    Share,
    read_table,
)

COMMITMENTS = ("on_demand", "reserved", "spot", "owned")
CONFIDENCES = ("high", "medium", "low")
GB = 10**9

_REMEDY = "Mend that row of the data file."
_LISTED = "`crossover capacity --list` shows what is known."


@dataclass(frozen=True, kw_only=True)
class Model:
    """Open weights, or a size that stands for any of them."""

    name: str
    parameters: CountFrom1
    source: str


@dataclass(frozen=True, kw_only=True)
class Fit:
    """a, b and c of the capacity formula for one model, precision and GPU.

    GPU-seconds of a request: I/a + O/b + c*O*(I + O/2), at saturation; `gpus` is what a replica
    had in the measurement, and the two errors are those of the fit.
    """

    model: str
    precision: str
    gpu: str
    gpus: CountFrom1
    input_tokens_per_second: Positive
    output_tokens_per_second: Positive
    context_coefficient: NotNegative
    worst_error: Share
    rms: Share


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One request at a time on `gpus` GPUs, for models up to a size."""

    parameters_up_to: CountFrom1
    gpu: str
    gpus: CountFrom1
    tokens_per_second: Positive
    source: str


@dataclass(frozen=True, kw_only=True)
class Derating:
    """One factor between a saturated benchmark and own traffic."""

    name: str
    factor: Headroom
    source: str


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Where the fits come from, and the shapes of a request inside which they hold."""

    source: str
    as_of: str
    least_input: CountFrom1
    most_input: CountFrom1
    least_output: CountFrom1
    most_output: CountFrom1
    beyond: str


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How much of a card is usable, and the cache beside the weights as a share of them."""

    usable_share: Headroom
    cache_share_of_weights: NotNegative
    source: str


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU type; `published_low_usd`: below it a price lies outside the published ranges."""

    name: str
    aliases: str = ""
    """Other names, with commas between."""
    memory_gb: Positive
    tdp_watts: Positive | None = None
    published_low_usd: Positive | None = None


@dataclass(frozen=True, kw_only=True)
class Price:
    """One quoted price; `as_of` is an ISO date, empty where the source shows none."""

    gpu: str
    usd_per_gpu_hour: Positive
    commitment: str
    source: str
    confidence: str
    as_of: str = ""
    region: str = ""

    def age_days(self, on: date) -> int | None:
        """Days since the price was quoted; None: unknown."""
        return (on - date.fromisoformat(self.as_of)).days if self.as_of else None


class Rates(NamedTuple):
    """The whole of capacity.toml."""

    models: Sequence[Model]
    fits: Sequence[Fit]
    streams: Sequence[Stream]
    deratings: Mapping[str, Derating]
    fitting: Fitting
    memory: Memory
    bytes_per_parameter: Mapping[str, Fraction]


class Market(NamedTuple):
    """The whole of gpus.toml."""

    gpus: Sequence[Gpu]
    prices: Sequence[Price]
    stale_after_days: int


Row = TypeVar("Row", bound=Keys)
Named = TypeVar("Named", Model, Gpu)


def parse_rates(tables: Mapping[str, Any], where: str = "capacity.toml") -> Rates:
    """What a parsed capacity.toml holds; InputError names the row and the key that is wrong."""
    models = read_rows(Model, tables, "model", where)
    fits = read_rows(Fit, tables, "fit", where)
    deratings = {row.name: row for row in read_rows(Derating, tables, "derating", where)}
    sizes = tables.get("bytes_per_parameter", {})
    for fit in fits:
        require(fit.model in {model.name for model in models}, where, f"no model {fit.model!r}")
        require(fit.precision in sizes, where, f"no bytes_per_parameter.{fit.precision}")
    for name in ("latency headroom", "software gap"):
        require(name in deratings, where, f"there is no derating {name!r}")
    for name, size in sizes.items():
        right = not isinstance(size, bool | str) and size > 0
        require(right, where, f"bytes_per_parameter.{name} = {size} must be above 0")
    return Rates(
        models,
        fits,
        read_rows(Stream, tables, "stream", where),
        deratings,
        read_row(Fitting, tables.get("fitting", {}), "fitting", where),
        read_row(Memory, tables.get("memory", {}), "memory", where),
        {name: Fraction(size) for name, size in sizes.items()},
    )


def parse_market(tables: Mapping[str, Any], where: str = "gpus.toml") -> Market:
    """What a parsed gpus.toml holds; InputError names the row and the key that is wrong."""
    gpus = read_rows(Gpu, tables, "gpu", where)
    prices = read_rows(Price, tables, "price", where)
    names = {gpu.name for gpu in gpus}
    for number, price in enumerate(prices):
        place = f"{where}: price {number + 1}"
        require(price.gpu in names, place, f"there is no gpu {price.gpu!r}")
        require(price.commitment in COMMITMENTS, place, f"commitment = {price.commitment!r}")
        require(price.confidence in CONFIDENCES, place, f"confidence = {price.confidence!r}")
        dated = not price.as_of or re.fullmatch(r"\d{4}-\d\d-\d\d", price.as_of) is not None
        require(dated, place, f"as_of = {price.as_of!r} must be a date")
    days = tables.get("stale_after_days")
    require(type(days) is int and days > 0, where, f"stale_after_days = {days!r}")
    return Market(gpus, prices, int(str(days)))


def read_rows(kind: type[Row], tables: Mapping[str, Any], name: str, where: str) -> list[Row]:
    """All blocks `[[name]]` of a data file; at least one."""
    rows = tables.get(name, [])
    require(isinstance(rows, list) and bool(rows), where, f"there is no [[{name}]]")
    return [read_row(kind, row, f"{name} {n + 1}", where) for n, row in enumerate(rows)]


def read_row(kind: type[Row], values: object, path: str, where: str) -> Row:
    """One block of a data file. A date becomes its ISO text."""
    if isinstance(values, Mapping):
        values = {k: v.isoformat() if isinstance(v, date) else v for k, v in values.items()}
    row, problems = read_table(kind, values)
    if row is None:
        raise InputError(f"{where}: {path}: {'; '.join(problems)}", _REMEDY)
    return row


def require(holds: bool, where: str, problem: str) -> None:
    """Refuse a data file that breaks a rule."""
    if not holds:
        raise InputError(f"{where}: {problem}", _REMEDY)


def find_model(rates: Rates, name: str) -> Model:
    """The model of that name, however it is spelt; InputError names those that are near."""
    return _find(rates.models, name, "model", lambda model: [model.name])


def find_gpu(market: Market, name: str) -> Gpu:
    """The GPU type of that name or alias; InputError names those that are near."""
    return _find(market.gpus, name, "GPU", lambda gpu: [gpu.name, *gpu.aliases.split(", ")])


def find_precision(rates: Rates, name: str) -> str:
    """The precision as the data writes it."""
    plain = _plain(name)
    if plain in rates.bytes_per_parameter:
        return plain
    known = ", ".join(rates.bytes_per_parameter)
    raise InputError(f"no precision {name!r} is known", f"Use one of {known}.")


def _find(rows: Sequence[Named], name: str, what: str, names: Any) -> Named:
    by_name = {_plain(known): row for row in rows for known in names(row) if known}
    if (found := by_name.get(_plain(name))) is not None:
        return found
    raise InputError(
        f"no {what} {name!r} is known; near it: {_near(_plain(name), by_name)}",
        f"{_LISTED} What is not listed is described by its rates in [deployment.cost].",
    )


def _near(plain: str, by_name: Mapping[str, Any]) -> str:
    """Names like this one, else all, in their order and once each."""
    like = [key for key in by_name if plain and (plain in key or key in plain)]
    like += difflib.get_close_matches(plain, by_name, n=3, cutoff=0.5)
    found: Iterable[str] = like[:4] or by_name
    return ", ".join(dict.fromkeys(by_name[key].name for key in found))


def _plain(name: str) -> str:
    """A name without case, spaces and marks: "H100-SXM" and "h100 sxm" are one."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
