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
from monitor.storage import rollup, setup, write
from monitor.storage.tables import SERIES_DIMENSIONS
from monitor.storage.write import Changes, Window, mark_dirty, put_window
from tests.factories import DAY0, bill, dims, make_stream, usage
from tests.integration.beside import beside, together

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
        self.began = {}
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
            self.began[window.stream_id] = window.start
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
            # No hole: every day before the mark, from where it began, was read as final.
            assert closed is None or set(range(self.began[stream], closed, DAY)) <= final
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
@pytest.mark.parametrize(("machine", "at_once"), [(Windows, 20_000), (Windows, 2), (Bills, 20_000)])
def test_any_sequence_of_reads_leaves_what_was_read_last(database, monkeypatch, machine, at_once):
    monkeypatch.setattr(write, "_AT_ONCE", at_once)
    run_state_machine_as_test(lambda: machine(database), settings=settings(stateful_step_count=10))


def put(database, stream, rows, days=1, **window):
    with database.write() as conn:
        return put_window(conn, Window(stream, DAY0, DAY0 + days * DAY, **window), rows)


@pytest.fixture
def stream(database):
    with database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (), (), ()))
        return make_stream(conn)[1]


@pytest.fixture
def bills(database):
    with database.write() as conn:
        return make_stream(conn, name="costs", feeds="bill")[1]


def outputs(database, stream):
    return sorted(values[5] for values in stored(database, "usage", stream).values())


# Either side of the size from which rows are sent as a block.
@pytest.mark.parametrize("size", [1, 99, 100, 101, 1000])
def test_a_window_of_any_size_gains_changes_and_loses_rows(database, stream, size):
    def rows(numbers, output):
        return [usage(DAY0 + n * HOUR, output=output, cache_read=n % 3 or None) for n in numbers]

    same, changed, gone, new = (range(i * size, (i + 1) * size) for i in range(4))
    days = 4 * size // 24 + 1
    before = rows(same, 1) + rows(changed, 2) + rows(gone, 3)
    after = rows(same, 1) + rows(changed, 4) + rows(new, 5)
    assert put(database, stream, before, days) == Changes(3 * size, 0, 0)
    assert put(database, stream, after, days) == Changes(size, size, size)
    assert outputs(database, stream) == sorted(row.quantities.output for row in after)
    assert put(database, stream, after, days) == Changes()


@pytest.mark.parametrize("size", [3, 300])
def test_line_items_of_any_spelling_come_back_as_they_were(database, bills, size):
    spellings = ["None", "\\N", "a\tb", "ü\n", "'; --", '{"a": 1}', "%s", "?", ""]
    rows = [bill(line_item=f"{n} {spellings[n % 9]}", amount_pico=n - 5) for n in range(size)]
    assert put(database, bills, rows) == Changes(size, 0, 0)
    found = {key[2]: values for key, values in stored(database, "bill", bills).items()}
    assert found == {row.line_item: (row.amount_pico, "USD") for row in rows}


@pytest.mark.parametrize("at", [DAY0 - HOUR, DAY0 + DAY])
def test_a_row_outside_the_window_is_refused_and_nothing_is_written(database, stream, at):
    with pytest.raises(ValueError, match=f"row at {at} lies outside the window"):
        put(database, stream, [usage(), usage(at)], closed_through=DAY0 + DAY)
    assert stored(database, "usage", stream) == {}
    assert marks(database) == {}
    assert closed_through(database, stream) is None


def test_a_stream_takes_only_what_it_feeds(database, stream, bills):
    with pytest.raises(ValueError, match="feeds usage, not BillRow"):
        put(database, stream, [bill()])
    with pytest.raises(ValueError, match="feeds bill, not UsageRow"):
        put(database, bills, [usage()])


def test_one_line_item_in_two_currencies_is_never_added_up(database, bills):
    with pytest.raises(ValueError, match="billed in USD and EUR"):
        put(database, bills, [bill(), bill()._replace(currency="EUR")])


def test_a_transaction_that_fails_later_keeps_neither_rows_nor_marks_nor_watermark(
    database, stream
):
    put(database, stream, [usage(output=1)], closed_through=DAY0)
    seen = marks(database)

    def put_and_fail():
        with database.write() as conn:
            put_window(conn, Window(stream, DAY0, DAY0 + DAY, DAY0 + DAY), [usage(output=2)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        put_and_fail()
    assert outputs(database, stream) == [1]
    assert marks(database) == seen
    assert closed_through(database, stream) is None


def test_days_that_the_provider_no_longer_keeps_do_not_hold_the_watermark_back(database, stream):
    put(database, stream, [], closed_through=DAY0 + DAY)
    late = Window(stream, DAY0 + 40 * DAY, DAY0 + 41 * DAY, DAY0 + 41 * DAY)
    with database.write() as conn:
        put_window(conn, late, [])
    assert closed_through(database, stream) == DAY0 + DAY
    with database.write() as conn:
        put_window(conn, late._replace(asked_from=DAY0), [])
    assert closed_through(database, stream) == DAY0 + 41 * DAY


def test_a_mark_says_whether_its_day_had_been_closed_before_and_keeps_saying_so(database, stream):
    put(database, stream, [usage(output=1)], days=2, closed_through=DAY0 + DAY)
    assert marks(database) == {(stream, DAY0): (1, False)}
    put(database, stream, [usage(output=2), usage(DAY0 + DAY)], days=2)
    assert marks(database) == {(stream, DAY0): (2, True), (stream, DAY0 + DAY): (1, False)}
    with database.write() as conn:
        mark_dirty(conn, stream, {DAY0: False})
    assert marks(database)[stream, DAY0] == (3, True)


def test_when_a_stream_was_last_read_is_kept_where_a_writer_does_not_know(database, stream):
    put(database, stream, [], seen_at=DAY0 + 5)
    put(database, stream, [])
    with database.read() as conn:
        assert conn.scalar(text("SELECT seen_at FROM watermark")) == DAY0 + 5


def roll_up(database):
    with database.write() as conn:
        rollup.refresh(conn, rollup.waiting(conn), lambda *_: None, (), DAY0 + 9 * DAY)


def rolled_up(database):
    with database.read() as conn:
        return conn.scalar(text("SELECT SUM(output) FROM usage_day"))


def test_a_second_writer_of_a_stream_waits_and_then_sees_what_the_first_wrote(database, stream):
    with database.write() as conn:
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage(output=1)])
        second = beside(database, lambda own: put(own, stream, [usage(output=1)]))
    assert second.result() == Changes()


def test_a_roll_up_beside_a_writer_waits_or_finds_a_new_mark(database, stream):
    put(database, stream, [usage(output=1)])
    with database.write() as conn:
        # The day is marked already; this writer must hold the mark until its rows can be seen.
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage(output=2)])
        rolling = beside(database, roll_up)
    rolling.result()
    roll_up(database)
    assert rolled_up(database) == 2
    assert marks(database) == {}


def test_no_update_is_lost_among_writers_and_roll_ups(database, stream):
    def read(own):
        for n in range(15):
            put(own, stream, [usage(output=n), usage(DAY0 + DAY, output=n)], days=2)

    def roll(own):
        for _ in range(30):
            roll_up(own)

    together(database, [read, read, roll, roll])
    roll_up(database)
    assert outputs(database, stream) == [14, 14]
    assert rolled_up(database) == 28
    assert marks(database) == {}
