"""OpenAI's organization usage and costs on loopback: a real HTTP server over a truth that tests own.

It accepts and refuses what the OpenAPI file says (a contract test compares the two), aggregates
`truth` and `costs` at each request, and plays one scripted fault a request where it has any.
"""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from monitor.domain.money import EXACT
from tests.fake_api import FakeApi, Refusal, Request, cursor, cursor_start

ADMIN_KEY = "sk-admin-CANARY0fake0000000000000000"
PROJECT_KEY = "sk-proj-ORDINARY0fake000000000000000"
COSTS_BY_KEY_FROM = 1_764_979_200
SECONDS = {"1m": 60, "1h": 3600, "1d": 86_400}


class Use(NamedTuple):
    """A lump of usage at an instant; `counts` are the result's fields."""

    at: int
    counts: Mapping[str, int]
    model: str | None = "gpt-5-mini-2025-08-07"
    project_id: str | None = "proj_a1"
    api_key_id: str | None = "key_9"
    user_id: str | None = "user-1"
    batch: bool | None = False
    service_tier: str | None = "default"
    endpoint: str = "completions"


class Cost(NamedTuple):
    """Dollars of one day, exactly."""

    day: int
    value: Decimal
    line_item: str = "gpt-5-mini-2025-08-07, input_tokens"
    project_id: str | None = "proj_a1"
    api_key_id: str | None = "key_9"
    currency: str = "usd"


class Endpoint(NamedTuple):
    parameters: frozenset[str]
    groups: frozenset[str]
    default_and_largest_limit: Mapping[str, tuple[int, int]]
    result: str


_WINDOW = {"start_time", "end_time", "bucket_width", "limit", "page", "group_by"}
_USAGE_FILTERS = {"project_ids", "user_ids", "api_key_ids", "models"}
_USAGE_GROUPS = {"project_id", "user_id", "api_key_id", "model"}
_USAGE_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}

ENDPOINTS = {
    "/organization/usage/completions": Endpoint(
        frozenset(_WINDOW | _USAGE_FILTERS | {"batch"}),
        frozenset(_USAGE_GROUPS | {"batch", "service_tier"}),
        _USAGE_LIMITS,
        "organization.usage.completions.result",
    ),
    "/organization/usage/decisions": Endpoint(
        frozenset(_WINDOW | _USAGE_FILTERS | {"batch"}),
        frozenset(_USAGE_GROUPS | {"batch", "service_tier"}),
        _USAGE_LIMITS,
        "organization.usage.decisions.result",
    ),
    "/organization/usage/embeddings": Endpoint(
        frozenset(_WINDOW | _USAGE_FILTERS),
        frozenset(_USAGE_GROUPS),
        _USAGE_LIMITS,
        "organization.usage.embeddings.result",
    ),
    "/organization/usage/moderations": Endpoint(
        frozenset(_WINDOW | _USAGE_FILTERS),
        frozenset(_USAGE_GROUPS),
        _USAGE_LIMITS,
        "organization.usage.moderations.result",
    ),
    "/organization/costs": Endpoint(
        frozenset(_WINDOW | {"project_ids", "api_key_ids"}),
        frozenset({"project_id", "line_item", "api_key_id"}),
        {"1d": (7, 180)},
        "organization.costs.result",
    ),
}


def counts(
    *,
    text: int = 0,
    audio: int = 0,
    image: int = 0,
    cached_text: int = 0,
    cached_audio: int = 0,
    cached_image: int = 0,
    written_30m: int = 0,
    written_12h: int = 0,
    out_text: int = 0,
    out_audio: int = 0,
    out_image: int = 0,
    requests: int = 1,
) -> dict[str, int]:
    """All fields of a completions result, from its disjoint parts."""
    uncached = text + audio + image
    cached = cached_text + cached_audio + cached_image
    written = written_30m + written_12h
    return {
        "input_tokens": uncached + cached + written,
        "input_uncached_tokens": uncached,
        "input_cached_tokens": cached,
        "input_cache_write_tokens": written,
        "input_cache_write_30m_tokens": written_30m,
        "input_cache_write_12h_tokens": written_12h,
        "input_text_tokens": text,
        "input_audio_tokens": audio,
        "input_image_tokens": image,
        "input_cached_text_tokens": cached_text,
        "input_cached_audio_tokens": cached_audio,
        "input_cached_image_tokens": cached_image,
        "output_tokens": out_text + out_audio + out_image,
        "output_text_tokens": out_text,
        "output_audio_tokens": out_audio,
        "output_image_tokens": out_image,
        "num_model_requests": requests,
    }


class FakeOpenAI(FakeApi):
    """Serve `truth` and `costs` inside a `with` block at `url`.

    Change the lists between requests to restate history. `page_buckets` caps a page below the
    limit that was asked for. `earliest` refuses older windows with 400. `lacking` are endpoints
    that are refused, each with its status.
    """

    root = "/v1"

    def __init__(self, truth: Iterable[Use] = (), costs: Iterable[Cost] = ()):
        super().__init__()
        self.truth = list(truth)
        self.costs = list(costs)
        self.page_buckets = 10_000
        self.earliest = 0
        self.lacking: dict[str, int] = {}

    def error_body(self, message: str) -> bytes:
        """As the OpenAPI file has it."""
        return error_body(message)

    def page(self, request: Request) -> dict[str, Any]:
        """The page that a request asks for; raises Refusal."""
        self._authorize(request)
        path = request.path.removeprefix("/v1")
        endpoint = ENDPOINTS.get(path)
        if lacking := self.lacking.get(path.removeprefix("/organization/")):
            raise Refusal(lacking, f"Invalid URL (GET {request.path})")
        if endpoint is None:
            raise Refusal(404, f"Invalid URL (GET {request.path})")
        ask = _ask(endpoint, request)
        self._check_history(path, ask)
        first = cursor_start(request) or ask.start - ask.start % ask.seconds
        starts = range(first, ask.end, ask.seconds)
        shown = starts[: min(ask.limit, self.page_buckets)]
        rest = starts[len(shown) :]
        return {
            "object": "page",
            "data": [self._bucket(path, endpoint, ask, start) for start in shown],
            "has_more": bool(rest),
            "next_page": cursor(request, rest[0]) if rest else None,
        }

    def _authorize(self, request: Request) -> None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key == PROJECT_KEY:
            raise Refusal(403, "You have insufficient permissions. Missing scopes: api.usage.read.")
        if key != ADMIN_KEY:
            raise Refusal(401, f"Incorrect API key provided: {key[:8]}****{key[-4:]}.")

    def _check_history(self, path: str, ask: "Ask") -> None:
        by_key = path == "/organization/costs" and "api_key_id" in ask.groups
        earliest = COSTS_BY_KEY_FROM if by_key else self.earliest
        if ask.start < earliest:
            what = "group_by=api_key_id" if by_key else "This endpoint"
            raise Refusal(400, f"{what} needs a start_time of {earliest} or later.")

    def _bucket(self, path: str, endpoint: Endpoint, ask: "Ask", start: int) -> dict[str, Any]:
        end = start + ask.seconds
        inside = range(max(start, ask.start), min(end, ask.end))
        if path == "/organization/costs":
            results = _cost_results([c for c in self.costs if c.day in inside], ask.groups)
        else:
            name = path.rsplit("/", 1)[1]
            uses = [use for use in self.truth if use.at in inside and use.endpoint == name]
            results = _usage_results(uses, ask.groups, endpoint.groups)
        for result in results:
            result["object"] = endpoint.result
        return {"object": "bucket", "start_time": start, "end_time": end, "results": results}


class Ask(NamedTuple):
    start: int
    end: int
    seconds: int
    limit: int
    groups: tuple[str, ...]


def _ask(endpoint: Endpoint, request: Request) -> Ask:
    """The parameters, as strictly as the OpenAPI file has them."""
    query: dict[str, list[str]] = {}
    for key, value in request.query:
        query.setdefault(key.removesuffix("[]"), []).append(value)
    for name, values in query.items():
        if name not in endpoint.parameters:
            raise Refusal(400, f"Unknown parameter: '{name}'.")
        if len(values) > 1 and not name.endswith("s") and name != "group_by":
            raise Refusal(400, f"Parameter '{name}' was given more than once.")
    width = query.get("bucket_width", ["1d"])[0]
    if width not in endpoint.default_and_largest_limit:
        raise Refusal(400, f"Invalid value: 'bucket_width' cannot be {width!r}.")
    default, largest = endpoint.default_and_largest_limit[width]
    limit = _integer(query, "limit", default)
    if not 1 <= limit <= largest:
        raise Refusal(400, f"Invalid 'limit': {limit} is not between 1 and {largest}.")
    groups = tuple(query.get("group_by", ()))
    if unknown := set(groups) - endpoint.groups:
        raise Refusal(400, f"Invalid value: 'group_by' cannot be {sorted(unknown)}.")
    start = _integer(query, "start_time", None)
    end = _integer(query, "end_time", start + limit * SECONDS[width])
    if end <= start:
        raise Refusal(400, "end_time must be after start_time.")
    return Ask(start, end, SECONDS[width], limit, groups)


def _integer(query: Mapping[str, list[str]], name: str, default: int | None) -> int:
    text = query.get(name, [None])[0]
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"\d+", text):
        raise Refusal(400, f"Invalid '{name}': expected an integer.")
    return int(text)


def _usage_results(
    uses: Iterable[Use], groups: tuple[str, ...], known: Iterable[str]
) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for use in uses:
        dims = {name: getattr(use, name) if name in groups else None for name in sorted(known)}
        result = sums.setdefault(tuple(dims.values()), dims)
        for field, count in use.counts.items():
            result[field] = result.get(field, 0) + count
    return list(sums.values())


def _cost_results(costs: Iterable[Cost], groups: tuple[str, ...]) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cost in costs:
        dims = {
            name: getattr(cost, name) if name in groups else None
            for name in ("line_item", "project_id", "api_key_id")
        }
        result = sums.setdefault(
            (*dims.values(), cost.currency),
            dims
            | {
                "amount": {"value": Decimal(0), "currency": cost.currency},
                "quantity": None,
                "quantity_unit": None,
            },
        )
        result["amount"]["value"] = EXACT.add(result["amount"]["value"], cost.value)
    return list(sums.values())


def error_body(message: str) -> bytes:
    """The error object of the OpenAPI file."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json.dumps({"error": error}).encode()
