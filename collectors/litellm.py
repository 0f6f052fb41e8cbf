"""A LiteLLM proxy, read over HTTP: `GET /spend/logs/v2`, one row a request, summed by the hour.

The proxy counts cached tokens into `prompt_tokens` for every provider, and knows no bill: what it
calls spend is its own estimate. A failed request's tokens are the proxy's guess, and an answer out
of its cache cost nobody anything, so neither is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, Limits
from collectors.window import (
    Cursors,
    Row,
    Taken,
    all_pages,
    asked_until,
    decoded,
    each,
    fit,
    merged,
    require_days,
    require_groups,
    utc,
    whole,
)
from monitor.domain.aliases import provider_id
from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name
from monitor.domain.usage import (
    DAY,
    HOUR,
    MAX_COUNT,
    Dimensions,
    Problem,
    Quantities,
    UsageRow,
)
from monitor.ports import Read, StreamSpec

BASE_URL = "http://127.0.0.1:4000"
GROUPS = ("team_id", "api_key", "user")
DEFAULT_GROUP_BY = ("team_id", "api_key")

_STREAM = "spend/logs/v2"
_PAGE_ROWS = 1_000
_CAP = 10_000
"""As far as the proxy counts."""
_READINGS = 3
"""Of a slice in which rows came or went between its pages."""
_SECONDS = {"1h": HOUR, "1d": DAY}
_MASTER_KEY = (
    "It needs the proxy's master key or an admin's: the key of a user sees only their own rows"
)

# --- One page: pure functions from bytes to rows ---

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Page(msgspec.Struct):
    data: list[Any]
    total: _Count
    page: int
    total_pages: int
    total_is_capped: bool | None = None
    """None: this proxy is too old to say."""

    @property
    def capped(self) -> bool:
        if self.total_is_capped is None:
            return self.total >= _CAP
        return self.total_is_capped


class _Details(msgspec.Struct):
    """Parts of a total, in the words of several providers; the proxy fills what it was told."""

    cached_tokens: _Count | None = None
    cache_creation_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    cache_creation_token_details: dict[str, _Count | None] | None = None


class _UsageObject(msgspec.Struct):
    service_tier: str | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Metadata(msgspec.Struct):
    usage_object: _UsageObject | None = None


class _Call(msgspec.Struct):
    request_id: str
    startTime: str  # noqa: N815 - the proxy's name
    prompt_tokens: _Count
    completion_tokens: _Count
    model: str | None = None
    custom_llm_provider: str | None = None
    api_key: str | None = None
    team_id: str | None = None
    user: str | None = None
    metadata: _Metadata | str | None = None


def _row(
    call: object, *, start: int, seconds: int, account: str, group_by: frozenset[str]
) -> UsageRow:
    found = fit(call, _Call)
    used = _metadata(found).usage_object or _UsageObject()
    at = _epoch(found.startTime)
    if at < start:
        raise ValueError("it lies before the window that was asked for")

    def chosen(name: str) -> str:
        return clean_name(getattr(found, name) or "") if name in group_by else ""

    dims = Dimensions(
        account=account,
        provider=provider_id(found.custom_llm_provider or ""),
        model=clean_name(_model(found)),
        project=chosen("team_id"),
        api_key=chosen("api_key"),
        actor=chosen("user"),
        tier=clean_name(used.service_tier or ""),
    )
    return UsageRow(dims, at - at % seconds, seconds, _quantities(found, used))


def _metadata(found: _Call) -> _Metadata:
    """What the proxy keeps of a request beside its columns; as text where its database does."""
    if isinstance(found.metadata, str):
        return decoded(found.metadata.encode() or b"{}", _Metadata, "its metadata")
    return found.metadata or _Metadata()


def _epoch(text: str) -> int:
    """An instant of the log; its table holds UTC and names no zone."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _model(found: _Call) -> str:
    """The provider's own name of the model: the proxy puts the provider before it."""
    model, provider = found.model or "", found.custom_llm_provider
    return model.removeprefix(f"{provider}/") if provider else model


def _quantities(found: _Call, used: _UsageObject) -> Quantities:
    """The disjoint classes of one request.

    Raises:
        ValueError: its parts are more than their total.
    """
    inside = used.prompt_tokens_details or _Details()
    answered = used.completion_tokens_details or _Details()
    read = _largest(used.cache_read_input_tokens, inside.cached_tokens)
    written = _largest(
        used.cache_creation_input_tokens, inside.cache_creation_tokens, inside.cache_write_tokens
    )
    lives = inside.cache_creation_token_details or {}
    long = min(written or 0, lives.get("ephemeral_1h_input_tokens") or 0)
    uncached = found.prompt_tokens - (read or 0) - (written or 0) - (inside.audio_tokens or 0)
    output = found.completion_tokens - (answered.audio_tokens or 0)
    if min(uncached, output) < 0:
        raise ValueError("its parts are more than its prompt_tokens or completion_tokens")
    return Quantities(
        uncached_input=uncached,
        cache_read=read,
        cache_write=None if written is None else written - long,
        cache_write_long=None if written is None else long,
        output=output,
        audio_input=inside.audio_tokens,
        audio_output=answered.audio_tokens,
        reasoning=answered.reasoning_tokens,
        requests=1,
    )


def _largest(*counts: int | None) -> int | None:
    """The largest of what is known: a zero beside it is a field that was not filled."""
    return max((count for count in counts if count is not None), default=None)


# --- A window: slices that the proxy counts in full ---


class _Slice(NamedTuple):
    """What was asked for, both ends included: rows of the second `end` belong to the next one."""

    start: int
    end: int


class _Part(NamedTuple):
    rows: list[Row]
    problems: list[Problem]
    pages: int
    skipped: int
    """Requests that failed, or that the proxy answered out of its cache."""


class _TooLarge(Exception):
    """The proxy counts no further than to its cap."""


class _Moved(SourceError):
    """Fewer rows came than were counted."""


class LiteLLM:
    """A LiteLLM proxy, read with its master key.

    Args:
        name: the source's configured name.
        account: who is billed.
        key: the master key, or an admin's.
        base_url: where the proxy is.
        bucket: the width of the sums.
        group_by: dimensions beside provider and model, in the proxy's words.
        limits: times, sizes and attempts of one exchange.
        pace: see `Http`.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str,
        *,
        base_url: str = BASE_URL,
        bucket: Literal["1h", "1d"] = "1h",
        group_by: Sequence[str] = DEFAULT_GROUP_BY,
        limits: Limits = DEFAULT_LIMITS,
        pace: Callable[[float], float] = float,
    ) -> None:
        require_groups(name, group_by, GROUPS, "providers and models")
        self.name = name
        self.account = account
        self._read_row = partial(
            _row, seconds=_SECONDS[bucket], account=account, group_by=frozenset(group_by)
        )
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(name, base_url, headers, denied=_MASTER_KEY, limits=limits, pace=pace)

    def streams(self) -> Sequence[StreamSpec]:
        """The request log; a day at a time, so that a busy proxy's reading can go on."""
        return [StreamSpec(_STREAM, "usage", 1)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The sums of the UTC days [start, end).

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        last = asked_until(end, now)
        slices: list[_Slice] = []
        parts = list(self._parts(_Slice(start, last), slices)) if start < last else []
        skipped = sum(part.skipped for part in parts)
        return Read(
            start=start if parts else end,
            end=end,
            rows=merged(row for part in parts for row in part.rows),
            problems=[problem for part in parts for problem in part.problems],
            pages=sum(part.pages for part in parts),
            request={"stream": stream, "slices": [[utc(at) for at in each_] for each_ in slices]},
            notes=[f"{skipped:,} failed or cached requests are not counted"] if skipped else [],
        )

    def probe(self, now: int) -> str:
        """Read one row of the last hour; raises SourceError."""
        body = self._http.get(_STREAM, _asked(_Slice(now - HOUR, now), "1", rows=1))
        try:
            page = decoded(body, _Page, "the request log")
        except ValueError as error:
            raise SourceError(self.name, f"{_STREAM}: {error}", "Check base_url") from None
        more = "at least " if page.capped else ""
        return f"{more}{page.total:,} requests in the last hour"

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _parts(self, whole: _Slice, asked: list[_Slice]) -> Iterator[_Part]:
        """The window in slices, each small enough for the proxy to count."""
        waiting = [whole]
        while waiting:
            piece = waiting.pop()
            try:
                part = self._settled(piece)
            except _TooLarge:
                middle = (piece.start + piece.end) // 2
                if middle == piece.start:
                    raise SourceError(
                        self.name,
                        f"{_STREAM}: the second {utc(piece.start)} has more requests than the"
                        " proxy counts",
                        "Read the daily sums or the proxy's database instead",
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
        skipped = 0

        def take(body: bytes, place: str) -> Taken:
            nonlocal total, skipped
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
            counted = [call for call in own if _counts(call)]
            skipped += len(own) - len(counted)
            found: tuple[list[Row], list[Problem]] = each(
                counted, partial(self._read_row, start=piece.start), place
            )
            return Taken(*found, page.page < page.total_pages, str(page.page + 1))

        def ask(cursor: str | None) -> bytes:
            return self._http.get(_STREAM, _asked(piece, cursor or "1"))

        answer = all_pages(self.name, _STREAM, whole(ask), take, Cursors())
        if len(seen) < total:
            raise _Moved(
                self.name,
                f"{_STREAM}: {total:,} requests from {utc(piece.start)} on were named and"
                f" {len(seen):,} came",
                "Nothing of this read was kept; it is tried again at the next poll",
            )
        return _Part(merged(answer.rows), answer.problems, answer.pages, skipped)


def _begins_before(call: object, end: int) -> bool:
    """False: it belongs to the next slice. What cannot be told is looked at with the rest."""
    try:
        return _epoch(call["startTime"]) < end  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return True


def _counts(call: object) -> bool:
    """Whether tokens were used for it: it did not fail, and came from no cache of the proxy."""
    if not isinstance(call, dict):
        return True
    status = call.get("status")
    if status is None and isinstance(call.get("metadata"), dict):
        # Older proxies have no column for it.
        status = call["metadata"].get("status")
    return status != "failure" and str(call.get("cache_hit")).lower() != "true"


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
