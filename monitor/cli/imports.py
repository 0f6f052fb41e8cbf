"""`crossover import`: requests from a file."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import common


class FileFormat(StrEnum):
    """What can be imported."""

    CSV = "csv"


def import_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to import.")],
    mapping: Annotated[
        str,
        typer.Option(
            "--map",
            help="FIELD=COLUMN or FIELD=:CONSTANT, comma separated; fields: at, id, input,"
            " cache_read, cache_write, cache_write_long, output, reasoning, account, provider,"
            " model, project, api_key, actor, tier, batch, region, label.",
        ),
    ],
    form: Annotated[FileFormat, typer.Option("--format")] = FileFormat.CSV,
    source: Annotated[str, typer.Option(help="Name of the source; else the file's name.")] = "",
    shown: Annotated[
        common.Format, typer.Option("--output-format", help="How the result is printed.")
    ] = common.Format.TABLE,
) -> None:
    """Import a request log: one row a request. Importing it again adds nothing.

    `input` are input tokens that were not read from a cache. Times without a zone are UTC.

    Example: crossover import requests.csv --format csv
    --map at=TIMESTAMP,input=ContextTokens,output=GeneratedTokens,provider=:openai,model=:gpt-4o
    """
    from monitor import wiring
    from monitor.domain.names import clean_name
    from monitor.jobs.imports import import_events
    from monitor.jobs.rollup import roll_up
    from monitor.storage import setup
    from monitor.storage.migrate import upgrade

    del form
    log = wiring.request_log(file, mapping, clean_name(source or file.name))
    settings = common.settings(ctx)
    database = wiring.database(settings)
    upgrade(database)
    now = int(common.now().timestamp())
    with database.write() as conn:
        setup.apply(conn, wiring.setup(settings))
    found = import_events(database, log, now, _progress(file, log))
    resolve = wiring.resolver(settings, wiring.stored_prices(settings))
    roll_up(database, resolve, wiring.rules(settings), now)
    common.show([{"file": str(file), **found._asdict()}], shown)


def _progress(file: Path, log: object):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """A line every two seconds: how far, how fast, how long still."""
    size = file.stat().st_size if file.exists() else 0
    started = said = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal said
        elapsed = time.monotonic() - started
        if time.monotonic() - said < 2:
            return
        said = time.monotonic()
        share = getattr(log, "position", 0) / size if size else 1
        left = elapsed / share - elapsed if share else 0
        common.note(f"{rows:,} rows, {rows / elapsed:,.0f}/s, about {left:.0f} s left")

    return tell
