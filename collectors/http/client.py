"""The client that every source reads through: bounded, retried, silent about secrets."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import httpx
import stamina

from collectors.http.addresses import checked_url
from collectors.http.dialect import PLAIN, Dialect, error_message
from collectors.http.exchange import READ_ENCODINGS, Deadline, encoding_of, inflating
from collectors.http.scrub import REDACTED, SIGNED, Scrub, checked_headers
from collectors.http.waits import passes, retry_after, worth_repeating
from monitor.domain.errors import SourceError
from monitor.ports import Page

_JSON = {"content-type": "application/json"}


class Limits(NamedTuple):
    """How long and how large one exchange may be, and how often it is tried."""

    connect_s: float = 10.0
    read_s: float = 60.0
    """Between two reads."""
    total_s: float = 180.0
    """From the first to the last byte of one exchange."""
    body_bytes: int = 64 * 2**20
    attempts: int = 5
    backoff_s: float = 0.5
    """The first wait where the server names none; doubled each time, with jitter."""
    wait_s: float = 30.0
    """The longest wait in this process; a longer one is left to the schedule."""
    every_s: float = 0.0
    """The least time from the beginning of one attempt to that of the next."""
    pace: Callable[[float], float] = float
    """What of a wait that a server asked for is waited, in seconds."""


DEFAULT_LIMITS = Limits()


_listener: ContextVar[Callable[[Page], None] | None] = ContextVar("listener", default=None)


@contextmanager
def recorded(keep: Callable[[Page], None]) -> Iterator[None]:
    """Inside the block `keep` gets each page that this thread fetches, without secrets."""
    before = _listener.set(keep)
    try:
        yield
    finally:
        _listener.reset(before)


class HttpError(SourceError):
    """An exchange without a usable answer.

    Args:
        status: the HTTP status; None: no complete answer came.
        detail: the provider's own words, redacted and capped.
        again: the same request may succeed in a moment.
    """

    def __init__(
        self,
        source: str,
        message: str,
        remedy: str = "",
        *,
        status: int | None = None,
        detail: str = "",
        again: bool = False,
        permanent: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(source, message, remedy, permanent=permanent, retry_after=retry_after)
        self.status = status
        self.detail = detail
        self.again = again


class Signed(NamedTuple):
    """What proves who asks, for one request."""

    headers: Mapping[str, str]
    secrets: Sequence[str]
    """Words that no answer, error or log may repeat."""


class Question(NamedTuple):
    """A request that is about to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    """Those that the question itself asks for."""
    body: bytes


Sign = Callable[[Question], Signed]
"""Signs each request anew, where credentials expire or cover what is asked; raises SourceError."""


class Http:
    """Reads from one base address with one set of credentials, one request at a time.

    Args:
        source: the source's configured name, for errors.
        base_url: https, or plain http to this machine.
        secret_headers: sent with each request, shown nowhere.
        sign: further headers, made for each request.
        dialect: how this provider refuses.
        headers: sent with each request, no secret.
        denied: the remedy for 401 and 403.
        limits: times, sizes and attempts.
        clock: the wall clock that a server's dates are compared with.
    """

    def __init__(
        self,
        source: str,
        base_url: str,
        secret_headers: Mapping[str, str] = {},
        *,
        sign: Sign | None = None,
        dialect: Dialect = PLAIN,
        headers: Mapping[str, str] = {},
        denied: str = "",
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._base_url = checked_url(source, base_url)
        self._secret_headers = checked_headers(source, secret_headers)
        self._signer = sign
        self._dialect = dialect
        self._denied = denied
        self._limits = limits
        self._clock = clock
        self._scrub = Scrub(secret_headers.values())
        self._next = 0.0
        self._scrub.attach()
        self._client = httpx.Client(
            base_url=self._base_url,
            headers={
                "accept": "application/json",
                # Spares inflating; what a proxy compresses anyway is inflated to the cap.
                "accept-encoding": "identity",
                "user-agent": "crossover",
                **headers,
            },
            auth=self._sign,
            timeout=httpx.Timeout(limits.read_s, connect=limits.connect_s),
            # Polls are minutes apart: a fresh connection never meets one that went stale.
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"Http({self._source!r}, {str(self._base_url)!r}, {REDACTED})"

    def get(self, path: str, params: Sequence[tuple[str, str]] = ()) -> bytes:
        """The body of a 200 answer, without any secret of ours that the far side put into it.

        429, 5xx and broken connections are tried again, after the wait that the server asks for
        where it is short enough.

        Raises:
            HttpError: no attempt gave an answer; `retry_after` says when the server wants the next.
        """
        return self._repeated("GET", path, params)

    def post(
        self,
        path: str,
        document: Any,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] = _JSON,
    ) -> bytes:
        """The body of a 200 answer to a question that is asked as a JSON document.

        A question only: it is repeated like `get`, which a change must not be. `headers` say what
        kind of document it is.

        Raises:
            HttpError: as of `get`.
        """
        return self._repeated("POST", path, params, json.dumps(document).encode(), headers)

    def _repeated(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]],
        content: bytes | None = None,
        headers: Mapping[str, str] = {},
    ) -> bytes:
        for attempt in stamina.retry_context(
            on=self._wait,
            attempts=self._limits.attempts,
            timeout=None,
            wait_initial=self._limits.backoff_s,
            wait_jitter=self._limits.backoff_s,
            wait_max=self._limits.wait_s,
        ):
            with attempt:
                self._take_turn()
                body = self._exchange(method, path, params, content, headers)
                self._hand_over(method, path, params, content, body)
                return body
        raise AssertionError("stamina ends with an answer or an error")

    def close(self) -> None:
        """Release the connection and the log filters."""
        self._client.close()
        self._scrub.detach()

    def _sign(self, request: httpx.Request) -> httpx.Request:
        request.headers.update(self._secret_headers)
        if self._signer is not None:
            asked = Question(request.method, str(request.url), request.headers, request.content)
            signed = self._signer(asked)
            self._scrub.learn(signed.secrets)
            request.headers.update(checked_headers(self._source, signed.headers, SIGNED))
        return request

    def _wait(self, error: Exception) -> bool | float:
        """Stamina's question: seconds before the next attempt, True for its own, False for none."""
        if not isinstance(error, HttpError) or not error.again:
            return False
        if error.retry_after is None:
            return True
        limits = self._limits
        return limits.pace(error.retry_after) if error.retry_after <= limits.wait_s else False

    def _take_turn(self) -> None:
        """Wait until the provider may be asked again: an allowance is spent over its minute."""
        if self._limits.every_s:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + self._limits.every_s

    def _hand_over(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]],
        content: bytes | None,
        body: bytes,
    ) -> None:
        """Give a page to who records this thread's pages."""
        if (keep := _listener.get()) is None:
            return
        asked: dict[str, object] = {"method": method, "path": path, "params": list(params)}
        if content is not None:
            asked["document"] = content.decode()
        address = str(self._base_url)
        keep(Page(self._scrub.text(json.dumps({"base_url": address, **asked})), body))

    def _exchange(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]],
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> bytes:
        cause = ""
        with Deadline(self._limits.total_s) as deadline:
            try:
                with self._client.stream(
                    method,
                    path,
                    params=list(params),
                    content=content,
                    headers=headers,
                    extensions={"trace": deadline.trace},
                ) as response:
                    body = self._body(response)
            except (httpx.TransportError, zlib.error) as error:
                # Kept as words: the client's error quotes what it received, and would stay
                # attached to an error that is raised here.
                cause = self._scrub.words(f"{type(error).__name__}: {error}")
        if deadline.passed or cause:
            raise self._unanswered(path, cause, late=deadline.passed)
        self._check(path, response, body)
        return self._scrub.body(body)

    def _body(self, response: httpx.Response) -> bytes:
        """The body, read and inflated no further than just over the cap."""
        inflate = inflating(response.headers, self._limits.body_bytes + 1)
        body = bytearray()
        for chunk in response.iter_raw():
            body += inflate(chunk)
            if len(body) > self._limits.body_bytes:
                break
        return bytes(body)

    def _check(self, path: str, response: httpx.Response, body: bytes) -> None:
        if response.status_code != 200:
            raise self._refused(path, response, body)
        encoding = encoding_of(response.headers)
        if encoding not in READ_ENCODINGS:
            raise HttpError(
                self._source,
                f"the answer from {path} is compressed ({self._scrub.words(encoding)}) unasked",
                "Let the proxy on the way pass Accept-Encoding on",
                permanent=True,
            )
        if len(body) > self._limits.body_bytes:
            raise HttpError(
                self._source,
                f"the answer from {path} is larger than {self._limits.body_bytes} bytes",
                "Ask for less at a time: fewer days or dimensions",
                permanent=True,
            )

    def _unanswered(self, path: str, cause: str, *, late: bool) -> HttpError:
        if late:
            return HttpError(
                self._source,
                f"no complete answer from {path} within {self._limits.total_s:g} s",
                "It is tried again at the next poll",
            )
        return HttpError(
            self._source,
            f"no answer from {path} at {self._base_url}: {cause}",
            "Check base_url, the network and the proxy",
            again=True,
        )

    def _refused(self, path: str, response: httpx.Response, body: bytes) -> HttpError:
        status = response.status_code
        detail = self._scrub.words(error_message(body)).rstrip(".")
        verdict = self._dialect.verdict(status, body)
        remedy = ""
        if 300 <= status < 400:
            detail = "it redirects to " + self._scrub.words(response.headers.get("location", "?"))
            remedy = "Redirects are not followed: set base_url to the final address"
        elif verdict == "denied" or (status in {401, 403} and not verdict):
            remedy = self._denied
        wait = self._asked_to_wait(response.headers)
        return HttpError(
            self._source,
            f"HTTP {status} from {path}: {detail or 'no reason given'}"
            + (f" (it asks to wait {wait:g} s)" if wait else ""),
            remedy,
            status=status,
            detail=detail,
            again=worth_repeating(status, response.headers) or verdict == "passes",
            permanent=not passes(status) and verdict != "passes",
            retry_after=wait,
        )

    def _asked_to_wait(self, headers: Mapping[str, str]) -> float | None:
        waits = [retry_after(headers, self._clock())]
        if (own := self._dialect.wait_headers) is not None:
            named = (text for name, text in headers.items() if own.fullmatch(name))
            waits += [retry_after({"retry-after": text}, self._clock()) for text in named]
        return max((wait for wait in waits if wait is not None), default=None)
