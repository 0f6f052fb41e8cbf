"""Our own rates as a document: rows of a table file, checked and turned into dated rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from monitor.domain.aliases import canonical_context, provider_id
from monitor.domain.dated_rates import DatedAlias, DatedFactor, DatedRates, Window
from monitor.domain.money import usd
from monitor.domain.periods import WEEKDAYS
from monitor.domain.pricing import MAX_SOURCE, Rates, Tier, usd_per_million
from monitor.domain.usage import DAY

CERTAINTIES = ("published", "unverified")
"""published: a page of the provider says so. unverified: reported by others or remembered."""

_EVERY_HOUR = range(24)
_DATED = ("provider", "model", "source", "checked", "from", "to", "certainty")
_KEYS = {
    "rate": {*_DATED, "context", "usd_per_million", "tiers", "hours", "weekdays", "calendar"},
    "factor": {*_DATED, "context", "factor", "except", "classes"},
    "alias": {*_DATED, "billed_as"},
    "calendar": {"name", "days_off", "through", "source", "checked"},
}


class _Calendar(NamedTuple):
    """Days that do not count as working days, as far ahead as they were announced."""

    name: str
    days_off: frozenset[int]
    known_until: int
    """The first UTC midnight of which nobody has said yet whether its day counts."""


class RateTable(NamedTuple):
    """What we know besides the price list."""

    rates: tuple[DatedRates, ...] = ()
    factors: tuple[DatedFactor, ...] = ()
    aliases: tuple[DatedAlias, ...] = ()


def parse_rates(document: Mapping[str, Any]) -> RateTable:
    """The rows of `[[rate]]`, `[[factor]]` and `[[alias]]`, and the `[[calendar]]`s that they name.

    Rates are USD per million as text, `from` and `to` are dates or UTC instants, `to` excluded.

    Raises:
        ValueError: a row cannot be read; the message names it and the cause.
    """
    unknown = document.keys() - _KEYS.keys()
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: not one of {', '.join(_KEYS)}")
    calendars = {c.name: c for c in _rows(document, "calendar", _calendar)}
    rates = _rows(document, "rate", lambda row: _rates(row, calendars))
    return RateTable(
        tuple(row for rows in rates for row in rows),
        tuple(_rows(document, "factor", _factor)),
        tuple(_rows(document, "alias", _alias)),
    )


def _rows(
    document: Mapping[str, Any], kind: str, parse: Callable[[Mapping[str, Any]], Any]
) -> list[Any]:
    found = []
    for number, row in enumerate(document.get(kind, ()), start=1):
        try:
            _check(kind, row)
            found.append(parse(row))
        except (KeyError, TypeError, ValueError) as error:
            cause = f"{error} is missing" if isinstance(error, KeyError) else error
            named = row.get("model", row.get("name", ""))
            raise ValueError(f"{kind} {number} ({named}): {cause}") from None
    return found


def _check(kind: str, row: Mapping[str, Any]) -> None:
    unknown = row.keys() - _KEYS[kind]
    if unknown:
        raise ValueError(
            f"{', '.join(sorted(unknown))}: not one of {', '.join(sorted(_KEYS[kind]))}"
        )
    if not 0 < len(row["source"]) <= MAX_SOURCE:
        raise ValueError(f"source: 1 to {MAX_SOURCE} characters")
    if row.get("certainty", "published") not in CERTAINTIES:
        raise ValueError(f"certainty is not one of {', '.join(CERTAINTIES)}")
    begin, end = _instant(row.get("from")), _instant(row.get("to"))
    if end is not None and end <= (begin or 0):
        raise ValueError("to is not after from")


def _calendar(row: Mapping[str, Any]) -> _Calendar:
    days, through = frozenset(map(_epoch, row["days_off"])), _epoch(row["through"])
    _epoch(row["checked"])
    if not days or max(days) > through:
        raise ValueError("days_off: at least one, and none after through")
    return _Calendar(row["name"], days, through + DAY)


def _rates(row: Mapping[str, Any], calendars: Mapping[str, _Calendar]) -> list[DatedRates]:
    return [
        DatedRates(
            provider=provider_id(row["provider"]),
            model=model,
            rates=_card(row["usd_per_million"]),
            source=row["source"],
            checked_at=_epoch(row["checked"]),
            valid_from=_instant(row.get("from")) or 0,
            valid_until=_instant(row.get("to")),
            window=_window(row, calendars),
            context=canonical_context(row.get("context", "")),
            tiers=tuple(
                Tier(int(tier["above_input_tokens"]), _card(tier["usd_per_million"]))
                for tier in row.get("tiers", ())
            ),
            verified=_verified(row),
        )
        for model in _patterns(row["model"])
    ]


def _factor(row: Mapping[str, Any]) -> DatedFactor:
    factor = usd(row["factor"])
    if factor <= 0:
        raise ValueError(f"{factor} is no factor: it must be above 0")
    classes = tuple(row.get("classes", ()))
    if not set(classes) <= set(Rates._fields):
        raise ValueError(f"classes: not all of {', '.join(classes)} are rates")
    return DatedFactor(
        provider=provider_id(row["provider"]),
        models=_patterns(row["model"]),
        context=canonical_context(row["context"]),
        factor=Decimal(factor),
        source=row["source"],
        checked_at=_epoch(row["checked"]),
        excluded=_patterns(row.get("except", ())),
        classes=classes,
        valid_from=_instant(row.get("from")) or 0,
        valid_until=_instant(row.get("to")),
        verified=_verified(row),
    )


def _alias(row: Mapping[str, Any]) -> DatedAlias:
    return DatedAlias(
        provider=provider_id(row["provider"]),
        models=_patterns(row["model"]),
        billed_as=row["billed_as"],
        source=row["source"],
        checked_at=_epoch(row["checked"]),
        valid_from=_instant(row.get("from")) or 0,
        valid_until=_instant(row.get("to")),
        verified=_verified(row),
    )


def _card(amounts: Mapping[str, str]) -> Rates:
    return usd_per_million(**amounts)


def _patterns(value: str | Sequence[str]) -> tuple[str, ...]:
    patterns = (value,) if isinstance(value, str) else tuple(value)
    return tuple(pattern.lower() for pattern in patterns)


def _verified(row: Mapping[str, Any]) -> bool:
    return bool(row.get("certainty", "published") == "published")


def _window(row: Mapping[str, Any], calendars: Mapping[str, _Calendar]) -> Window | None:
    if not {"hours", "weekdays", "calendar"} & row.keys():
        return None
    hours = frozenset(row.get("hours", _EVERY_HOUR))
    days = frozenset(WEEKDAYS.index(day) for day in row.get("weekdays", WEEKDAYS))
    if not hours <= frozenset(_EVERY_HOUR):
        raise ValueError("hours: whole hours of the UTC day, 0 to 23")
    if "calendar" not in row:
        return Window(hours, days)
    if row["calendar"] not in calendars:
        raise ValueError(f"calendar: {row['calendar']!r} is none of {', '.join(calendars)}")
    calendar = calendars[row["calendar"]]
    return Window(hours, days, calendar.days_off, calendar.known_until)


def _instant(value: date | datetime | None) -> int | None:
    return None if value is None else _epoch(value)


def _epoch(value: date | datetime) -> int:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if value.tzinfo is None:
        raise ValueError(f"{value} has no zone: write it in UTC, with Z")
    return int(value.timestamp())
