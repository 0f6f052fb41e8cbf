"""HTTP outwards: bounded in time and size, retried, silent about secrets.

No other module imports httpx, so a change of client costs this file.
"""

from __future__ import annotations

import base64
import calendar
import errno
import json
import logging
import math
import re
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import httpx
import msgspec
import stamina

from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name
from monitor.ports import Page, Posted

LONGEST_WAIT_S = 900.0
DETAIL_CAP = 300
REDACTED = "[redacted]"
_GZIP = ("gzip", "x-gzip", "deflate")
_READ_ENCODINGS = ("identity", *_GZIP)
_ANSWER_BYTES = 8192
_ANSWER_CAP = 2000

# A filter sits on the logger that writes the record; a parent's filters are not asked.
_LOGGERS = (
    *("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"),
    # Libraries that sign requests or fetch tokens.
    *("botocore.credentials", "urllib3.connectionpool", "google.auth.transport"),
    *("azure.core.pipeline.policies.http_logging_policy", "msal.application", "msal.token_cache"),
)

# Names and IPv6 addresses; the resolver's codec raises on labels outside this length.
_HOST = re.compile(r"(?=.{1,253}$)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|[\da-f:.]*:[\da-f:.]*", re.ASCII)

_SENDABLE = re.compile(r"(?:(?:Bearer|Basic) )?[!-~]+")
_SIGNED = re.compile("[ -~]+")

_JSON = {"content-type": "application/json"}
_LEARNED = 32
"""Secrets of signed requests that are still looked for: those of the last few."""

# Providers quote a refused key in part, such as `sk-admin-****abcd`.
_KEY_LIKE = re.compile(r"\bsk-[\w*.-]{4,}")


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

Verdict = Literal["denied", "passes", ""]


class Dialect(NamedTuple):
    """What a provider says in another way than HTTP's own."""

    verdict: Callable[[int, bytes], Verdict] = lambda _status, _body: ""
    """Of a refusal's status and body: whether credentials were refused, or it goes away by itself;
    empty: what the status says."""
    wait_headers: re.Pattern[str] | None = None
    """Names of further headers that hold the seconds to wait; the longest counts."""


PLAIN = Dialect()


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
        pace: what of a wait that a server asked for is waited, in seconds.
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
        pace: Callable[[float], float] = float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._base_url = _checked_url(source, base_url)
        self._secret_headers = _checked_headers(source, secret_headers)
        self._signer = sign
        self._dialect = dialect
        self._denied = denied
        self._limits = limits
        self._pace = pace
        self._clock = clock
        self._scrub = _Scrub(secret_headers.values())
        self._next = 0.0
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._scrub)
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
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._scrub)

    def _sign(self, request: httpx.Request) -> httpx.Request:
        request.headers.update(self._secret_headers)
        if self._signer is not None:
            asked = Question(request.method, str(request.url), request.headers, request.content)
            signed = self._signer(asked)
            self._scrub.learn(signed.secrets)
            request.headers.update(_checked_headers(self._source, signed.headers, _SIGNED))
        return request

    def _wait(self, error: Exception) -> bool | float:
        """Stamina's question: seconds before the next attempt, True for its own, False for none."""
        if not isinstance(error, HttpError) or not error.again:
            return False
        if error.retry_after is None:
            return True
        return self._pace(error.retry_after) if error.retry_after <= self._limits.wait_s else False

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
        with _Deadline(self._limits.total_s) as deadline:
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
        inflate = _inflating(response.headers, self._limits.body_bytes + 1)
        body = bytearray()
        for chunk in response.iter_raw():
            body += inflate(chunk)
            if len(body) > self._limits.body_bytes:
                break
        return bytes(body)

    def _check(self, path: str, response: httpx.Response, body: bytes) -> None:
        if response.status_code != 200:
            raise self._refused(path, response, body)
        encoding = _encoding(response.headers)
        if encoding not in _READ_ENCODINGS:
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
        detail = self._scrub.words(_error_message(body)).rstrip(".")
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
            again=_worth_repeating(status, response.headers) or verdict == "passes",
            permanent=not _passes(status) and verdict != "passes",
            retry_after=wait,
        )

    def _asked_to_wait(self, headers: Mapping[str, str]) -> float | None:
        waits = [retry_after(headers, self._clock())]
        if (own := self._dialect.wait_headers) is not None:
            named = (text for name, text in headers.items() if own.fullmatch(name))
            waits += [retry_after({"retry-after": text}, self._clock()) for text in named]
        return max((wait for wait in waits if wait is not None), default=None)


def post(url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> Posted:
    """One POST, or a GET where `body` is None: no redirects, no repeat, at most `timeout` seconds.

    The status is the answer. Its body is only words, so one that breaks off, drips or never comes
    changes nothing; no more than its beginning is read.

    The address may hold a key, so nothing that is raised quotes it; a key in it goes over https or
    stays on this machine.

    Raises:
        ConnectionError: no connection came about, so that nothing can have arrived.
        OSError: nothing was answered, or the address cannot be called.
    """
    answered = b""
    answer: httpx.Response | None = None
    failure = OSError(errno.EPROTO, "no answer")
    if not callable_address(url):
        raise OSError(errno.EINVAL, "the address is neither https nor on this machine")
    sent = {"accept-encoding": "identity", "user-agent": "crossover", **headers}
    with (
        _Deadline(timeout) as deadline,
        httpx.Client(timeout=timeout, follow_redirects=False) as client,
    ):
        try:
            with client.stream(
                "GET" if body is None else "POST",
                url,
                content=body,
                headers=sent,
                extensions={"trace": deadline.trace},
            ) as answer:
                for chunk in answer.iter_raw():
                    answered += chunk[:_ANSWER_BYTES]
                    if len(answered) >= _ANSWER_BYTES:
                        break
        except httpx.HTTPError as error:
            failure = _without_answer(error, late=deadline.passed)
    if answer is None:
        raise failure
    wait = retry_after(answer.headers, time.time())
    text = clean_name(answered.decode(errors="replace"), _ANSWER_CAP)
    return Posted(answer.status_code, text, wait)


def _without_answer(error: httpx.HTTPError, *, late: bool) -> OSError:
    """Only the kind of a failure: the client's error quotes the address."""
    kind = type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return OSError(errno.ECONNREFUSED, kind)
    if late or isinstance(error, httpx.TimeoutException):
        return OSError(errno.ETIMEDOUT, "not in time")
    return OSError(errno.EPROTO, kind)


class Place(NamedTuple):
    """Where an address leads."""

    host: str
    port: int
    secured: bool
    """Whether it begins with TLS."""


def place(url: str) -> Place | None:
    """Where an address leads; None: it is none of http or https."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    if target.scheme not in ("http", "https") or not target.host:
        return None
    secured = target.scheme == "https"
    return Place(target.host, target.port or (443 if secured else 80), secured)


def callable_address(url: str) -> bool:
    """Whether an address that may hold a key can be called: https, or this machine."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if target.scheme == "https":
        return bool(target.host)
    return target.scheme == "http" and _is_loopback(target.host)


def basic(pair: str) -> str:
    """The header `authorization` for a `user:password`."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that an answer asks to wait, 0 to 900; None where it names none.

    `retry-after-ms` counts before `Retry-After`, which is in seconds or an HTTP date.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    text = headers.get("retry-after", "")
    seconds = _number(text) if milliseconds is None else milliseconds / 1000
    if seconds is None:
        seconds = _until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT_S)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(http_date: str, now: float) -> float | None:
    try:
        return calendar.timegm(parsedate_to_datetime(http_date).utctimetuple()) - now
    except (ValueError, OverflowError):
        return None


def _encoding(headers: Mapping[str, str]) -> str:
    return headers.get("content-encoding", "").strip().lower() or "identity"


def _inflating(headers: Mapping[str, str], most: int) -> Callable[[bytes], bytes]:
    """What turns the chunks of a body into what they hold, at most `most` bytes of each."""
    if _encoding(headers) not in _GZIP:
        return bytes
    # The header of gzip or zlib, whichever comes.
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    return lambda chunk: inflater.decompress(chunk, most)


def _passes(status: int) -> bool:
    """Whether an error of this status goes away without anybody changing something."""
    return status in {408, 429} or status >= 500


def _worth_repeating(status: int, headers: Mapping[str, str]) -> bool:
    """Whether to try again at once; the server's own word (`x-should-retry`) counts first."""
    word = headers.get("x-should-retry")
    return word == "true" if word in {"true", "false"} else _passes(status)


class _ErrorObject(msgspec.Struct):
    message: str


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject


class _AmazonError(msgspec.Struct):
    kind: str = msgspec.field(name="__type")
    message: str = ""
    named: str = msgspec.field(name="Message", default="")


def _error_message(body: bytes) -> str:
    """What a provider says: the message of its error object, else the text as it is."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(body, type=_ErrorBody).error.message
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        found = msgspec.json.decode(body, type=_AmazonError)
        return f"{found.kind.rpartition('#')[2]}: {found.message or found.named}"
    return body[: 10 * DETAIL_CAP].decode(errors="replace")


def _checked_url(source: str, base_url: str) -> httpx.URL:
    """The address, if nothing secret is in it and a key may be sent to it."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    written_well = url.scheme in {"https", "http"} and _HOST.fullmatch(url.raw_host.decode())
    if not written_well or url.userinfo or url.query:
        raise SourceError(
            source,
            "base_url is not an https address of a host and a path",
            "Write it as https://host/path, without a user, a password or a query",
            permanent=True,
        )
    if url.scheme == "http" and not _is_loopback(url.host):
        raise SourceError(
            source,
            f"base_url is plain http to {url.host}, which would send the key in the clear",
            "Use https; plain http is allowed to this machine only",
            permanent=True,
        )
    return url


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _checked_headers(
    source: str, headers: Mapping[str, str], sendable: re.Pattern[str] = _SENDABLE
) -> Mapping[str, str]:
    """The headers, if each can be sent; the client's own complaint would quote the secret."""
    for name, value in headers.items():
        if not sendable.fullmatch(value):
            raise SourceError(
                source,
                f"the key for the header {name} is empty or holds a space, a line break or a "
                "letter outside ASCII",
                "Store the key again, as one word",
                permanent=True,
            )
    return headers


_LEAST_IN_BODY = 8
"""Characters: a shorter secret may be part of a name or a number, which must stay as it is."""


class _Scrub(logging.Filter):
    """Takes secrets out of log records, error texts and bodies.

    A secret is the last word of a header's value: `Bearer` before it is none. That of `Basic` is
    the pair that it encodes too, and the password of the pair.
    """

    def __init__(self, values: Iterable[str]) -> None:
        super().__init__()
        self._kept = [secret for value in values for secret in _readings(value)]
        self._learned: deque[str] = deque(maxlen=_LEARNED)

    def learn(self, values: Iterable[str]) -> None:
        """Take in what one request was signed with; the newest are enough."""
        self._learned.extend(value for value in values if value not in self._learned)

    @property
    def _secrets(self) -> list[str]:
        return [*self._kept, *self._learned]

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.text(record.getMessage()), None
        return True

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _KEY_LIKE.sub(REDACTED, text)

    def words(self, text: str) -> str:
        """Foreign words fit for an error message."""
        return clean_name(self.text(text), DETAIL_CAP)

    def body(self, body: bytes) -> bytes:
        for secret in self._secrets:
            if len(secret) < _LEAST_IN_BODY:
                continue
            body = body.replace(secret.encode(), REDACTED.encode())
        return body


def _readings(value: str) -> Iterator[str]:
    """A header's secret in every form in which the far side may repeat it, the longest first."""
    scheme, _, secret = value.rpartition(" ")
    yield secret
    if scheme == "Basic":
        pair = base64.b64decode(secret).decode()
        yield pair
        yield from filter(None, [pair.partition(":")[2]])


class _Deadline:
    """Ends one exchange after `seconds`, wherever it is stuck.

    A socket's timeout counts from the last byte, so a server that drips never meets it. Here a
    timer shuts the connection down, which wakes any read.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """The client's report of each step: keeps the newest connection."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
            if self.passed:
                self._end()

    def _end(self) -> None:
        self.passed = True
        if self._stream is not None:
            with suppress(OSError):
                # The plain socket's method: TLS would first have to be unwrapped by the reader.
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)
