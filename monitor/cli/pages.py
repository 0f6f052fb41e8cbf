"""`crossover pages`: what providers answered, kept as evidence."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.jobs.archive import Archive

app = typer.Typer(
    help="What providers answered, where collect.archive keeps it.", no_args_is_help=True
)


@app.command("list")
def list_(
    ctx: typer.Context,
    source: Annotated[str, typer.Option(help="The source that was read.")],
    day: Annotated[str, typer.Option(help="Only reads that cover this UTC day.")] = "",
    stream: Annotated[str, typer.Option(help="Only this stream.")] = "",
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show which pages each read of a source was made of, the oldest read first.

    A page that was answered again without a change has the same hash.

    Example: crossover pages list --source openai --day 2026-11-18
    """
    from monitor.storage import collecting

    archive = _archive(ctx)
    at = common.day(day, "--day") if day else None
    with common.open_database(ctx).read() as conn:
        rows = collecting.pages_of(conn, source, stream, at)
    if not rows:
        common.note("no such page")
    common.show([_row(row, archive) for row in rows], form)


@app.command()
def show(
    ctx: typer.Context, sha256: Annotated[str, typer.Argument(help="The page's hash.")]
) -> None:
    """Print a page as it came.

    Example: crossover pages show 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    sys.stdout.buffer.write(_archive(ctx).body(sha256))
    sys.stdout.buffer.flush()


def _archive(ctx: typer.Context) -> Archive:
    from monitor.domain.errors import InputError
    from monitor.wiring import usage

    found = usage.archive(common.settings(ctx))
    if found is None:
        raise InputError("no pages are kept", "Name a folder in collect.archive.")
    return found


def _row(row: dict[str, object], archive: Archive) -> dict[str, object]:
    from monitor.domain.periods import day_of

    assert isinstance(row["day_from"], int)
    assert isinstance(row["day_to"], int)
    return {
        "read_at": f"{row['read_at']:%Y-%m-%dT%H:%M:%SZ}",
        "stream": row["stream"],
        "read": row["status"],
        "page": row["number"],
        "from": day_of(row["day_from"]),
        "to": day_of(row["day_to"]),
        "bytes": row["bytes"],
        "kept": "yes" if archive.has(str(row["sha256"])) else "no",
        "sha256": row["sha256"],
        "request": row["request"],
    }
