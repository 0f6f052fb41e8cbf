"""What workloads asked for and what it cost: read of the stored days, as advice needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.usage import CACHED_CLASSES, DAY, INPUT_CLASSES, TOKEN_CLASSES
from monitor.storage import bulk
from monitor.storage.rollup import OWN
from monitor.storage.setup import ALL
from monitor.storage.spelling import COUNTED, NOT_SET_ASIDE

Unit = Literal["tokens", "requests", "usd"]
UNITS: tuple[Unit, ...] = ("tokens", "requests", "usd")

PAID = f" AND s.provider <> '{OWN}'"
_JOINS = """ JOIN series s ON s.id = d.series_id JOIN stream t ON t.id = s.stream_id
 JOIN account a ON a.id = s.account_id"""


class Workload(NamedTuple):
    """A workload as it is configured now."""

    id: int
    name: str
    must_stay_on_api: str
    must_stay_in_house: str
    runs_on: Literal["api", "self_host", "hybrid"]
    gates: str = "{}"
    """The questionnaire, as the JSON that was configured."""
    owner: str = ""


class Part(NamedTuple):
    """A part of the traffic: a condition on series `s` and account `a`, and its parameters."""

    where: str
    """Begins with AND."""
    bound: tuple[int | str, ...] = ()


class Deployment(NamedTuple):
    """A deployment as it is configured now."""

    id: int
    name: str
    document: str


def workloads(conn: Connection) -> list[Workload]:
    """The configured workloads, totals first, then by name."""
    rows = conn.execute(
        text("SELECT * FROM workload WHERE configured ORDER BY name <> :all, name"), {"all": ALL}
    ).mappings()
    return [Workload(*(row[name] for name in Workload._fields)) for row in rows]


def deployments(conn: Connection, workload_id: int) -> list[Deployment]:
    """The configured deployments of a workload, by name."""
    rows = conn.execute(
        text(
            "SELECT id, name, document FROM deployment WHERE workload_id = :w AND configured"
            " ORDER BY name"
        ),
        {"w": workload_id},
    )
    return [Deployment(*row) for row in rows]


def not_closed(
    conn: Connection, sources: Sequence[str], through: int, workload: Workload | None = None
) -> list[str]:
    """Usage streams of these sources that are not closed through an instant, by name.

    Of a workload: only those that carry some of its usage, if any does.
    """
    return not_closed_of(conn, sources, through, _of(workload) if workload else None)


def not_closed_of(
    conn: Connection, sources: Sequence[str], through: int, part: Part | None
) -> list[str]:
    """As `not_closed`, of any part of the traffic."""
    used = _streams_of(conn, part) if part else None
    rows = conn.execute(
        text(
            "SELECT o.name, t.name, t.id FROM stream t JOIN source o ON o.id = t.source_id"
            " LEFT JOIN watermark m ON m.stream_id = t.id"
            " WHERE t.feeds = 'usage' AND COALESCE(m.closed_through, 0) < :t ORDER BY 1, 2"
        ),
        {"t": through},
    )
    return [
        f"{source} {stream}"
        for source, stream, stream_id in rows
        if source in sources and (not used or stream_id in used)
    ]


def _streams_of(conn: Connection, part: Part) -> set[int]:
    """Usage streams that carry some of a part, of accounts for which they count."""
    own, bound = part
    rows = bulk.select(
        conn,
        "SELECT DISTINCT s.stream_id FROM series s JOIN stream t ON t.id = s.stream_id"
        " JOIN account a ON a.id = s.account_id"
        f" WHERE t.feeds = 'usage' AND {COUNTED}{own}",
        bound,
    )
    return {row[0] for row in rows}


def daily(
    conn: Connection, workload: Workload, unit: Unit, as_of: int, sources: Sequence[str]
) -> dict[int, int | None]:
    """Totals by day before `as_of`: a closed day without rows is 0, an unknown one None or absent.

    Dollars are integer pico-USD, of a workload as estimated, of all workloads as spent. How far
    days are closed is what the live `sources` say; a file or a source that was removed has said
    all it will, and counts for that only where there is nothing else.
    """
    part = _of(workload)
    if unit == "usd" and workload.name == ALL:
        return _known(conn, part, _spend(conn, as_of), as_of, sources)
    found = _usage(conn, part, "estimated_pico" if unit == "usd" else unit, as_of)
    return _known(conn, part, found, as_of, sources)


def daily_estimated(
    conn: Connection, part: Part, as_of: int, sources: Sequence[str]
) -> dict[int, int | None]:
    """Estimated pico-USD of any part of the traffic; days as in `daily`."""
    return _known(conn, part, _usage(conn, part, "estimated_pico", as_of), as_of, sources)


def daily_spent(
    conn: Connection, account: str, as_of: int, sources: Sequence[str]
) -> dict[int, int | None]:
    """Pico-USD spent by an account, billed where final, else estimated; days as in `daily`.

    A day whose bill is final is known, whoever reports tokens or does not.
    """
    part, found = of_account(account), _spend(conn, as_of, account)
    billed = bulk.select(
        conn,
        "SELECT day FROM spend_parts WHERE closed = 1 AND account = ? AND day < ?",
        (account, as_of),
    )
    final = {day: found[day] for (day,) in billed}
    return _known(conn, part, found, as_of, sources) | final


def of_account(account: str) -> Part:
    """What an account is billed for."""
    return Part(f"{PAID} AND a.name = ?", (account,))


def daily_tokens(
    conn: Connection, part: Part, as_of: int, sources: Sequence[str]
) -> dict[int, int | None]:
    """Tokens of any part of the traffic; days as in `daily`."""
    return _known(conn, part, _usage(conn, part, "tokens", as_of), as_of, sources)


def of_own(workload: Workload) -> Part:
    """What of a workload own engines serve."""
    return Part(f" AND s.provider = '{OWN}' AND s.workload_id = ?", (workload.id,))


def of_paid(workload: Workload) -> Part:
    """What of a workload is bought, wherever it runs."""
    if workload.name == ALL:
        return Part(PAID)
    return Part(f"{PAID} AND s.workload_id = ?", (workload.id,))


def _known(
    conn: Connection,
    part: Part,
    found: Mapping[int, int | None],
    as_of: int,
    sources: Sequence[str],
) -> dict[int, int | None]:
    """Sums by day as far as they are known: what is not closed is None."""
    if not found:
        return {}
    closed = closed_through(conn, part, sources)
    days = range(min(found), min(as_of, max(closed, max(found) + DAY)), DAY)
    return {day: found.get(day, 0) if day + DAY <= closed else None for day in days}


def _usage(conn: Connection, part: Part, column: str, as_of: int) -> dict[int, int | None]:
    """Sums by day; None where nothing was reported, or nothing of it has a price."""
    own, bound = part
    rows = bulk.select(
        conn,
        f"SELECT d.day, CAST(SUM(d.{column} / 1000000) AS BIGINT),"
        f" CAST(SUM(d.{column} % 1000000) AS BIGINT), CAST(SUM(d.unpriced_tokens) AS BIGINT)"
        f" FROM usage_day d {_JOINS} WHERE {COUNTED} AND d.day < ?{own}"
        " GROUP BY d.day",
        (as_of, *bound),
    )
    priced = column == "estimated_pico"
    return {
        day: None if priced and not whole and not rest and unpriced else _whole(whole, rest)
        for day, whole, rest, unpriced in rows
    }


def _whole(micro: int | None, rest: int | None) -> int | None:
    return None if micro is None else micro * 10**6 + (rest or 0)


def _spend(conn: Connection, as_of: int, account: str = "") -> dict[int, int | None]:
    one = " AND account = ?" if account else ""
    rows = bulk.select(
        conn,
        "SELECT day, CAST(SUM(CASE WHEN closed = 1 THEN billed_micro"
        " ELSE estimated_micro END) AS BIGINT), CAST(SUM(CASE WHEN closed = 1"
        " THEN billed_rest ELSE estimated_rest END) AS BIGINT)"
        f" FROM spend_parts WHERE day < ?{one} GROUP BY day",
        (as_of, account) if account else (as_of,),
    )
    return {day: _whole(whole, rest) for day, whole, rest in rows}


def _of(workload: Workload) -> Part:
    """What a workload asks for: where it moved, own engines serve it too."""
    if workload.name == ALL:
        return Part(PAID)
    paid = PAID if workload.runs_on == "api" else ""
    return Part(f"{paid} AND s.workload_id = ?", (workload.id,))


def closed_through(conn: Connection, part: Part, sources: Sequence[str]) -> int:
    """How far every live stream that this part uses is closed."""
    used = _streams_of(conn, part)
    rows = conn.execute(
        text(
            "SELECT o.name, t.id, COALESCE(m.closed_through, 0) FROM stream t"
            " JOIN source o ON o.id = t.source_id LEFT JOIN watermark m ON m.stream_id = t.id"
        )
    ).all()
    live = [closed for source, stream, closed in rows if stream in used and source in sources]
    others = [closed for _, stream, closed in rows if stream in used]
    return min(live) if live else max(others, default=0)


class Mix(NamedTuple):
    """What a mean request of a workload holds, and what its tokens cost at an API."""

    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    paid_input_tokens: int
    """Of them those that an API served: they have the prices below."""
    paid_cached_tokens: int
    paid_output_tokens: int
    input_pico: int
    cached_pico: int
    output_pico: int
    unpriced_tokens: int

    @property
    def paid_tokens(self) -> int:
        """Tokens that an API served."""
        return self.paid_input_tokens + self.paid_cached_tokens + self.paid_output_tokens


_KINDS = {
    **dict.fromkeys(INPUT_CLASSES, "input"),
    **dict.fromkeys(CACHED_CLASSES, "cached"),
}


def mix(conn: Connection, workload: Workload, start: int, end: int) -> Mix:
    """Sums over the days [start, end) by the cards that priced them.

    Cache writes count as input at their own price: an own server writes its cache for nothing,
    and what is compared is what the API charges.
    """
    own, bound = _of(workload)
    columns = ", ".join(f"d.{c}, r.{c}_nano" for c in TOKEN_CLASSES)
    rows = bulk.select(
        conn,
        f"SELECT s.provider, d.requests, d.estimated_pico, d.unpriced_tokens, {columns}"
        f" FROM usage_day d {_JOINS} LEFT JOIN rate r ON r.id = d.rate_id"
        f" WHERE {COUNTED} AND d.day >= ? AND d.day < ?{own}",
        (start, end, *bound),
    )
    tokens = dict.fromkeys(("input", "cached", "output"), 0)
    paid, femto = dict.fromkeys(tokens, 0), dict.fromkeys(tokens, 0)
    requests = priced = unpriced = 0
    for provider, row_requests, pico, row_unpriced, *classes in rows:
        requests += row_requests or 0
        priced += pico
        unpriced += row_unpriced
        for name, count, nano in zip(TOKEN_CLASSES, classes[::2], classes[1::2], strict=True):
            kind = _KINDS.get(name, "output")
            tokens[kind] += count or 0
            paid[kind] += 0 if provider == OWN else count or 0
            femto[kind] += (count or 0) * (nano or 0)
    # Fallback classes and per-request prices are in the estimate and in no class: with the output.
    rest = priced - sum(femto.values()) // 1000
    return Mix(
        requests=requests,
        input_tokens=tokens["input"],
        cached_tokens=tokens["cached"],
        output_tokens=tokens["output"],
        paid_input_tokens=paid["input"],
        paid_cached_tokens=paid["cached"],
        paid_output_tokens=paid["output"],
        input_pico=femto["input"] // 1000,
        cached_pico=femto["cached"] // 1000,
        output_pico=femto["output"] // 1000 + rest,
        unpriced_tokens=unpriced,
    )


def last_paid(conn: Connection, workload: Workload, before: int) -> int | None:
    """The newest day before an instant on which an API served a workload; None: it never did."""
    rows = bulk.select(
        conn,
        f"SELECT MAX(d.day) FROM usage_day d {_JOINS}"
        f" WHERE {COUNTED}{PAID} AND d.tokens > 0 AND d.day < ? AND s.workload_id = ?",
        (before, workload.id),
    )
    return rows[0][0] if rows else None


def hourly_requests(conn: Connection, workload: Workload, start: int, end: int) -> dict[int, int]:
    """Requests by hour where they were read by the hour; days read by the day are absent."""
    own, bound = _of(workload)
    rows = bulk.select(
        conn,
        f"SELECT d.bucket_start, CAST(SUM(d.requests) AS BIGINT) FROM usage d {_JOINS}"
        f" WHERE {COUNTED} AND {NOT_SET_ASIDE} AND d.bucket_seconds = 3600"
        f" AND d.bucket_start >= ? AND d.bucket_start < ?{own} GROUP BY d.bucket_start",
        (start, end, *bound),
    )
    return {hour: requests or 0 for hour, requests in rows}


def per_million(pico: int, tokens: int) -> Fraction:
    """Exact dollars per million tokens; 0 where there are none."""
    return Fraction(pico, 10**6 * tokens) if tokens else Fraction(0)


def whole_tokens(total: int, requests: int) -> Fraction:
    """Exact tokens of a mean request."""
    return Fraction(total, requests) if requests else Fraction(0)
