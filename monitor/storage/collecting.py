"""What is kept about reading: where a back-fill stands, pages, rows that could not be read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.usage import DAY, Problem
from monitor.domain.watch_health import Unread
from monitor.storage.tables import backfill, page, quarantine


class Kept(NamedTuple):
    """A page in the archive."""

    request: str
    """JSON without secrets."""
    sha256: str
    bytes: int


class Waiting(NamedTuple):
    """A row in quarantine."""

    id: int
    source: str
    stream: str
    place: str
    reason: str
    payload: str
    first_seen: datetime
    last_seen: datetime
    times: int
    day_from: int | None
    """None: it was not read by days, but came in a file or was sent."""
    day_to: int | None


# --- Back-fills -----------------------------------------------------------------------------


def resumed(conn: Connection, stream_id: int, since: int) -> int | None:
    """Through which day a back-fill from the same day on came before it was interrupted."""
    through: int | None = conn.scalar(
        text("SELECT done_through FROM backfill WHERE stream_id = :s AND since = :since"),
        {"s": stream_id, "since": since},
    )
    return through


def advance(conn: Connection, stream_id: int, since: int, through: int) -> None:
    """Remember, with the rows of its days, how far a back-fill came."""
    conn.execute(
        text(
            "INSERT INTO backfill (stream_id, since, done_through) VALUES (:s, :since, :through)"
            " ON CONFLICT (stream_id) DO UPDATE SET since = excluded.since,"
            " done_through = excluded.done_through"
        ),
        {"s": stream_id, "since": since, "through": through},
    )


def ended(conn: Connection, stream_id: int) -> None:
    """The next back-fill of this stream begins anew."""
    conn.execute(backfill.delete().where(backfill.c.stream_id == stream_id))


# --- Pages ----------------------------------------------------------------------------------


def keep_pages(
    conn: Connection, fetch_id: int, days: tuple[int, int], pages: Sequence[Kept]
) -> None:
    """Say which pages a read was made of, in their order."""
    if pages:
        conn.execute(
            page.insert(),
            [
                {
                    "fetch_id": fetch_id,
                    "number": number,
                    "day_from": days[0],
                    "day_to": days[1],
                    **kept._asdict(),
                }
                for number, kept in enumerate(pages, 1)
            ],
        )


def pages_of(
    conn: Connection, source: str, stream: str = "", day: int | None = None
) -> list[dict[str, Any]]:
    """Every archived page of a source, of the reads that cover a day where it is named."""
    rows = conn.execute(
        text(
            "SELECT f.started_at AS read_at, t.name AS stream, f.status, p.number, p.day_from,"
            " p.day_to, p.request, p.sha256, p.bytes"
            ' FROM page p JOIN "fetch" f ON f.id = p.fetch_id JOIN stream t ON t.id = f.stream_id'
            " JOIN source o ON o.id = t.source_id WHERE o.name = :source"
            + (" AND t.name = :stream" if stream else "")
            + (" AND p.day_from <= :day AND :day < p.day_to" if day is not None else "")
            + " ORDER BY p.fetch_id, p.number"
        ),
        {"source": source}
        | ({"stream": stream} if stream else {})
        | ({"day": day} if day is not None else {}),
    )
    return [dict(row) | {"read_at": _instant(row["read_at"])} for row in rows.mappings()]


def forget_pages(conn: Connection, before: datetime) -> int:
    """Drop the pages of reads before an instant; returns how many."""
    return conn.execute(
        page.delete().where(
            page.c.fetch_id.in_(
                text('SELECT id FROM "fetch" WHERE started_at < :before').bindparams(
                    before=_stored(conn, before)
                )
            )
        )
    ).rowcount


def named_pages(conn: Connection, hashes: Collection[str]) -> set[str]:
    """Which of these pages some read is made of."""
    found: set[str] = set()
    wanted = sorted(hashes)
    for at in range(0, len(wanted), 500):
        some = {f"h{n}": value for n, value in enumerate(wanted[at : at + 500])}
        marks = ", ".join(f":{name}" for name in some)
        rows = conn.execute(text(f"SELECT sha256 FROM page WHERE sha256 IN ({marks})"), some)
        found.update(rows.scalars())
    return found


# --- Quarantine -----------------------------------------------------------------------------


def digest(problem: Problem) -> str:
    """The same row with the same complaint is one row of quarantine."""
    return hashlib.sha256(f"{problem.reason}\0{problem.payload}".encode()).hexdigest()


def keep_problems(
    conn: Connection,
    stream_id: int,
    problems: Sequence[Problem],
    now: int,
    days: tuple[int, int] | None = None,
) -> None:
    """Quarantine rows that could not be read; the same one again only counts up.

    Args:
        conn: the transaction of the rows beside them.
        stream_id: where they came from.
        problems: the rows.
        now: when they were read.
        days: which days were read, where it was by days.
    """
    at = datetime.fromtimestamp(now, UTC)
    times = Counter(map(digest, problems))
    span = {"day_from": days[0], "day_to": days[1]} if days else {}
    for name, problem in {digest(problem): problem for problem in problems}.items():
        seen = conn.execute(
            quarantine.update()
            .where(quarantine.c.stream_id == stream_id, quarantine.c.digest == name)
            .values(
                count=quarantine.c["count"] + times[name],
                last_seen=at,
                place=problem.place,
                **span,
            )
        )
        if seen.rowcount == 0:
            conn.execute(
                quarantine.insert().values(
                    stream_id=stream_id,
                    digest=name,
                    **problem._asdict(),
                    first_seen=at,
                    last_seen=at,
                    count=times[name],
                    **span,
                )
            )


def settle_problems(
    conn: Connection, stream_id: int, days: tuple[int, int], problems: Sequence[Problem]
) -> int:
    """Let go of rows of these days that a complete read of them did not stumble over again."""
    still = set(map(digest, problems))
    waiting = conn.execute(
        text(
            "SELECT id, digest FROM quarantine"
            " WHERE stream_id = :s AND day_from >= :a AND day_to <= :b"
        ),
        {"s": stream_id, "a": days[0], "b": days[1]},
    ).all()
    settled = [row.id for row in waiting if row.digest not in still]
    for number in settled:
        conn.execute(quarantine.delete().where(quarantine.c.id == number))
    return len(settled)


def settle_dateless(conn: Connection, row: Waiting) -> None:
    """Let go of a row without days, unless it was stumbled over again and has days by now."""
    conn.execute(
        quarantine.delete().where(quarantine.c.id == row.id, quarantine.c.day_from.is_(None))
    )


def forget_file(conn: Connection, source_id: int, path: str) -> None:
    """Let go of what could not be read of a file, before all of it is read again."""
    conn.execute(
        text(
            "DELETE FROM quarantine WHERE SUBSTR(place, 1, :n) = :begins"
            " AND stream_id IN (SELECT id FROM stream WHERE source_id = :s)"
        ),
        {"begins": f"{path}, ", "n": len(path) + 2, "s": source_id},
    )


def waiting(conn: Connection, source: str = "", number: int | None = None) -> list[Waiting]:
    """Rows in quarantine, the newest first."""
    rows = conn.execute(
        text(
            "SELECT u.id, o.name AS source, t.name AS stream, u.place, u.reason, u.payload,"
            " u.first_seen, u.last_seen, u.count AS times, u.day_from, u.day_to"
            " FROM quarantine u JOIN stream t ON t.id = u.stream_id"
            " JOIN source o ON o.id = t.source_id WHERE 1 = 1"
            + (" AND o.name = :source" if source else "")
            + (" AND u.id = :id" if number is not None else "")
            + " ORDER BY u.last_seen DESC, u.id DESC"
        ),
        ({"source": source} if source else {}) | ({"id": number} if number is not None else {}),
    )
    return [
        Waiting(**dict(row) | {name: _instant(row[name]) for name in ("first_seen", "last_seen")})
        for row in rows.mappings()
    ]


def drop_problem(conn: Connection, number: int) -> bool:
    """Take one row out of quarantine for good; False: there is none."""
    return bool(conn.execute(quarantine.delete().where(quarantine.c.id == number)).rowcount)


def unread(conn: Connection, now: int) -> list[Unread]:
    """How much could not be read of what streams were read in the week before an instant."""
    rows = conn.execute(
        text(
            "SELECT o.name AS source, t.name AS stream, SUM(f.problems) AS problems,"
            " SUM(f.rows_read) + SUM(f.problems) AS rows"
            ' FROM "fetch" f JOIN stream t ON t.id = f.stream_id'
            " JOIN source o ON o.id = t.source_id"
            " WHERE f.status = 'ok' AND f.started_at >= :since GROUP BY o.name, t.name"
            " HAVING SUM(f.problems) > 0 ORDER BY o.name, t.name"
        ),
        {"since": _stored(conn, datetime.fromtimestamp(now - 7 * DAY, UTC))},
    )
    return [Unread(row[0], row[1], int(row[2]), int(row[3])) for row in rows]


def claimed(conn: Connection, source: str, now: int) -> list[tuple[str, int]]:
    """Streams of a source that somebody is reading, and until when they are theirs at most."""
    rows = conn.execute(
        text(
            "SELECT t.name, t.claim_until FROM stream t JOIN source o ON o.id = t.source_id"
            " WHERE o.name = :n AND t.claim IS NOT NULL AND t.claim_until > :now ORDER BY t.name"
        ),
        {"n": source, "now": now},
    )
    return [(str(row[0]), int(row[1])) for row in rows]


def _stored(conn: Connection, at: datetime) -> object:
    """An instant as a bound value of plain SQL: SQLite keeps it as text without a zone."""
    if conn.dialect.name == "sqlite":
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return at


def _instant(stored: Any) -> datetime:
    found = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
