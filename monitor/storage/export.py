"""Rows as text: CSV that a spreadsheet cannot take for formulas, JSON with exact numbers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TextIO

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.domain.errors import InputError, QueryError
from monitor.domain.money import plain
from monitor.storage import views

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")
# What --from and --to are compared with: the first of these that a view has.
_TIMES = ("hour", "day", "as_of", "at", "created_at", "valid_from", "month")
_ROWS_AT_ONCE = 1_000


def number(value: object) -> Decimal | None:
    """A finite number as the same Decimal on both engines, or None: it is no such number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    # Fifteen digits are all that a float is sure of.
    exact = Decimal(format(value, ".15g")) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        return None
    return exact or abs(exact)  # minus zero is zero


def shown(value: object) -> str:
    """A value as text: numbers without exponent and trailing zeros, NULL as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    exact = number(value)
    return str(value) if exact is None else plain(exact)


def csv_cell(value: object) -> str:
    """As `shown`, and text that a spreadsheet would calculate starts with an apostrophe."""
    text = shown(value)
    return f"'{text}" if number(value) is None and text.startswith(_FORMULA) else text


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """RFC 4180, with a header."""
    writer = csv.writer(out)
    writer.writerow([csv_cell(name) for name in columns])
    writer.writerows([csv_cell(value) for value in row] for row in rows)


def write_json(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A list of objects, one to a line.

    Raises:
        QueryError: two columns have the same name, of which a reader would keep one.
    """
    if len(set(columns)) < len(columns):
        raise QueryError("two columns have the same name", "Name them apart with AS.")
    names = [json.dumps(name, ensure_ascii=False) for name in columns]
    before = "[\n  "
    for row in rows:
        cells = (f"{n}: {_json_cell(v)}" for n, v in zip(names, row, strict=True))
        out.write(f"{before}{{{', '.join(cells)}}}")
        before = ",\n  "
    out.write("\n]\n" if before.startswith(",") else "[]\n")


def _json_cell(value: object) -> str:
    exact = number(value)
    if exact is not None:
        return plain(exact)
    plainly = value if value is None or isinstance(value, bool) else str(value)
    return json.dumps(plainly, ensure_ascii=False)


def write_view(
    conn: Connection, view: str, out: TextIO, start: str | None = None, end: str | None = None
) -> None:
    """Stream a public view as CSV, in the order of its columns.

    Args:
        conn: a reading transaction.
        view: one of `views.public_names()`.
        out: opened with newline="".
        start: the first UTC day, `2026-11-01`; None: from the beginning.
        end: the UTC day after the last one. A view by month takes both months as whole.

    Raises:
        InputError: there is no such view, or it has no time to select by.
    """
    if view not in views.public_names():
        raise InputError(
            f"there is no view {view!r}", "`crossover export csv --list` lists the views."
        )
    columns = list(conn.execute(sa.text(f"SELECT * FROM {view} WHERE 1 = 0")).keys())
    where, bound = _between(view, columns, start, end)
    order = ", ".join(str(place) for place in range(1, len(columns) + 1))
    rows = conn.execution_options(yield_per=_ROWS_AT_ONCE).execute(
        sa.text(f"SELECT * FROM {view}{where} ORDER BY {order}"), bound
    )
    write_csv(out, columns, rows)


def _between(
    view: str, columns: Sequence[str], start: str | None, end: str | None
) -> tuple[str, dict[str, str]]:
    if start is None and end is None:
        return "", {}
    column = next((name for name in _TIMES if name in columns), None)
    if column is None:
        raise InputError(f"{view} has no time to select by", "Leave out --from and --to.")
    length = len("2026-11") if column == "month" else len("2026-11-01")
    bound = {name: day[:length] for name, day in (("a", start), ("b", end)) if day is not None}
    tests = {"a": f"{column} >= :a", "b": f"{column} < :b"}
    return f" WHERE {' AND '.join(tests[name] for name in bound)}", bound
