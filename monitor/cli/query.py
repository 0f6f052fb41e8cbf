"""`crossover query`: one SELECT over the public views."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.common import Format, note, open_database, settings

if TYPE_CHECKING:
    from monitor.storage.engine import Database

_WIDEST = 1_000_000


def query(
    ctx: typer.Context,
    sql: Annotated[str, typer.Argument(help="One SELECT over the views of docs/database.md.")],
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows above are left out.")] = 10_000,
    timeout: Annotated[
        float, typer.Option(min=0.5, help="Seconds, with starting and stopping.")
    ] = 5,
) -> None:
    """Answer one SELECT over the public views, read-only, with limits on time and memory.

    Example: crossover query "SELECT month, workload, estimated_usd FROM v_workload_cost"
    """
    started = time.monotonic()
    from monitor.storage.query import Limits, run

    limits = Limits(rows=max_rows, seconds=timeout)
    with closing(open_database(ctx)) as database, _reader(ctx) as reader:
        spent = time.monotonic() - started
        result = run(database, sql, limits, reader=reader, spent=spent)
    show(result.columns, result.rows, form)
    if result.truncated:
        note(f"Only the first {max_rows} rows are shown: narrow the query, or raise --max-rows.")


@contextmanager
def _reader(ctx: typer.Context) -> Iterator[Database | None]:
    from monitor.wiring.opening import reader_database

    chosen = settings(ctx)
    if not chosen.database.reader_url:
        yield None
        return
    with closing(reader_database(chosen)) as database:
        yield database


def show(columns: Sequence[str], rows: Sequence[Sequence[object]], form: Format) -> None:
    """Print an answer; both engines' numbers look the same."""
    from monitor.storage.export import write_csv, write_json

    if form is Format.JSON:
        write_json(sys.stdout, columns, rows)
    elif form is Format.CSV:
        write_csv(sys.stdout, columns, rows)
    else:
        _table(columns, rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """As wide as its content: a figure that does not fit must not be cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from monitor.domain.names import clean_name
    from monitor.storage.export import number, shown

    def cell(value: object) -> Text:
        text = "NULL" if value is None else shown(value)
        # Text, so that nothing in it is markup; clean, so that nothing in it moves the cursor.
        return Text(clean_name(text, cap=len(text)))

    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(columns):
        numeric = any(number(row[place]) is not None for row in rows)
        table.add_column(cell(name), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    Console(width=_WIDEST).print(table)
