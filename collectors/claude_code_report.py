"""Anthropic's report on Claude Code: `GET /v1/organizations/usage_report/claude_code`, by person.

It tells who used the tokens that the organization's usage has anyway. So it is a source of its own,
beside the one that counts: what it reports must never be added to that.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, Limits
from collectors.window import (
    Answer,
    Cursors,
    Overlap,
    Row,
    Source,
    Taken,
    all_pages,
    decoded,
    each,
    fit,
    instant,
    joined,
    require_days,
    whole,
)
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, MAX_COUNT, Dimensions, Problem, Quantities, UsageRow
from monitor.ports import Read, StreamSpec

BASE_URL = "https://api.anthropic.com"

_STREAM = "claude_code"
_PATH = "v1/organizations/usage_report/claude_code"
_RECORDS = 1_000
_CHUNK_DAYS = 7
"""Each day is a question of its own."""
_VERSION = {"anthropic-version": "2023-06-01"}
_ADMIN_KEY = (
    "It needs an Admin key (sk-ant-admin...), which an admin of the organization creates in the"
    " Console: keys of a workspace cannot read this report"
)

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Page(msgspec.Struct):
    data: list[Any]
    has_more: bool
    next_page: str | None = None


class _Actor(msgspec.Struct):
    type: str
    email_address: str | None = None
    api_key_name: str | None = None


class _Tokens(msgspec.Struct):
    input: _Count
    output: _Count
    cache_read: _Count
    cache_creation: _Count


class _Model(msgspec.Struct):
    model: str
    tokens: _Tokens


class _Record(msgspec.Struct):
    """What one person or key did on one day, by model."""

    date: str
    actor: _Actor
    model_breakdown: list[Any]
    customer_type: str = "api"


def _record(result: object, *, day: int) -> _Record:
    record = fit(result, _Record)
    if record.date[:10] != instant(day)[:10]:
        raise ValueError(f"it is of {clean_name(record.date)}, not of {instant(day)[:10]}")
    return record


def _row(result: object, *, record: _Record, day: int, account: str, people: bool) -> UsageRow:
    part = fit(result, _Model)
    dims = Dimensions(
        account=account,
        provider="anthropic",
        model=clean_name(part.model),
        api_key=clean_name(record.actor.api_key_name or ""),
        actor=clean_name(record.actor.email_address or "") if people else "",
    )
    quantities = Quantities(
        uncached_input=part.tokens.input,
        cache_read=part.tokens.cache_read,
        # How long they live is not told; five minutes is what the tool asks for.
        cache_write=part.tokens.cache_creation,
        output=part.tokens.output,
    )
    return UsageRow(dims, day, DAY, quantities)


class ClaudeCodeReport(Source):
    """The Claude Code report of an Anthropic organization, read with an Admin key.

    Args:
        key: the Admin key.
        base_url: where the API is.
        people: keep e-mail addresses, as the actor; else only the names of keys are kept.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str,
        *,
        base_url: str = BASE_URL,
        people: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if not isinstance(people, bool):
            raise InputError(f"source {name}: people is {people!r}", "Write true or false")
        self._people = people
        self._http = Http(
            name,
            base_url,
            {"x-api-key": key},
            headers=_VERSION,
            denied=_ADMIN_KEY,
            limits=limits,
        )
        super().__init__(name, account, self._http)

    def streams(self) -> list[StreamSpec]:
        """The report."""
        return [StreamSpec(_STREAM, "usage", _CHUNK_DAYS)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All rows of the UTC days in [start, end) that have an hour which can be reported.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        seats: list[str] = []
        days = range(start, min(end, now - HOUR), DAY)
        answers = [self._answer(day, seats) for day in days]
        said = f"{len(seats):,} records of subscriptions are not counted: they are no API spend"
        return Read(
            start if answers else end,
            end,
            *joined(answers),
            request={"stream": stream, "days": [instant(day)[:10] for day in days]},
            notes=[said] if seats else [],
        )

    def probe(self, now: int) -> str:
        """Read yesterday's report; raises SourceError."""
        day = now - now % DAY - DAY
        return f"{self._answer(day, []).tokens:,} tokens of Claude Code on {instant(day)[:10]}"

    def _answer(self, day: int, seats: list[str]) -> Answer:
        """All pages of one day."""
        asked = [("starting_at", instant(day)[:10]), ("limit", str(_RECORDS))]
        overlap = Overlap()

        def ask(cursor: str | None) -> bytes:
            return self._http.get(_PATH, asked if cursor is None else [*asked, ("page", cursor)])

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "the Claude Code report")
            rows, problems = self._rows(overlap.fresh(page.data), day, place, seats)
            return Taken(rows, problems, page.has_more, page.next_page, empty=not page.data)

        return all_pages(self.name, _STREAM, whole(ask), take, Cursors())

    def _rows(
        self, records: list[Any], day: int, place: str, seats: list[str]
    ) -> tuple[list[Row], list[Problem]]:
        place = f"{place} of {instant(day)[:10]}"
        found, problems = each(records, partial(_record, day=day), place)
        rows: list[Row] = []
        for record in found:
            if record.customer_type == "subscription":
                seats.append(place)
                continue
            read = partial(_row, record=record, day=day, account=self.account, people=self._people)
            parts = each(record.model_breakdown, read, place)
            rows += parts[0]
            problems += parts[1]
        return rows, problems
