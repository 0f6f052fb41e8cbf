"""Rate cards as they were used: added, never edited, with where they came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, text

from monitor.domain.periods import month_bounds, month_of
from monitor.domain.price_jumps import too_large
from monitor.domain.pricing import RateCard, Rates, Tier
from monitor.domain.usage import DAY, utc_day
from monitor.storage.pending import confirmed

_RATE_COLUMNS = tuple(f"{name}_nano" for name in Rates._fields)

LIST = "genai-prices"
"""Stands in the source of cards that a new version of the price list may change by itself."""

_LOOKED_AHEAD = 4
BY_THE_HOUR = 7 * DAY
"""Cards that hold for less are those of a price by the hour."""

UNPRICED = 0
"""The rate id of usage that no card covers."""


class RateKey(NamedTuple):
    """What a price depends on."""

    account: str
    provider: str
    model: str
    context: str


class Bucket(NamedTuple):
    """Where a price is asked for; `closed_at`: when its month was closed, None: it is open."""

    series_id: int
    start: int
    seconds: int
    closed_at: int | None


class Stored(NamedTuple):
    """A card as it was stored."""

    card: RateCard
    added_at: int
    """UTC epoch seconds."""
    used_until: int | None
    """The newest day that it priced; None: it prices nothing any more."""


class StoredCard(NamedTuple):
    """A card with what it was asked for."""

    key: RateKey
    card: RateCard
    added_at: int


Resolve = Callable[[RateKey, int, int], RateCard | None]
"""(key, start, seconds) -> the card in force at the start of a bucket of that width."""


class Cards:
    """Cards for one transaction, remembered in `rate` the first time each is used."""

    def __init__(self, conn: Connection, resolve: Resolve, now: int) -> None:
        self._conn = conn
        self._resolve = resolve
        self._now = now
        self._ids: dict[tuple[RateKey, RateCard], int] = {}

    def of(self, key: RateKey, at: Bucket) -> tuple[int, RateCard | None]:
        """The card of a bucket and its id; (UNPRICED, None) when nothing covers it.

        In a closed month the cards that priced it stay in force.
        """
        if at.closed_at is not None:
            return self._as_closed(key, at, at.closed_at)
        card = self._resolve(key, at.start, at.seconds)
        if card is None:
            # A library may forget a model; what was known once stays known.
            return self._stored_before(key, at.start, self._now)
        return self._taken(key, at.start, card)

    def foresee(self, key: RateKey, at: Bucket, card: RateCard) -> None:
        """Remember the next price that the list announces, as it is announced now.

        On its day it is then compared with this, not with the price that ends.
        """
        until = card.valid_until if LIST in card.source else None
        for _ in range(_LOOKED_AHEAD):
            after = None if until is None else self._resolve(key, until, 0)
            if until is None or after is None:
                return
            if (after.rates, after.tiers) != (card.rates, card.tiers):
                self.of(key, at._replace(start=until))
                return
            until = after.valid_until

    def _taken(self, key: RateKey, instant: int, card: RateCard) -> tuple[int, RateCard | None]:
        """The card, unless the price list changed its word by more than is taken unseen."""
        if (key, card) in self._ids or LIST not in card.source:
            return self._id_of(key, card), card
        rate_id, old = self._said_before(key, instant, card)
        if old is None or self._find(key, card) is not None:
            return self._id_of(key, card), card
        if too_large(old, card) and not confirmed(self._conn, key, old, card, self._now):
            return rate_id, old
        return self._id_of(key, card), card

    def _said_before(
        self, key: RateKey, instant: int, card: RateCard
    ) -> tuple[int, RateCard | None]:
        """What the card's source said of the instant, else the last that it said before it.

        The latter only of another version: one version contradicts itself neither at a change in
        the past nor from hour to hour.
        """
        rows = self._conn.execute(
            text(
                "SELECT * FROM rate WHERE account = :account AND provider = :provider"
                " AND model = :model AND context = :context AND source = :source"
                " AND valid_from <= :at AND (valid_until IS NULL OR valid_until > :at"
                " OR (source_version <> :version AND valid_until - valid_from >= :long))"
                " ORDER BY valid_from DESC, added_at DESC"
            ),
            {
                **key._asdict(),
                "source": card.source,
                "at": instant,
                "version": card.source_version,
                "long": BY_THE_HOUR,
            },
        ).mappings()
        found = [(row["id"], _card(row)) for row in rows]
        holding = (pair for pair in found if pair[1].holds(instant))
        return next(holding, found[0] if found else (UNPRICED, None))

    def _as_closed(self, key: RateKey, at: Bucket, closed_at: int) -> tuple[int, RateCard | None]:
        used = self._used(at)
        if not used:
            return self._stored_before(key, at.start, closed_at)
        cards = [(rate_id, self._load(rate_id)) for rate_id in used if rate_id != UNPRICED]
        fitting = [pair for pair in cards if pair[1].holds(at.start)] or cards
        return max(fitting, key=lambda pair: pair[1].valid_from, default=(UNPRICED, None))

    def _used(self, at: Bucket) -> list[int]:
        """Rate ids of the series' day, else of its nearest day, else of a series like it."""
        month = month_of(at.start)
        rows = self._conn.execute(
            text(
                "SELECT d.series_id <> :series AS other, d.day, d.rate_id FROM usage_day d"
                " JOIN series s ON s.id = d.series_id JOIN series m ON m.id = :series"
                " AND m.account_id = s.account_id AND m.provider = s.provider"
                " AND m.model = s.model AND m.tier = s.tier AND m.batch = s.batch"
                " WHERE d.day >= :start AND d.day < :end"
            ),
            dict(
                zip(("series", "start", "end"), (at.series_id, *month_bounds(month)), strict=True)
            ),
        ).all()
        day = utc_day(at.start)
        nearest = min(((bool(r[0]), abs(r[1] - day)) for r in rows), default=None)
        return [r[2] for r in rows if (bool(r[0]), abs(r[1] - day)) == nearest]

    def _load(self, rate_id: int) -> RateCard:
        row = self._conn.execute(text("SELECT * FROM rate WHERE id = :i"), {"i": rate_id})
        return _card(row.mappings().one())

    def _id_of(self, key: RateKey, card: RateCard) -> int:
        if (key, card) not in self._ids:
            self._ids[key, card] = self._find(key, card) or self._insert(key, card)
        return self._ids[key, card]

    def _find(self, key: RateKey, card: RateCard) -> int | None:
        rows = self._conn.execute(
            text(
                "SELECT * FROM rate WHERE account = :account AND provider = :provider"
                " AND model = :model AND context = :context AND valid_from = :valid_from"
                " ORDER BY added_at DESC"
            ),
            {**key._asdict(), "valid_from": card.valid_from},
        ).mappings()
        return next((row["id"] for row in rows if _same(_card(row), card)), None)

    def _insert(self, key: RateKey, card: RateCard) -> int:
        values = _row(key, card) | {"added_at": self._now}
        names = ", ".join(values)
        self._conn.execute(
            text(
                f"INSERT INTO rate ({names}) VALUES ({', '.join(':' + n for n in values)})"
                " ON CONFLICT DO NOTHING"
            ),
            values,
        )
        found = self._find(key, card)
        # Two cards of one key that start together, seen in the same second, need two instants.
        if found is None:
            self._now += 1
            return self._insert(key, card)
        return found

    def _stored_before(
        self, key: RateKey, instant: int, added_until: int
    ) -> tuple[int, RateCard | None]:
        row = (
            self._conn.execute(
                text(
                    "SELECT * FROM rate WHERE account = :account AND provider = :provider"
                    " AND model = :model AND context = :context AND valid_from <= :at"
                    " AND (valid_until IS NULL OR valid_until > :at) AND added_at <= :until"
                    " ORDER BY valid_from DESC, added_at DESC LIMIT 1"
                ),
                {**key._asdict(), "at": instant, "until": added_until},
            )
            .mappings()
            .first()
        )
        return (UNPRICED, None) if row is None else (row["id"], _card(row))


def stored_cards(conn: Connection, until: int) -> list[StoredCard]:
    """Every card that was known at an instant."""
    rows = conn.execute(text("SELECT * FROM rate WHERE added_at <= :t"), {"t": until}).mappings()
    return [
        StoredCard(
            RateKey(row["account"], row["provider"], row["model"], row["context"]),
            _card(row),
            row["added_at"],
        )
        for row in rows
    ]


def stored(conn: Connection) -> list[Stored]:
    """Every card that was ever used, by name, context and beginning."""
    rows = conn.execute(
        text(
            "SELECT r.*, u.used_until FROM rate r LEFT JOIN"
            " (SELECT rate_id, MAX(day) AS used_until FROM usage_day GROUP BY rate_id) u"
            " ON u.rate_id = r.id"
            " ORDER BY r.provider, r.model, r.context, r.account, r.valid_from, r.added_at"
        )
    ).mappings()
    return [Stored(_card(row), row["added_at"], row["used_until"]) for row in rows]


def _same(a: RateCard, b: RateCard) -> bool:
    return (a.rates, a.tiers, a.marks, a.source) == (b.rates, b.tiers, b.marks, b.source)


def _row(key: RateKey, card: RateCard) -> dict[str, Any]:
    tiers = [[tier.above_input_tokens, *tier.rates] for tier in card.tiers]
    return {
        **key._asdict(),
        "valid_from": card.valid_from,
        "valid_until": card.valid_until,
        **dict(zip(_RATE_COLUMNS, card.rates, strict=True)),
        "tiers": json.dumps(tiers),
        "marks": " ".join(card.marks),
        "source": card.source,
        "source_version": card.source_version,
        "checked_at": card.checked_at,
    }


def _card(row: RowMapping) -> RateCard:
    return RateCard(
        provider=row["provider"],
        model=row["model"],
        context=row["context"],
        valid_from=row["valid_from"],
        rates=Rates(*(row[name] for name in _RATE_COLUMNS)),
        tiers=tuple(Tier(tier[0], Rates(*tier[1:])) for tier in json.loads(row["tiers"])),
        valid_until=row["valid_until"],
        marks=tuple(row["marks"].split()),
        source=row["source"],
        source_version=row["source_version"],
        checked_at=row["checked_at"],
        account=row["account"],
    )
