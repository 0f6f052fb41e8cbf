"""The rows of files in FOCUS, the FinOps Open Cost and Usage Specification, under our names."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from collectors.window import PAYLOAD_CAP, moment, utc
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, Problem

_LONGEST_CELL = 2**20
"""Characters: tags are one cell."""

# Ours, then what the specification calls it: since 1.3 a provider has two columns.
_COLUMNS = {
    "cost": ("BilledCost",),
    "currency": ("BillingCurrency",),
    "start": ("ChargePeriodStart",),
    "service": ("ServiceName",),
    "service_category": ("ServiceCategory",),
    "category": ("ChargeCategory",),
    "charge_class": ("ChargeClass",),
    "description": ("ChargeDescription",),
    "meter": ("SkuMeter",),
    "sku": ("SkuId",),
    "sub_account": ("SubAccountId",),
    "region": ("RegionId",),
    "provider": ("ServiceProviderName", "ProviderName"),
    "billing_account": ("BillingAccountId",),
    "period": ("BillingPeriodStart",),
    "period_end": ("BillingPeriodEnd",),
}
_REQUIRED = ("cost", "currency", "start", "service")

Cells = Mapping[str, str]


class ChargeRow(NamedTuple):
    """What of a row says to which bill it belongs."""

    place: str
    cells: Cells
    day: int
    scope: Scope
    ends: int | None
    """The first instant after its billing period."""


class Scope(NamedTuple):
    """One billing account's month: what a new delivery replaces."""

    provider: str
    account: str
    month: str


class Cut(Exception):
    """A file cannot be read to its end as what it is."""


def _cells(file: IO[str]) -> Iterator[tuple[int, Cells]]:
    """The rows of a CSV file with their line numbers, under our names.

    Raises:
        Cut: it is no FOCUS file, or ends within a row.
    """
    reader = csv.reader(file)
    header = {name.strip().lower(): at for at, name in enumerate(next(reader, []))}
    places = {
        ours: header[name.lower()]
        for ours, names in _COLUMNS.items()
        for name in reversed(names)
        if name.lower() in header
    }
    if absent := [_COLUMNS[name][0] for name in _REQUIRED if name not in places]:
        raise Cut(f"it has no column {', '.join(absent)}, so it is no FOCUS file")
    for row in reader:
        if not row:
            continue
        if len(row) < len(header):
            raise Cut(f"line {reader.line_num} ends within a row")
        yield reader.line_num, {name: _text(row[at]) for name, at in places.items()}


def _text(cell: str) -> str:
    cell = cell.strip()
    return "" if cell.lower() == "null" else cell


def second(text: str) -> int:
    """An instant of the specification, `2026-11-18T00:00:00Z`, as an epoch second."""
    return int(moment(text).timestamp())


def _placed(place: str, cells: Cells) -> ChargeRow:
    start = second(cells["start"])
    period = second(cells["period"]) if cells.get("period") else start
    scope = Scope(cells.get("provider", ""), cells.get("billing_account", ""), utc(period)[:7])
    end = cells.get("period_end")
    return ChargeRow(place, cells, start - start % DAY, scope, second(end) if end else None)


def is_bill(path: Path) -> bool:
    """Whether a file is read: CSV, also gzipped, and none that a program is still writing."""
    name = path.name.lower()
    return name.endswith((".csv", ".csv.gz")) and not name.startswith((".", "~")) and path.is_file()


def _opened(path: Path) -> IO[str]:
    csv.field_size_limit(_LONGEST_CELL)
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def problem_of(place: str, error: Exception, cells: Cells) -> Problem:
    """A row for the quarantine, without the columns that are not read."""
    return Problem(place, clean_name(str(error)), json.dumps(cells)[:PAYLOAD_CAP])


def charge_rows(path: Path) -> Iterator[ChargeRow | Problem]:
    """Every row of a file, and those that cannot be placed.

    Raises:
        Cut: it is not whole, or no FOCUS file.
        OSError: it cannot be opened.
    """
    try:
        with _opened(path) as file:
            for line, cells in _cells(file):
                place = f"{path.name}, line {line}"
                try:
                    yield _placed(place, cells)
                except (ValueError, OverflowError) as error:
                    yield problem_of(place, error, cells)
    except (csv.Error, EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
        raise Cut(clean_name(str(error))) from None
