"""Which FOCUS files count.

Clouds and vendors export a month's bill again and again while it grows and is corrected. So files
are deliveries: the parts of one export, or one file. Of all deliveries of a billing account's
month the newest counts, and what an older one said is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from collectors.focus_files import ChargeRow, Cut, Scope, charge_rows, is_bill, second
from monitor.domain.errors import SourceError
from monitor.domain.usage import DAY, Problem

_PART = re.compile(r"(?i)(?:part[-_]?\d+(?:[-_]\d+)*|[-_]0\d{3,})$")
"""The end of a name that numbers the parts of one export: `part_0_0001`, `bill-00001`."""


class Period(NamedTuple):
    """What one file has of a billing account's month."""

    days: frozenset[int]
    sub_accounts: frozenset[str]
    last: int
    """The last day with usage, or with any charge."""
    ends: int | None
    """The first instant after the billing period."""


class File(NamedTuple):
    """A file, and what it has of each billing account's month."""

    path: Path
    stamp: tuple[int, int]
    """When it was written, in nanoseconds, and its bytes."""
    periods: Mapping[Scope, Period]


class Chosen(NamedTuple):
    """The files that count, and for what."""

    scopes: Mapping[Path, set[Scope]]
    first: int
    """The first day of the first month."""
    through: int
    """Days before it are complete, as far as the files say."""
    notes: list[str]


def _delivery(path: Path) -> tuple[Path, str]:
    """What parts of one export have in common; a file that is no part is a delivery alone."""
    stem = path.name.split(".")[0]
    part = _PART.search(stem)
    return path.parent, f"{stem[: part.start()]}*" if part else path.name


class _Seen:
    """A billing account's month while its rows are gone through."""

    def __init__(self) -> None:
        self._days: set[int] = set()
        self._used: set[int] = set()
        self._sub_accounts: set[str] = set()
        self._ends: int | None = None

    def add(self, row: ChargeRow) -> None:
        self._days.add(row.day)
        self._sub_accounts.add(row.cells.get("sub_account", ""))
        self._ends = row.ends or self._ends
        if row.cells.get("category", "Usage") == "Usage":
            self._used.add(row.day)

    def period(self) -> Period:
        last = max(self._used or self._days)
        return Period(frozenset(self._days), frozenset(self._sub_accounts), last, self._ends)


def _periods(rows: Iterable[ChargeRow]) -> dict[Scope, Period]:
    seen: dict[Scope, _Seen] = {}
    for row in rows:
        seen.setdefault(row.scope, _Seen()).add(row)
    return {scope: found.period() for scope, found in seen.items()}


class Deliveries:
    """The files below a folder, or one file, and what each has.

    Args:
        source: the source's configured name, for errors.
        path: the folder or the file.
        replaced: a newer delivery of a month replaces older ones; else each file has charges that
            no other has.
    """

    def __init__(self, source: str, path: Path, *, replaced: bool) -> None:
        self._source = source
        self._path = path
        self._replaced = replaced
        self.known: dict[Path, File] = {}
        """As far as they were looked through."""

    def chosen(self) -> Chosen:
        """Of each billing account's month the newest delivery.

        Raises:
            SourceError: a file cannot be read, or a newer one says less than an older one.
        """
        files = self._looked_through()
        scopes: dict[Path, set[Scope]] = {}
        notes: list[str] = []
        for scope in sorted({scope for file in files for scope in file.periods}):
            having = [file for file in files if scope in file.periods]
            for file in self._newest(scope, having, notes) if self._replaced else having:
                scopes.setdefault(file.path, set()).add(scope)
        counting = {
            scope: [file.periods[scope] for file in files if scope in scopes.get(file.path, ())]
            for scope in {scope for found in scopes.values() for scope in found}
        }
        notes += _gaps({scope.month for scope in counting})
        first = second(f"{min(scope.month for scope in counting)}-01")
        return Chosen(scopes, first, _through(counting), notes)

    def _newest(self, scope: Scope, files: list[File], notes: list[str]) -> list[File]:
        """The parts of the newest delivery.

        Raises:
            SourceError: an older one has more days: they are parts and no versions.
        """
        by_delivery: dict[object, list[File]] = {}
        for file in files:
            by_delivery.setdefault(_delivery(file.path), []).append(file)
        *older, newest = sorted(
            by_delivery.values(),
            key=lambda parts: max((file.stamp[0], file.path) for file in parts),
        )
        has = _extent(newest, scope)
        for parts in older:
            had = _extent(parts, scope)
            if had.days > has.days or had.sub_accounts > has.sub_accounts:
                raise SourceError(
                    self._source,
                    f"{newest[0].path} is newer than {parts[0].path} and has less of {scope.month}:"
                    f" {has.days} days of {had.days}, {has.sub_accounts} sub-accounts of"
                    f" {had.sub_accounts}",
                    'Set options.files = "parts" if each file has charges of its own, else take'
                    " away the one that is cut",
                    permanent=True,
                )
        if older:
            notes.append(f"{newest[0].path.name} replaces {len(older)} older of {scope.month}")
        return newest

    def _looked_through(self) -> list[File]:
        """Every file with its months; one that has not changed is not read again."""
        paths = self._paths()
        self.known = {path: file for path, file in self.known.items() if path in paths}
        for path in paths:
            stamp = self._stamp(path)
            if path not in self.known or self.known[path].stamp != stamp:
                placed_rows = self.rows(File(path, stamp, {}))
                placed = (row for row in placed_rows if isinstance(row, ChargeRow))
                self.known[path] = File(path, stamp, _periods(placed))
        found = [file for file in self.known.values() if file.periods]
        if not found:
            raise SourceError(
                self._source,
                f"no file at {self._path} has a charge",
                "Let the export write .csv, .csv.gz or .parquet files there",
                permanent=True,
            )
        return found

    def _paths(self) -> list[Path]:
        try:
            if self._path.is_dir():
                found = [path for path in self._path.rglob("*") if is_bill(path)]
            else:
                self._stamp(self._path)
                found = [self._path]
        except OSError as error:
            raise self._unreadable(self._path, error) from None
        return sorted(found)

    def _stamp(self, path: Path) -> tuple[int, int]:
        try:
            found = path.stat()
        except OSError as error:
            raise self._unreadable(path, error) from None
        return found.st_mtime_ns, found.st_size

    def _unreadable(self, path: Path, error: OSError) -> SourceError:
        return SourceError(
            self._source,
            f"cannot read {path}: {error.strerror or error}",
            "Check options.path, and that this user may read there",
            permanent=True,
        )

    def rows(self, file: File) -> Iterator[ChargeRow | Problem]:
        """Every row of a file that is whole and stays the same.

        Raises:
            SourceError: it is not.
        """
        remedy = "Nothing of this read was kept; it is tried again at the next poll"
        try:
            yield from charge_rows(file.path)
        except Cut as error:
            raise SourceError(self._source, f"{file.path}: {error}", remedy) from None
        except OSError as error:
            raise self._unreadable(file.path, error) from None
        if self._stamp(file.path) != file.stamp:
            raise SourceError(self._source, f"{file.path} changed while it was read", remedy)


class _Extent(NamedTuple):
    days: int
    sub_accounts: int


def _extent(files: Sequence[File], scope: Scope) -> _Extent:
    """How much of a billing account's month is in some files."""
    periods = [file.periods[scope] for file in files]
    return _Extent(
        len(frozenset().union(*(period.days for period in periods))),
        len(frozenset().union(*(period.sub_accounts for period in periods))),
    )


def _through(counting: Mapping[Scope, Sequence[Period]]) -> int:
    """The end of the days that every bill which still grows has completely.

    The last day of a file may have been cut, unless its month ends with it.
    """
    newest = max(scope.month for scope in counting)
    ends = []
    for scope, periods in counting.items():
        if scope.month == newest:
            period = max(periods, key=lambda found: found.last)
            whole = period.ends is not None and period.last + DAY >= period.ends
            ends.append(period.last + DAY if whole else period.last)
    return min(ends)


def _gaps(months: set[str]) -> list[str]:
    """Months between the first and the last of which nothing is there."""
    numbers = {int(month[:4]) * 12 + int(month[5:]) - 1 for month in months}
    lost = sorted(set(range(min(numbers), max(numbers))) - numbers)
    return [f"no file has a charge of {number // 12}-{number % 12 + 1:02d}" for number in lost]
