"""Editions of a report: it waits for its data, leaves without it at the deadline, and is corrected.

The same for every report, kind of period and audience. A report that left incomplete is followed
by one corrected edition once its data came, if that changed an amount in its head by a cent; a
complete one by none, whatever is restated later. What was told stands in the run's row, written in
the transaction that posts the mail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection

from monitor.domain.periods import Kind, bounds, read_run_key, run_key
from monitor.domain.usage import DAY
from monitor.jobs.alerting import Policy
from monitor.jobs.decide import fill_in
from monitor.jobs.mail import Envelope, addressed, signing, without_leavers
from monitor.jobs.plan import CORRECT, Closing, NotReady
from monitor.storage import work
from monitor.storage.engine import Database
from monitor.storage.work import Claim, Message, Planned
from reports import corrections
from reports.formats import plural
from reports.language import Style, use
from reports.model import Rendered, Told


class Maker(NamedTuple):
    """How one kind of report is made; its facts have `missing`, `corrected` and `unsent`."""

    missing: Callable[[Connection, str, Policy], list[str]]
    """What a period still lacks, in words."""
    facts: Callable[[Connection, str, Policy, int], Any]
    """Of a period, dated with an epoch second."""
    head: Callable[[Any], Sequence[Told]]
    render: Callable[[Any], Rendered]
    style: Style = Style()
    """In which words its readers are told of corrections and gaps."""


class Issue(NamedTuple):
    """A report that is sent to somebody."""

    maker: Maker
    policy: Policy
    deadline: int = DAY
    """Seconds that it waits for its data."""
    correct_days: int = 14
    """Within so many days it is corrected; 0: never."""


class Composed(NamedTuple):
    """A report for each of its readers, and what its run remembers of it."""

    messages: Sequence[Message]
    missing: Sequence[str]
    told: str
    failed: Sequence[str] = ()
    """Sections that it left without, each with its cause."""


def send_any(
    database: Database, claim: Claim, now: int, issues: Mapping[tuple[str, str], Issue]
) -> Closing:
    """As `send`, the report that the run's key names; one that is not configured is skipped."""
    report, kind, _, _ = read_run_key(claim.key)
    issue = issues.get((report, kind))
    if issue is None:
        return _nothing("skipped", _NOBODY_LEFT)
    return send(database, claim, now, issue)


def send(database: Database, claim: Claim, now: int, issue: Issue) -> Closing:
    """Compose the report that the run names; closing posts it to each recipient once.

    Raises:
        NotReady: its data is not complete, and its deadline has not passed.
    """
    if not issue.policy.envelope.recipients:
        return lambda _: {"error": "not rendered: [report] to names nobody"}
    # Counted from when it was planned: the first start plans reports that are long due.
    late = now - claim.row["added_at"] >= issue.deadline
    made = compose(database, claim.key, claim.row["due_at"], issue, late=late)

    def close(conn: Connection) -> Mapping[str, object]:
        work.post(conn, made.messages, now)
        if made.missing and issue.correct_days:
            report, kind, period, edition = read_run_key(claim.key)
            following = run_key(report, cast("Kind", kind), period, edition + 1)
            row = claim.row
            start, end = row["period_start"], row["period_end"]
            planned = Planned(following, CORRECT, start, end, row["due_at"])
            work.plan(conn, [planned], now)
        return {"told": made.told} | _remarks(made)

    return close


def _remarks(made: Composed) -> dict[str, str]:
    """What the run's row says of a report that left without a part, or to nobody."""
    if not made.messages:
        return _NOBODY
    return {"error": f"{work.LEFT_WITHOUT}{'; '.join(made.failed)}"[:1000]} if made.failed else {}


_NOBODY_LEFT = "nobody gets this report any more"
_NOBODY = {"error": "not rendered: every reader left it"}


def compose(database: Database, key: str, due_at: int, issue: Issue, *, late: bool) -> Composed:
    """The first edition under a run key. Only reads: drawing must not hold up who writes.

    Raises:
        NotReady: its data is not complete, and it is not `late` enough to leave without.
    """
    _, _, period, _ = read_run_key(key)
    with database.read() as conn:
        lacks = issue.maker.missing(conn, period, issue.policy)
        if lacks and not late:
            raise NotReady(f"waits for {'; '.join(lacks)}")
        found = issue.maker.facts(conn, period, issue.policy, due_at)
        found = told_with(conn, key, found, issue.maker.style)
        envelope = _readers(conn, issue)
    return _composed(key, found, due_at, issue, envelope)


def _readers(conn: Connection, issue: Issue) -> Envelope:
    """Those who did not leave the report, and what signs their links."""
    return signing(conn, without_leavers(conn, issue.policy.envelope))


def told_with(conn: Connection, key: str, facts: Any, style: Style) -> Any:
    """The facts with the sentence on reports before this one that were never sent."""
    report, kind, period, _ = read_run_key(key)
    skipped = work.unsent(conn, report, kind, bounds(cast("Kind", kind), period)[0])
    with use(style):
        return facts._replace(unsent=corrections.unsent(skipped, period))


def correct(
    database: Database, claim: Claim, now: int, issues: Mapping[tuple[str, str], Issue]
) -> Closing:
    """The second edition of a report that left without its data; there is no third.

    Raises:
        NotReady: the data has not come yet.
    """
    report, kind, period, edition = read_run_key(claim.key)
    issue = issues.get((report, kind))
    if issue is None or not issue.policy.envelope.recipients:
        return _nothing("skipped", _NOBODY_LEFT)
    before = run_key(report, cast("Kind", kind), period, edition - 1)
    if now - claim.row["added_at"] > issue.correct_days * DAY:
        days = plural(issue.correct_days, "day")
        return _nothing("skipped", f"its data did not come within {days}")
    with database.read() as conn:
        lacks = _lacks(issue.maker.missing(conn, period, issue.policy))
        remembered = work.told(conn, before)
    if lacks:
        raise NotReady(f"waits for {'; '.join(lacks)}")
    if remembered is None:
        return _nothing("skipped", f"{before} remembers nothing")
    with database.write() as conn:
        # The day was decided without what was late: its projections and budgets are told now.
        fill_in(conn, claim.row["period_end"], issue.policy)
    with database.read() as conn:
        facts = issue.maker.facts(conn, period, issue.policy, now)._replace(missing=[])
        envelope = _readers(conn, issue)
    was = _read(remembered[0])
    with use(issue.maker.style):
        is_ = issue.maker.head(facts)
    if not corrections.differs(was, is_):
        return _nothing("done", "not sent: no amount in its head changed by a cent")
    with use(issue.maker.style):
        facts = facts._replace(corrected=corrections.changes(was, is_))
    made = _composed(claim.key, facts, now, issue, envelope)

    def close(conn: Connection) -> Mapping[str, object]:
        work.post(conn, made.messages, now)
        return {"told": made.told} | _remarks(made)

    return close


SKIPPED = " (skipped)"
"""Ends what a report lacks because its day was decided without it."""


def _lacks(missing: Sequence[str]) -> list[str]:
    """What a correction waits for: not for a decision that was left out, and never is made up."""
    return [each for each in missing if not each.endswith(SKIPPED)]


def _nothing(state: str, why: str) -> Closing:
    return lambda _: {"state": state, "error": why}


def _composed(key: str, facts: Any, dated: int, issue: Issue, envelope: Envelope) -> Composed:
    with use(issue.maker.style):
        told = _written(facts, issue.maker.head(facts))
    if not envelope.recipients:
        return Composed([], facts.missing, told)
    date = datetime.fromtimestamp(dated, UTC)
    rendered = issue.maker.render(facts)
    messages = addressed(rendered, envelope, "report", f"report/{key}", date)
    return Composed(messages, facts.missing, told, rendered.failed)


def _written(facts: Any, head: Sequence[Told]) -> str:
    values = [[t.id, t.label, None if t.value is None else str(t.value), t.unit] for t in head]
    return json.dumps({"missing": list(facts.missing), "head": values}, sort_keys=True)


def _read(told: str) -> list[Told]:
    """What `_written` wrote; amounts and counts are numbers again."""
    return [
        Told(id_, label, None if value is None else Decimal(value), unit)
        for id_, label, value, unit in json.loads(told).get("head", [])
    ]
