"""Anthropic's analytics API and its older reports on loopback, over one truth that tests own.

They accept and refuse what the vendor documents, and the analytics API what the vendor's client
sends (a contract test drives it).
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple

from monitor.domain.money import EXACT
from tests.fake_api import FakeApi, Refusal, Request, cursor, cursor_start

ADMIN_KEY = "sk-ant-admin01-CANARY0fake00000000000"
WORKSPACE_KEY = "sk-ant-api03-ORDINARY0fake0000000000"
BETA = "analytics-usage-cost-2026-08-24"
ANALYTICS_FROM = 1_767_225_600
SECONDS = {"1m": 60, "1h": 3600, "1d": 86_400}

_DIMENSIONS = {"model", "workspace_id", "api_key_id", "service_tier", "context_window"}
_DIMENSIONS |= {"inference_geo", "speed"}
_MONEY = {"cost_type", "token_type"}
_REPORT_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
_DESCRIBED = ("model", "service_tier", "context_window", "inference_geo", *sorted(_MONEY))


class Use(NamedTuple):
    """A lump of usage at an instant."""

    at: int
    uncached: int = 0
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0
    output: int = 0
    requests: int = 1
    model: str | None = "claude-sonnet-5"
    workspace_id: str | None = "wrkspc_01A"
    api_key_id: str | None = "apikey_01"
    service_tier: str | None = "standard"
    context_window: str | None = "0-200k"
    inference_geo: str | None = "global"
    speed: str | None = "standard"

    @property
    def tokens(self) -> int:
        return self.uncached + self.read + self.written_5m + self.written_1h + self.output


class Cost(NamedTuple):
    """Cents of one day, exactly."""

    day: int
    cents: Decimal
    cost_type: str | None = "tokens"
    token_type: str | None = "output_tokens"
    model: str | None = "claude-sonnet-5"
    workspace_id: str | None = "wrkspc_01A"
    api_key_id: str | None = "apikey_01"
    service_tier: str | None = "standard"
    context_window: str | None = "0-200k"
    inference_geo: str | None = "global"
    speed: str | None = "standard"
    currency: str = "USD"

    @property
    def description(self) -> str:
        return f"{self.model} Usage - {self.token_type or self.cost_type}"


class Ask(NamedTuple):
    start: int
    end: int
    seconds: int
    limit: int
    groups: tuple[str, ...]


def counts_of(uses: Iterable[Use]) -> dict[str, Any]:
    """The counts of a result."""
    sums = [sum(each) for each in zip(*(use[1:7] for use in uses), strict=True)]
    uncached, read, short, long, output, requests = sums
    return {
        "uncached_input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": 0},
        "requests": requests,
    }


class FakeAnthropic(FakeApi):
    """Serve `truth` and `costs`; `no_analytics` is the status that the analytics API refuses with.

    `page_size` caps a page below the limit that was asked for: buckets of reports, rows of
    analytics. `refreshed_at` is how far analytics are complete.
    """

    def __init__(self, truth: Iterable[Use] = (), costs: Iterable[Cost] = ()):
        super().__init__()
        self.truth = list(truth)
        self.costs = list(costs)
        self.no_analytics = 0
        self.page_size = 10_000
        self.refreshed_at: str | None = None

    def error_body(self, message: str) -> bytes:
        error = {"type": "invalid_request_error", "message": message}
        return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()

    def page(self, request: Request) -> dict[str, Any]:
        self._authorize(request)
        name = request.path.removeprefix("/v1/organizations/")
        if name.startswith("analytics/"):
            return self._analytics(name.removeprefix("analytics/"), request)
        if name == "usage_report/messages":
            return self._report(request, _DIMENSIONS, _REPORT_LIMITS)
        if name == "cost_report":
            return self._report(request, {"workspace_id", "description"}, {"1d": (7, 31)})
        raise Refusal(404, "Not found")

    def _authorize(self, request: Request) -> None:
        # The documents send the first, the vendor's client the second.
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        key = request.headers.get("x-api-key") or bearer
        if key == WORKSPACE_KEY:
            raise Refusal(403, "This endpoint requires an Admin API key")
        if key != ADMIN_KEY:
            raise Refusal(401, "invalid x-api-key")
        if not request.headers.get("anthropic-version"):
            raise Refusal(400, "anthropic-version: header is required")

    def _analytics(self, name: str, request: Request) -> dict[str, Any]:
        if self.no_analytics:
            raise Refusal(self.no_analytics, "The analytics API is not available here")
        if BETA not in request.headers.get("anthropic-beta", ""):
            raise Refusal(404, "Not found")
        if name not in ("usage", "cost"):
            raise Refusal(404, "Not found")
        own = {"order_by", "order", "time_bucket_width", "beta"}
        groups = _DIMENSIONS | (_MONEY if name == "cost" else set())
        ask = _ask(request, own, groups, "time_bucket_width", dict.fromkeys(SECONDS, (20, 1000)))
        if len(set(ask.groups) - _MONEY) > 5:
            raise Refusal(400, "group_by[]: at most 5 dimensions")
        if ask.start < ANALYTICS_FROM or ask.end - ask.start > 31 * 86_400:
            raise Refusal(400, "starting_at: must be on or after 2026-01-01, and within 31 days")
        rows = self._rows(name, ask)
        first = cursor_start(request) or 0
        last = first + min(ask.limit, self.page_size)
        more = last < len(rows)
        return {
            "data": rows[first:last],
            "has_more": more,
            "next_page": cursor(request, last) if more else None,
            "data_refreshed_at": self.refreshed_at,
        }

    def _rows(self, name: str, ask: Ask) -> list[dict[str, Any]]:
        lumps = self.truth if name == "usage" else self.costs
        found: dict[tuple[Any, ...], list[Any]] = {}
        for lump in lumps:
            if ask.start <= lump[0] < ask.end:
                start = lump[0] - lump[0] % ask.seconds
                found.setdefault((start, _group(lump, ask.groups)), []).append(lump)
        return [
            {
                "starting_at": _rfc(start),
                "ending_at": _rfc(start + ask.seconds),
                "group": dict(group),
                name: _used(of) if name == "usage" else _charged(of),
            }
            for (start, group), of in sorted(found.items(), key=lambda pair: str(pair[0]))
        ]

    def _report(
        self, request: Request, groups: set[str], limits: Mapping[str, tuple[int, int]]
    ) -> dict[str, Any]:
        ask = _ask(request, {"bucket_width"}, groups, "bucket_width", limits)
        first = cursor_start(request) or ask.start - ask.start % ask.seconds
        starts = range(first, ask.end, ask.seconds)
        shown = starts[: min(ask.limit, self.page_size)]
        rest = starts[len(shown) :]
        money = "description" in groups
        return {
            "data": [self._bucket(start, ask, money=money) for start in shown],
            "has_more": bool(rest),
            "next_page": cursor(request, rest[0]) if rest else None,
        }

    def _bucket(self, start: int, ask: Ask, *, money: bool) -> dict[str, Any]:
        found: dict[tuple[Any, ...], list[Any]] = {}
        for lump in self.costs if money else self.truth:
            if max(start, ask.start) <= lump[0] < min(start + ask.seconds, ask.end):
                found.setdefault(_group(lump, ask.groups), []).append(lump)
        results = [
            dict(group) | (_described(of, ask) if money else _reported(of))
            for group, of in found.items()
        ]
        return {
            "starting_at": _rfc(start),
            "ending_at": _rfc(start + ask.seconds),
            "results": results,
        }


def _group(lump: Any, groups: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    names = sorted({*_DIMENSIONS, *groups})
    return tuple((name, getattr(lump, name) if name in groups else None) for name in names)


def _used(uses: list[Use]) -> dict[str, Any]:
    return counts_of(uses) | {"total_tokens": sum(use.tokens for use in uses)}


def _reported(uses: list[Use]) -> dict[str, Any]:
    """The older reports count no requests."""
    counts = counts_of(uses)
    del counts["requests"]
    return counts


def _charged(costs: list[Cost]) -> dict[str, Any]:
    amount = f"{reduce(EXACT.add, (cost.cents for cost in costs)):f}"
    return {
        "amount": amount,
        "list_amount": amount,
        "currency": costs[0].currency,
        "requests": None,
    }


def _described(costs: list[Cost], ask: Ask) -> dict[str, Any]:
    named = "description" in ask.groups
    names = ("description", *_DESCRIBED)
    of = {name: getattr(costs[0], name) if named else None for name in names}
    amount = f"{reduce(EXACT.add, (cost.cents for cost in costs)):f}"
    return {"currency": costs[0].currency, "amount": amount, **of}


def _ask(
    request: Request,
    own: set[str],
    groups: set[str],
    width: str,
    limits: Mapping[str, tuple[int, int]],
) -> Ask:
    query: dict[str, list[str]] = {}
    for key, value in request.query:
        query.setdefault(key, []).append(value)
    known = {"starting_at", "ending_at", "group_by[]", "limit", "page", width} | own
    if unknown := sorted(set(query) - known):
        raise Refusal(400, f"{unknown[0]}: Extra inputs are not permitted")
    chosen = query.get(width, ["1d"])[0]
    if chosen not in limits:
        raise Refusal(400, f"{width}: {chosen!r} is not allowed")
    default, largest = limits[chosen]
    limit = int(query.get("limit", [str(default)])[0])
    if not 1 <= limit <= largest:
        raise Refusal(400, f"limit: must be at most {largest}")
    asked = tuple(query.get("group_by[]", ()))
    if unknown := sorted(set(asked) - groups):
        raise Refusal(400, f"group_by[]: {unknown[0]!r} is not allowed")
    start = _epoch(query["starting_at"][0])
    end = _epoch(query["ending_at"][0]) if "ending_at" in query else start + limit * SECONDS[chosen]
    return Ask(start, end, SECONDS[chosen], limit, asked)


def _rfc(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
