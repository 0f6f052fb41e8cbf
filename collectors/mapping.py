"""Requests in a file of any columns: one row a request, columns named by a map.

A map is one line: `at=TIMESTAMP,input=ContextTokens,output=GeneratedTokens,model=:gpt-4o`. Left of
each `=` stands one of our fields, right of it a column of the file, or after a colon a constant.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from collectors.files import short_id
from collectors.window import moment
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import MAX_COUNT, Dimensions, Event, Problem, Quantities

_QUANTITIES = {
    "input": "uncached_input",
    "cache_read": "cache_read",
    "cache_write": "cache_write",
    "cache_write_long": "cache_write_long",
    "output": "output",
    "reasoning": "reasoning",
}
FIELDS = ("at", "id", *_QUANTITIES, *Dimensions._fields)
_REQUIRED = ("at", "input", "output")
_PAYLOAD_CAP = 500
_LONGEST_COUNT = 100
"""Digits."""
_NUMBER = re.compile(r"\d{1,20}(\.\d*)?", re.ASCII)
_WHOLE = re.compile(r"(-?\d+)(?:\.0*)?", re.ASCII)
_FINER = (10**17, 10**14, 10**11)
"""From where on a number counts nano-, micro- or milliseconds: as seconds it would lie in the year
5138 or later."""

_FIRST_SECOND = 946_684_800
"""Of the year 2000. Smaller numbers count no seconds: 20261101 is a date, others are no time."""


class Mapped(NamedTuple):
    """A parsed map: field -> column, and field -> constant."""

    columns: Mapping[str, str]
    constants: Mapping[str, str]


def parse_map(text: str) -> Mapped:
    """Read a one-line map.

    Raises:
        InputError: a part is no `field=column`, a field is unknown, or a required one is absent.
    """
    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, sign, column = part.partition("=")
        if not sign or not column or field not in FIELDS:
            raise InputError(
                f"--map: {part!r} is not FIELD=COLUMN or FIELD=:CONSTANT",
                f"Fields are {', '.join(FIELDS)}.",
            )
        if column.startswith(":"):
            constants[field] = column[1:]
        else:
            columns[field] = column
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise InputError(
            f"--map names no column for {', '.join(missing)}",
            "Write for example --map at=TIMESTAMP,input=ContextTokens,output=GeneratedTokens.",
        )
    return Mapped(columns, constants)


class Rows:
    """Rows of one file as events.

    Args:
        account: who is billed where the map names no account.
        mapped: which column is what; times without a zone are UTC.
    """

    def __init__(self, account: str, mapped: Mapped) -> None:
        self._account, self._map = account, mapped
        self._seen: Counter[str] = Counter()

    def event(self, row: Mapping[str, str | None], place: str) -> Event | Problem:
        """A row by its columns as text; a cell that is absent is None, an unknown one ''."""
        values = {field: row[column] for field, column in self._map.columns.items()}
        try:
            at = _instant(values["at"])
            counts = {
                ours: _count(values[field], field)
                for field, ours in _QUANTITIES.items()
                if field in values
            }
        except ValueError as error:
            shown = ",".join("" if v is None else str(v) for v in row.values())
            return Problem(place, str(error), clean_name(shown, _PAYLOAD_CAP))
        names = {"account": self._account, **values, **self._map.constants}
        dims = Dimensions(
            **{name: clean_name(str(names.get(name) or "")) for name in Dimensions._fields}
        )
        return Event(self._id(row, values), at, dims, Quantities(**counts, requests=1))

    def cut(self, row: Mapping[str, str | None]) -> list[Event]:
        """What a row is that another one has taken the place of: it has not been said."""
        seen = self._seen.copy()
        found = self.event(row, "")
        self._seen = seen
        return [found] if isinstance(found, Event) else []

    def _id(self, row: Mapping[str, str | None], values: Mapping[str, str | None]) -> str:
        """The row's own id, else what it says and how often the file has said it before.

        Two equal rows are two requests; the same file again gives the same ids.
        """
        if given := short_id(values.get("id") or ""):
            return given
        said = "\0".join("" if value is None else str(value) for value in row.values())
        said += "\0".join(f"{k}={v}" for k, v in sorted(self._map.constants.items()))
        self._seen[said] += 1
        return hashlib.sha256(f"{said}\0{self._seen[said]}".encode()).hexdigest()[:40]


def as_text(value: object) -> str:
    """A value of a typed file as a cell; one that is not there is unknown."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _instant(text: str | None) -> int:
    if not text:
        raise ValueError("at is missing")
    number = Decimal(text.strip()) if _NUMBER.fullmatch(text.strip()) else 0
    if number >= _FIRST_SECOND:
        parts = next((from_ // 10**8 for from_ in _FINER if number >= from_), 1)
        return int(number / parts)
    try:
        return int(moment(text).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f"at = {clean_name(text, 60)!r} is not a time") from None


def _count(text: str | None, field: str) -> int | None:
    """A count; an empty cell is unknown, an absent one means a cut row."""
    if text is None:
        raise ValueError(f"{field} is missing: the row is cut off")
    if not text.strip():
        return None
    if not (found := _WHOLE.fullmatch(text.strip())):
        raise ValueError(f"{field} = {clean_name(text, 60)!r} is not a whole number")
    count = int(found[1]) if len(found[1]) < _LONGEST_COUNT else MAX_COUNT + 1
    if not 0 <= count <= MAX_COUNT:
        raise ValueError(f"{field} = {count} is not between 0 and {MAX_COUNT}")
    return count
