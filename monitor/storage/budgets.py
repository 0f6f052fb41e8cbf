"""Budgets as rows: what is configured, what each is about, and where it stood on each day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from monitor.domain.budgets import Basis, Budget, Standing
from monitor.domain.forecast import Projection, Span
from monitor.domain.money import MAX_PICO
from monitor.storage import bulk, demand
from monitor.storage.demand import PAID, Part
from monitor.storage.setup import ALL
from monitor.storage.spelling import COUNTED


def configured(conn: Connection) -> list[Budget]:
    """The configured budgets, by name."""
    rows = conn.execute(
        text(
            "SELECT id, name, amount_pico, period, scope, scope_name, valid_from, valid_to, owner"
            " FROM budget WHERE configured ORDER BY name"
        )
    )
    return [Budget(*row) for row in rows]


def parts(conn: Connection, budget: Budget) -> list[Part]:
    """What a budget is about: of a cost centre each workload, else one part."""
    if budget.scope == "all":
        return [Part(PAID)]
    if budget.scope == "account":
        return [demand.of_account(budget.scope_name)]
    if budget.scope == "label":
        return [Part(f"{PAID} AND s.label = ?", (budget.scope_name,))]
    return [Part(f"{PAID} AND s.workload_id = ?", (id_,)) for id_ in _workloads(conn, budget)]


def _workloads(conn: Connection, budget: Budget) -> list[int]:
    column = "name" if budget.scope == "workload" else "cost_centre"
    rows = conn.execute(
        text(f"SELECT id FROM workload WHERE {column} = :n AND configured ORDER BY name"),
        {"n": budget.scope_name},
    )
    return [row[0] for row in rows]


def dailies(
    conn: Connection, budget: Budget, as_of: int, sources: Sequence[str]
) -> list[dict[int, int | None]]:
    """Pico-USD by day of each part: spent where a bill tells it, else as estimated."""
    if budget.scope == "all":
        (everything,) = (w for w in demand.workloads(conn) if w.name == ALL)
        return [demand.daily(conn, everything, "usd", as_of, sources)]
    if budget.scope == "account":
        return [demand.daily_spent(conn, budget.scope_name, as_of, sources)]
    return [demand.daily_estimated(conn, part, as_of, sources) for part in parts(conn, budget)]


def told(conn: Connection, budget: Budget, month: str, as_of: int) -> Projection | None:
    """The month's dollars as projected for the same day; None: another scope, or none was told."""
    names = {"all": ALL, "workload": budget.scope_name}
    if budget.scope not in names:
        return None
    row = conn.execute(
        text(
            "SELECT p.q10, p.q50, p.q90, p.month_to_date, p.history_days, p.method"
            " FROM projection p JOIN workload w ON w.id = p.workload_id WHERE w.name = :w"
            " AND p.month = :m AND p.as_of = :t AND p.unit = 'usd' AND p.q50 IS NOT NULL"
        ),
        {"w": names[budget.scope], "m": month, "t": as_of},
    ).first()
    if row is None:
        return None
    q10, q50, q90, to_date, days, method = row
    return Projection(month, as_of, q10, q50, q90, to_date, method, days, ())


def first_metered(conn: Connection) -> int | None:
    """The first UTC day with any usage that counts; None: there is none."""
    found: int | None = conn.scalar(
        text(
            "SELECT MIN(d.day) FROM usage_day d JOIN series s ON s.id = d.series_id"
            " JOIN stream t ON t.id = s.stream_id JOIN account a ON a.id = s.account_id"
            f" WHERE {COUNTED}{PAID}"
        )
    )
    return found


def unpriced(conn: Connection, budget: Budget, span: Span, as_of: int) -> int:
    """Tokens of the period so far that are in no amount: without a rate, and not billed."""
    until = min(span.end, as_of)
    if budget.scope in ("all", "account"):
        one, bound = _account(budget)
        sql = (
            "SELECT CAST(SUM(unpriced_tokens) AS BIGINT) FROM spend_parts"
            f" WHERE closed = 0 AND day >= ? AND day < ?{one}"
        )
        return int(bulk.select(conn, sql, (span.first, until, *bound))[0][0] or 0)
    found = 0
    for part in parts(conn, budget):
        sql = (
            "SELECT CAST(SUM(d.unpriced_tokens) AS BIGINT) FROM usage_day d"
            " JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id"
            f" JOIN account a ON a.id = s.account_id WHERE {COUNTED} AND d.day >= ? AND d.day < ?"
        )
        rows = bulk.select(conn, sql + part.where, (span.first, until, *part.bound))
        found += int(rows[0][0] or 0)
    return found


def basis(conn: Connection, budget: Budget, span: Span, as_of: int) -> Basis:
    """Whether the spend is billed; that of a part of an account never is."""
    if budget.scope not in ("all", "account"):
        return "estimated"
    one, bound = _account(budget)
    sql = f"SELECT MIN(closed), MAX(closed) FROM spend_parts WHERE day >= ? AND day < ?{one}"
    least, most = bulk.select(conn, sql, (span.first, min(span.end, as_of), *bound))[0]
    return "billed" if least else "mixed" if most else "estimated"


def _account(budget: Budget) -> tuple[str, tuple[str, ...]]:
    named = budget.scope == "account"
    return (" AND account = ?", (budget.scope_name,)) if named else ("", ())


def put_state(
    conn: Connection,
    budget: Budget,
    span: Span,
    as_of: int,
    found: Standing,
    further: Mapping[str, object],
) -> None:
    """Store where a budget stands on a day; `further` are its basis and unpriced tokens."""
    values = {
        "budget_id": budget.id,
        "period": span.name,
        "as_of": as_of,
        "first_day": span.first,
        "end_day": span.end,
        "amount_pico": budget.amount,
        "known_days": found.known_days,
        "spent_pico": found.spent,
        "q10_pico": found.q10,
        "q50_pico": found.q50,
        "q90_pico": found.q90,
        "remark": found.remark,
        **further,
    }
    assert all(abs(value) <= MAX_PICO for value in values.values() if isinstance(value, int))
    keys = ("budget_id", "period", "as_of")
    updates = ", ".join(f"{name} = excluded.{name}" for name in values if name not in keys)
    conn.execute(
        text(
            f"INSERT INTO budget_state ({', '.join(values)}) VALUES"
            f" ({', '.join(':' + name for name in values)})"
            f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {updates}"
        ),
        values,
    )
