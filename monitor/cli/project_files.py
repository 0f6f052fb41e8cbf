"""The two files of `crossover project`: daily totals, and what to project."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from monitor.domain.errors import InputError
from monitor.domain.money import EXACT, plain
from monitor.domain.names import clean_name
from monitor.domain.periods import day_bounds, month_bounds

LARGEST = Decimal(10) ** 24
"""A total of a day above it is damage, not usage."""
PLACES = 9
"""Decimals of a value that count."""
_KEPT = PLACES + 2  # a quantile of small counts is none of them


class Task(NamedTuple):
    """One projection that is asked for."""

    line: int
    series: str
    day: str
    """The last day that may be used, as it was written."""
    as_of: int
    """Midnight (UTC epoch seconds) that ends it."""
    month: str


class Series(NamedTuple):
    """Daily totals in whole units of 10^-11, by series and day."""

    totals: Mapping[str, Mapping[int, int]]
    decimals: Mapping[str, Mapping[int, int]]
    """How many each value was written with, at most `PLACES`."""

    def written(self, task: Task, total: int) -> str:
        """A total of a task's series, with two decimals more than its days up to the as-of have.

        Neither later days nor other series decide how it is printed.
        """
        seen = (n for day, n in self.decimals[task.series].items() if day < task.as_of)
        amount = Decimal(total).scaleb(-_KEPT, EXACT)
        return plain(amount.quantize(_unit(max(seen, default=0) + 2), context=EXACT))


class Refused(Exception):
    """A row that cannot be used."""


def read_series(path: Path, problems: list[str]) -> Series:
    """`series,date,value`: values are numbers of at least 0; a date that is absent is a hole."""
    totals: dict[str, dict[int, int]] = defaultdict(dict)
    decimals: dict[str, dict[int, int]] = defaultdict(dict)
    for line, row in _rows(path, ("series", "date", "value")):
        try:
            day, value = _midnight(row["date"]), _value(row["value"])
            if day in totals[row["series"]]:
                _raise(f"{row['date']} is there twice")
            totals[row["series"]][day] = int(value.scaleb(_KEPT, EXACT))
            decimals[row["series"]][day] = _decimals(value)
        except Refused as error:
            problems.append(f"{path.name} line {line}: {clean_name(row['series'])}: {error}")
    return Series(totals, decimals)


def read_tasks(path: Path, series: Series, problems: list[str]) -> list[Task]:
    """`series,asof,month`, further columns ignored."""
    tasks = []
    for line, row in _rows(path, ("series", "asof", "month")):
        try:
            _month(row["month"])
            if row["series"] not in series.totals:
                _raise("no such series in the input")
            ended = _midnight(row["asof"], end=True)
            tasks.append(Task(line, row["series"], row["asof"], ended, row["month"]))
        except Refused as error:
            problems.append(f"{path.name} line {line}: {clean_name(row['series'])}: {error}")
    return tasks


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            absent = [name for name in columns if name not in (reader.fieldnames or ())]
            if absent:
                raise InputError(
                    f"{path} has no column {', '.join(absent)}",
                    f"Its first line must name {', '.join(columns)}.",
                )
            for row in reader:
                yield reader.line_num, {name: row[name].strip() for name in columns}
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", "Name a CSV file."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not CSV: {error}", "Save it as CSV in UTF-8.") from None


def _raise(why: str) -> None:
    raise Refused(why)


def _midnight(day: str, *, end: bool = False) -> int:
    try:
        return day_bounds(day)[1 if end else 0]
    except InputError as error:
        raise Refused(error.message) from None


def _month(month: str) -> None:
    try:
        month_bounds(month)
    except InputError as error:
        raise Refused(error.message) from None


def _value(text: str) -> Decimal:
    shown = clean_name(text, cap=40)
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Refused(f"{shown!r} is not a number") from None
    if not value.is_finite():
        raise Refused(f"{shown!r} is not a number")
    if value < 0:
        raise Refused(f"{shown} is negative")
    if value > LARGEST:
        raise Refused(f"{shown} is too large")
    return value.quantize(_unit(_decimals(value)), context=EXACT)


def _decimals(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return min(max(-exponent, 0), PLACES)


def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)
