"""Tables as one workbook (XLSX): a sheet for each, text as text, numbers as numbers, days as days.

No text is ever taken for a formula or a link, whatever it begins with. The same tables give the
same bytes: the file holds no time and no name of who made it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from reports.model import Row, Value

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_CELL_CAP = 32_000
"""Characters; a cell holds 32,767."""
_ROWS_CAP = 1_048_575
"""Below the head; a sheet has no more."""
_SHEET_CAP = 31
_DIGITS = 15
"""What a cell's number tells apart; a longer one is written as text."""
_MADE = datetime(2000, 1, 1, tzinfo=UTC)
_WIDTHS = {"text": 28, "instant": 18, "day": 11, "month": 10}
_FORMS = {
    "usd": "#,##0.00",
    "usd_per_million": "#,##0.0000",
    "percent": "0.00",
    "hours": "#,##0.00",
    "tokens": "#,##0",
    "requests": "#,##0",
    "count": "#,##0",
    "day": "yyyy-mm-dd",
    "month": "yyyy-mm",
    "instant": "yyyy-mm-dd hh:mm:ss",
}


class Sheet(NamedTuple):
    """One table."""

    name: str
    """At most 31 characters, without any of []:*?/\\ and '."""
    units: Mapping[str, str]
    """Column -> unit of the figure catalogue."""
    rows: Sequence[Row]


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("xlsxwriter") is not None


def require() -> None:
    """Raises InputError where the extra is missing."""
    if not available():
        raise InputError(
            "a workbook needs the extra `xlsx`",
            "Install it: pip install 'crossover-monitor[xlsx]'.",
        )


def make(sheets: Sequence[Sheet]) -> bytes:
    """The workbook of these tables.

    Raises:
        InputError: the extra is missing.
    """
    require()
    import xlsxwriter  # noqa: PLC0415 - an extra, which only this needs

    out = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
    }
    with xlsxwriter.Workbook(out, options) as book:
        book.set_properties({"created": _MADE.replace(tzinfo=None)})
        head = book.add_format({"bold": True, "bottom": 1})
        forms = {unit: book.add_format({"num_format": form}) for unit, form in _FORMS.items()}
        for sheet in sheets:
            _fill(book.add_worksheet(sheet.name[:_SHEET_CAP]), sheet, head, forms)
    return out.getvalue()


def _fill(into: Worksheet, sheet: Sheet, head: Format, forms: Mapping[str, Format]) -> None:
    into.freeze_panes(1, 0)
    for column, (name, unit) in enumerate(sheet.units.items()):
        into.write_string(0, column, name, head)
        into.set_column(column, column, _WIDTHS.get(unit, 14))
        for line, row in enumerate(sheet.rows[:_ROWS_CAP], 1):
            _write(into, (line, column), row[name], unit, forms.get(unit))


def _write(
    into: Worksheet, at: tuple[int, int], value: Value, unit: str, form: Format | None
) -> None:
    """One cell; what is unknown stays empty."""
    if value is None:
        return
    if unit in _TIMES:
        moment = _moment(str(value), unit)
        if moment is not None:
            into.write_datetime(*at, moment, form)
            return
    if isinstance(value, Decimal | int) and _exact(value):
        into.write_number(*at, float(value), form)
        return
    into.write_string(*at, clean_name(str(value), _CELL_CAP))


def _exact(value: Decimal | int) -> bool:
    """Whether a cell's number has all digits of it."""
    return len(Decimal(value).normalize().as_tuple().digits) <= _DIGITS


_TIMES = ("day", "month", "instant")


def _moment(text: str, unit: str) -> date | datetime | None:
    """A day, the first of a month, or an instant in UTC; None where it is none."""
    found: date | datetime
    try:
        if unit == "instant":
            found = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
        else:
            found = date.fromisoformat(f"{text}-01" if unit == "month" else text)
    except (ValueError, OverflowError):
        return None
    # Spreadsheets count days from 1900.
    return found if found.year >= 1900 else None
