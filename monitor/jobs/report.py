"""The weekly report: every figure read in one transaction, rendered, and posted in the same."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from monitor.domain import links
from monitor.domain.errors import CrossoverError
from monitor.domain.links import About
from monitor.domain.periods import day_of, month_of, run_key, week_bounds
from monitor.domain.scenario import from_document
from monitor.domain.usage import DAY
from monitor.jobs import editions
from monitor.jobs.alerting import Policy
from monitor.jobs.basis import zero_lines
from monitor.jobs.decisions import standing as standing_of
from monitor.jobs.editions import Issue, Maker
from monitor.jobs.mail import Envelope, signing
from monitor.jobs.plan import DECIDE, Closing
from monitor.storage import demand, figures, rollup, work
from monitor.storage.engine import Database
from monitor.storage.export import write_csv
from monitor.storage.figure_sql import CATALOGUE, FINANCE_CELLS
from monitor.storage.work import Claim
from reports import raster
from reports import weekly as weekly_words
from reports.audiences import CELLS, Audience
from reports.audiences import FINANCE as FINANCE_READERS
from reports.formats import plural
from reports.model import Rendered, Row, Standing, Value, WeeklyFacts
from reports.render import Attachment
from reports.verdict import key, ranked
from reports.weekly_tables import SHOWN

log = logging.getLogger("crossover.report")

_TABLES = (
    *("spend.daily", "spend.by_workload", "unit_cost.weeks", "unit_cost.own_months"),
    *("gpu.hosts", "gpu.hourly", "workloads", "breakevens", "moves", "budgets"),
    *("data.sources", "data.rates", "alerts.week", "restatements.week"),
)
_CELLS = {"workloads": "workload", "breakevens": "breakeven", "moves": "moved"}
_ELSEWHERE = {*_CELLS.values(), *FINANCE_CELLS.values(), "closing", "showback", "owner", "fx"}
_ELSEWHERE |= {"recommendation"}
# The catalogue without tables and their cells.
_SCALARS = [
    name
    for name, spec in CATALOGUE.items()
    if not spec.columns and name.partition(".")[0] not in _ELSEWHERE
]
_OWN_SCALARS = [*(name for name in CATALOGUE if name.startswith("owner.")), "spend.first_day"]
"""What an owner is told: no sum over what is not theirs."""
_FX = ("fx.usd", "fx.day")
_OWN_TABLES = ("workloads", "breakevens", "moves", "budgets", "alerts.week", "data.sources")
_UNREADABLE = (ValueError, ArithmeticError, AssertionError, KeyError, CrossoverError)
"""What a stored value may bring about that is none; a database that fails is another matter."""


def weekly(
    database: Database, claim: Claim, now: int, policy: Policy, audience: Audience = FINANCE_READERS
) -> Closing:
    """The report of the week that the run names, as `editions.send` does."""
    return editions.send(database, claim, now, Issue(weekly_report(audience), policy))


def missing(conn: Connection, week: str, policy: Policy) -> list[str]:
    """What the week's figures still lack, in words."""
    return lacks(conn, week_bounds(week)[1], "week", policy)


def lacks(conn: Connection, end: int, of: str, policy: Policy) -> list[str]:
    """What the figures of a period that ends at `end` still lack; `of`: what kind it is."""
    late = demand.not_closed(conn, policy.live_sources, end)
    found = [f"usage of {name} to the end of the {of}" for name in late]
    if waiting := rollup.waiting(conn, end):
        found.append(f"the prices of {plural(len(waiting), 'day')}")
    last = f"{DECIDE}/{day_of(end - DAY)}"
    state = work.run_states(conn, DECIDE).get(last, "done")
    if state != "done":
        found.append(f"the comparison of {day_of(end - DAY)} ({state})")
    return found


def render_week(
    conn: Connection,
    week: str,
    policy: Policy,
    due_at: int,
    audience: Audience = FINANCE_READERS,
) -> Rendered:
    """The report of an ISO week as it stands, due at an epoch second; nothing is written."""
    key = run_key(audience.name, "weekly", week, 1)
    found = facts(conn, week, policy, due_at, audience)
    return _rendered(editions.told_with(conn, key, found, audience.style))


def _rendered(found: WeeklyFacts) -> Rendered:
    rendered = weekly_words.build(found, raster.draw)
    return rendered._replace(attachments=attached(found.tables, CELLS[found.audience.kind]))


def facts(
    conn: Connection,
    week: str,
    policy: Policy,
    due_at: int,
    audience: Audience = FINANCE_READERS,
) -> WeeklyFacts:
    """Every figure of the week that an audience is told, and what people ordered."""
    start, end = week_bounds(week)
    params = figures.period(end) | ({"owner": audience.owner} if audience.owner else {})
    if second := audience.style.second:
        params["currency"] = second.currency
    read = _Reading()
    tables: dict[str, Sequence[Row]] = {}
    for name in _TABLES if audience.whole else _OWN_TABLES:
        table = read(name, partial(figures.rows, conn, name, **params))
        if table is not None:
            tables[name] = table.rows
    if not audience.whole:
        tables = _of_owner(conn, tables, audience.owner)
    standings = read(
        "breakevens",
        lambda: standings_of(conn, tables.get("breakevens", ()), end, policy.reopen_share),
    )
    if standings is None:
        # Without what people ordered a comparison would urge what they have decided against.
        tables.pop("breakevens", None)
    scalars = [*(_SCALARS if audience.whole else _OWN_SCALARS), *(_FX if second else ())]
    numbers = {each.id: each.value for each in figures.several(conn, scalars, read, **params)}
    if second:
        audience = _converting(audience, numbers)
    return WeeklyFacts(
        organisation=policy.organisation,
        week=week,
        first=date.fromisoformat(day_of(start)),
        last=date.fromisoformat(day_of(end - DAY)),
        month=month_of(end - DAY),
        due_at=datetime.fromtimestamp(due_at, UTC),
        demo=policy.demo,
        missing=missing(conn, week, policy),
        numbers=numbers,
        units={name: spec.unit for name, spec in CATALOGUE.items()},
        tables=tables,
        standings=_linked(
            standings or {}, tables.get("breakevens", ()), signing(conn, policy.envelope), due_at
        ),
        audience=audience,
        failed=read.failed,
    )


def _converting(audience: Audience, numbers: Mapping[str, Value]) -> Audience:
    """The audience with the rate in force, if there is one."""
    usd, since = numbers.get("fx.usd"), numbers.get("fx.day")
    second = audience.style.second
    if second is None or not isinstance(usd, Decimal) or not usd:
        return audience
    known = second._replace(usd=usd, day=str(since))
    return audience._replace(style=audience.style._replace(second=known))


_Read = TypeVar("_Read")


class _Reading:
    """Reads one figure after the other; what is stored and cannot be read is left out."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        """Figure -> why it could not be read."""

    def __call__(self, figure: str, ask: Callable[[], _Read]) -> _Read | None:
        try:
            return ask()
        except _UNREADABLE as error:
            log.exception("figure %s could not be read", figure)
            self.failed[figure] = f"{figure}: {type(error).__name__}: {error}"
            return None


def _of_owner(
    conn: Connection, tables: Mapping[str, Sequence[Row]], owner: str
) -> dict[str, Sequence[Row]]:
    """The rows about an owner's workloads; of sources all, since they hold no amounts."""
    own = {each.name for each in demand.workloads(conn) if each.owner == owner}
    keys = {"budgets": "scope_name"}
    return {
        name: rows
        if name == "data.sources"
        else [
            row
            for row in rows
            if row[keys.get(name, "workload")] in own
            and (name != "budgets" or row["scope"] == "workload")
        ]
        for name, rows in tables.items()
    }


def _linked(
    found: dict[tuple[str, str], Standing], rows: Sequence[Row], envelope: Envelope, due_at: int
) -> dict[tuple[str, str], Standing]:
    """With a link to each recommendation, where the HTTP service has an address."""
    url, secret, _ = envelope.place
    for row in rows:
        about = About(str(row["as_of"]), *key(row))
        link = links.recommendation(url, secret, envelope.report, about, due_at)
        if link:
            found[key(row)] = found.get(key(row), Standing())._replace(link=link)
    return found


def standings_of(
    conn: Connection, rows: Sequence[Row], as_of: int, reopen_share: Fraction
) -> dict[tuple[str, str], Standing]:
    """By workload and deployment; what a comparison rests on only where it is shown."""
    configured = {
        (workload.name, deployment.name): (workload, deployment)
        for workload in demand.workloads(conn)
        for deployment in demand.deployments(conn, workload.id)
    }
    found = {
        pair: Standing(w.runs_on, w.must_stay_on_api, w.must_stay_in_house)
        for pair, (w, _) in configured.items()
    }
    for pair, named in configured.items():
        if decided := standing_of(conn, *named, as_of, reopen_share):
            found[pair] = found[pair]._replace(decided=decided.reason, stands=decided.stands)
    for row, standing in ranked(rows, found)[:SHOWN]:
        if row["scenario"] is not None:
            scenario = from_document(json.loads(str(row["scenario"])))
            found[key(row)] = standing._replace(
                assumptions=json.loads(str(row["assumptions"])), zero_lines=zero_lines(scenario)
            )
    return found


def attached(tables: Mapping[str, Sequence[Row]], names: Iterable[str]) -> list[Attachment]:
    """These tables in full, without the stored documents."""
    return [
        Attachment(f"{table}.csv", "text/csv", _csv(tables[table], CATALOGUE[table].columns))
        for table in names
        if tables.get(table)
    ]


def _csv(rows: Sequence[Row], units: Mapping[str, str]) -> bytes:
    columns = [name for name, unit in units.items() if unit != "json"]
    out = io.StringIO(newline="")
    write_csv(out, columns, ([row[name] for name in columns] for row in rows))
    return out.getvalue().encode()


def standalone(rendered: Rendered) -> str:
    """The HTML with its pictures inside, for a browser; mail programs do not show such."""
    # Browsers look for the charset in the first kilobyte, where inlining has put the styles.
    html = rendered.html.replace("<head>", '<head><meta charset="utf-8">', 1)
    for image in rendered.images:
        data = base64.b64encode(image.png).decode()
        html = html.replace(f'"cid:{image.cid}"', f'"data:image/png;base64,{data}"')
    return html


def weekly_report(audience: Audience = FINANCE_READERS) -> Maker:
    """How the weekly report of an audience is made."""
    return Maker(
        missing,
        partial(facts, audience=audience),
        weekly_words.head,
        _rendered,
        audience.style,
    )
