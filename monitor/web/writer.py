"""One thread that stores what was sent: everything that waits in one transaction."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from anyio import Event, from_thread
from anyio.lowlevel import current_token
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from monitor.domain.errors import DatabaseUnavailable, StorageError
from monitor.domain.intake import Answer
from monitor.jobs.intake import Parcel, Signal
from monitor.storage import tokens
from monitor.storage.engine import Database

log = logging.getLogger("crossover.intake")

_BATCH = 20_000
"""Items of one transaction: beyond that a larger one is no faster."""

_ENOUGH = 4_000
"""Items for which a transaction waits for no further ones."""

_GATHER_SECONDS = 0.01
"""That it waits for them: what a transaction costs however little it holds."""

_STOP_SECONDS = 30

_PASSING = frozenset({"08", "25", "40", "53", "55", "57", "58"})
"""Classes of PostgreSQL's errors that pass: connections, read-only servers, conflicts, what runs
out, locks, operators, the system. Not 22: a value that fits nowhere."""


class Ticket:
    """One request that waits for its answer; made and awaited in the event loop.

    Args:
        signal: what was sent.
        parcel: what it says.
        weight: how many things that is.
    """

    def __init__(self, signal: Signal, parcel: Parcel, weight: int) -> None:
        self.signal, self.parcel, self.weight = signal, parcel, weight
        self.outcome: Answer | Exception | None = None
        self.loop = current_token()
        self._done = Event()

    def release(self) -> None:
        """Let the request go on; called in the event loop."""
        self._done.set()

    async def answer(self) -> Answer:
        """Wait until it is committed.

        Raises:
            StorageError: the database did not take it.
        """
        await self._done.wait()
        if isinstance(self.outcome, Answer):
            return self.outcome
        assert self.outcome is not None
        raise self.outcome


class Writer:
    """Takes tickets up to a limit, and stores them in the order of their arrival.

    Args:
        database: where they are stored.
        clock: wall time in epoch seconds.
        most: items that may wait, those that are being stored included.
    """

    def __init__(self, database: Database, clock: Callable[[], float], most: int) -> None:
        self._database = database
        self._clock = clock
        self._most = most
        self._tickets: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._reading = 0
        """Requests that are being read and will wait here."""
        self._peers = 0
        """Requests that were here at once when the last transaction ended."""
        self.stopped = False
        """Whether it takes nothing more."""
        self._thread: threading.Thread | None = None
        self._used: dict[int, int] = {}
        """When the use of each token was written last."""
        self.waiting = 0
        """Items that are not stored yet."""

    def start(self) -> None:
        """Begin to store."""
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, and store what waits."""
        with self._changed:
            self.stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While the block runs, a request is being read that will wait here soon."""
        with self._changed:
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify()

    def put(self, ticket: Ticket) -> bool:
        """Let it wait; False: it is full, or stopped.

        What alone is more than the limit is taken where nothing else waits.
        """
        with self._changed:
            full = self.waiting and self.waiting + ticket.weight > self._most
            if self.stopped or full:
                return False
            self._tickets.append(ticket)
            self.waiting += ticket.weight
            self._changed.notify()
            return True

    def _run(self) -> None:
        while batch := self._next():
            self._store(batch)
            self._release(batch)

    def _next(self) -> list[Ticket]:
        """What waits, up to a batch; waits for some; empty: it is stopped and all is stored."""
        with self._changed:
            while not self._tickets and not self.stopped:
                self._changed.wait()
            self._changed.wait_for(self._gathered, _GATHER_SECONDS)
            batch: list[Ticket] = []
            weight = 0
            while self._tickets and (not batch or weight + self._tickets[0].weight <= _BATCH):
                batch.append(self._tickets.popleft())
                weight += batch[-1].weight
            return batch

    def _gathered(self) -> bool:
        """Whether those are here that were before, so that all share a transaction again."""
        return self.stopped or len(self._tickets) >= self._peers or self.waiting >= _ENOUGH

    def _store(self, batch: Sequence[Ticket]) -> None:
        try:
            answers = self._put(batch)
        except StorageError as error:
            for ticket in batch:
                ticket.outcome = error
        except Exception as error:
            # One that cannot be stored must not cost the others.
            if len(batch) > 1:
                for ticket in batch:
                    self._store([ticket])
                return
            log.exception("what %s sent cannot be stored", batch[0].parcel.sender.token)
            batch[0].outcome = _explained(error)
        else:
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.outcome = answer

    def _put(self, batch: Sequence[Ticket]) -> list[Answer]:
        now = int(self._clock())
        found: dict[int, Answer] = {}
        with self._database.write() as conn:
            for path in sorted({ticket.signal.path for ticket in batch}):
                places = [i for i, ticket in enumerate(batch) if ticket.signal.path == path]
                put = batch[places[0]].signal.put
                answers = put(conn, [batch[i].parcel for i in places], now)
                found |= zip(places, answers, strict=True)
            self._note_use(conn, {ticket.parcel.sender.token_id for ticket in batch}, now)
        return [found[i] for i in range(len(batch))]

    def _note_use(self, conn: Connection, token_ids: Iterable[int], now: int) -> None:
        due = [i for i in sorted(token_ids) if now - self._used.get(i, 0) >= tokens.USE_SECONDS]
        tokens.note_use(conn, due, now)
        self._used.update(dict.fromkeys(due, now))

    def _release(self, batch: Sequence[Ticket]) -> None:
        with self._changed:
            self.waiting -= sum(ticket.weight for ticket in batch)
            self._peers = len(batch) + len(self._tickets) + self._reading

        def release() -> None:
            for ticket in batch:
                ticket.release()

        try:
            from_thread.run_sync(release, token=batch[0].loop)
        except RuntimeError:
            # The service has ended, and with it whoever waited; what is stored is stored.
            log.warning("%d requests were stored and could not be answered", len(batch))


def _explained(error: Exception) -> Exception:
    """A statement that the database refuses for its own reasons is worth another try.

    What it refuses because of the data would be refused again.
    """
    state = getattr(error, "sqlstate", None) or getattr(
        getattr(error, "orig", None), "sqlstate", None
    )
    if state is not None:
        passing = state[:2] in _PASSING
    else:
        lost = isinstance(error, OperationalError) or hasattr(error, "sqlstate")
        passing = lost and "overflow" not in str(error)
    if passing:
        return DatabaseUnavailable(f"a transaction failed: {type(error).__name__}")
    return error
