"""CSV files, row by row in little memory: read whole whenever they changed."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from collectors.files import LONGEST_LINE, blocks
from monitor.domain.errors import InputError
from monitor.domain.usage import Problem
from monitor.ports import Cursor

Row = Mapping[str, str | None]
_NUMBER = re.compile(r"-?[\d.,]+([eE][-+]?\d+)?", re.ASCII)
# A log may hold what was asked; a line has a limit of its own.
csv.field_size_limit(LONGEST_LINE)


def further_groups(row: Row, known: Collection[str]) -> list[str]:
    """What a row is of by columns that are not `known`: neither measures nor people."""
    return [
        f"{name}={value}"
        for name, value in sorted(row.items())
        if name not in known and isinstance(value, str) and _tells(name, value)
    ]


def _tells(name: str, value: str) -> bool:
    if not value or "email" in name or name.endswith(("_tokens", "user_name", "_iso")):
        return False
    return name.endswith("_id") or not _NUMBER.fullmatch(value)


class Table(NamedTuple):
    """Some rows of a file."""

    columns: Sequence[str]
    rows: list[tuple[int, Row]]
    """Each with the number of its last line."""
    problems: list[Problem]
    cursor: Cursor
    cut: Row | None = None
    """What the last row of the file was, before it had its end, when the file was read before."""
    cut_at: int = 0
    """Before which of the rows it belongs."""


def tables(
    path: str, form: str, cursor: Cursor | None, *, growing: bool = False
) -> Iterator[Table]:
    """All rows of a file that changed; of one that may be growing, see `files.blocks`.

    Raises:
        InputError: it cannot be read, is empty, or is not UTF-8.
    """
    cut = _cut(path, cursor) if cursor else ""
    cut_after = cursor.line if cursor and cut else -1
    lines = _Lines(path, form, cursor, growing=growing)
    if lines.cursor is None and not lines.fill():
        return
    reader = csv.DictReader(lines, restkey="", restval=None, strict=True)
    columns = _columns(reader, path)
    last, at = "", 0
    while True:
        before: Row | None = None
        before_at = 0
        rows: list[tuple[int, Row]] = []
        problems: list[Problem] = []
        more = True
        while len(rows) < 2_000:
            if reader.line_num == cut_after:
                before, before_at, cut_after = _row(cut, columns), len(rows), -1
            lines.row.clear()
            started = reader.line_num
            try:
                row = next(reader)
            except StopIteration:
                more = False
                break
            except csv.Error as error:
                problems.append(
                    Problem(f"{path}, line {reader.reader.line_num}", f"not CSV: {error}")
                )
                continue
            if _overflows(row):
                place = f"{path}, line {reader.line_num}"
                problems.append(Problem(place, "the row has more cells than there are columns"))
            else:
                rows.append((reader.line_num, row))
            last, at = "".join(lines.row), started
        assert lines.cursor is not None
        # What follows the cursor may be in the reader already: until its end a file is read anew.
        cursor = lines.cursor if not more else lines.cursor._replace(changed_ns="")
        if not more:
            cursor = _open_end(cursor, last, at)
        yield Table(columns, rows, [*problems, *lines.problems()], cursor, before, before_at)
        if not more:
            return


def _overflows(row: Row) -> bool:
    """Whether a comma that nobody quoted, such as that of 1,234, may have moved the cells."""
    further: object = row.get("")
    return isinstance(further, list) and any(further)


def _columns(reader: csv.DictReader[str], path: str) -> Sequence[str]:
    try:
        columns = reader.fieldnames
    except csv.Error as error:
        raise InputError(f"{path} is not CSV: {error}", "Name another --format.") from None
    if not columns:
        raise InputError(f"{path} is empty", "A request log has a header and rows.")
    return columns


def _open_end(cursor: Cursor, last: str, line: int) -> Cursor:
    """A cursor that tells where the last row begins, if it has no end yet."""
    if last.endswith("\n"):
        return cursor
    data = last.encode()
    digest = hashlib.sha256(data).hexdigest()
    return cursor._replace(position=cursor.position - len(data), line=line, digest=digest)


def _cut(path: str, cursor: Cursor) -> str:
    """The last row as it was read before its file grew; '' where it was whole."""
    length = cursor.size - cursor.position
    if cursor.position <= 0 or not 0 < length <= LONGEST_LINE:
        return ""
    with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - may be no UTF-8
        file.seek(cursor.position)
        data = file.read(length)
        if file.read(1) and hashlib.sha256(data).hexdigest() == cursor.digest:
            return data.decode()
    return ""


def _row(text: str, columns: Sequence[str]) -> Row | None:
    with suppress(csv.Error):
        return next(csv.DictReader(io.StringIO(text, newline=""), columns, "", None), None)
    return None


class _Lines:
    """The lines of a file as text."""

    def __init__(self, path: str, form: str, cursor: Cursor | None, *, growing: bool) -> None:
        self._path = path
        self._blocks = blocks(path, form, cursor, appends=False, whole=True, growing=growing)
        self._waiting: Iterator[str] = iter(())
        self._problems: list[Problem] = []
        self._first = True
        self.row: list[str] = []
        """Lines since this was cleared."""
        self.cursor: Cursor | None = None

    def fill(self) -> bool:
        """Read a block; False: there is none."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self.cursor = block.cursor
        self._problems += block.problems
        try:
            text = block.data.decode("utf-8-sig" if self._first else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{self._path} is not UTF-8 text", "Convert it to UTF-8.") from None
        self._first = False
        self._waiting = iter(io.StringIO(text, newline=""))
        return True

    def problems(self) -> list[Problem]:
        """Lines that were too long, since the last call."""
        found, self._problems = self._problems, []
        return found

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while (line := next(self._waiting, None)) is None:
            if not self.fill():
                raise StopIteration
        self.row.append(line)
        return line
