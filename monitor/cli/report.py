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
    from monitor.wiring.reporting import Readers
    from reports.model import Rendered


class Language(StrEnum):
    """In which words a report speaks."""

    EN = "en"
    DE = "de"


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
    audience: Annotated[
        str, typer.Option(help="Whose report: finance, a name of [[report.audience]], an owner.")
    ] = "finance",
    language: Annotated[
        Language | None, typer.Option(help="Of the words and numbers; else the audience's.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    send: Annotated[
        bool, typer.Option("--send", help="Put it into the outbox, once for each recipient.")
    ] = False,
) -> None:
    """Show the weekly report: as plain text, into a folder, in a browser, or sent.

    A week's report goes to each recipient once, whether this command or the daemon posts it; the
    daemon delivers what waits in the outbox. A week that is not complete is not sent before it is a
    day late, and says then what it lacks.

    Example: crossover report weekly --week 2026-W47 --audience engineering --open
    """
    from monitor.domain.periods import run_key

    settings, now = common.settings(ctx), common.now()
    week = week or last_week(now)
    due_at = due(settings, week, now)
    readers = _readers(settings, audience, language)
    if send:
        _send(ctx, settings, readers, week, due_at, now)
        return
    from monitor.jobs.report import render_week

    policy = _policy(settings, readers)
    with common.open_database(ctx).read() as conn:
        rendered = render_week(conn, week, policy, due_at, readers.audience)
    for lost in rendered.failed:
        common.note(f"left out, since it could not be made: {lost}")
    if output is not None:
        key = run_key(readers.audience.name, "weekly", week, 1)
        _write(output, rendered, policy, key, due_at)
    if show:
        _open(rendered, output)
    elif output is None:
        sys.stdout.write(rendered.text)


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
    policy = _policy(settings, _readers(settings, "finance"))
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
    readers = _readers(settings, "finance")
    policy, style = _policy(settings, readers), readers.audience.style
    with common.open_database(ctx).read() as conn:
        about = job.choose(conn, policy, workload, deployment, as_of)
        if form is Shape.JSON and not (send or output):
            common.show_document(job.document(job.facts(conn, about, policy)))
            return
        rendered = job.render(conn, about, policy, style)
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
    from monitor.domain import periods
    from monitor.domain.errors import InputError
    from monitor.wiring import reporting

    start, end = periods.bounds(kind, key)
    if end > now.timestamp():
        last = last_week(now) if kind == "weekly" else last_month(now)
        raise InputError(f"{key} is not over", f"Name one up to {last}, the last complete one.")
    calendar = reporting.calendar(settings)
    schedule = calendar.weekly if kind == "weekly" else calendar.monthly
    assert schedule is not None
    since = datetime.fromtimestamp(end, now.tzinfo) - timedelta(days=1)
    until = since + timedelta(seconds=schedule.settle_seconds, days=70)
    found = periods.due(schedule, until, since)
    return next(int(period.due_at.timestamp()) for period in found if period.start == start)


def _readers(settings: Settings, name: str, language: Language | None = None) -> Readers:
    """Whose report it is; an owner may be named by the mail address alone.

    Raises:
        InputError: there is no such audience.
    """
    from monitor.domain.errors import InputError
    from monitor.wiring import reporting

    known = reporting.audiences(settings)
    for each in known:
        if name in (each.audience.name, each.audience.owner):
            return each.speaking(language.value) if language else each
    names = ", ".join(each.audience.name for each in known)
    raise InputError(f"there is no audience {name!r}", f"Name one of: {names}.")


def _policy(settings: Settings, readers: Readers) -> Policy:
    """As the daemon's own run of the report has it."""
    from monitor.wiring import alerting, outlets

    envelope = outlets.envelope(settings, readers.to, readers.audience.name)
    return alerting.policy(settings)._replace(envelope=envelope)


def _send(
    ctx: typer.Context,
    settings: Settings,
    readers: Readers,
    week: str,
    due_at: int,
    now: datetime,
) -> None:
    from monitor.domain.errors import InputError
    from monitor.domain.periods import run_key
    from monitor.jobs.editions import Issue, compose
    from monitor.jobs.plan import NotReady
    from monitor.jobs.report import weekly_report
    from monitor.storage import work

    policy = _policy(settings, readers)
    if not policy.envelope.recipients:
        raise InputError("[report] to names nobody", "Add an address to it in the configuration.")
    key = run_key(readers.audience.name, "weekly", week, 1)
    issue = Issue(
        weekly_report(readers.audience), policy, int(settings.report.deadline_hours * 3600)
    )
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
    for lost in made.failed:
        common.note(f"left out, since it could not be made: {lost}")
    sent = "1 message waits" if new == 1 else f"{new} messages wait"
    common.note(
        f"{sent} in the outbox as {key}; the daemon delivers them (crossover outbox list)"
        if new
        else f"{key} is in the outbox already: nothing was added (crossover outbox list)"
    )


def _open(rendered: Rendered, output: Path | None) -> None:
    """The page in a browser: as it was written, else from a folder of its own.

    Raises:
        InputError: there is no browser here.
    """
    import tempfile
    import webbrowser

    from monitor.domain.errors import InputError
    from monitor.jobs.report import standalone

    one = output is not None and output.is_file()
    folder = output or Path(tempfile.mkdtemp(prefix="crossover-report-"))
    page = (folder if one else folder / "report.html").resolve()
    if output is None:
        _write_files(folder, {page.name: standalone(rendered).encode()})
    if not webbrowser.open(page.as_uri()):
        raise InputError("no browser could be opened here", f"The page is {page}.")
    common.note(f"opened {page}")


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
