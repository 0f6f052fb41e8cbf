"""What is known of a workload that moved, and the account of each month that was closed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.aftermath import Promise
from monitor.domain.money import to_cents
from monitor.domain.scenario import from_document
from monitor.domain.usage import INPUT_CLASSES, QUANTITY_FIELDS, Quantities
from monitor.storage import bulk, tables
from monitor.storage.demand import Deployment, Workload, deployments
from monitor.storage.export import number
from monitor.storage.rates import RateKey
from monitor.storage.rollup import OWN, context_of
from monitor.storage.spelling import COUNTED, NOT_SET_ASIDE

_FROM = f""" FROM usage_day d JOIN series s ON s.id = d.series_id
 JOIN stream t ON t.id = s.stream_id JOIN account a ON a.id = s.account_id
 WHERE {COUNTED} AND s.workload_id = ?"""
_INPUT = " + ".join(f"COALESCE(d.{name}, 0)" for name in INPUT_CLASSES)


class OwnDay(NamedTuple):
    """What own engines served of a workload on a day."""

    requests: int
    input_tokens: int
    output_tokens: int


class ApiDay(NamedTuple):
    """What an API served of it on a day."""

    requests: int
    pico: int
    unpriced_tokens: int


class Used(NamedTuple):
    """What an API served of it under one key of prices."""

    key: RateKey
    quantities: Quantities


def standings(conn: Connection, workload: Workload) -> list[tuple[int, bool]]:
    """(instant, whether it ran in own service) of each day on which it was judged, in order."""
    rows = bulk.select(
        conn,
        "SELECT as_of, state FROM advice WHERE workload_id = ? ORDER BY as_of",
        (workload.id,),
    )
    found: dict[int, bool] = {}
    for as_of, state in rows:
        document = json.loads(state)
        # A day that could not be judged keeps the state of an earlier one.
        if document.get("current") and document["day"] == as_of:
            found[as_of] = document["current"]["moved"]
    return list(found.items())


def own_days(conn: Connection, workload: Workload, start: int, end: int) -> dict[int, OwnDay]:
    """What own engines served, by day of [start, end); a day without a row is absent."""
    rows = bulk.select(
        conn,
        f"SELECT d.day, CAST(SUM(d.requests) AS BIGINT), CAST(SUM({_INPUT}) AS BIGINT),"
        f" CAST(SUM(d.tokens) AS BIGINT){_FROM} AND s.provider = '{OWN}' AND d.day >= ?"
        " AND d.day < ? GROUP BY d.day",
        (workload.id, start, end),
    )
    return {day: OwnDay(requests or 0, read, tokens - read) for day, requests, read, tokens in rows}


def own_span(conn: Connection, workload: Workload) -> tuple[int, int] | None:
    """The first and the last day on which own engines served it; None: they never did."""
    rows = bulk.select(
        conn,
        f"SELECT MIN(d.day), MAX(d.day){_FROM} AND s.provider = '{OWN}' AND d.tokens > 0",
        (workload.id,),
    )
    return None if rows[0][0] is None else (rows[0][0], rows[0][1])


def own_closed_through(conn: Connection, workload: Workload) -> int:
    """How far every stream that reports own engines' use of it is closed: no row there is none."""
    rows = bulk.select(
        conn,
        "SELECT MIN(COALESCE(m.closed_through, 0)) FROM (SELECT DISTINCT s.stream_id"
        " FROM series s JOIN stream t ON t.id = s.stream_id JOIN account a ON a.id = s.account_id"
        f" WHERE {COUNTED} AND s.workload_id = ? AND s.provider = '{OWN}') u"
        " LEFT JOIN watermark m ON m.stream_id = u.stream_id",
        (workload.id,),
    )
    return rows[0][0] or 0


def own_hours(conn: Connection, workload: Workload, start: int, end: int) -> dict[int, int]:
    """Requests to own engines by hour, where they are counted by the hour."""
    rows = bulk.select(
        conn,
        "SELECT d.bucket_start, CAST(SUM(d.requests) AS BIGINT) FROM usage d"
        " JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id"
        f" JOIN account a ON a.id = s.account_id WHERE {COUNTED} AND {NOT_SET_ASIDE}"
        f" AND s.workload_id = ? AND s.provider = '{OWN}' AND d.bucket_seconds = 3600"
        " AND d.bucket_start >= ? AND d.bucket_start < ? GROUP BY d.bucket_start",
        (workload.id, start, end),
    )
    return {hour: requests or 0 for hour, requests in rows}


def api_days(conn: Connection, workload: Workload, start: int, end: int) -> dict[int, ApiDay]:
    """What an API served, by day of [start, end)."""
    rows = bulk.select(
        conn,
        "SELECT d.day, CAST(SUM(d.requests) AS BIGINT),"
        " CAST(SUM(d.estimated_pico / 1000000) AS BIGINT),"
        " CAST(SUM(d.estimated_pico % 1000000) AS BIGINT),"
        f" CAST(SUM(d.unpriced_tokens) AS BIGINT){_FROM} AND s.provider <> '{OWN}' AND d.day >= ?"
        " AND d.day < ? GROUP BY d.day",
        (workload.id, start, end),
    )
    return {
        day: ApiDay(requests or 0, micro * 10**6 + rest, unpriced)
        for day, requests, micro, rest, unpriced in rows
    }


def api_use(conn: Connection, workload: Workload, start: int, end: int) -> list[Used]:
    """What an API served on the days [start, end), by what its price depends on."""
    sums = ", ".join(f"CAST(SUM(d.{name}) AS BIGINT)" for name in QUANTITY_FIELDS)
    keys = "a.name, s.provider, s.model, s.tier, s.batch"
    rows = bulk.select(
        conn,
        f"SELECT {keys}, {sums}{_FROM} AND s.provider <> '{OWN}' AND d.day >= ? AND d.day < ?"
        f" GROUP BY {keys} ORDER BY {keys}",
        (workload.id, start, end),
    )
    return [
        Used(RateKey(account, provider, model, context_of(tier, batch)), Quantities(*counts))
        for account, provider, model, tier, batch, *counts in rows
    ]


def moved_to(conn: Connection, workload: Workload) -> Deployment | None:
    """The deployment that was accepted last, else the only one; None: nobody can tell."""
    every = deployments(conn, workload.id)
    accepted = conn.scalar(
        text(
            "SELECT deployment_id FROM decision WHERE workload_id = :w AND kind = 'accept'"
            " AND deployment_id IS NOT NULL ORDER BY id DESC LIMIT 1"
        ),
        {"w": workload.id},
    )
    chosen = [each for each in every if each.id == accepted] or every
    return chosen[0] if len(chosen) == 1 else None


def promise(
    conn: Connection, workload: Workload, deployment: Deployment, until: int
) -> Promise | None:
    """What the newest comparison up to an instant told of a month, at the q50 volume."""
    row = conn.execute(
        text(
            "SELECT as_of, scenario FROM assessment WHERE workload_id = :w"
            " AND deployment_id = :d AND volume = 'q50' AND as_of <= :t"
            " ORDER BY as_of DESC LIMIT 1"
        ),
        {"w": workload.id, "d": deployment.id, "t": until},
    ).first()
    return Promise(row[0], from_document(json.loads(row[1]))) if row else None


def advised_return(conn: Connection, workload: Workload, deployment: Deployment, until: int) -> str:
    """Why the newest advice up to an instant says to return to the API; '' where it does not."""
    row = conn.execute(
        text(
            "SELECT kind, reason FROM advice WHERE workload_id = :w AND deployment_id = :d"
            " AND as_of <= :t ORDER BY as_of DESC LIMIT 1"
        ),
        {"w": workload.id, "d": deployment.id, "t": until},
    ).first()
    return str(row[1]) if row and row[0] == "return_to_api" else ""


def is_settled(conn: Connection, workload: Workload, month: str) -> bool:
    """Whether a month has its account already."""
    found = conn.scalar(
        text("SELECT COUNT(*) FROM after_move WHERE workload_id = :w AND month = :m"),
        {"w": workload.id, "m": month},
    )
    return bool(found)


def put(conn: Connection, values: Mapping[str, Any]) -> None:
    """Add the account of a month."""
    conn.execute(tables.after_move.insert().values(**values))


def forget(conn: Connection, month: str) -> None:
    """Remove the accounts of a month that is reopened."""
    conn.execute(text("DELETE FROM after_move WHERE month = :m"), {"m": month})


def accounts(conn: Connection, workload: str, deployment: str) -> list[dict[str, Any]]:
    """The accounts of a workload's months, oldest first, as the view has them.

    Dollars are text with cents; the stored scenario is left out.
    """
    rows = conn.execute(
        text(
            "SELECT * FROM v_after_move WHERE workload = :w AND deployment IN (:d, '')"
            " ORDER BY month"
        ),
        {"w": workload, "d": deployment},
    )
    return [
        {name: _shown(name, value) for name, value in row.items() if name != "scenario"}
        for row in rows.mappings()
    ]


def _shown(name: str, value: Any) -> Any:
    if not name.endswith("_usd"):
        return value
    exact = number(value)
    return None if exact is None else str(to_cents(exact))
