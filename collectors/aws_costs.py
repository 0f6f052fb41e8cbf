"""What Amazon bills: Cost Explorer's `GetCostAndUsage` by day, service and kind of usage.

Every page costs a cent, so the stream asks for a few polls a day. Amounts are decimal text and
stay exact; days that Amazon still calls estimated are read again until it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from collectors.amazon import Amazon, Api, Login
from collectors.http import DEFAULT_LIMITS, Limits
from collectors.window import (
    Answer,
    Buckets,
    Cursors,
    Row,
    Source,
    Taken,
    Width,
    all_pages,
    decoded,
    each,
    first_of_months_ago,
    instant,
    merged,
    pico_of,
    require_currency,
    require_days,
    require_hours,
    require_names,
    utc,
)
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, BillRow, Dimensions
from monitor.ports import Read, StreamSpec

BASE_URL = "https://ce.us-east-1.amazonaws.com"
EVERY = 8 * HOUR
KEPT_MONTHS = 13
"""Whole months before this one that Cost Explorer still has."""

Metric = Literal["UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost"]

_API = Api("ce", "AWSInsightsIndexService", "1.1", "NextPageToken")
_REGION = "us-east-1"
_STREAM = "costs"
_GROUPS = ("SERVICE", "USAGE_TYPE")
_WORD = "bedrock"
_CHUNK_DAYS = 400
"""All that there is in one question, since each costs at least one page."""
_COSTS = StreamSpec(_STREAM, "bill", _CHUNK_DAYS, overlap_days=7, settle=2 * DAY)
_WIDTH = Width("a day", DAY, _CHUNK_DAYS)
_RIGHTS = (
    "It needs a key or a role that may call ce:GetCostAndUsage and ce:GetDimensionValues, in an"
    " account where Cost Explorer is switched on"
)


class _Period(msgspec.Struct):
    start: str = msgspec.field(name="Start")
    end: str = msgspec.field(name="End")


class _Day(msgspec.Struct):
    period: _Period = msgspec.field(name="TimePeriod")
    groups: list[Any] = msgspec.field(name="Groups", default_factory=list)
    estimated: bool = msgspec.field(name="Estimated", default=False)


class _Page(msgspec.Struct):
    days: list[_Day] = msgspec.field(name="ResultsByTime")
    following: str | None = msgspec.field(name="NextPageToken", default=None)


class _Amount(msgspec.Struct):
    amount: str = msgspec.field(name="Amount")
    unit: str = msgspec.field(name="Unit")


class _Group(msgspec.Struct):
    keys: tuple[str, str] = msgspec.field(name="Keys")
    metrics: dict[str, _Amount] = msgspec.field(name="Metrics")


class _Name(msgspec.Struct):
    value: str = msgspec.field(name="Value")


class _Names(msgspec.Struct):
    values: list[_Name] = msgspec.field(name="DimensionValues")
    following: str | None = msgspec.field(name="NextPageToken", default=None)


def _row(result: object, *, day: int, metric: str, account: str) -> BillRow:
    found = msgspec.convert(result, _Group)
    service, usage = found.keys
    amount = found.metrics.get(metric)
    if amount is None:
        raise ValueError(f"it has no {metric}")
    currency = require_currency(amount.unit)
    return BillRow(
        Dimensions(account=account, provider="aws"),
        day,
        clean_name(f"{service}: {usage}"),
        pico_of(Decimal(amount.amount), currency),
        currency,
    )


class _Found(NamedTuple):
    answer: Answer
    estimated: list[int]
    """Days that Amazon has not closed."""


class AWSCosts(Source):
    """The bill of an Amazon account.

    Args:
        key: see `amazon.Login`; empty: what the AWS libraries find.
        base_url: where Cost Explorer is.
        services: names of billed services; none: all that have Bedrock in their name.
        metric: which cost.
        every_hours: the least time between two polls.
        profile: of the shared credentials.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str = "",
        *,
        base_url: str = BASE_URL,
        services: Sequence[str] = (),
        metric: Metric = "UnblendedCost",
        every_hours: float = EVERY / HOUR,
        profile: str = "",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_names(name, "services", services)
        if metric not in get_args(Metric):
            known = ", ".join(get_args(Metric))
            raise InputError(f"source {name}: metric cannot be {metric!r}", f"Use one of {known}")
        require_hours(name, every_hours)
        self._services = tuple(services)
        self._metric = metric
        self._every = int(every_hours * HOUR)
        login = Login(name, key, profile)
        self._client = Amazon(name, base_url, login, _API, _REGION, denied=_RIGHTS, limits=limits)
        super().__init__(name, account, self._client)

    def streams(self) -> Sequence[StreamSpec]:
        """The costs, at a pace of their own."""
        return [_COSTS._replace(every=self._every)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All costs of the UTC days [start, end), as far as Amazon still has them.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        notes: list[str] = []
        kept = first_of_months_ago(now, KEPT_MONTHS)
        first = min(end, max(start, kept))
        if start < kept:
            notes.append(f"Cost Explorer has nothing before {utc(kept)[:10]}")
        until = min(end, now - now % DAY + DAY)
        services, pages = self._named(first, until) if first < until else ((), 0)
        found = self._answer(services, first, until) if services else _Found(Answer([], [], 0), [])
        if found.estimated:
            days = len(set(found.estimated))
            notes.append(
                f"Amazon still estimates {days} days from {utc(min(found.estimated))[:10]}"
            )
        return Read(
            start=first,
            end=end,
            rows=merged(found.answer.rows),
            problems=found.answer.problems,
            pages=found.answer.pages + pages,
            request={
                "stream": stream,
                "from": utc(first)[:10],
                "to": utc(until)[:10],
                "services": list(services),
                "metric": self._metric,
            },
            notes=notes,
        )

    def probe(self, now: int) -> str:
        """Ask which services were billed yesterday, which costs a cent; raises SourceError."""
        today = now - now % DAY
        services, _ = self._listed(today - DAY, today)
        return f"{', '.join(services) or 'no Bedrock service'} billed on {utc(today - DAY)[:10]}"

    def _named(self, start: int, end: int) -> tuple[Sequence[str], int]:
        """The services to ask for, and how many pages it took to know."""
        return (self._services, 0) if self._services else self._listed(start, end)

    def _listed(self, start: int, end: int) -> tuple[Sequence[str], int]:
        """Services with Bedrock in their name: other makers of models have names of their own."""
        names: list[str] = []

        def take(body: bytes, place: str) -> Taken:
            del place
            page = decoded(body, _Names, "services")
            names.extend(name.value for name in page.values)
            return Taken([], [], page.following is not None, page.following)

        asked = {
            "TimePeriod": _period(start, end),
            "Dimension": "SERVICE",
            "SearchString": "Bedrock",
        }
        ask = self._client.asking("GetDimensionValues", asked)
        answer = all_pages(self.name, "services", ask, take, Cursors())
        return sorted(name for name in set(names) if _WORD in name.casefold()), answer.pages

    def _answer(self, services: Sequence[str], start: int, end: int) -> _Found:
        buckets = Buckets(start, end, _WIDTH)
        estimated: list[int] = []
        asked = {
            "TimePeriod": _period(start, end),
            "Granularity": "DAILY",
            "Metrics": [self._metric],
            "GroupBy": [{"Type": "DIMENSION", "Key": key} for key in _GROUPS],
            "Filter": {"Dimensions": {"Key": "SERVICE", "Values": list(services)}},
        }

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "costs")
            rows: list[Row] = []
            problems = []
            for day in page.days:
                at = _day(day.period.start)
                _admit(buckets, day, at)
                estimated.extend([at] if day.estimated else [])
                read = partial(_row, day=at, metric=self._metric, account=self.account)
                found = each(day.groups, read, f"{place}, {day.period.start}")
                rows += found[0]
                problems += found[1]
            return Taken(rows, problems, page.following is not None, page.following)

        ask = self._client.asking("GetCostAndUsage", asked)
        return _Found(all_pages(self.name, _STREAM, ask, take, Cursors()), estimated)


def _admit(buckets: Buckets, day: _Day, at: int) -> None:
    """Take in a day's groups: a long day may go on on the next page, a group may not."""
    end = _day(day.period.end)
    for group in day.groups:
        keys = group.get("Keys") if isinstance(group, dict) else None
        buckets.admit(at, end, str(keys) if keys else object())


def _period(start: int, end: int) -> dict[str, str]:
    return {"Start": instant(start)[:10], "End": instant(end)[:10]}


def _day(text: str) -> int:
    """The midnight of a date; raises ValueError."""
    return int(datetime.fromisoformat(text[:10]).replace(tzinfo=UTC).timestamp())
