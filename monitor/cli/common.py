"""What commands share: formats, the configuration, the database."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.storage.engine import Database


class Format(StrEnum):
    """How figures are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


_FIGURE = re.compile(r"[-+$]?[0-9][0-9.,:TZ%-]*|")
"""A number, an amount, a day or an instant: none is read in pieces."""
_NARROW = 12
"""Characters of a word that a fold leaves together."""


def settings(ctx: typer.Context) -> Settings:
    """The configuration that this call names."""
    from monitor.config import load

    path = ctx.find_root().params.get("config")
    return load(Path(path) if path else None)


def open_database(ctx: typer.Context) -> Database:
    """The configured database, which must be at this program's schema."""
    from monitor.storage.migrate import require_current
    from monitor.wiring.opening import database

    opened = database(settings(ctx))
    require_current(opened)
    return opened


def now() -> datetime:
    """The command line is an edge: here the clock is read."""
    return datetime.now(UTC)


def day(text: str, option: str) -> int:
    """The epoch second of the midnight that begins a UTC day.

    Raises:
        InputError: the option names no day.
    """
    from monitor.domain.errors import InputError

    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {text!r} is no day", "Write it as 2026-11-30.") from None
    if not 1970 <= found.year < date.max.year:
        raise InputError(f"{option} {text}: no usage is so old or so new", "Name another day.")
    return int(datetime.combine(found, time(), UTC).timestamp())


def note(text: str) -> None:
    """Progress and remarks go to stderr; stdout is for figures."""
    sys.stderr.write(text + "\n")


def show(rows: Sequence[Mapping[str, Any]], form: Format, title: str = "") -> None:
    """Print rows as a table for people, or as JSON or CSV for machines."""
    if form is Format.JSON:
        sys.stdout.write(json.dumps(list(rows), indent=2, default=_plain) + "\n")
    elif form is Format.CSV:
        _csv(rows)
    else:
        _table(rows, title)


def show_document(document: Mapping[str, Any]) -> None:
    """Print one document as JSON; amounts keep their digits."""
    sys.stdout.write(json.dumps(document, indent=2, default=_plain) + "\n")


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else repr(value)


def _csv(rows: Sequence[Mapping[str, Any]]) -> None:
    import csv

    if rows:
        out = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold")
    least = 0
    for name in rows[0]:
        cells = ["" if row[name] is None else str(row[name]) for row in rows]
        whole = all(map(_FIGURE.fullmatch, cells))
        table.add_column(name, overflow="fold", no_wrap=whole)
        parts = cells if whole else (word[:_NARROW] for cell in cells for word in cell.split())
        least += 2 + max(map(len, (name if whole else name[:_NARROW], *parts)))
    for row in rows:
        # Text, because a name from outside must not be read as markup.
        table.add_row(*(Text("" if v is None else str(v)) for v in row.values()))
    # Rather a line beyond the screen's edge than a number that is broken in two.
    console = Console()
    console.width = max(console.width, least)
    console.print(table)
