"""Request logs as CSV: one row a request, columns named by a map."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.mapping import Mapped, Rows
from collectors.tables import Table, tables
from monitor.domain.errors import InputError
from monitor.domain.usage import Event, Problem
from monitor.ports import Cursor, Part


class RequestLog:
    """`ports.FileReader` for CSV files, UTF-8, with a header.

    Args:
        account: who is billed where the map names no account.
        mapped: which column is what; times without a zone are UTC.
        growing: others may be writing to the files: a last row without its end waits.
    """

    form = "csv"
    copies = False

    def __init__(self, account: str, mapped: Mapped, *, growing: bool = False) -> None:
        self._account, self._map, self._growing = account, mapped, growing

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        rows = Rows(self._account, self._map)
        for table in tables(path, self.form, cursor, growing=self._growing):
            absent = [c for c in self._map.columns.values() if c not in table.columns]
            if absent:
                raise InputError(
                    f"{path} has no column {', '.join(absent)}",
                    f"Its columns are {', '.join(table.columns)}; name them in --map.",
                )
            twice = [c for c in self._map.columns.values() if table.columns.count(c) > 1]
            if twice:
                raise InputError(
                    f"{path} has the column {twice[0]} more than once", "Rename one of them."
                )
            yield _part(table, rows, path)


def _part(table: Table, rows: Rows, path: str) -> Part:
    found: list[Event | Problem] = []
    cut: list[Event] = []
    for number, (line, row) in enumerate(table.rows):
        if table.cut is not None and number == table.cut_at:
            cut = rows.cut(table.cut)
        found.append(rows.event(row, f"{path}, line {line}"))
    events = [item for item in found if isinstance(item, Event)]
    problems = [item for item in found if isinstance(item, Problem)]
    return Part(
        len(found) + len(table.problems),
        events,
        [*problems, *table.problems],
        table.cursor,
        cut=cut,
    )
