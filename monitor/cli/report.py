"""`crossover report`: the weekly report on screen, into files, or on its way."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.jobs.alerting import Policy
    from reports.model import Rendered

app = typer.Typer(help="The reports, on screen, into files, or sent.", no_args_is_help=True)


@app.callback()
def reports() -> None:
    """Keep `weekly` a command of its own while it is the only one."""


@app.command()
def weekly(
    ctx: typer.Context,
    week: Annotated[
        str, typer.Option(help="ISO week, such as 2026-W47; else the last complete one.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, report.txt, report.eml and the tables as CSV."),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Put it into the outbox, once for each recipient.")
    ] = False,
) -> None:
    """Show the weekly report: as plain text, into a folder, or sent.

    A week's report goes to each recipient once, whether this command or the daemon posts it; the
    daemon delivers what waits in the outbox. A week that is not complete is not sent before it is a
    day late, and says then what it lacks.

    Example: crossover report weekly --week 2026-W47 --output report
    """
    settings, now = common.settings(ctx), common.now()
    week = week or last_week(now)
    due_at = due(settings, week, now)
    if send:
        _send(ctx, settings, week, due_at, now)
        return
    from monitor.jobs.report import render_week

    policy = _policy(settings)
    with common.open_database(ctx).read() as conn:
        rendered = render_week(conn, week, policy, due_at)
    if output is None:
        sys.stdout.write(rendered.text)
    else:
        _write(output, rendered, policy, week, due_at)


def last_week(now: datetime) -> str:
    """The last complete ISO week."""
    from monitor.domain.periods import week_of

    return week_of(int((now - timedelta(days=7)).timestamp()))


def due(settings: Settings, week: str, now: datetime) -> int:
    """When a week's report fell or falls due, in epoch seconds.

    Raises:
        InputError: the text is no week, or the week is not over.
    """
    from monitor import wiring
    from monitor.domain import periods
    from monitor.domain.errors import InputError

    start, end = periods.week_bounds(week)
    if end > now.timestamp():
        raise InputError(
            f"{week} is not over", f"Name a week up to {last_week(now)}, the last complete one."
        )
    since = datetime.fromtimestamp(end, now.tzinfo) - timedelta(days=1)
    found = periods.due(wiring.calendar(settings).weekly, since + timedelta(days=21), since)
    return next(int(period.due_at.timestamp()) for period in found if period.start == start)


def _policy(settings: Settings) -> Policy:
    """As the daemon's own run of the report has it."""
    from monitor import wiring

    envelope = wiring.envelope(settings, settings.report.to, wiring.FINANCE)
    return wiring.policy(settings)._replace(envelope=envelope)


def _send(ctx: typer.Context, settings: Settings, week: str, due_at: int, now: datetime) -> None:
    from monitor.domain.errors import InputError
    from monitor.domain.periods import run_key
    from monitor.jobs.plan import NotReady
    from monitor.jobs.report import LATE_AFTER, compose
    from monitor.storage import work

    policy = _policy(settings)
    if not policy.envelope.recipients:
        raise InputError("[report] to names nobody", "Add an address to it in the configuration.")
    key = run_key("finance", "weekly", week, 1)
    at = int(now.timestamp())
    database = common.open_database(ctx)
    try:
        messages = compose(database, week, policy, due_at, key, late=at - due_at >= LATE_AFTER)
    except NotReady as waits:
        raise InputError(
            f"{week} is not complete: it {waits}",
            "The daemon sends it when it is; --output shows it as it stands.",
        ) from None
    if not messages:
        raise InputError(
            "every reader left the report", "See `crossover report unsubscribed`, or --output."
        )
    with database.write() as conn:
        new = work.post(conn, messages, at)
    sent = "1 message waits" if new == 1 else f"{new} messages wait"
    common.note(
        f"{sent} in the outbox as {key}; the daemon delivers them (crossover outbox list)"
        if new
        else f"{key} is in the outbox already: nothing was added (crossover outbox list)"
    )


def _write(folder: Path, rendered: Rendered, policy: Policy, week: str, due_at: int) -> None:
    """The report's files; the mail is the first recipient's, or an example's."""
    from monitor.jobs.mail import addressed
    from monitor.jobs.report import standalone

    to = [*policy.envelope.recipients, "reader@example.org"][:1]
    date = datetime.fromtimestamp(due_at, common.now().tzinfo)
    key = f"report/finance/weekly/{week}/1"
    (mail,) = addressed(rendered, policy.envelope._replace(recipients=to), "report", key, date)
    files = {
        "report.html": standalone(rendered).encode(),
        "report.txt": rendered.text.encode(),
        "report.eml": mail.message,
        **{attached.filename: attached.data for attached in rendered.attachments},
    }
    _write_files(folder, files)
    common.note(f"wrote {', '.join(files)} into {folder}")


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    from monitor.domain.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror}", "Name a folder that can be written."
        ) from None
