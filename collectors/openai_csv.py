"""Usage and costs that OpenAI's dashboard exports as CSV.

Columns vary with the grouping that was chosen, so they are read by name; `_iso` columns and names
of people are not read. A row of usage is what one group did in one stretch of time: it becomes an
event whose id is that group and stretch, so that exports which overlap are counted once and a row
that was still filling is replaced by the larger one. Costs are whole days: each day is replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from collectors import openai_rows
from collectors.tables import Row, Table, further_groups, tables
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, MINUTE, BillRow, Event, Problem, UsageRow
from monitor.ports import Cursor, Part

_TIMES = ("start_time", "end_time", "start_time_iso", "end_time_iso")
_GROUPS = ("project_id", "api_key_id", "user_id", "model", "service_tier")


class OpenAICsv:
    """`ports.FileReader` for the dashboard's exports.

    Args:
        account: who is billed.
    """

    form = "openai-csv"
    copies = False

    def __init__(self, account: str) -> None:
        self._account = account

    @staticmethod
    def recognises(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
        """Whether the first line is of this format."""
        del documents
        return set(_TIMES) <= set(columns)

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        days: list[BillRow] = []
        named: list[int] = []
        projects: set[str] = set()
        for table in tables(path, self.form, cursor):
            part = self._part(table, path)
            # A day is replaced as a whole, and may go on in the next rows.
            days += part.bills
            named += part.days
            projects.update(row.dims.project for row in part.bills)
            if table.cut is not None and "amount_value" in table.columns:
                with suppress(ValueError):
                    projects.update(row.dims.project for row in self._bill(table.cut))
            if part.cursor.changed_ns == "":
                yield part._replace(bills=(), days=())
                continue
            whose = [(self._account, project) for project in projects or {""}]
            yield part._replace(bills=days, days=named, whose=whose)

    def _part(self, table: Table, path: str) -> Part:
        events: list[Event] = []
        bills: list[BillRow] = []
        days: list[int] = []
        problems = list(table.problems)
        costs = "amount_value" in table.columns
        for line, row in table.rows:
            try:
                if costs:
                    days += self._without_spend(row)
                    bills += self._bill(row)
                else:
                    events += self._usage(row)
            except ValueError as error:
                problems.append(_problem(path, line, row, str(error)))
        cut: list[Event] = []
        if table.cut is not None and not costs:
            with suppress(ValueError):
                cut = self._usage(table.cut)
        return Part(len(table.rows), events, problems, table.cursor, bills, days, cut)

    def _usage(self, row: Row) -> list[Event]:
        counts = {
            name: _count(name, text)
            for name, text in row.items()
            if text and (name.endswith("_tokens") or name == "num_model_requests")
        }
        if not counts:
            return []
        start, end = (_count(name, row.get(name) or "") for name in _TIMES[:2])
        if start % MINUTE:
            raise ValueError(f"start_time = {start} is no full minute")
        if not 0 < end - start <= DAY:
            raise ValueError(f"{start} to {end} is no stretch of a day at most")
        groups: dict[str, Any] = {name: row[name] for name in _GROUPS if row.get(name)}
        if row.get("batch"):
            groups["batch"] = str(row["batch"]).lower() == "true"
        stream = "usage/completions" if "output_tokens" in counts else "usage/embeddings"
        filled = {"input_tokens": 0, "num_model_requests": 0} | counts | groups
        found = self._parsed(stream, filled, start, end)
        assert isinstance(found, UsageRow)
        further = further_groups(row, (*_TIMES, *_GROUPS, *counts, "batch", "project_name"))
        key = "\0".join(map(str, (start, end, stream, *found.dims, *further)))
        name = f"openai-csv-{hashlib.sha256(key.encode()).hexdigest()[:40]}"
        return [Event(name, start, found.dims, found.quantities)]

    @staticmethod
    def _without_spend(row: Row) -> list[int]:
        """The day that a row names and has no amount of."""
        if (row.get("amount_value") or "").strip():
            return []
        start, end = (_count(name, row.get(name) or "") for name in _TIMES[:2])
        return [start] if start % DAY == 0 and end - start == DAY else []

    def _bill(self, row: Row) -> list[BillRow]:
        amount = (row.get("amount_value") or "").strip()
        if not amount:
            # A day without spend.
            return []
        start, end = (_count(name, row.get(name) or "") for name in _TIMES[:2])
        if start % DAY or end - start != DAY:
            raise ValueError("a cost is of one whole UTC day")
        try:
            value = format(Decimal(amount), "f")
        except InvalidOperation:
            raise ValueError(f"amount_value = {clean_name(amount, 60)!r} is no number") from None
        cost = {
            "amount": {
                "value": msgspec.Raw(value.encode()),
                "currency": row.get("amount_currency") or "",
            },
            **{name: row[name] for name in ("line_item", *_GROUPS[:2]) if row.get(name)},
        }
        found = self._parsed("costs", cost, start, end)
        assert isinstance(found, BillRow)
        return [found]

    def _parsed(self, stream: str, result: Mapping[str, Any], start: int, end: int) -> object:
        """As the API's answer would be read: one set of rules for both.

        Raises:
            ValueError: it cannot be read.
        """
        bucket = {"start_time": start, "end_time": end, "results": [result]}
        page = msgspec.json.encode({"data": [bucket], "has_more": False})
        rows, problems = openai_rows.parse(stream, page, end - start, account=self._account)
        if problems:
            raise ValueError(problems[0].reason)
        return rows[0]


def _count(name: str, text: str) -> int:
    """A whole number, which the export may print as `3.0`."""
    try:
        number = Decimal(text)
        if number == number.to_integral_value():
            return int(number)
    except ArithmeticError:
        pass
    raise ValueError(f"{name} = {clean_name(text, 60)!r} is not a whole number")


def _problem(path: str, line: int, row: Row, cause: str) -> Problem:
    kept = {name: text for name, text in row.items() if name in (*_TIMES[:2], *_GROUPS[:2])}
    return Problem(f"{path}, line {line}", clean_name(cause, 300), clean_name(repr(kept), 500))
