"""The frame around everything that is sent to the daemon: size, token, rate, encoding, queue.

`monitor.jobs.intake.Signal` is the door for a further kind of thing to send: its module says what
runs where, in which transaction, and when the answer leaves.

The order of checks is the order of their cost: the announced size, the token, its scope and rate,
the content type, the size as it arrives, the size as it inflates, then what the body says. The
body of somebody without a token is not read at all. An answer of 200 leaves after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from anyio import CapacityLimiter, move_on_after, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.domain.errors import IntakeError, StorageError
from monitor.domain.intake import Answer, Limits, Sender
from monitor.jobs.intake import Parcel, Reading, Signal
from monitor.storage import tokens
from monitor.storage.engine import Database
from monitor.web.inflate import ENCODINGS, inflated
from monitor.web.rates import Rates
from monitor.web.writer import Ticket, Writer

log = logging.getLogger("crossover.intake")

RETRY_SECONDS = 5
"""After which a sender should try again what could not be taken now."""

_THREADS = 4
"""That read bodies; pages and health have others."""

_LOOKUPS = 2
"""Threads that look up tokens, which must not wait for large bodies."""


class Intake:
    """Takes what is sent, one transaction for all that waits.

    Args:
        database: where it is stored.
        clock: wall time in epoch seconds.
        signals: what can be sent.
        limits: how much.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        signals: Sequence[Signal],
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._signals = tuple(signals)
        self._limits = limits or Limits()
        self._rates = Rates(self._limits.requests_per_minute)
        self._writer = Writer(database, clock, self._limits.waiting_events)
        self._threads = CapacityLimiter(_THREADS)
        self._lookups = CapacityLimiter(_LOOKUPS)
        self._open = 0

    def routes(self) -> list[Route]:
        """One for each signal."""
        return [
            Route(signal.path, self._endpoint(signal), methods=["POST"]) for signal in self._signals
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Store what is sent while the block runs; then what waits is stored, and no more."""
        self._writer.start()
        try:
            yield
        finally:
            self._writer.stop()

    def depth(self) -> dict[str, int]:
        """What `/healthz` says of it."""
        return {"intake_requests": self._open, "intake_waiting": self._writer.waiting}

    def _endpoint(self, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            kind = _content_type(request, signal)
            try:
                with self._opened():
                    return _response(await self._take(signal, request, kind))
            except IntakeError as error:
                said, after = (error.status, error.message), error.retry_after
            except ClientDisconnect:
                return Response(status_code=400)
            except StorageError as error:
                log.warning("%s: %s", signal.path, error)
                said, after = (503, "the database does not answer"), RETRY_SECONDS
            except Exception:
                log.exception("%s failed", signal.path)
                said, after = (500, "this could not be stored"), None
            answer = signal.refuse(*said, kind)
            return _response(answer, after or (RETRY_SECONDS if answer.status == 503 else None))

        return endpoint

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Counts a request, on the loop's one thread."""
        if self._open >= self._limits.open_requests:
            raise IntakeError(429, "too many requests are being read", RETRY_SECONDS)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _take(self, signal: Signal, request: Request, kind: str) -> Answer:
        self._announced(request)
        now = int(self._clock())
        secret = _secret(request)
        sender = await to_thread.run_sync(self._sender, secret, now, limiter=self._lookups)
        if signal.scope not in sender.scopes:
            raise IntakeError(403, f"this token has no scope {signal.scope}")
        encoding = _encoding(request)
        if kind not in signal.content_types:
            raise IntakeError(415, f"send {' or '.join(signal.content_types)}")
        with self._writer.reading():
            ticket = await self._ticket(signal, request, encoding, kind, sender, now)
            if not self._writer.put(ticket):
                if self._writer.stopped:
                    raise IntakeError(503, "the service is ending")
                raise IntakeError(429, "too much waits to be stored", RETRY_SECONDS)
        return await ticket.answer()

    async def _ticket(
        self, signal: Signal, request: Request, encoding: str, kind: str, sender: Sender, now: int
    ) -> Ticket:
        body = await self._body(request)

        def read() -> Reading:
            plain = inflated(body, encoding, self._limits.inflated_bytes)
            return signal.read(plain, kind, sender, now)

        reading = await to_thread.run_sync(read, limiter=self._threads)
        if reading.weight > self._limits.events:
            raise IntakeError(413, f"a request brings at most {self._limits.events} events")
        return Ticket(signal, Parcel(sender, kind, reading.found), reading.weight)

    def _announced(self, request: Request) -> None:
        said = request.headers.get("content-length", "0")
        if not said.isascii() or not said.isdigit() or int(said) > self._limits.body_bytes:
            raise self._too_large()

    def _too_large(self) -> IntakeError:
        return IntakeError(413, f"a body has at most {self._limits.body_bytes} bytes")

    def _sender(self, secret: str, now: int) -> Sender:
        with self._database.read() as conn:
            sender = tokens.sender(conn, secret)
        if sender is None:
            raise IntakeError(401, "no valid token")
        wait = self._rates.wait(sender.token_id, now)
        if wait:
            raise IntakeError(429, "this token sends too often", wait)
        return sender

    async def _body(self, request: Request) -> bytes:
        parts: list[bytes] = []
        size = 0
        with move_on_after(self._limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._limits.body_bytes:
                    raise self._too_large()
                parts.append(chunk)
            return b"".join(parts)
        raise IntakeError(408, f"a body must arrive within {self._limits.body_seconds:.0f} s")


def _secret(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not tokens.well_formed(secret.strip()):
        raise IntakeError(401, "no valid token")
    return secret.strip()


def _encoding(request: Request) -> str:
    said = request.headers.get("content-encoding", "").strip().lower() or "identity"
    said = said.removeprefix("x-")
    if said not in ENCODINGS:
        raise IntakeError(415, f"the content encoding is one of {', '.join(ENCODINGS)}")
    return said


def _content_type(request: Request, signal: Signal) -> str:
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return said or signal.content_types[0]


def _response(answer: Answer, retry_after: int | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    if answer.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(answer.body, answer.status, headers, media_type=answer.content_type)
