"""`put_window` against a plain dict: late, restated, vanished and repeated rows, on both engines."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from monitor.domain.usage import (
    DAY,
    HOUR,
    BillRow,
    Quantities,
    UsageRow,
    add,
    utc_day,
)
from monitor.storage import rollup, setup
from monitor.storage.tables import SERIES_DIMENSIONS
from monitor.storage.write import Changes, Window, put_window
from tests.factories import DAY0, dims, make_stream

SHARED = [dims(), dims(model="gpt-5"), dims(account="other", batch="true", label="search")]
DAYS = 4
TABLES = (
    *("usage", "bill", "usage_day", "restatement", "dirty", "watermark"),
    *("series", "stream", "source"),
)
JOINED = (
    f"SELECT a.name, {', '.join(f's.{name}' for name in SERIES_DIMENSIONS)}, f.* FROM {{}} f"
    " JOIN series s ON s.id = f.series_id JOIN account a ON a.id = s.account_id"
    " WHERE s.stream_id = :s"
)

count = st.one_of(st.none(), st.integers(0, 3), st.just(10**15))
quantities = st.tuples(count, count, count).map(
    lambda found: Quantities(uncached_input=found[0], output=found[1], requests=found[2])
)


def stored(database, feeds, stream):
    """The rows of a stream as the model keeps them: key -> values."""
    table, width = ("usage", 2) if feeds == "usage" else ("bill", 3)
    with database.read() as conn:
        rows = conn.execute(text(JOINED.format(table)), {"s": stream}).all()
    named = len(SHARED[0])
    return {
        (tuple(row[:named]), *row[named + 1 : named + width]): tuple(row[named + width :])
        for row in rows
    }


def marks(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT stream_id, day, n, restates FROM dirty")).all()
    return {(row.stream_id, row.day): (row.n, bool(row.restates)) for row in rows}


def closed_through(database, stream):
    with database.read() as conn:
        return conn.scalar(
            text("SELECT closed_through FROM watermark WHERE stream_id = :s"), {"s": stream}
        )


class Windows(RuleBasedStateMachine):
    """Two streams that share every dimension; each read covers some of the same few days."""

    feeds = "usage"
    cells = st.lists(st.tuples(st.sampled_from(SHARED), st.integers(0, 23), quantities), max_size=6)

    def __init__(self, database):
        super().__init__()
        self.database = database

    @initialize()
    def begin(self):
        with self.database.write() as conn:
            for table in TABLES:
                conn.exec_driver_sql(f"DELETE FROM {table}")
            setup.apply(conn, setup.Setup((), (), (), (), ()))
            self.streams = [make_stream(conn, s, "rows", self.feeds)[1] for s in ("one", "two")]
        self.rows = {stream: {} for stream in self.streams}
        self.closed = dict.fromkeys(self.streams)
        self.final = {stream: set() for stream in self.streams}
        self.marks = {}

    @rule(
        which=st.integers(0, 1),
        first=st.integers(0, DAYS - 1),
        length=st.integers(1, DAYS),
        closed=st.one_of(st.none(), st.integers(0, DAYS + 1)),
        width=st.sampled_from([HOUR, DAY]),
        data=st.data(),
    )
    def read(self, which, first, length, closed, width, data):
        stream = self.streams[which]
        end = min(first + length, DAYS)
        window = Window(
            stream, DAY0 + first * DAY, DAY0 + end * DAY, closed and DAY0 + closed * DAY
        )
        rows = [
            self.row(DAY0 + day * DAY, width, *cell)
            for day in range(first, end)
            for cell in data.draw(self.cells)
        ]
        if data.draw(st.booleans()):
            rows += rows[:2]
        self.put(window, rows)
        unchanged = self.marks
        assert self.write(window, rows) == Changes()
        assert marks(self.database) == unchanged

    def row(self, day, width, of, hour, found):
        return UsageRow(of, day + (hour * HOUR if width == HOUR else 0), width, found)

    def wanted(self, rows):
        whole = {}
        for row in rows:
            key = (tuple(row.dims), row.start)
            whole[key] = add(whole[key], row.quantities) if key in whole else row.quantities
        return {key: (rows[0].seconds, *found) for key, found in whole.items()}

    def write(self, window, rows):
        with self.database.write() as conn:
            return put_window(conn, window, rows)

    def put(self, window, rows):
        mine, wanted = self.rows[window.stream_id], self.wanted(rows)
        before = {k: v for k, v in mine.items() if window.start <= k[1] < window.end}
        changed = {k for k in before.keys() & wanted.keys() if before[k] != wanted[k]}
        new, gone = wanted.keys() - before.keys(), before.keys() - wanted.keys()

        assert self.write(window, rows) == Changes(len(new), len(changed), len(gone))

        self.rows[window.stream_id] = {
            **{k: v for k, v in mine.items() if k not in before},
            **wanted,
        }
        self.mark(window.stream_id, {utc_day(key[1]) for key in new | changed | gone})
        self.close(window)

    def mark(self, stream, days):
        closed = self.closed[stream]
        for day in days:
            n, restates = self.marks.get((stream, day), (0, False))
            late = closed is not None and day + DAY <= closed
            self.marks = {**self.marks, (stream, day): (n + 1, restates or late)}

    def close(self, window):
        before, after = (
            self.closed[window.stream_id],
            closed_through(self.database, window.stream_id),
        )
        final = min(window.closed_through or 0, window.end)
        self.final[window.stream_id] |= set(range(window.start, final, DAY))
        if before is None:
            assert after == (final if final > window.start else None)
        else:
            touches = window.start <= before
            assert after == (max(before, final) if touches else before)
        self.closed[window.stream_id] = after

    @rule()
    def roll_up(self):
        with self.database.write() as conn:
            rollup.refresh(conn, rollup.waiting(conn), lambda *_: None, (), DAY0 + 9 * DAY)
        self.marks = {}

    @invariant()
    def tables_equal_the_model(self):
        for stream, rows in getattr(self, "rows", {}).items():
            assert stored(self.database, self.feeds, stream) == rows
            closed, final = self.closed[stream], self.final[stream]
            # No hole: every day before the mark, from the first one on, was read as final.
            assert closed is None or set(range(min(final), closed, DAY)) <= final
        assert marks(self.database) == getattr(self, "marks", {})


class Bills(Windows):
    feeds = "bill"
    cells = st.lists(
        st.tuples(
            st.sampled_from(SHARED),
            st.sampled_from(["input", "output", "None", "\\N", "a\tb"]),
            st.one_of(st.integers(-3, 3), st.integers(-(10**17), 10**17)),
        ),
        max_size=4,
    )

    def row(self, day, width, of, line_item, amount):
        return BillRow(of, day, line_item, amount, "USD" if width == DAY else "EUR")

    def wanted(self, rows):
        sums = Counter()
        for row in rows:
            sums[tuple(row.dims), row.day, row.line_item] += row.amount_pico
        keys = dict.fromkeys((tuple(row.dims), row.day, row.line_item) for row in rows)
        return {key: (sums[key], rows[0].currency) for key in keys}

    @rule()
    def roll_up(self):
        with self.database.write() as conn:
            conn.exec_driver_sql("DELETE FROM dirty")
        self.marks = {}


@pytest.mark.proof
@pytest.mark.parametrize("machine", [Windows, Bills])
def test_any_sequence_of_reads_leaves_what_was_read_last(database, machine):
    run_state_machine_as_test(lambda: machine(database), settings=settings(stateful_step_count=10))
