"""A provider's API on loopback: a real HTTP server over a truth that tests own, with scripted faults."""

import base64
import gzip
import json
import re
import threading
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Request(NamedTuple):
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    document: Any = None
    """What was sent as JSON, or the fields of a form."""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


class Refusal(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


Fault = Callable[["Handler"], None]


def cursor(request: Request, at: int) -> str:
    """Names where the next page begins, and what was asked."""
    unpaged = sorted(pair for pair in request.query if pair[0] != "page")
    return "page_" + base64.urlsafe_b64encode(json.dumps([at, unpaged]).encode()).decode()


def cursor_start(request: Request) -> int | None:
    """Where a cursor goes on; refuses one that was made for other parameters."""
    for name in request.all("page"):
        at = json.loads(base64.urlsafe_b64decode(name.removeprefix("page_")))[0]
        if name != cursor(request, at):
            raise Refusal(400, "The page cursor belongs to a request with other parameters.")
        return at
    return None


class FakeApi(ABC):
    """Serve what `page` makes inside a `with` block at `url`.

    `faults` is played one a request, None for a normal answer; when it is empty all answers are
    normal. `requests` and `pages` keep what was asked and answered.
    """

    root = ""

    def __init__(self) -> None:
        self.faults: deque[Fault | None] = deque()
        self.requests: list[Request] = []
        self.pages: list[dict[str, Any]] = []
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.fake = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.root}"

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

    @abstractmethod
    def page(self, request: Request) -> dict[str, Any]:
        """The page that a request asks for; raises Refusal."""

    @abstractmethod
    def error_body(self, message: str) -> bytes:
        """A refusal's body."""


def dumps(document: object) -> bytes:
    """JSON in which a Decimal is a number with all of its digits."""
    text = json.dumps(document, default=lambda number: f"\0{number:f}\0")
    return re.sub(r'"\\u0000(.*?)\\u0000"', r"\1", text).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def fake(self) -> FakeApi:
        return self.server.fake

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_seen = Request(
            parts.path,
            tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers,
            self.document(),
        )
        self.fake.requests.append(self.request_seen)
        fault = self.fake.faults.popleft() if self.fake.faults else None
        try:
            (fault or normal)(self)
        except OSError:
            self.close_connection = True  # the client hung up

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def document(self) -> Any:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(sent.decode()))
        return json.loads(sent) if sent else None

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


def before(change: Callable[[], object]) -> Fault:
    """The normal page, after something has changed."""

    def play(handler: Handler) -> None:
        change()
        normal(handler)

    return play


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


def compressed(encoding: str) -> Fault:
    """The normal page, compressed although that was not asked for."""

    def play(handler: Handler) -> None:
        body = dumps(handler.fake.page(handler.request_seen))
        handler.send(200, packed(body, encoding), {"Content-Encoding": encoding})

    return play


def packed(body: bytes, encoding: str) -> bytes:
    return gzip.compress(body, 1) if encoding == "gzip" else zlib.compress(body, 1)


@cache
def bomb(megabytes: int = 300) -> bytes:
    """A small gzip body that is large inside, made piece by piece."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    piece = b" " * 2**20
    return b"".join(packer.compress(piece) for _ in range(megabytes)) + packer.flush()


def answering(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Fault:
    return lambda handler: handler.send(status, body, headers)


def failing(status: int, message: str, headers: Mapping[str, str] | None = None) -> Fault:
    """A refusal in the words of the provider."""
    return lambda handler: handler.send(status, handler.fake.error_body(message), headers)


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
