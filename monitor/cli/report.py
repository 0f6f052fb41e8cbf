"""`crossover report`: the weekly and the monthly report on screen, into files, or on their way."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.config import Settings
    from monitor.domain.links import About
    from monitor.jobs.alerting import Policy
    from reports.model import Rendered


class Shape(StrEnum):
    """How a report is printed."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"


app = typer.Typer(help="The reports, on screen, into files, or sent.", no_args_is_help=True)


@app.command()
def weekly(
    ctx: typer.Context,
    week: Annotated[
        str, typer.Option(help="ISO week, such as 2026-W47; else the last complete one.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html, report.txt, report.eml and the tables as CSV; or one file"
            " that ends in .html, .txt or .pdf."
        ),
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
        _write(output, rendered, policy, f"finance/weekly/{week}/1", due_at)


@app.command()
def monthly(
    ctx: typer.Context,
    month: Annotated[str, typer.Option(help="Such as 2026-10; else the last complete one.")] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html, report.txt, report.eml and the tables as CSV; or one file"
            " that ends in .html, .txt or .pdf."
        ),
    ] = None,
    form: Annotated[
        Shape, typer.Option("--format", help="What to print: the text, the page, or its figures.")
    ] = Shape.TEXT,
) -> None:
    """Show the closing report of a month: the bill beside the estimate, budgets, who would pay.

    The daemon sends it once the month is closed; this shows it as it stands.

    Example: crossover report monthly --month 2026-10 --output closing
    """
    from monitor.jobs.closing import facts, render_month
    from monitor.jobs.report import standalone

    settings, now = common.settings(ctx), common.now()
    month = month or last_month(now)
    due_at = due(settings, month, now, "monthly")
    policy = _policy(settings)
    with common.open_database(ctx).read() as conn:
        if form is Shape.JSON and output is None:
            found = facts(conn, month, policy, due_at)
            common.show_document({"figures": found.numbers, "tables": found.tables})
            return
        rendered = render_month(conn, month, policy, due_at)
    if output is not None:
        _write(output, rendered, policy, f"finance/monthly/{month}/1", due_at)
    elif form is Shape.HTML:
        sys.stdout.write(standalone(rendered))
    else:
        sys.stdout.write(rendered.text)


@app.command()
def recommendation(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="A workload with advice.")],
    deployment: Annotated[
        str, typer.Option(help="One of its deployments; else the one that asks for most.")
    ] = "",
    as_of: Annotated[
        str, typer.Option(help="The UTC day that ends what is known; else the newest with advice.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="A file that ends in .html, .txt or .pdf.")
    ] = None,
    form: Annotated[
        Shape, typer.Option("--format", help="What to print: the text, the page, or its figures.")
    ] = Shape.TEXT,
    send: Annotated[
        bool, typer.Option("--send", help="Put it into the outbox, once for each of [report] to.")
    ] = False,
) -> None:
    """Show what is recommended on a workload, with everything that it rests on.

    As it stood on a day: verdict and probability, gates, cost lines with their sources, a cheaper
    API, the dated plan, what switching costs, risks, and the inputs that would flip it.

    Example: crossover report recommendation support-bot --output support-bot.pdf
    """
    from monitor.jobs import recommendation as job
    from monitor.jobs.report import standalone

    settings = common.settings(ctx)
    policy = _policy(settings)
    with common.open_database(ctx).read() as conn:
        about = job.choose(conn, policy, workload, deployment, as_of)
        if form is Shape.JSON and not (send or output):
            common.show_document(job.document(job.facts(conn, about, policy)))
            return
        rendered = job.render(conn, about, policy)
    if send:
        _send_recommendation(ctx, rendered, about, policy)
    elif output is not None:
        _write_one(output, rendered)
    else:
        sys.stdout.write(standalone(rendered) if form is Shape.HTML else rendered.text)


def _send_recommendation(
    ctx: typer.Context, rendered: Rendered, about: About, policy: Policy
) -> None:
    from monitor.domain.errors import InputError
    from monitor.jobs import recommendation as job
    from monitor.storage import work

    if not policy.envelope.recipients:
        raise InputError("[report] to names nobody", "Add an address to it in the configuration.")
    files = job.files(rendered, about).files
    at = int(common.now().timestamp())
    made = job.messages(rendered, about, policy.envelope._replace(report=""), files)
    with common.open_database(ctx).write() as conn:
        new = work.post(conn, made, at)
    sent = "1 message waits" if new == 1 else f"{new} messages wait"
    common.note(
        f"{sent} in the outbox; the daemon delivers them (crossover outbox list)"
        if new
        else f"the recommendation of {about.day} is in the outbox already: nothing was added"
    )


def _write_one(path: Path, rendered: Rendered) -> None:
    """One file, in the form that its name's ending says.

    Raises:
        InputError: the ending is none of them, or the PDF needs what is not there.
    """
    from monitor.domain.errors import InputError
    from monitor.jobs.files import FORMS, one_file

    ending = path.suffix.lower()
    if ending not in FORMS:
        raise InputError(
            f"{path} ends in none of {', '.join(FORMS)}", "Name a file that ends in one of them."
        )
    _write_files(path.parent, {path.name: one_file(rendered, ending)})
    common.note(f"wrote {path}")


def last_month(now: datetime) -> str:
    """The last complete month."""
    from monitor.domain.periods import add_months, month_of

    return add_months(month_of(int(now.timestamp())), -1)


def last_week(now: datetime) -> str:
    """The last complete ISO week."""
    from monitor.domain.periods import week_of

    return week_of(int((now - timedelta(days=7)).timestamp()))


def due(
    settings: Settings, key: str, now: datetime, kind: Literal["weekly", "monthly"] = "weekly"
) -> int:
    """When a week's or month's report fell or falls due, in epoch seconds.

    Raises:
        InputError: the text is no such period, or it is not over.
    """
    from monitor import wiring
    from monitor.domain import periods
    from monitor.domain.errors import InputError

    start, end = periods.bounds(kind, key)
    if end > now.timestamp():
        last = last_week(now) if kind == "weekly" else last_month(now)
        raise InputError(f"{key} is not over", f"Name one up to {last}, the last complete one.")
    calendar = wiring.calendar(settings)
    schedule = calendar.weekly if kind == "weekly" else calendar.monthly
    assert schedule is not None
    since = datetime.fromtimestamp(end, now.tzinfo) - timedelta(days=1)
    until = since + timedelta(seconds=schedule.settle_seconds, days=70)
    found = periods.due(schedule, until, since)
    return next(int(period.due_at.timestamp()) for period in found if period.start == start)


def _policy(settings: Settings) -> Policy:
    """As the daemon's own run of the report has it."""
    from monitor import wiring
    from monitor.jobs.plan import FINANCE

    envelope = wiring.envelope(settings, settings.report.to, FINANCE)
    return wiring.policy(settings)._replace(envelope=envelope)


def _send(ctx: typer.Context, settings: Settings, week: str, due_at: int, now: datetime) -> None:
    from monitor.domain.errors import InputError
    from monitor.domain.periods import run_key
    from monitor.jobs.editions import Issue, compose
    from monitor.jobs.plan import NotReady
    from monitor.jobs.report import WEEKLY_REPORT
    from monitor.storage import work

    policy = _policy(settings)
    if not policy.envelope.recipients:
        raise InputError("[report] to names nobody", "Add an address to it in the configuration.")
    key = run_key("finance", "weekly", week, 1)
    issue = Issue(WEEKLY_REPORT, policy, int(settings.report.deadline_hours * 3600))
    at = int(now.timestamp())
    database = common.open_database(ctx)
    try:
        made = compose(database, key, due_at, issue, late=at - due_at >= issue.deadline)
    except NotReady as waits:
        raise InputError(
            f"{week} is not complete: it {waits}",
            "The daemon sends it when it is; --output shows it as it stands.",
        ) from None
    if not made.messages:
        raise InputError(
            "every reader left the report", "See `crossover report unsubscribed`, or --output."
        )
    with database.write() as conn:
        new = work.post(conn, made.messages, at)
    sent = "1 message waits" if new == 1 else f"{new} messages wait"
    common.note(
        f"{sent} in the outbox as {key}; the daemon delivers them (crossover outbox list)"
        if new
        else f"{key} is in the outbox already: nothing was added (crossover outbox list)"
    )


def _write(folder: Path, rendered: Rendered, policy: Policy, run_key: str, due_at: int) -> None:
    """The report's files, or one; the mail is the first recipient's, or an example's."""
    from monitor.jobs.files import FORMS
    from monitor.jobs.mail import addressed
    from monitor.jobs.report import standalone

    if folder.suffix.lower() in FORMS and not folder.is_dir():
        _write_one(folder, rendered)
        return

    to = [*policy.envelope.recipients, "reader@example.org"][:1]
    date = datetime.fromtimestamp(due_at, common.now().tzinfo)
    envelope = policy.envelope._replace(recipients=to)
    (mail,) = addressed(rendered, envelope, "report", f"report/{run_key}", date)
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
