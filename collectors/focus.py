"""Bills as files in FOCUS, the FinOps Open Cost and Usage Specification (1.0 to 1.3).

Which files count is said by `focus_deliveries`, and what a row of one says by `focus_files`.

A charge lies on the UTC day on which its period starts, whole, even where the period is a month:
what is spread nowhere can be found again on the bill.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from collectors.focus_deliveries import Chosen, Deliveries
from collectors.focus_files import Cells, ChargeRow, Scope, problem_of
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
        self._services = tuple(each.lower() for each in services)
        self._deliveries = Deliveries(name, Path(path), replaced=files == "versions")

    def streams(self) -> Sequence[StreamSpec]:
        """The bill; its quantities are not read."""
        return [StreamSpec(_STREAM, "bill", _CHUNK_DAYS)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The charges of the UTC days [start, end), as far as the files are complete.

        Raises:
            SourceError: a file cannot be read, or a newer one says less than an older one.
        """
        require_days(start, end)
        chosen = self._deliveries.chosen()
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
        chosen = self._deliveries.chosen()
        through = utc(chosen.through - 1)[:10]
        every = len(self._deliveries.known)
        return f"{len(chosen.scopes)} files of {every} count, complete through {through}"

    def _bill(self, chosen: Chosen, first: int, last: int) -> _Bill:
        """The charges of the days [first, last) out of the files that count.

        Raises:
            SourceError: see `read`.
        """
        bill = _Bill(self, chosen.first, first, last)
        for path, scopes in chosen.scopes.items():
            file = self._deliveries.known[path]
            days = (day for scope in scopes for day in file.periods[scope].days)
            if any(first <= day < last for day in days):
                bill.files.append(str(path))
                for row in self._deliveries.rows(file):
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
