"""`crossover collect`: read the sources once, now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from concurrent.futures import Future

    from monitor.jobs.collect import Collected, Progress
    from monitor.ports import Pull
    from monitor.storage.engine import Database


def collect(
    ctx: typer.Context,
    source: Annotated[str, typer.Option(help="Only this source.")] = "",
    since: Annotated[
        str, typer.Option(help="Read from this UTC day on, whatever is known.", metavar="DATE")
    ] = "",
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
    deep: Annotated[bool, typer.Option(help="Read the last deep_days again.")] = False,
) -> None:
    """Read every configured source now, price what changed, and say what it brought.

    Reads the same windows as the daemon, and with --deep those that it reads once a day; a second
    call changes nothing that did not change at the source. Sources are read side by side. Exit
    code 4 if a source failed; the others are read all the same.

    With --since it reads further back. Interrupted, by Ctrl-C too, the same call goes on where it
    stopped. A provider that keeps less is read as far as it goes, which is said.

    Example: crossover collect --source openai --since 2026-08-01
    """
    from monitor import logs
    from monitor.domain.errors import InputError
    from monitor.jobs.collect import Asked, collect_all
    from monitor.jobs.rollup import roll_up
    from monitor.storage import setup
    from monitor.storage.migrate import upgrade
    from monitor.wiring import opening, prices, rows, usage

    logs.configure("INFO")
    settings = common.settings(ctx)
    known = [item.name for item in settings.source]
    if source and source not in known:
        raise InputError(
            f"there is no source {source!r}", f"Use one of {', '.join(known) or 'none yet'}."
        )
    now = int(common.now().timestamp())
    stop = threading.Event()
    asked = Asked(deep=deep, stopped=stop.is_set)
    if since:
        asked = asked._replace(since=_first(since, now), tell=_Told(since).tell)
    sources = usage.sources(settings)
    database = opening.database(settings)
    upgrade(database)
    with database.write() as conn:
        setup.apply(conn, rows.setup(settings))
    pace = usage.pace(settings)
    with ExitStack() as open_sources:
        for one in sources.values():
            open_sources.callback(one.close)
        chosen = [s for s in sources.values() if source in ("", s.name)]
        done, interrupted = _side_by_side(
            chosen, lambda one: collect_all(database, one, pace, now, asked), stop
        )
    for one in chosen:
        _tell_of_others(database, one.name, now)
    resolve = prices.resolver(settings, prices.stored_prices(settings))
    days = roll_up(database, resolve, rows.rules(settings), now)
    if not sources:
        common.note("no source is configured: uncomment one in the configuration")
    common.note(f"{days} days were priced anew")
    common.show([_row(found) for found in done], form)
    if interrupted:
        common.note("interrupted: what was read is kept, and the same call goes on from there")
        raise typer.Exit(1)
    if any(found.error for found in done):
        raise typer.Exit(4)


def _first(since: str, now: int) -> int:
    from monitor.domain.errors import InputError

    first = common.day(since, "--since")
    if first > now:
        raise InputError(f"--since {since} has not begun", "Name a past day.")
    return first


def _side_by_side(
    sources: list[Pull], read: Callable[[Pull], list[Collected]], stop: threading.Event
) -> tuple[list[Collected], bool]:
    """Read each source in a thread of its own, so that a slow one delays none.

    Returns what they brought, in the order of the sources, and whether somebody interrupted.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    if not sources:
        return [], False
    interrupted = False
    reading: list[Future[list[Collected]]] = []
    with ThreadPoolExecutor(len(sources)) as pool:
        try:
            for one in sources:
                reading.append(pool.submit(read, one))  # noqa: PERF401 - known when interrupted
            # Another thread may take the signal in: only who wakes sees that it came.
            while wait(reading, timeout=0.5).not_done:
                pass
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
            common.note("ending after the windows that are being read")
            wait(reading)
    return [found for done in reading for found in done.result()], interrupted


def _tell_of_others(database: Database, source: str, now: int) -> None:
    from monitor.storage import collecting

    with database.read() as conn:
        others = collecting.claimed(conn, source, now)
    for stream, until in others:
        common.note(
            f"{source} {stream}: left to who is reading it, or was when it ended; free again in"
            f" {until - now} s at the latest"
        )


class _Told:
    """Progress of a back-fill, a line for each window."""

    def __init__(self, since: str) -> None:
        self._since = since
        self._begun: set[tuple[str, str]] = set()

    def tell(self, at: Progress) -> None:
        from monitor.domain.periods import day_of

        name = f"{at.source} {at.stream}"
        if (at.source, at.stream) not in self._begun:
            self._begun.add((at.source, at.stream))
            if at.resumed:
                common.note(f"{name}: goes on where it was interrupted")
        if at.first:
            common.note(
                f"{name}: the provider has nothing before {day_of(at.first)};"
                f" {self._since} was asked for"
            )
        rate = at.days / at.seconds if at.seconds else 0.0
        share = at.days / (at.days + at.left)
        common.note(
            f"{name}: through {day_of(at.through - 1)}, {at.days} of {at.days + at.left} days"
            f" ({share:.0%}), {rate:.1f} days/s, {_left(at.left, rate)} left"
        )


def _left(days: int, rate: float) -> str:
    """How long the rest takes at this rate."""
    if not days:
        return "nothing"
    seconds = int(days / rate) if rate else 0
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def _row(found: Collected) -> dict[str, object]:
    return {
        "source": found.source,
        "stream": found.stream,
        **found.changes._asdict(),
        "quarantined": found.problems,
        "error": found.error,
    }
