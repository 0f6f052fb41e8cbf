"""`crossover import`: requests from files."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.domain.errors import InputError

_SAY_EVERY = 2.0
"""Seconds."""


def import_file(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders of files.")],
    mapping: Annotated[
        str,
        typer.Option(
            "--map",
            help="FIELD=COLUMN or FIELD=:CONSTANT, comma separated, or the name of a map in"
            " [import.mapping]; fields: at, id, input,"
            " cache_read, cache_write, cache_write_long, output, reasoning, account, provider,"
            " model, project, api_key, actor, tier, batch, region, label.",
        ),
    ] = "",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, claude-code, openai-csv, litellm-jsonl, bedrock-logs, openrouter-csv; with"
            " --map csv, jsonl, parquet.",
        ),
    ] = "auto",
    source: Annotated[
        str, typer.Option(help="Name of the source; else the format's, with --map the file's.")
    ] = "",
    account: Annotated[str, typer.Option(help="Who is billed; else the source's name.")] = "",
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Read files from their start, though they have not changed: after an update that"
            " reads what could not be read before.",
        ),
    ] = False,
    shown: Annotated[
        common.Format, typer.Option("--output-format", help="How the result is printed.")
    ] = common.Format.TABLE,
) -> None:
    """Import usage from files. Importing them again reads what is new, and adds nothing else.

    With a map, each row is a request: `input` are input tokens that were not read from a cache.
    Times without a zone are UTC. Gzipped files are read as they are. Exit code 2 if a file could
    not be read; the others are imported all the same.

    Example: crossover import ~/.claude/projects

    Example: crossover import requests.csv
    --map at=TIMESTAMP,input=ContextTokens,output=GeneratedTokens,provider=:openai,model=:gpt-4o
    """
    from monitor.jobs.imports import import_files
    from monitor.jobs.rollup import roll_up
    from monitor.storage import setup
    from monitor.storage.migrate import upgrade
    from monitor.wiring import opening, prices, rows, usage

    settings = common.settings(ctx)
    chosen = usage.files(settings, [str(path) for path in paths], form, mapping, source, account)
    database = opening.database(settings)
    upgrade(database)
    database.keep_small()
    now = int(common.now().timestamp())
    with database.write() as conn:
        setup.apply(conn, rows.setup(settings))
    # Rows by the million are no garbage: looking through them again and again costs a tenth.
    gc.set_threshold(100_000)
    told: list[dict[str, object]] = []
    errors: list[InputError] = []
    for name, files in chosen:
        found = import_files(
            database, name, files, now, _progress(files.paths), lambda _path: again
        )
        told.append({"source": name, **found.total._asdict()})
        errors += found.errors
    if len(errors) == 1 and not any(row["files"] for row in told):
        raise errors[0]
    resolve = prices.resolver(settings, prices.stored_prices(settings))
    roll_up(database, resolve, rows.rules(settings), now)
    common.show(told, shown)
    _tell(errors)


def _tell(errors: list[InputError]) -> None:
    for error in errors:
        common.note(f"error: {error}")
    if errors:
        raise typer.Exit(2)


def _progress(paths: Callable[[], Iterable[str]]) -> Callable[[int, int], None]:
    """A line every two seconds: how far, how fast, how long still."""
    started = said = time.monotonic()
    size = 0

    def tell(rows: int, came: int) -> None:
        nonlocal said, size
        elapsed = time.monotonic() - started
        if time.monotonic() - said < _SAY_EVERY:
            return
        said = time.monotonic()
        size = size or sum(Path(path).stat().st_size for path in paths())
        left = elapsed * max(0, size - came) / came if came else 0
        share = f"{min(came, size) / size:.0%}, " if size else ""
        common.note(f"{share}{rows:,} rows, {rows / elapsed:,.0f}/s, about {left:.0f} s left")

    return tell
