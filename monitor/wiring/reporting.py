"""Who is sent which report, and when."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from monitor.config import Settings, weekday_number
from monitor.config.reporting import OWNER_PREFIX
from monitor.domain.periods import WEEKDAYS, Schedule
from monitor.domain.usage import DAY, HOUR
from monitor.jobs.closing import monthly_report
from monitor.jobs.editions import Issue, Maker
from monitor.jobs.files import bringing
from monitor.jobs.plan import MONTHLY, WEEKLY, Calendar
from monitor.jobs.report import weekly_report
from monitor.wiring.alerting import policy
from monitor.wiring.outlets import envelope
from monitor.wiring.style import report_style, require_extras
from reports import closing
from reports.audiences import CELLS, Audience


def calendar(settings: Settings) -> Calendar:
    """When things fall due."""
    settle = int(settings.collect.settle_hours * HOUR)
    hour, minute = map(int, settings.report.at.split(":"))
    schedule = Schedule(
        "weekly",
        settings.organisation.timezone,
        hour,
        minute,
        weekday=WEEKDAYS[weekday_number(settings.report.weekday)],
        settle_seconds=settle,
    )
    closes = settings.collect.close_after_days
    # The morning of the day on which the month's closing falls due.
    monthly = Schedule(
        "monthly",
        settings.organisation.timezone,
        hour,
        minute,
        day=min(closes + 1, 31),
        settle_seconds=closes * DAY,
    )
    readers = audiences(settings)
    weekly, closing = (
        [each.audience.name for each in readers if kind in each.every] for kind in (WEEKLY, MONTHLY)
    )
    limit = settings.report.catch_up
    return Calendar(schedule, settle, limit, closes, monthly, weekly, closing)


def report_issues(settings: Settings, *, demo: bool = False) -> dict[tuple[str, str], Issue]:
    """What is sent to whom, by report and kind of period."""
    found = {}
    for readers in audiences(settings):
        chosen = policy(settings, demo=demo)
        chosen = chosen._replace(envelope=envelope(settings, readers.to, readers.audience.name))
        terms = int(settings.report.deadline_hours * HOUR), settings.report.correct_days
        for kind in readers.every:
            found[readers.audience.name, kind] = Issue(_maker(readers, kind), chosen, *terms)
    require_extras(settings)
    return found


def _maker(readers: Readers, kind: str) -> Maker:
    """How the readers' report is made, with the files that they asked for."""
    audience, files = readers.audience, {"xlsx": readers.xlsx, "as_pdf": readers.pdf}
    if kind == MONTHLY:
        return bringing(monthly_report(audience), MONTHLY, closing.CELLS, **files)
    return bringing(weekly_report(audience), WEEKLY, CELLS[audience.kind], **files)


class Readers(NamedTuple):
    """An audience, its addresses, and how often it is told."""

    audience: Audience
    to: Sequence[str]
    every: Sequence[str]
    xlsx: bool = False
    pdf: bool = False

    def speaking(self, language: str) -> Readers:
        """The same in another language."""
        chosen = self.audience.style._replace(language=language)
        return self._replace(audience=self.audience._replace(style=chosen))


def audiences(settings: Settings) -> list[Readers]:
    """Finance first, then the further ones in their order, then each owner of a workload."""
    style = report_style(settings)
    files = settings.report.xlsx, settings.report.pdf
    found = [Readers(Audience(style=style), settings.report.to, (WEEKLY, MONTHLY), *files)]
    for item in settings.report.audience:
        own = style._replace(language=item.language or style.language)
        found.append(
            Readers(
                Audience(item.name, item.kind, style=own), item.to, item.every, item.xlsx, item.pdf
            )
        )
    if settings.report.owners:
        owners = sorted({item.owner for item in settings.workload if item.owner})
        found += [
            Readers(Audience(_owners_report(to), "owner", to, style), (to,), (WEEKLY,))
            for to in owners
        ]
    return found


def _owners_report(owner: str) -> str:
    """The report of an owner as run keys and readers who leave it name it."""
    if len(owner) <= _LONGEST_OWNER:
        return f"{OWNER_PREFIX}{owner}"
    return f"{OWNER_PREFIX}{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


_LONGEST_OWNER = 90
"""So that the name fits where it is stored."""
