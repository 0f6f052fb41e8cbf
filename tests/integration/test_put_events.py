"""`put_events`: each request counts once, the larger report of it stays, and the hours agree."""

from contextlib import closing
from functools import partial
from threading import Barrier

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from monitor.domain.usage import DAY, HOUR, QUANTITY_FIELDS, Event, Quantities
from monitor.storage.engine import Database
from monitor.storage.events import put_events
from monitor.storage.write import Changes, Window, put_window
from tests.factories import DAY0, dims, make_stream, usage
from tests.integration.beside import beside, together

TABLES = ("usage", "request_log", "dirty", "watermark", "series")
SHARED = [dims(), dims(model="gpt-5"), dims(account="other", project="search")]
SUMS = ", ".join(f"SUM({name})" for name in QUANTITY_FIELDS)


def event(name="r1", at=DAY0, of=None, **quantities):
    filled = {"uncached_input": 100, "output": 10, "requests": 1} | quantities
    return Event(name, at, of or dims(), Quantities(**filled))


@pytest.fixture
def ids(database):
    with database.write() as conn:
        return make_stream(conn)


def put(database, ids, *events):
    with database.write() as conn:
        return put_events(conn, *ids, events)


def logged(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT * FROM request_log ORDER BY event_id, day")).all()
    return [(row.event_id, row.day, Quantities(*row[5:])) for row in rows]


def hours(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT * FROM usage ORDER BY bucket_start, series_id")).all()
    assert {row.bucket_seconds for row in rows} <= {HOUR}
    return [(row.bucket_start, Quantities(*row[3:])) for row in rows]


def marks(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT day, n, restates FROM dirty ORDER BY day")).all()
    return [(row.day, row.n, bool(row.restates)) for row in rows]


def sums(database, table):
    with database.read() as conn:
        return tuple(
            None if n is None else int(n)
            for n in conn.execute(text(f"SELECT {SUMS} FROM {table}")).one()
        )


def test_requests_of_an_hour_are_one_bucket_and_the_same_again_adds_nothing(database, ids):
    events = [event("a"), event("b", DAY0 + 59), event("c", DAY0 + HOUR)]
    assert put(database, ids, *events) == Changes(new=3)
    expected = [
        (DAY0, Quantities(uncached_input=200, output=20, requests=2)),
        (DAY0 + HOUR, Quantities(uncached_input=100, output=10, requests=1)),
    ]
    assert hours(database) == expected
    assert marks(database) == [(DAY0, 1, False)]
    assert put(database, ids, *events) == Changes()
    assert hours(database) == expected
    assert marks(database) == [(DAY0, 1, False)]


def test_of_two_reports_in_one_batch_the_larger_counts(database, ids):
    assert put(database, ids, event(output=10), event(output=30), event(output=20)) == Changes(
        new=1
    )
    ((_, _, kept),) = logged(database)
    assert kept.output == 30


def test_a_larger_report_moves_its_hour_by_the_difference_and_a_smaller_is_ignored(database, ids):
    put(database, ids, event("a", output=10), event("b", output=7))
    assert put(database, ids, event("a", DAY0 + HOUR, output=25)) == Changes(changed=1)
    assert [found.output for _, found in hours(database)] == [32]
    assert put(database, ids, event("a", output=24)) == Changes()
    assert sums(database, "usage") == sums(database, "request_log")


@pytest.mark.parametrize(
    ("later", "same"),
    [(-2 * DAY, False), (-DAY, True), (-1, True), (1, True), (DAY, True), (2 * DAY, False)],
)
def test_an_id_is_looked_for_one_day_either_side(database, ids, later, same):
    put(database, ids, event(at=DAY0))
    changes = put(database, ids, event(at=DAY0 + later, output=11))
    assert changes == (Changes(changed=1) if same else Changes(new=1))
    assert sums(database, "usage") == sums(database, "request_log")


def test_an_id_is_not_looked_for_farther_because_its_batch_reaches_farther(database, ids):
    put(database, ids, event("x"))
    far = event("x", DAY0 + 2 * DAY, output=11)
    assert put(database, ids, far, event("y", DAY0 + DAY)) == Changes(new=2)


def test_the_same_id_of_another_source_is_another_request(database, ids):
    with database.write() as conn:
        other = make_stream(conn, "proxy")
    put(database, ids, event())
    assert put(database, other, event()) == Changes(new=1)


def test_an_unknown_class_stays_unknown_and_a_known_one_is_added_to_it(database, ids):
    put(database, ids, event("a", cache_read=None, reasoning=0))
    ((_, found),) = hours(database)
    assert (found.cache_read, found.reasoning) == (None, 0)
    put(database, ids, event("b", cache_read=4))
    ((_, found),) = hours(database)
    assert (found.cache_read, found.reasoning) == (4, 0)


def test_a_request_of_a_closed_day_restates_it(database, ids):
    with database.write() as conn:
        put_window(conn, Window(ids[1], DAY0, DAY0 + DAY, DAY0 + DAY), [])
    put(database, ids, event("a"), event("b", DAY0 + DAY))
    assert marks(database) == [(DAY0, 1, True), (DAY0 + DAY, 1, False)]


@pytest.mark.parametrize("size", [99, 100, 101, 700])
def test_a_batch_of_any_size_is_stored_grows_and_is_known_again(database, ids, size):
    before = [event(f"r{n}", DAY0 + n * HOUR, output=1) for n in range(size)]
    after = [event(f"r{n}", DAY0 + n * HOUR, output=2) for n in range(2 * size)]
    assert put(database, ids, *before) == Changes(new=size)
    assert put(database, ids, *after) == Changes(new=size, changed=size)
    assert put(database, ids, *after) == Changes()
    assert len(hours(database)) == 2 * size
    assert sums(database, "usage") == sums(database, "request_log")
    assert sums(database, "usage")[QUANTITY_FIELDS.index("output")] == 4 * size


def test_ids_of_any_spelling_are_known_again(database, ids):
    names = ["None", "\\N", "a\tb", '"', "'; --", "{x}", "%s", "?", "ü\u2028", "a,b", "\x1f", ""]
    events = [event(name) for name in names]
    assert put(database, ids, *events) == Changes(new=len(names))
    assert put(database, ids, *events) == Changes()


requests = st.builds(
    Event,
    st.sampled_from(["a", "b", "c", "d"]),
    st.integers(0, 4).map(lambda n: DAY0 + n * 20 * HOUR),
    st.sampled_from(SHARED),
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 9))).map(
        lambda found: Quantities(uncached_input=found[0], output=found[1], requests=1)
    ),
)


@pytest.mark.proof
def test_after_any_batches_the_hours_are_the_sum_of_the_log(database, ids):
    @given(st.lists(st.lists(requests, max_size=5), max_size=5))
    @example([[event(output=0)], [event(uncached_input=101, output=None)]])
    def check(batches):
        with database.write() as conn:
            for table in TABLES:
                conn.exec_driver_sql(f"DELETE FROM {table}")
        largest = {}
        for batch in batches:
            put(database, ids, *batch)
            assert put(database, ids, *batch) == Changes()
            for one in batch:
                largest[one.id] = max(largest.get(one.id, 0), one.quantities.tokens)
        # A class that a larger report no longer knows is unknown in the log and 0 in the hour.
        usage, log = sums(database, "usage"), sums(database, "request_log")
        assert [n or 0 for n in usage] == [n or 0 for n in log]
        found = {}
        for name, _, quantities in logged(database):
            found[name] = max(found.get(name, 0), quantities.tokens)
        assert found == largest
        days = {start - start % DAY for start, _ in hours(database)}
        assert {day for day, _, _ in marks(database)} == days

    check()


def test_two_importers_of_one_stream_count_each_request_once(database, ids):
    def work(own):
        for first in range(0, 60, 10):
            put(own, ids, *(event(f"r{n}", DAY0 + n) for n in range(first, first + 20)))

    together(database, [work, work])
    assert len(logged(database)) == 70
    assert sums(database, "usage") == sums(database, "request_log")


def test_hourly_rows_of_another_stream_are_left_alone(database, ids):
    with database.write() as conn:
        _, other = make_stream(conn, name="pages")
        put_window(conn, Window(other, DAY0, DAY0 + DAY), [usage(output=5)])
    put(database, ids, event(output=1))
    assert sorted(found.output for _, found in hours(database)) == [1, 5]


@pytest.fixture
def postgres(postgres_url):
    with closing(Database(postgres_url)) as database:
        yield database


def partitions(database):
    with database.read() as conn:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('request_log')"
        return list(conn.execute(text(f"{query} ORDER BY 1")).scalars())


@pytest.mark.postgres
def test_each_month_has_a_partition_that_can_be_dropped(postgres):
    with postgres.write() as conn:
        ids = make_stream(conn)
    put(postgres, ids, event("a", DAY0 - 1), event("b"), event("c", DAY0 + 61 * DAY))
    assert partitions(postgres) == [f"request_log_p{month}" for month in (202610, 202611, 202701)]
    with postgres.write() as conn:
        conn.exec_driver_sql("DROP TABLE request_log_p202610")
    assert [name for name, _, _ in logged(postgres)] == ["b", "c"]
    assert put(postgres, ids, event("b"), event("c", DAY0 + 61 * DAY)) == Changes()


@pytest.mark.postgres
def test_two_writers_who_need_the_same_new_month_do_not_stop_each_other(postgres):
    with postgres.write() as conn:
        streams = [make_stream(conn, name) for name in ("one", "two")]
        put_events(conn, *streams[0], [event("old", DAY0 - DAY)])
    both_have_read = Barrier(2, timeout=30)

    def work(ids, own):
        with own.write() as conn:
            put_events(conn, *ids, [event("other", DAY0 - DAY)])
            both_have_read.wait()
            put_events(conn, *ids, [event("new")])

    together(postgres, [partial(work, ids) for ids in streams])
    assert len(logged(postgres)) == 5


@pytest.mark.postgres
def test_a_month_that_another_writer_is_making_is_waited_for(postgres):
    with postgres.write() as conn:
        ids, others = make_stream(conn, "one"), make_stream(conn, "two")
    with postgres.write() as conn:
        put_events(conn, *ids, [event()])
        other = beside(postgres, lambda own: put(own, others, event()))
    assert other.result() == Changes(new=1)
    assert partitions(postgres) == ["request_log_p202611"]
