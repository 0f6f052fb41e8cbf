"""Reading a file of prices: CSV or TOML, every problem with its line."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.domain.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor.config.money import PriceOverride

CLASSES = {
    "input": "uncached_input",
    "output": "output",
    "cached": "cache_read",
    "cache_write": "cache_write",
}
"""The columns and options that are rates, as the token classes that they price."""
KEYS = {
    "provider": "provider",
    "model": "model",
    "account": "account",
    "context": "context",
    "multiplier": "multiplier",
    "from": "valid_from",
    "to": "valid_to",
}


def read(path: Path) -> list[PriceOverride]:
    """Every price of a file.

    Raises:
        ConfigError: what is wrong with it, all of it, by line; nothing of it can be used.
        InputError: it cannot be read.
    """
    from monitor.config import price_override

    found, problems = [], []
    for where, keys in _rows(path):
        try:
            found.append(price_override(keys, where))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems, "Correct the file: nothing of it was stored.")
    if not found:
        raise InputError(f"{path} holds no price", "Write at least one row, or [[override]].")
    return found


def keys_of(cells: dict[str, Any]) -> dict[str, Any]:
    """Columns or options as the keys of a [[prices.override]]; empty ones are left out.

    Not so the model: nobody means every model by an empty cell.
    """
    given = {n: value for n, value in cells.items() if value not in {None, ""} or n == "model"}
    keys = {KEYS[name]: value for name, value in given.items() if name in KEYS}
    rates = {CLASSES[name]: value for name, value in given.items() if name in CLASSES}
    return keys | ({"usd_per_million": rates} if rates else {})


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text: {error}") from None
    return _tables(path, text) if path.suffix == ".toml" else _lines(path, text)


def _tables(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        tables = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {' '.join(str(error).split())}") from None
    written = tables.get("override", [])
    if set(tables) - {"override"} or not isinstance(written, list):
        raise InputError(f"{path}: only [[override]] may stand there", "See docs/prices.md.")
    lines = [
        n
        for n, line in enumerate(text.splitlines(), 1)
        if line.split("#")[0].strip() == "[[override]]"
    ]
    for number, keys in enumerate(written):
        known = len(lines) == len(written)
        place = f"line {lines[number]}" if known else f"override {number + 1}"
        yield f"{path} {place}", keys if isinstance(keys, dict) else {}


def _lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        reader = csv.DictReader(text.splitlines(), strict=True)
        names = reader.fieldnames or ()
        wrong = [f"{name!r} is no column of it" for name in names if name not in {*KEYS, *CLASSES}]
        wrong += [f"{name} is missing" for name in ("provider", "model") if name not in names]
        wrong += ["a column stands twice"] if len(set(names)) < len(names) else []
        if wrong:
            raise InputError(
                f"{path} line 1: {', '.join(wrong)}",
                f"Use provider, model and any of {', '.join([*KEYS, *CLASSES][2:])}.",
            )
        for row in reader:
            where = f"{path} line {reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: the row has another number of cells than the header")
            yield where, keys_of({name: value.strip() for name, value in row.items()})
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file: {error}") from None
