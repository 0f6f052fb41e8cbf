"""Quotes: rows of text in, priced rows out. A row that cannot be read stops no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from monitor.domain.aliases import canonical_context
from monitor.domain.money import ZERO, plain
from monitor.domain.pricing import Priced, RateCard, price, tier_excess
from monitor.domain.rate_lookup import Resolver
from monitor.domain.usage import MAX_COUNT, QUANTITY_FIELDS, Quantities

COLUMNS = (
    "id",
    "provider",
    "model",
    "at",
    "requests",
    "uncached_input",
    "cache_read",
    "cache_write",
    "cache_write_long",
    "output",
    "context",
)
MORE_COLUMNS = (*(name for name in QUANTITY_FIELDS if name not in COLUMNS), "account", "seconds")
"""Columns that a file may have besides: other classes, the billed account, a bucket's width."""

Row = Mapping[str | None, object]
"""One row as `csv.DictReader` gives it."""


class Quote(NamedTuple):
    """One answer."""

    id: str
    place: str
    """Where the row stood, such as `line 17`."""
    priced: Priced
    card: RateCard | None = None

    @property
    def usd(self) -> str:
        """The exact amount as a plain decimal; '' where it is unknown."""
        return "" if self.priced.usd is None else plain(self.priced.usd)


def quote_rows(rows: Iterable[tuple[str, Row]], resolver: Resolver) -> Iterator[Quote]:
    """Price rows of `COLUMNS`, in their order.

    An empty count is unknown, an empty `requests` is 1, and more than one request is a bucket: no
    long-context tier is applied to it. A row that cannot be read has the flag `bad_row` and the
    cause as its reason.
    """
    for place, row in rows:
        try:
            yield _quote(place, row, resolver)
        except ValueError as error:
            yield Quote(str(row.get("id") or ""), place, Priced(None, str(error), ("bad_row",)))


def _quote(place: str, row: Row, resolver: Resolver) -> Quote:
    if None in row or None in row.values():
        raise ValueError("the row has more or fewer cells than the header")
    cells = {str(name): str(cell).strip() for name, cell in row.items()}
    provider, model, at = cells["provider"], cells["model"], _instant(cells["at"])
    if not model or not provider:
        raise ValueError("provider and model must both be given")
    quantities = Quantities(**{name: _count(name, cells) for name in QUANTITY_FIELDS})
    if quantities.requests is None:
        quantities = quantities._replace(requests=1)
    card = resolver.card(
        provider,
        model,
        at,
        canonical_context(cells["context"]),
        cells.get("account", ""),
        _count("seconds", cells) or 0,
    )
    priced = price(quantities, card)
    if card is None:
        priced = priced._replace(reason=f"no rate for {provider} {model} on {cells['at'][:10]}")
    else:
        priced = priced._replace(reason="; ".join(_reasons(priced, card, quantities)))
    return Quote(cells["id"], place, priced, card)


def _reasons(priced: Priced, card: RateCard, quantities: Quantities) -> Iterator[str]:
    """What a reader wants to know about the flags."""
    if priced.reason:
        yield priced.reason
    if card.not_priced:
        yield f"no rate for {', '.join(card.not_priced)}"
    if "tier_unknown" in priced.flags:
        more = Priced(tier_excess(quantities, card)).usd
        yield f"tier unknown, up to +{plain(more or ZERO)} USD"


def _count(name: str, cells: Mapping[str, str]) -> int | None:
    text = cells.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_COUNT:
        raise ValueError(f"{name}: {text[:40]!r} is no whole number of at most 10^15")
    return int(text)


def _instant(text: str) -> int:
    """UTC epoch seconds of `2026-11-20T12:00:00Z`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or not text.endswith("Z"):
        raise ValueError(f"at: {text[:40]!r} is not a UTC time such as 2026-11-20T12:00:00Z")
    return int(at.timestamp())
