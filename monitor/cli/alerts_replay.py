"""`crossover alerts replay`: stored history through the rules, to see what they would have told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import common

if TYPE_CHECKING:
    from monitor.jobs.replay import Replayed, Span


def replay(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(metavar="DATE", help="The first closed day to look at.")],
    until: Annotated[
        str,
        typer.Option(
            metavar="DATE", help="The last one; else the last that is closed.", show_default=False
        ),
    ] = "",
    rule: Annotated[
        str, typer.Option(help="Only what this rule would have told.", show_default=False)
    ] = "",
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Show which messages the rules would have sent over stored days; nothing is written or sent.

    Every day is looked at when it was decided, with the configuration as it is now: try other
    limits with --config. Alerts begin at rest, nobody acknowledges one, and days that were
    restated count as they are known today. A table and JSON hold all of it, CSV the messages.

    Example: crossover alerts replay --since 2026-10-01 --rule spend_anomaly
    """
    from monitor.jobs.replay import replay as through
    from monitor.wiring import alerting, reporting

    settings = common.settings(ctx)
    settle = reporting.calendar(settings).settle
    span, note = _span(since, until, settle)
    if note:
        common.note(note)
    with common.open_database(ctx).read() as conn:
        found = through(
            conn, span, alerting.policy(settings), alerting.telling(settings), settle, rule
        )
    for line in found.notes:
        common.note(line)
    _show(found, form)


def _span(since: str, until: str, settle: int) -> tuple[Span, str]:
    from monitor.domain.periods import day_bounds, day_of
    from monitor.domain.usage import DAY, utc_day
    from monitor.jobs.replay import Span

    # A day that has not settled is not over for any rule.
    closed = utc_day(int(common.now().timestamp()) - settle)
    first, end = day_bounds(since)[0], day_bounds(until)[1] if until else closed
    note = ""
    if end > closed:
        note = f"days after {day_of(closed - DAY)} are not closed yet and are left out"
    return Span(first, min(end, closed)), note


def _show(found: Replayed, form: common.Format) -> None:
    messages = [_message(each._asdict()) for each in found.messages]
    rules = [each._asdict() for each in found.rules]
    if form is common.Format.JSON:
        whole = {"messages": messages, "rules": rules, "waiting": found.waiting}
        common.show_document({**whole, "notes": list(found.notes)})
        return
    if form is common.Format.CSV:
        common.show([_flat(each) for each in messages], form)
        return
    if not messages:
        common.note("no message would have left")
    common.show([_flat(each) for each in messages], form, "Messages")
    common.show(rules, form, "Rules")
    if found.waiting:
        common.note(f"{found.waiting} more wait for the end of a rest, of quiet hours or a digest")


def _message(row: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%MZ")
    return {**row, "at": at, "alerts": [{"key": k, "edge": e} for k, e in row["alerts"]]}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    told = ", ".join(f"{each['edge']} {each['key']}" for each in row["alerts"])
    return {**{k: v for k, v in row.items() if k != "kind"}, "alerts": told}
