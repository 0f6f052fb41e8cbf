"""The rows of files in FOCUS, the FinOps Open Cost and Usage Specification, under our names."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

from collectors.window import PAYLOAD_CAP, moment, utc
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, Problem

_LONGEST_CELL = 2**20
"""Characters: tags are one cell."""
_BATCH_ROWS = 5_000

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


def _cells(path: Path) -> Iterator[tuple[str, Cells]]:
    """The rows of a file with their places, under our names.

    Raises:
        Cut: it is no FOCUS file, or ends within a row.
        OSError: it cannot be opened.
    """
    if path.name.lower().endswith(".parquet"):
        yield from _parquet_cells(path)
        return
    with _opened(path) as file:
        reader = csv.reader(file, strict=True)
        names = next(reader, [])
        columns = {ours: names.index(name) for ours, name in _columns(names).items()}
        for row in reader:
            if not row:
                continue
            if len(row) < len(names):
                raise Cut(f"line {reader.line_num} ends within a row")
            if any(row[len(names) :]):
                raise Cut(f"line {reader.line_num} has more cells than there are columns")
            cells = {ours: _text(row[at]) for ours, at in columns.items()}
            yield f"line {reader.line_num}", cells


def _parquet_cells(path: Path) -> Iterator[tuple[str, Cells]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to import
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise Cut("pyarrow is not installed: install crossover-monitor[parquet]") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns.values())):
                for number, row in enumerate(batch.to_pylist(), number + 1):  # noqa: B020
                    cells = {ours: _text(_word(row[name])) for ours, name in columns.items()}
                    yield f"row {number}", cells
    except pa.ArrowException as error:
        raise Cut(clean_name(str(error))) from None


def _columns(names: Sequence[str]) -> dict[str, str]:
    """The columns that a file has of those that are read, in whatever case.

    Raises:
        Cut: one is absent without which there is no bill.
    """
    written = {name.strip().lower(): name for name in names}
    columns = {
        ours: written[name.lower()]
        for ours, theirs in _COLUMNS.items()
        for name in reversed(theirs)
        if name.lower() in written
    }
    if absent := [_COLUMNS[name][0] for name in _REQUIRED if name not in columns]:
        raise Cut(f"it has no column {', '.join(absent)}, so it is no FOCUS file")
    return columns


def _word(value: object) -> str:
    """A value of a typed file as a cell."""
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


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
    """Whether a file is read: CSV, also gzipped, or Parquet, and none that is still written."""
    name = path.name.lower()
    return (
        name.endswith((".csv", ".csv.gz", ".parquet"))
        and not name.startswith((".", "~"))
        and path.is_file()
    )


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
        for at, cells in _cells(path):
            place = f"{path.name}, {at}"
            try:
                yield _placed(place, cells)
            except (ValueError, OverflowError) as error:
                yield problem_of(place, error, cells)
    except (csv.Error, EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
        raise Cut(clean_name(str(error))) from None
