"""How fast requests are taken over HTTP, as shares of two floors measured in the same run.

Floors: the same HTTP stack with an endpoint that parses each body and drops it; and the same
writer, handed the same events without HTTP, those of one request in a transaction as they come,
and 5,000 in one as an import has them. What is measured is the whole way: sent, checked, committed
to PostgreSQL, answered. The server is a process of its own; the client keeps a few connections
busy, each with one request of 1,000 events at a time. All alternate within one run, so that a busy
machine slows all of them: a share is the median of the rounds' shares.

    python benchmarks/ingest.py [--requests 60] [--rounds 5] [--connections 8]
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from write import opened

from collectors import push as bodies
from monitor import memory
from monitor.domain.intake import Limits, Sender
from monitor.domain.usage import DAY
from monitor.jobs import push
from monitor.jobs.imports import BATCH
from monitor.jobs.intake import Arrival, put_requests
from monitor.storage import tokens
from monitor.storage.engine import Database
from monitor.web.app import serving
from monitor.web.intake import Intake

EVENTS = 1000
SERIES = 70
SETTLE = 6 * 3600
DROP = "parse and drop"
WRITER = "the writer alone"
LARGE = "the writer, by 5,000"
WHOLE = "sent and committed"
TARGETS = {DROP: 0.05, WRITER: 0.80, LARGE: None}
CLEARED = ("usage", "request_log", "dirty", "watermark", "series")
LIMITS = Limits(requests_per_minute=10**9)


class Floor:
    """Takes bodies as the intake does, parses them, and drops what they say."""

    def routes(self) -> list[Route]:
        """The same path."""
        return [Route(push.PATH, self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        # The fastest parse that there is here: typed, without any check of ours.
        bodies._many.decode(await request.body())  # noqa: SLF001 - the floor of this very decoder
        return Response(b"{}", media_type="application/json")

    def running(self) -> nullcontext[None]:
        """Nothing runs beside it."""
        return nullcontext()

    def depth(self) -> dict[str, int]:
        """Nothing waits."""
        return {}


def serve(url: str) -> None:
    """What the child process does: both servers, until its input ends."""
    memory.leave_alone()  # as the daemon does
    database = Database(url)
    signal = push.signal(partial(bodies.parse, most=LIMITS.events), bodies.CONTENT_TYPES, SETTLE)
    intake = Intake(database, time.time, [signal], LIMITS)
    well = {"ok": True}
    with (
        serving(lambda: well, "127.0.0.1", 0, None, Floor()) as floor,  # type: ignore[arg-type]
        serving(lambda: well, "127.0.0.1", 0, None, intake) as whole,
    ):
        print(floor, whole, flush=True)
        sys.stdin.read()
    database.close()


@contextmanager
def child(url: str) -> Iterator[tuple[int, int]]:
    """The ports of the floor and of the intake, in a process of their own."""
    command = [sys.executable, __file__, "--serve", url]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            floor, whole = process.stdout.readline().split()
            yield int(floor), int(whole)
        finally:
            process.stdin.close()


def requests(count: int, now: int) -> list[bytes]:
    """Bodies of yesterday's requests, each id once, of a team's few projects and models."""
    rng = random.Random(now)

    def event(i: int) -> dict[str, object]:
        of = rng.randrange(SERIES)
        return {
            "id": f"chatcmpl-{rng.getrandbits(120):030x}",
            "at": now - DAY + i * DAY // (count * EVENTS),
            "provider": "openai",
            "model": f"gpt-5-{of % 7}-2025-08-07",
            "project": f"proj_{of // 7 % 5:012d}",
            "api_key": f"key_{of:012d}",
            "uncached_input": rng.randrange(4_000),
            "cache_read": rng.randrange(900),
            "output": rng.randrange(600),
        }

    return [
        json.dumps([event(k * EVENTS + i) for i in range(EVENTS)], separators=(",", ":")).encode()
        for k in range(count)
    ]


def send(port: int, secret: str, sent: Sequence[bytes], connections: int) -> float:
    """Seconds until the last of these bodies is answered."""
    waiting = iter(sent)
    lock = threading.Lock()
    failed: list[int] = []
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                body = next(waiting, None)
            if body is None:
                connection.close()
                return
            connection.request("POST", push.PATH, body, headers)
            reply = connection.getresponse()
            reply.read()
            if reply.status != 200:
                failed.append(reply.status)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if failed:
        raise SystemExit(f"{len(failed)} requests were refused: {sorted(set(failed))}")
    return seconds


def write(database: Database, sent: Sequence[bytes], now: int, size: int) -> float:
    """Seconds to store the same events, parsed before, so many in a transaction."""
    sender = Sender(1, "t", "team", frozenset({"usage"}))
    events = [
        event
        for body in sent
        for event in bodies.parse(body, bodies.JSON, sender, now, most=EVENTS).events
    ]
    batches = [events[i : i + size] for i in range(0, len(events), size)]
    gc.collect()
    start = time.perf_counter()
    for batch in batches:
        with database.write() as conn:
            put_requests(conn, [Arrival("team", batch)], now, SETTLE)
    return time.perf_counter() - start


def reset(database: Database) -> None:
    """As a fresh installation, its tokens kept."""
    with database.write() as conn:
        for table in CLEARED:
            conn.exec_driver_sql(f"TRUNCATE {table} CASCADE")
    with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("CHECKPOINT")


def stored(database: Database) -> int:
    """Requests in the database."""
    with database.read() as conn:
        return int(conn.exec_driver_sql("SELECT COUNT(*) FROM request_log").scalar_one())


def measure(database: Database, count: int, rounds: int, connections: int) -> None:
    """Print the rates and the shares."""
    now = int(time.time())
    memory.leave_alone()
    with database.write() as conn:
        wanted = tokens.TokenSetup("bench", "team", ("usage",))
        secret = tokens.create(conn, wanted, {}, now)
    rates: dict[str, list[float]] = defaultdict(list)
    with child(database.url.render_as_string(hide_password=False)) as (floor, whole):
        sent = requests(count, now)
        send(floor, secret, sent[:5], connections)
        send(whole, secret, sent[:5], connections)
        steps = {
            DROP: partial(send, floor, secret, sent, connections),
            WRITER: partial(write, database, sent, now, EVENTS),
            LARGE: partial(write, database, sent, now, BATCH),
            WHOLE: partial(send, whole, secret, sent, connections),
        }
        for _ in range(rounds):
            for name, step in steps.items():
                reset(database)
                rates[name].append(count * EVENTS / step())
            if (found := stored(database)) != count * EVENTS:
                raise SystemExit(f"{found} of {count * EVENTS} requests were stored")
    show(rates, sum(map(len, sent)) // (count * EVENTS))


def show(rates: dict[str, list[float]], size: int) -> None:
    """A line for each rate, then one for each share."""
    for name, found in rates.items():
        print(f"{name:24} {statistics.median(found):11,.0f} events/s of {size} bytes")
    for name, target in TARGETS.items():
        pairs = zip(rates[WHOLE], rates[name], strict=True)
        shares = [ours / theirs for ours, theirs in pairs]
        print(
            f"of {name:21} {statistics.median(shares):11.3f}"
            f"  ({min(shares):.3f}..{max(shares):.3f})"
            + (f"  target {target:.2f}" if target else "")
        )


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    with opened("postgres") as database:
        measure(database, args.requests, args.rounds, args.connections)


if __name__ == "__main__":
    main()
