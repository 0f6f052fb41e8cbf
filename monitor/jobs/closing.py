"""The monthly closing report, sent once its month is closed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial

from sqlalchemy import Connection

from monitor.domain.periods import day_of, month_bounds, run_key
from monitor.domain.usage import DAY
from monitor.jobs import editions
from monitor.jobs.alerting import Policy
from monitor.jobs.editions import Maker
from monitor.jobs.plan import CLOSE
from monitor.jobs.report import attached, lacks
from monitor.storage import figures, work
from monitor.storage.figure_sql import CATALOGUE
from reports import closing
from reports.audiences import FINANCE as FINANCE_READERS
from reports.audiences import Audience
from reports.closing import ClosingFacts
from reports.model import Rendered

_TABLES = [*closing.CELLS, "restatements.month", "closing.moves", "closing.projections"]
_SCALARS = [
    "spend.month_to_date",
    "spend.month_to_date.billed_share",
    "spend.previous_month",
    "unpriced.tokens",
    *(
        name
        for name, spec in CATALOGUE.items()
        if name.partition(".")[0] in ("closing", "showback") and not spec.columns
    ),
]


def missing(conn: Connection, month: str, policy: Policy) -> list[str]:
    """What the month's figures still lack, in words."""
    _, end = month_bounds(month)
    found = lacks(conn, end, "month", policy)
    state = work.run_states(conn, CLOSE).get(f"{CLOSE}/{month}", "done")
    return found if state == "done" else [*found, f"the closing of {month} ({state})"]


def facts(
    conn: Connection,
    month: str,
    policy: Policy,
    due_at: int,
    audience: Audience = FINANCE_READERS,
) -> ClosingFacts:
    """Every figure of a month at its end."""
    start, end = month_bounds(month)
    params = figures.period(end)
    return ClosingFacts(
        organisation=policy.organisation,
        month=month,
        first=date.fromisoformat(day_of(start)),
        last=date.fromisoformat(day_of(end - DAY)),
        due_at=datetime.fromtimestamp(due_at, UTC),
        demo=policy.demo,
        missing=missing(conn, month, policy),
        numbers={each.id: each.value for each in figures.several(conn, _SCALARS, **params)},
        units={name: spec.unit for name, spec in CATALOGUE.items()},
        tables={name: figures.rows(conn, name, **params).rows for name in _TABLES},
        audience=audience,
    )


def render_month(
    conn: Connection,
    month: str,
    policy: Policy,
    due_at: int,
    audience: Audience = FINANCE_READERS,
) -> Rendered:
    """The closing report of a month as it stands; nothing is written."""
    key = run_key(audience.name, "monthly", month, 1)
    found = facts(conn, month, policy, due_at, audience)
    return _rendered(editions.told_with(conn, key, found, closing.style_of(audience)))


def _rendered(found: ClosingFacts) -> Rendered:
    return closing.build(found)._replace(attachments=attached(found.tables, closing.CELLS))


def monthly_report(audience: Audience = FINANCE_READERS) -> Maker:
    """How the closing report is made: the same for each audience."""
    style = closing.style_of(audience)
    return Maker(missing, partial(facts, audience=audience), closing.head, _rendered, style)
