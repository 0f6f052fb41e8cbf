"""A LiteLLM proxy, read over HTTP: its request log, summed by the hour, or its daily sums.

It knows no bill: what the proxy calls spend is its own estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from collectors import litellm_daily as daily
from collectors.http import DEFAULT_LIMITS, Http, Limits
from collectors.litellm_rows import (
    DEFAULT_GROUP_BY,
    GROUPS,
    NO_TOKENS,
    STREAM,
    Chosen,
    Count,
    logged_at,
    notes,
    reader,
)
from collectors.window import (
    Answer,
    Cursors,
    Source,
    Taken,
    all_pages,
    asked_until,
    decoded,
    each,
    joined,
    require_days,
    require_groups,
    utc,
    whole,
)
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR
from monitor.ports import Read, StreamSpec

BASE_URL = "http://127.0.0.1:4000"

_PAGE_ROWS = 1_000
_CAP = 10_000
"""As far as the proxy counts."""
_READINGS = 3
"""Of a slice in which rows came or went between its pages."""
_MASTER_KEY = (
    "It needs the proxy's master key or an admin's: the key of a user sees only their own rows"
)


class _Page(msgspec.Struct):
    data: list[Any]
    total: Count
    page: int
    total_pages: int
    total_is_capped: bool | None = None
    """None: this proxy is too old to say."""

    @property
    def capped(self) -> bool:
        if self.total_is_capped is None:
            return self.total >= _CAP
        return self.total_is_capped


# --- A window: slices that the proxy counts in full ---


class _Slice(NamedTuple):
    """What was asked for, both ends included: rows of the second `end` belong to the next one."""

    start: int
    end: int


class _Part(NamedTuple):
    answer: Answer
    results: int
    left: Counter[str]
    """Requests that are told of, by the note."""


class _TooLarge(Exception):
    """The proxy counts no further than to its cap."""


class _Moved(SourceError):
    """Fewer rows came than were counted."""

    def __init__(self, source: str, since: int, counted: int, came: int) -> None:
        super().__init__(
            source,
            f"{STREAM}: {counted:,} requests from {utc(since)} on were named and {came:,} came",
            "Nothing of this read was kept; it is tried again at the next poll",
        )
        self.counted = counted


class LiteLLM(Source):
    """A LiteLLM proxy, read with its master key.

    Args:
        key: the master key, or an admin's.
        base_url: where the proxy is.
        bucket: the width of the sums of the request log.
        api: `logs`, the request log; `daily`, the sums of a proxy that keeps none.
        group_by: dimensions beside provider and model, in the proxy's words.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str,
        *,
        base_url: str = BASE_URL,
        bucket: Literal["1h", "1d"] = "1h",
        api: Literal["logs", "daily"] = "logs",
        group_by: Sequence[str] = DEFAULT_GROUP_BY,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_groups(name, group_by, GROUPS, "providers and models")
        if api not in ("logs", "daily"):
            raise InputError(
                f"source {name}: api cannot be {api!r}", "Use logs, or daily for the daily sums"
            )
        self._daily = api == "daily"
        self._group_by = frozenset(group_by)
        self._row = reader(account, bucket, group_by)
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(name, base_url, headers, denied=_MASTER_KEY, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """The requests; a day of the log at a time, so that a busy proxy's reading can go on."""
        return [StreamSpec(STREAM, "usage", daily.CHUNK_DAYS if self._daily else 1)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The sums of the UTC days [start, end).

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        if self._daily:
            return self._read_days(stream, start, end, now)
        last = asked_until(end, now)
        slices: list[_Slice] = []
        parts = list(self._parts(_Slice(start, last), slices)) if start < last else []
        left = sum((part.left for part in parts), Counter[str]())
        return Read(
            start if parts else end,
            end,
            *joined(part.answer for part in parts),
            request={"stream": stream, "slices": [[utc(at) for at in each_] for each_ in slices]},
            notes=notes(left),
            results=sum(part.results for part in parts),
        )

    def _read_days(self, stream: str, start: int, end: int, now: int) -> Read:
        last = min(end, now - now % DAY + DAY)
        if start >= last:
            return Read(end, end, [], [], 0, {"stream": stream})
        asked = daily.asked(start, last)
        found = self._sums(asked, start, last)
        told = {
            "failed requests are in the sums, with the prompt tokens that the proxy guessed": (
                found.failed
            ),
            NO_TOKENS: found.bare,
        }
        return Read(
            start=start,
            end=end,
            rows=found.rows,
            problems=found.problems,
            pages=1,
            request={"stream": stream, "path": daily.PATH, **dict(asked)},
            notes=[f"{count:,} {note}" for note, count in told.items() if count],
        )

    def _sums(self, asked: list[tuple[str, str]], start: int, end: int) -> daily.Sums:
        body = self._http.get(daily.PATH, asked)
        try:
            return daily.sums(body, start, end, self.account, self._group_by)
        except ValueError as error:
            raise SourceError(
                self.name, f"{daily.PATH}: {error}", "Check base_url, or read the request log"
            ) from None

    def probe(self, now: int) -> str:
        """Read one row of the last hour, or today's sums; raises SourceError."""
        if self._daily:
            today = now - now % DAY
            found = self._sums(daily.asked(today, today + DAY), today, today + DAY)
            return f"{len(found.rows):,} daily sums of today"
        body = self._http.get(STREAM, _asked(_Slice(now - HOUR, now), "1", rows=1))
        try:
            page = decoded(body, _Page, "the request log")
        except ValueError as error:
            raise SourceError(self.name, f"{STREAM}: {error}", "Check base_url") from None
        more = "at least " if page.capped else ""
        return f"{more}{page.total:,} requests in the last hour"

    def _parts(self, whole: _Slice, asked: list[_Slice]) -> Iterator[_Part]:
        """The window in slices, each small enough for the proxy to count."""
        waiting = [whole]
        while waiting:
            piece = waiting.pop()
            try:
                part = self._settled(piece)
            except (_TooLarge, _Moved) as error:
                middle = (piece.start + piece.end) // 2
                alone = middle == piece.start
                # Rows of one instant may change places between two pages; one page holds all.
                if isinstance(error, _Moved) and (alone or error.counted <= _PAGE_ROWS):
                    raise
                if alone:
                    raise SourceError(
                        self.name,
                        f"{STREAM}: the second {utc(piece.start)} has more requests than the"
                        " proxy counts",
                        "Read the proxy's database instead: kind litellm_database",
                        permanent=True,
                    ) from None
                waiting += [_Slice(middle, piece.end), _Slice(piece.start, middle)]
                continue
            asked.append(piece)
            yield part

    def _settled(self, piece: _Slice) -> _Part:
        """A slice, once none of its rows was added or deleted while it was read."""
        for _ in range(_READINGS - 1):
            with suppress(_Moved):
                return self._part(piece)
        return self._part(piece)

    def _part(self, piece: _Slice) -> _Part:
        """All pages of one slice; its rows are summed at once, so that a busy day stays small."""
        total = -1
        seen: set[str] = set()
        chosen = Chosen()

        def take(body: bytes, place: str) -> Taken:
            nonlocal total
            page = decoded(body, _Page, "the request log")
            if page.capped:
                raise _TooLarge
            total = max(total, page.total)
            fresh = []
            for call in page.data:
                name = str(call.get("request_id")) if isinstance(call, dict) else repr(call)
                if name not in seen:
                    seen.add(name)
                    fresh.append(call)
            own = [call for call in fresh if _begins_before(call, piece.end)]
            counted = [call for call in own if chosen.admit(call)]
            rows, problems = each(counted, lambda call: self._row(call, piece.start), place)
            return Taken(rows, problems, page.page < page.total_pages, str(page.page + 1))

        def ask(cursor: str | None) -> bytes:
            return self._http.get(STREAM, _asked(piece, cursor or "1"))

        answer = all_pages(self.name, STREAM, whole(ask), take, Cursors())
        if len(seen) < total:
            raise _Moved(self.name, piece.start, total, len(seen))
        return _Part(joined([answer]), len(answer.rows), chosen.left)


def _begins_before(call: object, end: int) -> bool:
    """False: it belongs to the next slice. What cannot be told is looked at with the rest."""
    try:
        return logged_at(call["startTime"]) < end  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return True


def _asked(piece: _Slice, page: str, rows: int = _PAGE_ROWS) -> list[tuple[str, str]]:
    """The parameters; without a time of day the proxy would leave out the last day."""
    first, last = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for at in (piece.start, piece.end)
    )
    return [
        ("start_date", first),
        ("end_date", last),
        ("page", page),
        ("page_size", str(rows)),
        ("sort_by", "startTime"),
        ("sort_order", "asc"),
    ]
