"""Figures of a report exactly as `crossover explain` prints them, for the plain-text part."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.money import plain
from monitor.domain.names import clean_name
from reports.model import Row, Value, words


class Traced(NamedTuple):
    """Figures of one thing."""

    arguments: str
    """What `explain` is told besides the id; '' for those of the whole."""
    figures: Sequence[tuple[str, str, str]]
    """Id, value, unit."""


def scalars(numbers: Row, units: Mapping[str, str], **named: str) -> Traced:
    """The figures of the whole, or of what is named."""
    arguments = " ".join(f"--{key} {_quoted(value)}" for key, value in named.items())
    return Traced(arguments, [(id_, exact(value), units[id_]) for id_, value in numbers.items()])


def cells(units: Mapping[str, str], prefix: str, row: Row, keys: Sequence[str]) -> Traced:
    """The figures of a table's row."""
    named = (f"--{key.replace('_', '-')} {_quoted(words(row, key))}" for key in keys)
    figures = [
        (f"{prefix}.{column}", exact(value), units[f"{prefix}.{column}"])
        for column, value in row.items()
        if column not in keys and units[f"{prefix}.{column}"] != "json"
    ]
    return Traced(" ".join(named), figures)


def _quoted(word: str) -> str:
    return shlex.quote(clean_name(word))


def exact(value: Value) -> str:
    """A value with all its digits."""
    if value is None:
        return "unknown"
    return plain(value) if isinstance(value, Decimal) else clean_name(str(value), 2000)
