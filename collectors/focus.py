"""Bills as files in FOCUS, the FinOps Open Cost and Usage Specification (1.0 to 1.3).

Clouds and vendors export a month's bill again and again while it grows and is corrected. So files
are deliveries: the parts of one export, or one file. Of all deliveries of a billing account's
month the newest counts, and what an older one said is gone.

A charge lies on the UTC day on which its period starts, whole, even where the period is a month:
what is spread nowhere can be found again on the bill.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

from collectors.focus_files import (
    Cells,
    ChargeRow,
    Cut,
    Scope,
    charge_rows,
    is_bill,
    problem_of,
    second,
)
from collectors.window import Source, pico_of, require_days, utc
from monitor.domain.aliases import provider_id
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import EXACT, ZERO
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, BillRow, Dimensions, Problem
from monitor.ports import Read, StreamSpec

AI_CATEGORY = "AI and Machine Learning"
AI_SERVICES = (
    "*anthropic*",
    "*bedrock*",
    "*claude*",
    "*cognitive services*",
    "*foundry*",
    "*gemini*",
    "*openai*",
    "*vertex ai*",
)
"""Services that some exports put into another category than `AI_CATEGORY`."""

Files = Literal["versions", "parts"]

_STREAM = "bill"
_CHUNK_DAYS = 366
"""Each read goes through the files, so it asks for as much as possible."""
_PROVIDERS = {
    "amazon web services": "aws",
    "google cloud": "google",
    "google cloud platform": "google",
    "microsoft": "azure",
}
_MOST_PROBLEMS = 1_000
_PART = re.compile(r"(?i)(?:part[-_]?\d+(?:[-_]\d+)*|[-_]0\d{3,})$")
"""The end of a name that numbers the parts of one export: `part_0_0001`, `bill-00001`."""


_Key = tuple[Dimensions, int, str, str]
"""Of a line item: its day, its name and its currency."""


def _charge(row: ChargeRow, account: str) -> tuple[_Key, Decimal]:
    """The line item that a charge belongs to, and its exact amount.

    Raises:
        ValueError: a cell cannot be read.
    """
    cells = row.cells
    try:
        amount = Decimal(cells["cost"])
    except ArithmeticError:
        raise ValueError(f"BilledCost {clean_name(cells['cost'])!r} is no amount") from None
    currency = cells["currency"].upper()
    if not re.fullmatch("[A-Z]{3}", currency):
        raise ValueError(f"BillingCurrency {clean_name(currency)!r} is no currency")
    pico_of(amount, currency)
    provider = cells.get("provider", "").lower()
    dims = Dimensions(
        account=account,
        provider=clean_name(_PROVIDERS.get(provider, provider_id(provider))),
        project=clean_name(cells.get("sub_account", "")),
        region=clean_name(cells.get("region", "")),
    )
    return (dims, row.day, _line_item(cells), currency), amount


def _line_item(cells: Cells) -> str:
    """`Amazon Bedrock: Claude input tokens`; what is no usage says so first: `Tax: ...`."""
    kinds = [cells.get("charge_class", ""), cells.get("category", "")]
    what = cells.get("meter") or cells.get("description") or cells.get("sku") or ""
    named = [kind for kind in kinds if kind and kind != "Usage"]
    return clean_name(": ".join(filter(None, [*named, cells["service"], what])))


# --- Deliveries: which files count ---


class _Period(NamedTuple):
    """What one file has of a billing account's month."""

    days: frozenset[int]
    sub_accounts: frozenset[str]
    last: int
    """The last day with usage, or with any charge."""
    ends: int | None
    """The first instant after the billing period."""


class _File(NamedTuple):
    path: Path
    stamp: tuple[int, int]
    """When it was written, in nanoseconds, and its bytes."""
    periods: Mapping[Scope, _Period]


class _Chosen(NamedTuple):
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

    def period(self) -> _Period:
        last = max(self._used or self._days)
        return _Period(frozenset(self._days), frozenset(self._sub_accounts), last, self._ends)


def _periods(rows: Iterable[ChargeRow]) -> dict[Scope, _Period]:
    seen: dict[Scope, _Seen] = {}
    for row in rows:
        seen.setdefault(row.scope, _Seen()).add(row)
    return {scope: found.period() for scope, found in seen.items()}


class Focus(Source):
    """A bill in FOCUS files below a folder, or in one file.

    Args:
        key: none is needed.
        base_url: none: files are read.
        path: the folder or the file.
        services: patterns of ServiceName; none: what is known to be AI.
        files: `versions`: a newer delivery of a month replaces older ones; `parts`: each file has
            charges that no other has.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str = "",
        *,
        base_url: str = "",
        path: str = "",
        services: Sequence[str] = (),
        files: Files = "versions",
    ) -> None:
        del key
        if base_url or not path:
            raise InputError(
                f"source {name}: it reads files, and "
                + ("base_url is set" if base_url else "options.path is missing"),
                'Write options = { path = "/where/the/files/are" } and no base_url',
            )
        if isinstance(services, str) or not all(isinstance(each, str) for each in services):
            raise InputError(
                f"source {name}: services is no list of names", 'Write ["*"] for all services'
            )
        if files not in ("versions", "parts"):
            raise InputError(f"source {name}: files cannot be {files!r}", "Use versions or parts")
        super().__init__(name, account)
        self._path = Path(path)
        self._services = tuple(each.lower() for each in services)
        self._files = files
        self._known: dict[Path, _File] = {}

    def streams(self) -> Sequence[StreamSpec]:
        """The bill; its quantities are not read."""
        return [StreamSpec(_STREAM, "bill", _CHUNK_DAYS)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The charges of the UTC days [start, end), as far as the files are complete.

        Raises:
            SourceError: a file cannot be read, or a newer one says less than an older one.
        """
        require_days(start, end)
        chosen = self._chosen()
        first = min(end, max(start, chosen.first))
        last = max(first, min(end, chosen.through, now - now % DAY + DAY))
        notes = list(chosen.notes)
        if first > start:
            notes.append(f"no file has a month before {utc(chosen.first)[:7]}")
        elif last < end:
            notes.append(f"the files are complete through {utc(last - 1)[:10]}")
        bill = self._bill(chosen, first, last)
        return Read(
            start=first,
            end=last,
            rows=bill.rows(),
            problems=bill.problems,
            pages=len(bill.files),
            request={"stream": stream, "files": bill.files, "services": list(self._services)},
            notes=notes + bill.notes(),
        )

    def probe(self, now: int) -> str:
        """Look through the files; raises SourceError."""
        del now
        chosen = self._chosen()
        through = utc(chosen.through - 1)[:10]
        return f"{len(chosen.scopes)} files of {len(self._known)} count, complete through {through}"

    # Files.

    def _chosen(self) -> _Chosen:
        """Of each billing account's month the newest delivery.

        Raises:
            SourceError: see `read`.
        """
        files = self._looked_through()
        scopes: dict[Path, set[Scope]] = {}
        notes: list[str] = []
        for scope in sorted({scope for file in files for scope in file.periods}):
            having = [file for file in files if scope in file.periods]
            for file in self._newest(scope, having, notes) if self._versions else having:
                scopes.setdefault(file.path, set()).add(scope)
        counting = {
            scope: [file.periods[scope] for file in files if scope in scopes.get(file.path, ())]
            for scope in {scope for found in scopes.values() for scope in found}
        }
        notes += _gaps({scope.month for scope in counting})
        first = second(f"{min(scope.month for scope in counting)}-01")
        return _Chosen(scopes, first, _through(counting), notes)

    @property
    def _versions(self) -> bool:
        return self._files == "versions"

    def _newest(self, scope: Scope, files: list[_File], notes: list[str]) -> list[_File]:
        """The parts of the newest delivery.

        Raises:
            SourceError: an older one has more days: they are parts and no versions.
        """
        by_delivery: dict[object, list[_File]] = {}
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
                    self.name,
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

    def _looked_through(self) -> list[_File]:
        """Every file with its months; one that has not changed is not read again."""
        paths = self._paths()
        self._known = {path: file for path, file in self._known.items() if path in paths}
        for path in paths:
            stamp = self._stamp(path)
            if path not in self._known or self._known[path].stamp != stamp:
                rows = self._placed_rows(_File(path, stamp, {}))
                placed = (row for row in rows if isinstance(row, ChargeRow))
                self._known[path] = _File(path, stamp, _periods(placed))
        found = [file for file in self._known.values() if file.periods]
        if not found:
            raise SourceError(
                self.name,
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
            self.name,
            f"cannot read {path}: {error.strerror or error}",
            "Check options.path, and that this user may read there",
            permanent=True,
        )

    def _placed_rows(self, file: _File) -> Iterator[ChargeRow | Problem]:
        """Every row of a file that is whole and stays the same.

        Raises:
            SourceError: it is not.
        """
        remedy = "Nothing of this read was kept; it is tried again at the next poll"
        try:
            yield from charge_rows(file.path)
        except Cut as error:
            raise SourceError(self.name, f"{file.path}: {error}", remedy) from None
        except OSError as error:
            raise self._unreadable(file.path, error) from None
        if self._stamp(file.path) != file.stamp:
            raise SourceError(self.name, f"{file.path} changed while it was read", remedy)

    def _bill(self, chosen: _Chosen, first: int, last: int) -> _Bill:
        """The charges of the days [first, last) out of the files that count.

        Raises:
            SourceError: see `read`.
        """
        bill = _Bill(self, chosen.first, first, last)
        for path, scopes in chosen.scopes.items():
            file = self._known[path]
            days = (day for scope in scopes for day in file.periods[scope].days)
            if any(first <= day < last for day in days):
                bill.files.append(str(path))
                for row in self._placed_rows(file):
                    bill.take(row, scopes)
        return bill

    def is_wanted(self, cells: Cells) -> bool:
        """Whether a charge is of a service that is read."""
        service = cells["service"].lower()
        if self._services:
            return any(fnmatchcase(service, pattern) for pattern in self._services)
        return cells.get("service_category", "").lower() == AI_CATEGORY.lower() or any(
            fnmatchcase(service, pattern) for pattern in AI_SERVICES
        )


class _Bill:
    """Charges as they are read, summed exactly before they are rounded.

    Args:
        source: whose they are.
        known: the first day of the first month.
        first: the first day that is read.
        last: the first that is not.
    """

    def __init__(self, source: Focus, known: int, first: int, last: int) -> None:
        self.files: list[str] = []
        self.problems: list[Problem] = []
        self._source = source
        self._known, self._first, self._last = known, first, last
        self._sums: dict[_Key, Decimal] = {}
        self._others = self._early = 0

    def take(self, row: ChargeRow | Problem, scopes: Container[Scope]) -> None:
        """Take in a row, if it counts.

        Raises:
            SourceError: so many rows cannot be read that the file must be wrong.
        """
        if isinstance(row, Problem):
            self._keep(row)
        elif row.scope not in scopes:
            return
        elif not self._first <= row.day < self._last:
            self._early += row.day < self._known
        elif not self._source.is_wanted(row.cells):
            self._others += 1
        else:
            self._add(row)

    def rows(self) -> list[BillRow]:
        """The line items; one that no column can hold is a problem."""
        rows = []
        for (dims, day, line_item, currency), amount in self._sums.items():
            try:
                pico = pico_of(amount, currency)
            except ValueError as error:
                self._keep(Problem(f"bill of {utc(day)[:10]}, {line_item!r}", str(error)))
            else:
                rows.append(BillRow(dims, day, line_item, pico, currency))
        return rows

    def notes(self) -> list[str]:
        """What was left out."""
        said = {
            "charges of other services are not read": self._others,
            "charges correct days before the first month and are not read": self._early,
        }
        return [f"{count:,} {words}" for words, count in said.items() if count]

    def _add(self, row: ChargeRow) -> None:
        try:
            key, amount = _charge(row, self._source.account)
        except ValueError as error:
            self._keep(problem_of(row.place, error, row.cells))
        else:
            self._sums[key] = EXACT.add(self._sums.get(key, ZERO), amount)

    def _keep(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) > _MOST_PROBLEMS:
            raise SourceError(
                self._source.name,
                f"more than {_MOST_PROBLEMS:,} rows cannot be read, such as {problem.place}:"
                f" {problem.reason}",
                "Check that the export is FOCUS: amounts with a point, times in ISO 8601",
                permanent=True,
            )


class _Extent(NamedTuple):
    days: int
    sub_accounts: int


def _extent(files: Sequence[_File], scope: Scope) -> _Extent:
    """How much of a billing account's month is in some files."""
    periods = [file.periods[scope] for file in files]
    return _Extent(
        len(frozenset().union(*(period.days for period in periods))),
        len(frozenset().union(*(period.sub_accounts for period in periods))),
    )


def _through(counting: Mapping[Scope, Sequence[_Period]]) -> int:
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
