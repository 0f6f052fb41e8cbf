"""`crossover export csv`: a public view as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer

from monitor.cli.common import note, open_database

app = typer.Typer(help="Write the public views to files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `csv` a command of its own, however many formats there are."""


@app.command()
def csv(
    ctx: typer.Context,
    view: Annotated[str | None, typer.Argument(help="A view of docs/database.md.")] = None,
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d", "%Y-%m"], help="The first UTC day."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d", "%Y-%m"], help="The UTC day after the last."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, else stdout.")
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="List the views instead.")] = False,
) -> None:
    """Write a public view as CSV, row by row; text is safe to open in a spreadsheet.

    A view that has days is cut by --from and --to.

    Example: crossover export csv v_spend_daily --from 2026-11-01 --to 2026-12-01
    --output spend.csv
    """
    from monitor.domain.errors import InputError
    from monitor.storage.export import write_view
    from monitor.storage.views import public_names

    if names:
        sys.stdout.write("\n".join(public_names()) + "\n")
        return
    if view is None:
        raise InputError("no view is named", "`crossover export csv --list` lists the views.")
    with (
        closing(open_database(ctx)) as database,
        database.read() as conn,
        _written(output) as out,
    ):
        write_view(conn, view, out, _iso(start), _iso(end))
    if output is not None:
        note(f"Written: {output}")


def _iso(day: datetime | None) -> str | None:
    return None if day is None else day.date().isoformat()


@contextmanager
def _written(output: Path | None) -> Iterator[TextIO]:
    """The file, which appears under its name only when it is complete."""
    from monitor.domain.errors import InputError

    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as out:
            yield out
        part.replace(output)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror}", "Name a writable file."
        ) from None
    finally:
        part.unlink(missing_ok=True)
