"""`crossover alerts list|show|ack|snooze|silence|silences|unsilence`."""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from monitor.domain.silences import Silence, Window
    from monitor.storage.people import Alert

_Alert = Annotated[
    str, typer.Argument(metavar="KEY|ID", help="An alert, as `alerts list` names it.")
]
_Why = Annotated[str, typer.Option(help="The reason, which lists and pages show.")]
_By = Annotated[str, typer.Option(help="Who answers; else your login.")]
_For = Annotated[
    str, typer.Option("--for", help="So long: a number with m, h, d or w.", show_default=False)
]
_Until = Annotated[
    str,
    typer.Option(
        help="Or until then: a UTC day at 00:00, or an instant such as 2026-12-31T18:00Z.",
        show_default=False,
    ),
]
_Form = Annotated[common.Format, typer.Option("--format")]


def list_(
    ctx: typer.Context,
    firing: Annotated[bool, typer.Option("--firing", help="Only those that fire.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Those that ended or rest, too.")] = False,
    form: _Form = common.Format.TABLE,
) -> None:
    """Show the alerts that stand or are about to, the last change first.

    Example: crossover alerts list --firing
    """
    settings = common.settings(ctx)
    with common.open_database(ctx).read() as conn:
        rows = [
            _row(conn, alert, _windows(settings))
            for alert in _alerts(conn)
            if all_ or alert.firing or (alert.status == "pending" and not firing)
        ]
    if not rows:
        common.note("no such alert")
    common.show(rows, form)


def _alerts(conn: Connection) -> list[Alert]:
    from monitor.storage import people

    return people.alerts(conn)


def _windows(settings: Any) -> tuple[Window, ...]:
    from monitor.wiring import alerting

    return alerting.windows(settings)


def _row(conn: Connection, alert: Alert, windows: tuple[Window, ...]) -> dict[str, Any]:
    from monitor.storage import alerts

    now = int(common.now().timestamp())
    return {
        "id": alert.id,
        "rule": alert.rule,
        "subject": alert.subject,
        "period": alert.period,
        "state": alert.status,
        "severity": alert.severity,
        "since": _at(alert.since),
        "acknowledged": alert.acknowledged_by if alert.acknowledged else "",
        "quiet": alerts.silenced(conn, alert.rule, alert.subject, now, windows),
        "key": alert.key,
    }


def show(ctx: typer.Context, alert: _Alert, form: _Form = common.Format.TABLE) -> None:
    """Show one alert: what it says, what became of it, who was told, who answered.

    A table and JSON hold all of it, CSV its states.

    Example: crossover alerts show 7
    """
    from monitor.jobs import answers
    from monitor.storage import people

    settings = common.settings(ctx)
    with common.open_database(ctx).read() as conn:
        found = answers.find(conn, alert)
        head = _row(conn, found, _windows(settings))
        states = [
            {**row, "at": _at(row["at"])} for row in map(dict, people.transitions(conn, found.id))
        ]
        told = [
            {**row, "due_at": _at(row["due_at"]), "told_at": _at(row["told_at"])}
            for row in map(dict, people.told(conn, found.id))
        ]
        quiet = [_quiet(s) for s in people.silences(conn) if _about(s, found)]
    said = json.loads(found.said or "{}")
    if form is common.Format.JSON:
        whole = {**head, **_answered(found), "said": said, "states": states}
        whole |= {"told": told, "silences": quiet}
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
        return
    if form is common.Format.TABLE:
        facts = {**head, **_answered(found), "says": said.get("title", "")}
        common.show([{"what": k, "is": v} for k, v in facts.items() if v not in ("", None)], form)
    common.show(states, form, "states")
    if form is common.Format.TABLE:
        common.show(told, form, "told")
        common.show(quiet, form, "silences")


def _answered(alert: Alert) -> dict[str, Any]:
    """Whoever acknowledged it last, though it came back since."""
    return {
        "acknowledged_at": _at(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_why": alert.acknowledged_why,
    }


def _about(silence: Silence, alert: Alert) -> bool:
    from monitor.domain.silences import covers

    return covers(silence.rule, silence.subject, alert.rule, alert.subject)


def ack(ctx: typer.Context, alert: _Alert, why: _Why = "", by: _By = "") -> None:
    """Acknowledge an alert that stands: somebody takes care of it.

    It counts until the alert ends; when it comes back it is open again.

    Example: crossover alerts ack 7 --why "the contract is being renewed"
    """
    from monitor.jobs import answers

    now = int(common.now().timestamp())
    with common.open_database(ctx).write() as conn:
        found = answers.find(conn, alert)
        answers.acknowledge(conn, found, by or getpass.getuser(), why, now)
    common.note(f"{found.key} is acknowledged")


def snooze(
    ctx: typer.Context,
    alert: _Alert,
    for_: _For = "",
    until: _Until = "",
    why: _Why = "",
    by: _By = "",
) -> None:
    """Ask for quiet about one alert for a while; it goes on being watched.

    Example: crossover alerts snooze 7 --for 2d
    """
    from monitor.jobs import answers

    now = int(common.now().timestamp())
    end = _end(for_, until, now)
    with common.open_database(ctx).write() as conn:
        found = answers.find(conn, alert)
        number = answers.snooze(conn, found, end, by or getpass.getuser(), why, now)
    common.note(f"silence {number}: {found.key} until {_at(end)}")


def silence(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(help="A rule, or a pattern such as '*'.")],
    subject: Annotated[str, typer.Argument(help="What it is about, or a pattern: 'support-*'.")],
    for_: _For = "",
    until: _Until = "",
    why: _Why = "",
    by: _By = "",
) -> None:
    """Ask for quiet about all alerts that two patterns take, present and to come.

    States change all the same, and nothing is told later of what began and ended meanwhile.
    In a pattern * is any text and ? any character; upper and lower case differ.

    Example: crossover alerts silence '*' 'support-bot*' --for 3d --why "load test"
    """
    from typing import get_args

    from monitor.config.alerting import RuleName
    from monitor.domain.silences import covers
    from monitor.jobs import answers

    now = int(common.now().timestamp())
    end = _end(for_, until, now)
    with common.open_database(ctx).write() as conn:
        number = answers.silence(
            conn,
            rule,
            subject,
            until=end,
            by=by or getpass.getuser(),
            why=why,
            now=now,
            known=get_args(RuleName),
        )
        taken = [a for a in _alerts(conn) if covers(rule, subject, a.rule, a.subject)]
    common.note(f"silence {number} until {_at(end)}; it takes {len(taken)} of the alerts seen yet")
    if not taken:
        common.note("see `crossover alerts list --all` for how subjects are written")


def silences(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    form: _Form = common.Format.TABLE,
) -> None:
    """Show who asked for quiet about what, why and until when; planned maintenance too.

    Example: crossover alerts silences
    """
    from monitor.storage import people

    settings, now = common.settings(ctx), int(common.now().timestamp())
    with common.open_database(ctx).read() as conn:
        rows = [_quiet(s) for s in (people.silences(conn) if all_ else people.unended(conn, now))]
    rows += [_planned(window) for window in _windows(settings) if all_ or window.end > now]
    if not rows:
        common.note("nobody asked for quiet")
    common.show(rows, form)


def _quiet(silence: Silence) -> dict[str, Any]:
    return {
        "id": silence.id,
        "kind": silence.kind,
        "rule": silence.rule,
        "subject": silence.subject,
        "since": _at(silence.since),
        "until": _at(silence.until),
        "ended": _at(silence.ended_at),
        "by": silence.by,
        "why": silence.why,
    }


def _planned(window: Window) -> dict[str, Any]:
    return {
        "id": None,
        "kind": "maintenance",
        "rule": window.rule,
        "subject": window.subject,
        "since": _at(window.start),
        "until": _at(window.end),
        "ended": None,
        "by": "the configuration",
        "why": window.why,
    }


def unsilence(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1)],
) -> None:
    """End a silence or a snooze before its time.

    Example: crossover alerts unsilence 3
    """
    from monitor.domain.errors import InputError
    from monitor.storage import people

    with common.open_database(ctx).write() as conn:
        ended = people.end_silence(conn, number, int(common.now().timestamp()))
    if not ended:
        raise InputError(
            f"silence {number} cannot be ended: it does not exist or has ended",
            "See `crossover alerts silences`.",
        )
    common.note(f"silence {number} is ended")


def _end(for_: str, until: str, now: int) -> int:
    from monitor.domain.errors import InputError
    from monitor.domain.silences import duration
    from monitor.jobs.answers import instant

    if bool(for_) == bool(until):
        raise InputError("say until when", "Give either --for 2d or --until 2026-12-31.")
    return now + duration(for_) if for_ else instant(until)


def _at(seconds: int | None) -> str | None:
    from datetime import UTC, datetime

    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
