"""`crossover collect`: read the sources once, now."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common


def collect(
    ctx: typer.Context,
    source: Annotated[str, typer.Option(help="Only this source.")] = "",
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
    deep: Annotated[bool, typer.Option(help="Read the last deep_days again.")] = False,
) -> None:
    """Read every configured source now, price what changed, and say what it brought.

    Reads the same windows as the daemon, and with --deep those that it reads once a day; a second
    call changes nothing that did not change at the source. Exit code 4 if a source failed; the
    others are read all the same.

    Example: crossover collect --source openai
    """
    from monitor import logs, wiring
    from monitor.domain.errors import InputError
    from monitor.jobs import collect as job
    from monitor.jobs.rollup import roll_up
    from monitor.storage import setup
    from monitor.storage.migrate import upgrade

    logs.configure("INFO")
    settings = common.settings(ctx)
    sources = wiring.sources(settings)
    if source and source not in sources:
        raise InputError(
            f"there is no source {source!r}", f"Use one of {', '.join(sources) or 'none yet'}."
        )
    database = wiring.database(settings)
    upgrade(database)
    now = int(common.now().timestamp())
    with database.write() as conn:
        setup.apply(conn, wiring.setup(settings))
    chosen = [s for s in sources.values() if source in ("", s.name)]
    pace = wiring.pace(settings)
    rows = [row for s in chosen for row in job.collect_all(database, s, pace, now, deep=deep)]
    resolve = wiring.resolver(settings, wiring.stored_prices(settings))
    days = roll_up(database, resolve, wiring.rules(settings), now)
    if not sources:
        common.note("no source is configured: uncomment one in the configuration")
    common.note(f"{days} days were priced anew")
    common.show([_row(found) for found in rows], form)
    if any(found.error for found in rows):
        raise typer.Exit(4)


def _row(found: object) -> dict[str, object]:
    from monitor.jobs.collect import Collected

    assert isinstance(found, Collected)
    return {
        "source": found.source,
        "stream": found.stream,
        **found.changes._asdict(),
        "quarantined": found.problems,
        "error": found.error,
    }
