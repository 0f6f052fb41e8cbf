"""What a bill and an estimate hold of the same days, and how they were found to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.doubles import Counted
from monitor.domain.pricing import CONTEXT_NOT_PRICED, NANO
from monitor.domain.reconciled import Charge, Compared, Use
from monitor.domain.usage import DAY
from monitor.storage import bulk, demand
from monitor.storage.rollup import OWN, context_of
from monitor.storage.spelling import COUNTED, Sql

_MICRO = 10**6
_AT_STANDARD = {CONTEXT_NOT_PRICED, "tier_unknown"}
_BILL_STREAMS = (
    "SELECT b.id FROM stream b JOIN account p ON p.money_from = b.source_id"
    " WHERE p.name = :a AND b.feeds = 'bill'"
)


class Billed(NamedTuple):
    """An account's bill of some days; `unconverted`: in currencies without a rate, by currency."""

    charges: Sequence[Charge]
    unconverted: Sequence[tuple[str, int]]
    """(currency, 10^-12 of it)."""
    unconverted_days: frozenset[int]


def billed_accounts(conn: Connection) -> list[str]:
    """The accounts whose bill is read."""
    rows = conn.scalars(text("SELECT name FROM account WHERE money_from IS NOT NULL ORDER BY name"))
    return list(rows)


def billed(conn: Connection, account: str, start: int, end: int) -> Billed:
    """Every line of the bill of the days [start, end), in US dollars."""
    rows = bulk.select(
        conn,
        "SELECT d.day, s.provider, s.model, d.line_item, s.tier, t.name, d.currency,"
        f" {_whole('d.amount_pico')}"
        " FROM bill d JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id"
        " JOIN account a ON a.id = s.account_id"
        " WHERE a.name = ? AND a.money_from = t.source_id AND d.day >= ? AND d.day < ?"
        " GROUP BY d.day, s.provider, s.model, d.line_item, s.tier, t.name, d.currency",
        (account, start, end),
    )
    rates = _rates(conn, end)
    charges, unconverted, days = [], dict[str, int](), set[int]()
    for day, provider, model, item, tier, stream, currency, micro, rest in rows:
        pico = int(micro) * _MICRO + int(rest)
        rate = NANO if currency == "USD" else _rate_on(rates.get(currency, []), day)
        if rate is None:
            unconverted[currency] = unconverted.get(currency, 0) + pico
            days.add(day)
            continue
        charges.append(Charge(day, provider, model, item, tier, stream, _times(pico, rate)))
    return Billed(charges, sorted(unconverted.items()), frozenset(days))


def used(conn: Connection, account: str, start: int, end: int) -> list[Use]:
    """Everything that was estimated for the days [start, end); own engines have no bill."""
    rows = bulk.select(
        conn,
        "SELECT d.day, s.provider, s.model, s.tier, s.batch, o.name, t.name, d.flags,"
        " CAST(SUM(d.tokens) AS BIGINT), CAST(SUM(d.unpriced_tokens) AS BIGINT),"
        f" {_whole('d.estimated_pico')}"
        " FROM usage_day d JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id"
        " JOIN source o ON o.id = t.source_id JOIN account a ON a.id = s.account_id"
        f" WHERE a.name = ? AND {COUNTED} AND s.provider <> '{OWN}' AND d.day >= ? AND d.day < ?"
        " GROUP BY d.day, s.provider, s.model, s.tier, s.batch, o.name, t.name, d.flags",
        (account, start, end),
    )
    return [_use(row) for row in rows]


def _use(row: bulk.Row) -> Use:
    day, provider, model, tier, batch, source, stream, flags, tokens, unpriced, micro, rest = row
    return Use(
        day=day,
        provider=provider,
        model=model,
        context=context_of(tier, batch),
        reporter=f"{source} {stream}",
        tokens=int(tokens),
        unpriced=int(unpriced),
        pico=int(micro) * _MICRO + int(rest),
        at_standard=bool(_AT_STANDARD & set(flags.split())),
    )


def open_days(
    conn: Connection, account: str, start: int, end: int, sources: Sequence[str]
) -> set[int]:
    """Days of which the bill or the tokens are not final, or the tokens changed since the bill.

    `sources`: those that are read; others hold nothing up.
    """
    final = {
        row[0]
        for row in bulk.select(
            conn,
            "SELECT day FROM spend_parts WHERE closed = 1 AND account = ? AND day >= ? AND day < ?",
            (account, start, end),
        )
    }
    complete = demand.closed_through(conn, demand.of_account(account), sources)
    days = range(start, min(end, complete - complete % DAY), DAY)
    return set(range(start, end, DAY)) - (final & set(days)) | _restated(conn, account, start, end)


def _restated(conn: Connection, account: str, start: int, end: int) -> set[int]:
    rows = conn.execute(
        text(
            "SELECT DISTINCT r.day FROM restatement r JOIN stream t ON t.id = r.stream_id"
            " WHERE r.day >= :start AND r.day < :end AND t.feeds = 'usage'"
            " AND EXISTS (SELECT 1 FROM series s JOIN account a ON a.id = s.account_id"
            f"   WHERE s.stream_id = t.id AND a.name = :a AND {COUNTED})"
            ' AND r.found_at > (SELECT MAX(f.finished_at) FROM "fetch" f'
            " WHERE f.status = 'ok'"
            f"   AND f.stream_id IN ({_BILL_STREAMS}))"
        ),
        {"a": account, "start": start, "end": end},
    )
    return set(rows.scalars())


def counted(conn: Connection, since: int, until: int) -> list[Counted]:
    """Tokens that count, by account, source and model, of the days [since, until)."""
    rows = bulk.select(
        conn,
        "SELECT a.name, o.name, s.provider, s.model, d.day, CAST(SUM(d.tokens) AS BIGINT)"
        " FROM usage_day d"
        " JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id"
        " JOIN source o ON o.id = t.source_id JOIN account a ON a.id = s.account_id"
        f" WHERE {COUNTED} AND s.provider <> '{OWN}' AND d.day >= ? AND d.day < ?"
        " GROUP BY a.name, o.name, s.provider, s.model, d.day ORDER BY 1, 2, 3, 4, 5",
        (since, until),
    )
    return [
        Counted(account, source, provider, model, day, int(tokens))
        for account, source, provider, model, day, tokens in rows
    ]


def put(
    conn: Connection,
    account: str,
    month: str,
    compared: Sequence[Compared],
    not_final: set[int],
) -> None:
    """Store an account's comparison of a month in place of an earlier one."""
    account_id = conn.scalar(text("SELECT id FROM account WHERE name = :a"), {"a": account})
    conn.execute(
        text("DELETE FROM reconciliation WHERE account_id = :a AND month = :m"),
        {"a": account_id, "m": month},
    )
    rows = (
        (
            account_id,
            each.day,
            each.provider,
            each.model,
            cause,
            month,
            pico,
            each.day not in not_final,
        )
        for each in compared
        for cause, pico in each.causes.items()
    )
    columns = ("account_id", "day", "provider", "model", "cause", "month", "pico", "is_final")
    bulk.insert(conn, "reconciliation", columns, rows)


def _whole(column: str) -> str:
    """The sum of a pico column in two parts, as integers on both engines."""
    return ", ".join(f"CAST(SUM({Sql.half(column, n)}) AS BIGINT)" for n in (0, 1))


def _rates(conn: Connection, end: int) -> dict[str, list[tuple[int, int]]]:
    """Currency -> (day, nano-USD for one unit), the newest first."""
    found: dict[str, list[tuple[int, int]]] = {}
    for currency, day, nano in bulk.select(
        conn, "SELECT currency, day, usd_nano FROM fx WHERE day < ? ORDER BY day DESC", (end,)
    ):
        found.setdefault(currency, []).append((day, nano))
    return found


def _rate_on(rates: Sequence[tuple[int, int]], day: int) -> int | None:
    return next((nano for since, nano in rates if since <= day), None)


def _times(pico: int, nano: int) -> int:
    """An amount at a rate, cut to whole pico-USD as the views cut it: toward zero."""
    sign = -1 if pico < 0 else 1
    return sign * (abs(pico) * nano // NANO)
