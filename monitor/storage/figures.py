"""Figures: a named number with its unit and the SELECT over the public views that gives it.

Reports, pages and `crossover explain` run the same statement, unchanged on both engines. A value
is that at the end of a period, so it does not move while later days come in. Unknown is None.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from sys import intern
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.errors import InputError
from monitor.domain.money import EXACT
from monitor.domain.periods import add_months, bounds, day_of, month_bounds, month_of
from monitor.domain.usage import DAY
from monitor.storage.export import number
from monitor.storage.figure_series import WEEKS
from monitor.storage.figure_spec import Spec
from monitor.storage.figure_sql import CATALOGUE

Value = Decimal | int | str | None

_WHOLE = {"tokens", "requests", "count"}
_TEXT = {"text", "json", "day", "instant", "month"}
_PLACES, _RATE_PLACES = Decimal("0.000001"), Decimal("0.000000001")
_PARAMETER = re.compile(r":(\w+)")
# Bills and estimates are added up before a day can be chosen: each reading costs all days, and
# leaves few rows. Other views choose their days first.
_SHARED = "v_spend_daily"


class Figure(NamedTuple):
    """A number or a word, and where it comes from."""

    id: str
    value: Value
    unit: str
    sql: str
    params: Mapping[str, str]
    as_of: str
    """The day (UTC, exclusive) that ends what the figure knows."""


class Table(NamedTuple):
    """Rows of figures: the column `c` of a row is also the figure `CELL.c` with its keys."""

    id: str
    rows: Sequence[Mapping[str, Value]]
    units: Mapping[str, str]
    sql: str
    params: Mapping[str, str]
    as_of: str


Each = Callable[[str, Callable[[], Figure]], Figure | None]
"""Asks for the figure of an id; may answer with None instead of an error."""


def _now(figure_id: str, ask: Callable[[], Figure]) -> Figure:
    del figure_id
    return ask()


def period(end: int) -> dict[str, str]:
    """What a report whose last day ends at `end` (UTC midnight) asks every figure with."""
    month = month_of(end - DAY)
    first, _ = month_bounds(month)
    before, before_end = month_bounds(add_months(month, -1))
    days = {
        "as_of": end,
        "week_first": end - 7 * DAY,
        "week_before": end - 14 * DAY,
        "weeks_first": end - 7 * WEEKS * DAY,
        "month_first": first,
        "year_first": bounds("yearly", month[:4])[0],
        "before_first": before,
        # A shorter month is compared as a whole.
        "before_same_day": min(before + end - first, before_end),
        # What a day's data brought is told on the morning after it.
        "told_from": end - 6 * DAY,
        "told_until": end + DAY,
    }
    return {"month": month, **{name: day_of(at) for name, at in days.items()}}


def read(conn: Connection, figure_id: str, **params: str) -> Figure:
    """One figure; `params` as `period` gives them, and `workload`, `deployment` where it asks so.

    Raises:
        InputError: no figure has this id, it is a table, or a parameter is missing.
    """
    spec, bound = _one(figure_id, params)
    return _figure(figure_id, spec, bound, conn.scalar(text(spec.sql), bound), params["as_of"])


def several(
    conn: Connection, figure_ids: Sequence[str], each: Each = _now, /, **params: str
) -> list[Figure]:
    """Many figures, as `read` gives each; `each` may leave out one whose value is none.

    Those over one costly view are asked for at once, each by its unchanged statement, so that the
    view is added up once. Raises as `read`.
    """
    shared = {id_: _one(id_, params) for id_ in figure_ids if _SHARED in _spec(id_).sql}
    stored = dict(zip(shared, _at_once(conn, list(shared.values())), strict=True))
    found = []
    for id_ in figure_ids:
        if id_ in shared:
            ask = partial(_figure, id_, *shared[id_], stored[id_], params["as_of"])
        else:
            ask = partial(read, conn, id_, **params)
        figure = each(id_, ask)
        if figure is not None:
            found.append(figure)
    return found


def _at_once(conn: Connection, asked: Sequence[tuple[Spec, Mapping[str, str]]]) -> list[object]:
    """The values of figures over the shared view, as the engine gives them."""
    if not asked:
        return []
    # SQLite would take the view's bare name for the one that is being defined.
    view = f"main.{_SHARED}" if conn.dialect.name == "sqlite" else _SHARED
    each = ", ".join(f"({spec.sql}) AS f{n}" for n, (spec, _) in enumerate(asked))
    sql = f"WITH {_SHARED} AS MATERIALIZED (SELECT * FROM {view}) SELECT {each}"
    bound = {name: value for _, params in asked for name, value in params.items()}
    return list(conn.execute(text(sql), bound).one())


def _figure(
    figure_id: str, spec: Spec, bound: Mapping[str, str], value: object, as_of: str
) -> Figure:
    return Figure(figure_id, _exact(value, spec.unit), spec.unit, spec.sql, bound, as_of)


def rows(conn: Connection, figure_id: str, **params: str) -> Table:
    """A table, by its first columns; raises as `read`."""
    spec = _spec(figure_id)
    if not spec.columns:
        raise InputError(f"figure {figure_id} is one value", "Read it.")
    bound = _bound(figure_id, spec, params)
    found = _rows(conn, spec, spec.sql, bound)
    # Engines collate text differently: the order is ours.
    found.sort(key=lambda row: [str(row[name]) for name in spec.keys])
    return Table(figure_id, found, spec.columns, spec.sql, bound, params["as_of"])


def row(conn: Connection, figure_id: str, **params: str) -> Mapping[str, Value]:
    """The row of a table that its keys name; empty: there is none. Raises as `rows`."""
    spec = _spec(figure_id)
    where = " AND ".join(f"{key} = :{key}" for key in spec.keys)
    sql = f"SELECT * FROM ({spec.sql}) one WHERE {where}"
    found = _rows(conn, spec, sql, _bound(figure_id, spec._replace(sql=sql), params))
    return found[0] if found else {}


def _rows(
    conn: Connection, spec: Spec, sql: str, bound: Mapping[str, str]
) -> list[dict[str, Value]]:
    return [
        {name: _exact(each[name], unit) for name, unit in spec.columns.items()}
        for each in conn.execute(text(sql), bound).mappings()
    ]


def is_table(figure_id: str) -> bool:
    """Whether `rows` answers for this id, rather than `read`."""
    return bool(_spec(figure_id).columns)


def about(figure_id: str) -> str:
    """What a figure is, in a sentence."""
    return _spec(figure_id).about


def _one(figure_id: str, params: Mapping[str, str]) -> tuple[Spec, dict[str, str]]:
    """What a figure of one value is, and its parameters."""
    spec = _spec(figure_id)
    if spec.columns:
        raise InputError(f"figure {figure_id} is a table", "Ask for its rows.")
    return spec, _bound(figure_id, spec, params)


def _spec(figure_id: str) -> Spec:
    if figure_id in CATALOGUE:
        return CATALOGUE[figure_id]
    near = difflib.get_close_matches(figure_id, CATALOGUE, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise InputError(f"there is no figure {figure_id!r}", hint + "`crossover explain` lists them.")


def _bound(figure_id: str, spec: Spec, params: Mapping[str, str]) -> dict[str, str]:
    asked = dict.fromkeys(_PARAMETER.findall(spec.sql))
    if missing := [name for name in asked if name not in params]:
        raise InputError(
            f"figure {figure_id} needs {' and '.join(missing)}",
            f"Add {' '.join('--' + name.replace('_', '-') for name in missing)}.",
        )
    return {name: params[name] for name in asked}


def _exact(value: object, unit: str) -> Value:
    """The same value from either engine's types."""
    if value is None:
        return None
    if unit in _TEXT:
        # Names and days come again in every row of a large table.
        return intern(str(value))
    exact = number(value)
    assert exact is not None, f"{value!r} is no number"
    if unit in _WHOLE:
        return int(exact)
    rounded = EXACT.quantize(exact, _RATE_PLACES if unit == "rate" else _PLACES)
    return abs(rounded) if rounded.is_zero() else rounded
