"""OpenAI's organization usage and costs on loopback: a real HTTP server over a truth that tests own.

It accepts and refuses what the OpenAPI file says (a contract test compares the two), aggregates
`truth` and `costs` at each request, and plays one scripted fault a request where it has any.
"""

import base64
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

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
    "/organization/usage/embeddings": Endpoint(
        frozenset(_WINDOW | _USAGE_FILTERS),
        frozenset(_USAGE_GROUPS),
        _USAGE_LIMITS,
        "organization.usage.embeddings.result",
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


class Request(NamedTuple):
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


class Refusal(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


Fault = Callable[["Handler"], None]


class FakeOpenAI:
    """Serve `truth` and `costs` inside a `with` block at `url`.

    Change the lists between requests to restate history. `faults` is played one a request, None
    for a normal answer; when it is empty all answers are normal. `page_buckets` caps a page below
    the limit that was asked for. `earliest` refuses older windows with 400.
    """

    def __init__(self, truth: Iterable[Use] = (), costs: Iterable[Cost] = ()):
        self.truth = list(truth)
        self.costs = list(costs)
        self.faults: deque[Fault | None] = deque()
        self.requests: list[Request] = []
        self.pages: list[dict[str, Any]] = []
        self.page_buckets = 10_000
        self.earliest = 0
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.fake = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, request: Request) -> dict[str, Any]:
        """The page that a request asks for; raises Refusal."""
        self._authorize(request)
        path = request.path.removeprefix("/v1")
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            raise Refusal(404, f"Invalid URL (GET {request.path})")
        ask = _ask(endpoint, request)
        self._check_history(path, ask)
        first = _cursor_start(request) or ask.start - ask.start % ask.seconds
        starts = range(first, ask.end, ask.seconds)
        shown = starts[: min(ask.limit, self.page_buckets)]
        rest = starts[len(shown) :]
        return {
            "object": "page",
            "data": [self._bucket(path, endpoint, ask, start) for start in shown],
            "has_more": bool(rest),
            "next_page": _cursor(request, rest[0]) if rest else None,
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


def _cursor(request: Request, start: int) -> str:
    unpaged = sorted(pair for pair in request.query if pair[0] != "page")
    return "page_" + base64.urlsafe_b64encode(json.dumps([start, unpaged]).encode()).decode()


def _cursor_start(request: Request) -> int | None:
    """Where a cursor goes on; refuses one that was made for other parameters."""
    for cursor in request.all("page"):
        start = json.loads(base64.urlsafe_b64decode(cursor.removeprefix("page_")))[0]
        if cursor != _cursor(request, start):
            raise Refusal(400, "The page cursor belongs to a request with other parameters.")
        return start
    return None


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
        result["amount"]["value"] += cost.value
    return list(sums.values())


def dumps(document: object) -> bytes:
    """JSON in which a Decimal is a number with all of its digits."""
    text = json.dumps(document, default=lambda number: f"\0{number:f}\0")
    return re.sub(r'"\\u0000(.*?)\\u0000"', r"\1", text).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def fake(self) -> FakeOpenAI:
        return self.server.fake

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_seen = Request(
            parts.path, tuple(parse_qsl(parts.query, keep_blank_values=True)), headers
        )
        self.fake.requests.append(self.request_seen)
        fault = self.fake.faults.popleft() if self.fake.faults else None
        try:
            (fault or normal)(self)
        except OSError:
            self.close_connection = True  # the client hung up

    def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: tests read `requests`."""


# --- What can be scripted ---


def normal(handler: Handler) -> None:
    tampered(lambda _: None)(handler)


def tampered(change: Callable[[dict[str, Any]], object]) -> Fault:
    """The normal page, changed in place."""

    def play(handler: Handler) -> None:
        try:
            page = handler.fake.page(handler.request_seen)
        except Refusal as refusal:
            failing(refusal.status, str(refusal))(handler)
            return
        change(page)
        handler.fake.pages.append(page)
        handler.send(200, dumps(page))

    return play


def answering(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Fault:
    return lambda handler: handler.send(status, body, headers)


def failing(status: int, message: str, headers: Mapping[str, str] | None = None) -> Fault:
    return answering(status, error_body(message), headers)


def error_body(message: str) -> bytes:
    """The error object of the OpenAPI file."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json.dumps({"error": error}).encode()


def rate_limited_until(at: float) -> Fault:
    """A 429 whose Retry-After is an HTTP date."""
    return failing(429, "Rate limit reached", {"Retry-After": formatdate(at, usegmt=True)})


def dripping(head: bytes, drop: bytes) -> Fault:
    """`head`, then `drop` every few milliseconds until the client goes away."""

    def play(handler: Handler) -> None:
        handler.wfile.write(head)
        while not handler.fake.stopping.wait(0.005):
            handler.wfile.write(drop)

    return play


def hanging_up(handler: Handler) -> None:
    """Close without an answer."""
    handler.close_connection = True
