"""Helicone's request log, `POST /v1/request/query-clickhouse`: requests, summed by the hour.

Helicone bills nothing: its cost is an estimate of its own and is not read. A failed request and an
answer out of Helicone's own cache cost nobody anything, so neither is counted. Rows carry prompts
and answers; only names, times and counts leave this module.

The log is followed by time and not by offset: rows of one instant have no certain order, and one
that is merged or added before an offset moves all that follow. Each page asks for everything since
the last row's instant, so it begins with rows that are known, which their ids show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from collectors.http import DEFAULT_LIMITS, Http, HttpError, Limits
from collectors.window import (
    PAYLOAD_CAP,
    Cursors,
    Row,
    Source,
    Taken,
    all_pages,
    asked_until,
    count_of,
    decoded,
    merged,
    moment,
    require_days,
    utc,
)
from monitor.domain.aliases import provider_id
from monitor.domain.errors import InputError, SourceError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, Dimensions, Problem, Quantities, UsageRow
from monitor.ports import Read, StreamSpec

BASE_URL = "https://api.helicone.ai"

CacheTokens = Literal["auto", "inside", "beside"]

_STREAM = "requests"
_PATH = "v1/request/query-clickhouse"
_PAGE_ROWS = 200
"""Rows may hold whole prompts and answers: some pages are large."""
_AT_ONCE = 5_000
"""Requests that are held before they are summed."""
_SECONDS = {"1h": HOUR, "1d": DAY}
_NOT_CACHED = {None, "", "00000000-0000-0000-0000-000000000000"}
"""`cache_reference_id` of a request that was really made."""
_PROVIDERS = {"x": "x-ai"}
_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "prompt_cache_read_tokens",
    "prompt_cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)
_API_KEY = "It needs an API key of the organization with the right to read (sk-helicone-...)"

# --- One row: pure functions ---


class _Page(msgspec.Struct):
    data: list[dict[str, Any]] | None = None
    error: Any = None


class _Reading(NamedTuple):
    """How rows are read."""

    account: str
    seconds: int
    cache_tokens: CacheTokens
    project: str
    label: str
    by_user: bool


def _row(call: Mapping[str, Any], reading: _Reading) -> UsageRow:
    counts = {name: count_of(call.get(name)) for name in _COUNTS}
    provider = str(call.get("provider") or "").lower()
    properties = call.get("properties") or call.get("request_properties") or {}
    model = next(filter(None, (call.get(name) for name in _MODELS)), "")
    dims = Dimensions(
        account=reading.account,
        provider=clean_name(_PROVIDERS.get(provider, provider_id(provider))),
        model=clean_name(str(model)),
        project=clean_name(str(properties.get(reading.project) or "")),
        actor=clean_name(str(call.get("request_user_id") or "")) if reading.by_user else "",
        label=clean_name(str(properties.get(reading.label) or "")),
    )
    at = int(_at(call).timestamp())
    quantities = _quantities(counts, inside=_inside(reading.cache_tokens, dims))
    return UsageRow(dims, at - at % reading.seconds, reading.seconds, quantities)


_MODELS = ("model", "model_override", "response_model", "request_model")
"""Where a row names its model, the name that Helicone prices first."""


def _inside(cache_tokens: CacheTokens, dims: Dimensions) -> bool:
    """Whether prompt_tokens contain those of caches: Helicone stores what the provider counts."""
    if cache_tokens != "auto":
        return cache_tokens == "inside"
    return dims.provider != "anthropic" and "claude" not in dims.model.lower()


def _quantities(counts: Mapping[str, int | None], *, inside: bool) -> Quantities:
    """The disjoint classes of one request.

    Raises:
        ValueError: its parts are more than their total.
    """
    prompt, completion = counts["prompt_tokens"], counts["completion_tokens"]
    read, written = counts["prompt_cache_read_tokens"], counts["prompt_cache_write_tokens"]
    audio, spoken = counts["prompt_audio_tokens"], counts["completion_audio_tokens"]
    parts = (audio or 0) + ((read or 0) + (written or 0) if inside else 0)
    if parts > (prompt or 0):
        raise ValueError(
            f"its cached and audio tokens ({parts:,}) are more than its prompt_tokens"
            f' ({prompt or 0:,}): cache_tokens = "beside" reads rows that do not contain them'
        )
    if (spoken or 0) > (completion or 0):
        raise ValueError("its audio tokens are more than its completion_tokens")
    return Quantities(
        uncached_input=None if prompt is None else prompt - parts,
        cache_read=read,
        cache_write=written,
        output=None if completion is None else completion - (spoken or 0),
        audio_input=audio,
        audio_output=spoken,
        requests=1,
    )


def _at(call: Mapping[str, Any]) -> datetime:
    """When a request was made, to the millisecond in which it can be asked for."""
    at = moment(call.get("request_created_at"))
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _left_out(call: Mapping[str, Any]) -> str:
    """Why a row is not counted; '' where it is."""
    if call.get("cache_reference_id") not in _NOT_CACHED:
        return "answers out of Helicone's cache"
    status = call.get("response_status")
    if status is None:
        return "requests without an answer yet"
    return "" if str(status)[:1] == "2" and len(str(status)) == 3 else "failed requests"


# --- A window: the log from its first instant to its last ---


class _Log:
    """The log as it comes, in the order of time, each request once.

    A request that is stored twice has the same instant in both rows, so only the rows of the
    newest instant wait until the time goes on.
    """

    def __init__(self, start: datetime, end: datetime, reading: _Reading) -> None:
        self.problems: list[Problem] = []
        self.left_out: dict[str, int] = {}
        self.last = start
        self.skip = 0
        """Rows of the instant `last` that came in pages of nothing else."""
        self._rows: list[Row] = []
        self._start, self._end, self._reading = start, end, reading
        self._waiting: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._done: set[str] = set()

    def take(self, calls: Sequence[Mapping[str, Any]], place: str) -> bool:
        """Take in a page; False: it has no request that is new.

        Raises:
            ValueError: it cannot belong to the answer.
        """
        before, fresh = self.last, False
        for number, call in enumerate(calls, 1):
            at, name = _at(call), call.get("request_id")
            if not name:
                raise ValueError(f"result {number} has no request_id")
            if not self._start <= at < self._end:
                raise ValueError(f"result {number} lies outside the time that was asked for")
            if at < self.last:
                raise ValueError(f"result {number} is not in the order of time")
            if at > self.last:
                self.count()
                self.last = at
            known = self._waiting.get(name)
            if known and self.skip:
                raise ValueError(f"result {number} came twice: rows of one instant change places")
            if name in self._done:
                continue
            fresh = fresh or known is None
            if known is None or _told(call) > _told(known[1]):
                self._waiting[name] = (f"{place}, result {number}", call)
        self.skip = self.skip + len(calls) if self.last == before else 0
        return fresh

    def count(self) -> None:
        """Count what waits: nothing more of its instant can come."""
        for place, call in self._waiting.values():
            if why := _left_out(call):
                self.left_out[why] = self.left_out.get(why, 0) + 1
                continue
            try:
                self._rows.append(_row(call, self._reading))
            except ValueError as error:
                kept = {name: call.get(name) for name in _KEPT}
                payload = json.dumps(kept, default=str)[:PAYLOAD_CAP]
                self.problems.append(Problem(place, clean_name(str(error)), payload))
        self._done |= self._waiting.keys()
        self._waiting.clear()
        if len(self._rows) > _AT_ONCE:
            self._rows = merged(self._rows)

    def rows(self) -> list[Row]:
        """The sums of what was counted."""
        return merged(self._rows)


_KEPT = ("request_id", "request_created_at", "provider", *_MODELS, *_COUNTS)
"""What the quarantine keeps of a row: no prompt, no answer, no user."""


def _told(call: Mapping[str, Any]) -> tuple[bool, int]:
    """How much a row says: of two of one request the one with an answer and more tokens counts."""
    try:
        tokens = sum(count_of(call.get(name)) or 0 for name in _COUNTS)
    except ValueError:
        tokens = 0
    return call.get("response_status") is not None, tokens


class Helicone(Source):
    """A Helicone organization, read with an API key.

    Args:
        key: the API key.
        base_url: where the API is: another region, or one's own.
        bucket: the width of the sums.
        cache_tokens: whether `prompt_tokens` contain those of caches: `inside` or `beside`, or
            `auto`: as each provider counts.
        project: the custom property that is the project.
        label: the custom property that is the label.
        by_user: split by user, as the actor.
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
        cache_tokens: CacheTokens = "auto",
        project: str = "",
        label: str = "",
        by_user: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if cache_tokens not in ("auto", "inside", "beside"):
            raise InputError(
                f"source {name}: cache_tokens cannot be {cache_tokens!r}",
                "Use auto, inside or beside",
            )
        if not isinstance(by_user, bool):
            raise InputError(f"source {name}: by_user is {by_user!r}", "Write true or false")
        if not isinstance(project, str) or not isinstance(label, str):
            raise InputError(
                f"source {name}: project and label name a property each", 'Write project = "Team"'
            )
        self._reading = _Reading(account, _SECONDS[bucket], cache_tokens, project, label, by_user)
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(name, base_url, headers, denied=_API_KEY, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """The request log; a day at a time, so that the reading of a busy one can go on."""
        return [StreamSpec(_STREAM, "usage", 1)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """The sums of the UTC days [start, end).

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        last = asked_until(end, now)
        since, until = (datetime.fromtimestamp(at, UTC) for at in (start, max(start, last)))
        log = _Log(since, until, self._reading)
        pages = self._follow(log, until) if start < last else 0
        return Read(
            start=start if pages else end,
            end=end,
            rows=log.rows(),
            problems=log.problems,
            pages=pages,
            request={"stream": stream, "from": utc(start), "to": utc(last)},
            notes=[f"{count:,} {why} are not counted" for why, count in log.left_out.items()],
        )

    def probe(self, now: int) -> str:
        """Read one row of the last day; raises SourceError."""
        since, until = (datetime.fromtimestamp(at, UTC) for at in (now - DAY, now))
        body = self._http.post(_PATH, _question(since, until, 0, 1))
        try:
            found = _calls(body)
        except ValueError as error:
            raise SourceError(self.name, f"{_STREAM}: {error}", "Check base_url") from None
        return f"{'requests' if found else 'no request'} in the last day"

    def _follow(self, log: _Log, until: datetime) -> int:
        """Take the whole log in; returns the number of pages."""
        rows = _PAGE_ROWS

        def ask(_: str | None) -> bytes:
            nonlocal rows
            while True:
                try:
                    return self._http.post(_PATH, _question(log.last, until, log.skip, rows))
                except HttpError as error:
                    # Without a status and for good: the answer was larger than any may be.
                    if error.status is not None or not error.permanent or rows == 1:
                        raise
                    rows = max(1, rows // 4)

        def take(body: bytes, place: str) -> Taken:
            calls = _calls(body)
            # A server may send less than it was asked for: only a page without news is the last.
            more = log.take(calls, place) or len(calls) >= rows
            return Taken([], [], more, f"{log.last.isoformat()}+{log.skip}", empty=not calls)

        pages = all_pages(self.name, _STREAM, ask, take, Cursors()).pages
        log.count()
        return pages


def _calls(body: bytes) -> list[dict[str, Any]]:
    page = decoded(body, _Page, "the request log")
    if page.error or page.data is None:
        raise ValueError(f"it answers with an error: {clean_name(str(page.error))}")
    return page.data


def _question(since: datetime, until: datetime, skip: int, rows: int) -> dict[str, Any]:
    """What is asked: requests from one instant to another, the earliest first."""

    def created(operator: str, at: datetime) -> dict[str, Any]:
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"request_response_rmt": {"request_created_at": {operator: text}}}

    return {
        "filter": {
            "left": created("gte", since),
            "operator": "and",
            "right": created("lt", until),
        },
        "offset": skip,
        "limit": rows,
        "sort": {"created_at": "asc"},
    }
