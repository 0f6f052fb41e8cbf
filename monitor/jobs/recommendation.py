"""The recommendation on a workload as it stood on a day: shown, sent, enclosed with an alert."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.domain import watch
from monitor.domain.alert_keys import Key
from monitor.domain.errors import CrossoverError, InputError
from monitor.domain.links import About
from monitor.domain.names import clean_name
from monitor.domain.notices import Notice, worst_first
from monitor.domain.periods import day_of
from monitor.domain.usage import HOUR
from monitor.jobs.alerting import Policy, raise_signals
from monitor.jobs.mail import Envelope, addressed
from monitor.jobs.report import standalone, standings_of
from monitor.storage import alerts, figures, results
from monitor.storage.engine import Database
from monitor.storage.figure_recommendation import RECOMMENDATION
from monitor.storage.figure_sql import CATALOGUE
from monitor.storage.work import Message
from reports import pdf, raster
from reports import recommendation as report
from reports.language import AS_IT_COMES, Style
from reports.model import RecommendationFacts, Rendered
from reports.render import Attachment, clean_file_name
from reports.verdict import key, ranked

log = logging.getLogger("crossover.recommendation")

CARRIES = ("crossing", "move", "return_to_api")
"""The rules whose alerts bring the recommendation along."""
MOST = 3
"""Recommendations in one message; the others are one command away."""
MOST_BYTES = 4_000_000
"""Of all files of one message; beyond it PDFs are left out, and then recommendations."""

_LISTS_THEM = "`crossover query 'SELECT DISTINCT workload FROM v_advice'` lists those with advice."
_NAME_CAP = 30


class Enclosure(NamedTuple):
    """What an alert brings along, or why it brings less."""

    files: Sequence[Attachment] = ()
    failed: str = ""
    """Why it could not be made; '' if all of it could."""


def facts(
    conn: Connection, about: About, policy: Policy, style: Style = AS_IT_COMES
) -> RecommendationFacts:
    """Every figure of a recommendation, and what people ordered.

    Raises:
        InputError: nothing was advised on that day.
    """
    as_of = _midnight(about.day)
    params = figures.period(as_of)
    rows = [
        row
        for row in figures.rows(conn, "breakevens", **params).rows
        if row["workload"] == about.workload
    ]
    found = standings_of(conn, rows, as_of, policy.reopen_share)
    order = ranked(rows, found)
    chosen = [pair for pair in order if pair[0]["deployment"] == about.deployment]
    if not chosen:
        raise InputError(
            f"nothing was advised for {about.workload!r} on {about.deployment!r} by {about.day}",
            _LISTS_THEM,
        )
    row, standing = chosen[0]
    named = {"workload": about.workload, "deployment": about.deployment}
    asked = [name for name in RECOMMENDATION if not figures.is_table(name)]
    return RecommendationFacts(
        organisation=policy.organisation,
        workload=about.workload,
        deployment=about.deployment,
        as_of=datetime.fromtimestamp(as_of, UTC),
        demo=policy.demo,
        row=row,
        standing=standing,
        numbers={id_: figures.read(conn, id_, **params, **named).value for id_ in asked},
        tables={
            name: figures.rows(conn, f"recommendation.{name}", **params, **named).rows
            for name in report.TABLES
        },
        units={name: spec.unit for name, spec in CATALOGUE.items()},
        style=style,
        others=[pair for pair in order if key(pair[0]) != key(row)],
    )


def choose(
    conn: Connection, policy: Policy, workload: str, deployment: str = "", day: str = ""
) -> About:
    """Which recommendation is meant: of the newest day, and of the most pressing deployment.

    Raises:
        InputError: there is no advice on the workload, or not on that deployment.
    """
    newest = results.newest_advice(conn, workload)
    if not newest:
        raise InputError(f"there is no advice on a workload {workload!r}", _LISTS_THEM)
    as_of = _midnight(day) if day else newest[0]["as_of"]
    rows = [
        row
        for row in figures.rows(conn, "breakevens", **figures.period(as_of)).rows
        if row["workload"] == workload
    ]
    order = ranked(rows, standings_of(conn, rows, as_of, policy.reopen_share))
    names = [str(row["deployment"]) for row, _ in order]
    if not names:
        raise InputError(f"nothing was advised for {workload!r} in the week to {day}", _LISTS_THEM)
    if deployment and deployment not in names:
        raise InputError(
            f"nothing was advised for {workload!r} on {deployment!r}",
            f"Name one of: {', '.join(sorted(names))}.",
        )
    return About(day_of(as_of), workload, deployment or names[0])


def _midnight(day: str) -> int:
    try:
        found = date.fromisoformat(day)
    except ValueError:
        raise InputError(f"{clean_name(day)!r} is no day", "Write it as 2026-11-23.") from None
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp())


def render(conn: Connection, about: About, policy: Policy, style: Style = AS_IT_COMES) -> Rendered:
    """The recommendation with its picture; nothing is written."""
    return report.build(facts(conn, about, policy, style), raster.draw)


def page(conn: Connection, about: About, policy: Policy, style: Style = AS_IT_COMES) -> str:
    """The same as a page whose styles stand in its head, and without pictures."""
    return report.page(facts(conn, about, policy, style))


def messages(
    rendered: Rendered, about: About, envelope: Envelope, files: Sequence[Attachment]
) -> list[Message]:
    """The recommendation as a message for each recipient: once a day and deployment."""
    dedup = f"recommendation/{about.day}/{about.fingerprint}"
    dated = datetime.fromtimestamp(_midnight(about.day), UTC)
    return addressed(rendered._replace(attachments=files), envelope, "report", dedup, dated)


def document(found: RecommendationFacts) -> dict[str, Any]:
    """The same figures for machines, and the stored recommendation behind them."""
    units = CATALOGUE["breakevens"].columns
    row = {name: value for name, value in found.row.items() if units[name] != "json"}
    return {
        "workload": found.workload,
        "deployment": found.deployment,
        "as_of": f"{found.as_of:%Y-%m-%d}",
        "breakeven": row,
        "figures": found.numbers,
        "tables": found.tables,
        "recommendation": json.loads(str(found.row["recommendation"] or "{}")),
    }


# --- with an alert ---------------------------------------------------------------------------


def carries(notice: Notice) -> bool:
    """Whether an alert brings the recommendation along: as long as it says that something began."""
    return notice.rule in CARRIES and notice.edge == "firing" and bool(notice.workload)


def about_of(notice: Notice) -> About:
    """The recommendation of the day on which the alert's edge was seen."""
    deployment = notice.subject.removeprefix(f"{notice.workload} on ")
    return About(day_of(notice.at), notice.workload, deployment)


def first(notices: Sequence[Notice]) -> list[Notice]:
    """Those alerts of a message that bring a recommendation along: one for each subject."""
    found: dict[str, Notice] = {}
    for notice in filter(carries, worst_first(notices)):
        found.setdefault(notice.subject, notice)
    return list(found.values())[:MOST]


class Enclosing(NamedTuple):
    """Makes what alerts bring along."""

    policy: Policy
    """As the decision has it."""
    as_pdf: bool = False
    style: Style = AS_IT_COMES

    def make(self, conn: Connection, notices: Sequence[Notice]) -> dict[str, Enclosure]:
        """What each of these alerts brings along, by its subject.

        Never raises for one of them: an alert leaves without it.
        """
        found: dict[str, Enclosure] = {}
        for notice in notices:
            try:
                about = about_of(notice)
                rendered = render(conn, about, self.policy, self.style)
                found[notice.subject] = files(rendered, about, as_pdf=self.as_pdf)
            except Exception as error:  # noqa: BLE001 - the alert matters more
                log.warning("no recommendation for %s: %s", clean_name(notice.subject), _why(error))
                found[notice.subject] = Enclosure((), _why(error))
        return found

    def report(self, database: Database, found: Mapping[str, Enclosure], now: int) -> None:
        """Raise the internal alert of what could not be made, and let it go once it can."""
        try:
            with database.write() as conn:
                self._report(conn, found, now)
        except (CrossoverError, DBAPIError):
            log.exception("that recommendations could not be made was not recorded")

    def _report(self, conn: Connection, found: Mapping[str, Enclosure], now: int) -> None:
        failed = {name: each.failed for name, each in found.items() if each.failed}
        signal = watch.unmade(failed, now - now % HOUR)
        rule = self.policy.rules.get(signal.rule)
        if rule is None:
            return
        if failed or alerts.load(conn, Key(rule.name, rule.version, signal.subject)):
            raise_signals(conn, [signal], now, self.policy)


def brings(
    notices: Sequence[Notice], found: Mapping[str, Enclosure]
) -> tuple[list[Attachment], list[str]]:
    """The files of one message, and a sentence on what is attached and on what is not."""
    unmade = Enclosure((), "it was not made")
    chosen = [notice.subject for notice in first(notices)]
    carried = bounded({subject: found.get(subject, unmade) for subject in chosen})
    files = [file for enclosure in carried.values() for file in enclosure.files]
    said = []
    if files:
        said.append(f"Attached: {', '.join(clean_file_name(file.filename) for file in files)}.")
    workloads = {n.subject: n.workload for n in notices if carries(n)}
    for subject, workload in workloads.items():
        enclosure = carried.get(subject, Enclosure((), f"a message brings {MOST}"))
        if enclosure.failed:
            said.append(
                f"The recommendation for {subject} is not attached in full ({enclosure.failed}):"
                f" crossover report recommendation {shlex.quote(clean_name(workload))} shows it."
            )
    return files, said


def files(rendered: Rendered, about: About, *, as_pdf: bool | None = None) -> Enclosure:
    """The HTML, and the PDF as far as it can be made; None: where its extra is installed."""
    as_pdf = pdf.available() if as_pdf is None else as_pdf
    html = standalone(rendered)
    stem = f"recommendation-{clean_name(about.workload, _NAME_CAP)}"
    files = [Attachment(f"{stem}.html", "text/html", html.encode())]
    if not as_pdf:
        return Enclosure(files)
    try:
        made = pdf.make(html)
    except CrossoverError as error:
        log.warning("no PDF for %s: %s", clean_name(about.workload), _why(error))
        return Enclosure(files, f"its PDF: {_why(error)}")
    return Enclosure([*files, Attachment(f"{stem}.pdf", "application/pdf", made)])


def _why(error: Exception) -> str:
    return clean_name(str(error), 200) or type(error).__name__


def bounded(found: Mapping[str, Enclosure], most: int = MOST_BYTES) -> dict[str, Enclosure]:
    """As much of it as one message takes: every HTML before any PDF, in their order."""
    left, kept = most, {name: list[Attachment]() for name in found}
    for of_type in ("text/html", "application/pdf"):
        for name, enclosure in found.items():
            for file in enclosure.files:
                if file.media_type == of_type and len(file.data) <= left:
                    kept[name].append(file)
                    left -= len(file.data)
    return {
        name: enclosure
        if len(kept[name]) == len(enclosure.files)
        else Enclosure(kept[name], enclosure.failed or "it is too large for one message")
        for name, enclosure in found.items()
    }
