"""The truth of a provider, read through its pages, stands in the database to the last unit."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from collectors.http import Limits
from collectors.openai import OpenAI
from monitor.domain.errors import StorageError
from monitor.domain.money import to_pico
from monitor.domain.usage import DAY, HOUR, utc_day
from monitor.jobs import collect
from monitor.ports import StreamSpec
from monitor.storage.setup import put_stream
from monitor.storage.write import Changes
from tests.factories import DAY0
from tests.fake_api import answering, failing
from tests.fake_openai import (
    ADMIN_KEY,
    PROJECT_KEY,
    Cost,
    FakeOpenAI,
    Use,
    counts,
)

NOW = DAY0 + 20 * DAY + 7 * HOUR
AT_ONCE = Limits(pace=lambda _: 0.0)
"""No wait is waited."""


def truth_of_twenty_days():
    return [
        Use(
            DAY0 + day * DAY + hour * HOUR + 5,
            counts(
                text=1000 + 37 * hour + day,
                cached_text=11 * hour,
                written_30m=hour % 3,
                written_12h=hour % 2,
                out_text=90 + day,
                out_audio=hour % 5,
                audio=hour % 4,
                requests=3 + hour,
            ),
            model=model,
            project_id=project,
            batch=day % 7 == 0,
        )
        for day in range(20)
        for hour in range(24)
        for model in ("gpt-5-mini-2025-08-07", "gpt-5.1-2025-11-13")
        for project in ("proj_a1", "proj_b2")
    ]


def costs_of_twenty_days():
    return [
        Cost(DAY0 + day * DAY, Decimal(value), f"gpt-5-mini-2025-08-07, {component}")
        for day in range(20)
        for component, value in (("input", "0.017500000001"), ("output", "12.345678901234"))
    ]


@pytest.fixture
def fake(opened):
    with FakeOpenAI(truth_of_twenty_days(), costs_of_twenty_days()) as server:
        server.opened = opened
        yield server


def source(fake, bucket="1h", key=ADMIN_KEY, name="openai"):
    made = OpenAI(name, "acme", key, base_url=fake.url, bucket=bucket, limits=AT_ONCE)
    return fake.opened(made)


def pace(**changes):
    base = collect.Pace(HOUR, 3, 35, 6 * HOUR, {"openai": 30}, 600)
    return base._replace(**changes)


def prepare(database, reader):
    with database.write() as conn:
        for spec in reader.streams():
            put_stream(conn, reader.name, "openai", spec)


def run(database, reader, now=NOW, **changes):
    prepare(database, reader)
    found = collect.collect_all(database, reader, pace(**changes), now)
    assert [item.error for item in found] == [""] * len(found)
    return Changes(*(sum(values) for values in zip(*(f.changes for f in found), strict=True)))


def stored(database):
    """Tokens by class, requests and billed pico-dollars, by UTC day."""
    with database.read() as conn:
        usage = conn.execute(
            text(
                "SELECT bucket_start - bucket_start % 86400 AS day, SUM(COALESCE(uncached_input, 0)),"
                " SUM(COALESCE(cache_read, 0)), SUM(COALESCE(cache_write, 0)),"
                " SUM(COALESCE(cache_write_long, 0)), SUM(COALESCE(output, 0)),"
                " SUM(COALESCE(audio_input, 0)), SUM(COALESCE(audio_output, 0)),"
                " SUM(COALESCE(requests, 0)) FROM usage GROUP BY bucket_start - bucket_start % 86400"
            )
        )
        bills = conn.execute(text("SELECT day, SUM(amount_pico) FROM bill GROUP BY day"))
        return {row[0]: tuple(map(int, row[1:])) for row in usage}, {
            row[0]: int(row[1]) for row in bills
        }


def expected(fake):
    days: dict[int, list[int]] = {}
    for use in fake.truth:
        c = use.counts
        part = (
            c["input_text_tokens"],
            c["input_cached_tokens"],
            c["input_cache_write_30m_tokens"],
            c["input_cache_write_12h_tokens"],
            c["output_text_tokens"],
            c["input_audio_tokens"],
            c["output_audio_tokens"],
            c["num_model_requests"],
        )
        total = days.setdefault(utc_day(use.at), [0] * 8)
        days[utc_day(use.at)] = [a + b for a, b in zip(total, part, strict=True)]
    bills: dict[int, int] = {}
    for cost in fake.costs:
        bills[cost.day] = bills.get(cost.day, 0) + to_pico(cost.value)
    return {day: tuple(total) for day, total in days.items()}, bills


@pytest.mark.proof
def test_the_database_equals_the_truth_through_pages_limits_and_restatements(database, fake):
    fake.page_buckets = 60  # a week of hours takes three pages
    fake.faults.append(failing(429, "slow down", {"Retry-After": "1"}))
    run(database, source(fake))
    assert len([r for r in fake.requests if "usage/completions" in r.path]) > 3 * 3
    assert stored(database) == expected(fake)

    assert run(database, source(fake)) == Changes(0, 0, 0)

    # One bucket is restated, one vanishes, one comes late, and a cost is corrected.
    fake.truth[-1] = fake.truth[-1]._replace(counts=counts(text=5, out_text=7, requests=1))
    del fake.truth[-10]
    fake.truth.append(Use(NOW - 3 * DAY, counts(text=1, out_text=1), model="late-model"))
    fake.costs[-1] = fake.costs[-1]._replace(value=Decimal("12.345678901235"))
    changes = run(database, source(fake))
    assert changes == Changes(1, 2, 1)
    assert stored(database) == expected(fake)
    assert run(database, source(fake)) == Changes(0, 0, 0)


@pytest.mark.proof
def test_the_same_stream_read_hourly_and_then_daily_holds_the_same_totals(database, fake):
    run(database, source(fake))
    hourly = stored(database)
    changes = run(database, source(fake, bucket="1d"), deep_days=60)
    assert changes.gone > changes.new
    assert stored(database) == hourly == expected(fake)
    assert run(database, source(fake, bucket="1d"), deep_days=60) == Changes(0, 0, 0)


def test_an_old_restatement_is_read_at_once_where_that_is_asked_for(database, fake):
    run(database, source(fake))
    fake.truth[0] = fake.truth[0]._replace(counts=counts(text=5, out_text=7, requests=1))
    assert run(database, source(fake)) == Changes(0, 0, 0)
    found = collect.collect_all(database, source(fake), pace(), NOW, asked=collect.Asked(deep=True))
    assert sum(item.changes.changed for item in found) == 1
    assert stored(database) == expected(fake)


def test_what_was_read_of_an_endpoint_is_kept_when_it_is_gone(database, fake):
    fake.truth.append(
        Use(NOW - 2 * DAY, {"input_tokens": 900, "num_model_requests": 3}, endpoint="embeddings")
    )
    run(database, source(fake))
    before = stored(database)
    fake.lacking = {"usage/embeddings": 404, "usage/moderations": 404}
    prepare(database, source(fake))
    found = collect.collect_all(database, source(fake), pace(), NOW + HOUR)
    assert [item.stream for item in found if item.error] == ["usage/embeddings"]
    assert "the provider has no usage/embeddings" in "".join(item.error for item in found)
    assert stored(database) == before


def test_days_are_closed_once_they_settled_and_never_reopen(database, fake):
    reader = source(fake)
    run(database, reader)

    def closed():
        with database.read() as conn:
            return (
                conn.execute(text("SELECT DISTINCT closed_through FROM watermark")).scalars().all()
            )

    assert closed() == [utc_day(NOW)]
    run(database, reader, now=NOW + 20 * HOUR)  # 03:00 of the next day has not settled
    assert closed() == [utc_day(NOW)]
    run(database, reader, now=NOW - 2 * HOUR)  # the clock was set back
    assert closed() == [utc_day(NOW)]
    assert stored(database) == expected(fake)


def test_an_ordinary_key_is_named_as_such_and_loses_nothing(database, fake):
    run(database, source(fake))
    before = stored(database)
    reader = source(fake, key=PROJECT_KEY)
    found = collect.collect_all(database, reader, pace(), NOW)
    assert all("Admin key" in item.error for item in found)
    assert stored(database) == before
    with database.read() as conn:
        rows = conn.execute(text("SELECT last_error, failures_in_a_row FROM v_data_quality")).all()
    assert all("Admin key" in row[0] and row[1] == 1 for row in rows)
    assert PROJECT_KEY not in str(rows)


def test_a_broken_page_fails_the_stream_keeps_its_rows_and_the_others_are_read(database, fake):
    fake.faults += [answering(200, b'{"object": "page", "data": [')] * 2
    prepare(database, source(fake))
    found = collect.collect_all(database, source(fake), pace(), NOW)
    failed = [item for item in found if item.error]
    assert len(failed) == 1
    assert "page" in failed[0].error
    assert len(found) == len(source(fake).streams())
    run(database, source(fake))
    assert stored(database) == expected(fake)


def test_rows_that_cannot_be_right_are_quarantined_once_and_counted(database, fake):
    absurd = dict(counts(text=10, out_text=1), output_tokens=-4)
    fake.truth.append(Use(NOW - DAY, absurd, model="broken\nmodel<b>"))
    run(database, source(fake))
    run(database, source(fake))
    with database.read() as conn:
        rows = conn.execute(text("SELECT reason, count, payload FROM quarantine")).all()
    assert len(rows) == 1
    assert rows[0][1] == 2
    assert "-4" in rows[0][0] + rows[0][2]


def test_a_stream_claimed_by_another_worker_is_left_to_it(database, fake):
    reader = source(fake)
    prepare(database, reader)
    from monitor.storage import work

    with database.write() as conn:
        claims = [work.claim(conn, "stream", NOW, 600, "openai") for _ in reader.streams()]
        assert all(claims)
        assert work.claim(conn, "stream", NOW, 600, "openai") is None
    assert collect.collect_next(database, reader, pace(), NOW) is None
    assert collect.collect_next(database, reader, pace(), NOW + 601) is not None


def test_a_stream_that_left_the_configuration_is_not_read(database, fake):
    reader = source(fake)
    prepare(database, reader)
    with database.write() as conn:
        put_stream(conn, "openai", "openai", StreamSpec("usage/ghosts", "usage", 7))
    found = collect.collect_all(database, reader, pace(), NOW)
    ghost = next(item for item in found if item.stream == "usage/ghosts")
    assert (ghost.changes, ghost.error) == (Changes(0, 0, 0), "")


def test_a_stream_that_slept_longer_than_its_back_fill_closes_again(database, fake):
    reader = source(fake)
    run(database, reader, now=NOW - 10 * DAY, backfill_days={"openai": 5})
    run(database, reader, backfill_days={"openai": 5}, deep_days=5)
    with database.read() as conn:
        closed = conn.execute(text("SELECT DISTINCT closed_through FROM watermark")).scalars().all()
    assert closed == [utc_day(NOW)]


class Slow(OpenAI):
    """A provider whose bill is asked for twice a day and comes two days late."""

    def __init__(self, fake):
        super().__init__("openai", "acme", ADMIN_KEY, base_url=fake.url, limits=AT_ONCE)
        fake.opened(self)
        self.read_of_costs = []

    def streams(self):
        (spec,) = (each for each in super().streams() if each.feeds == "bill")
        return [spec._replace(every=12 * HOUR, overlap_days=7, settle=2 * DAY)]

    def read(self, stream, start, end, now):
        self.read_of_costs.append((start, end))
        return super().read(stream, start, end, now)


def test_a_stream_is_read_at_its_own_pace_as_far_back_and_closed_as_late_as_it_says(database, fake):
    reader = Slow(fake)
    prepare(database, reader)
    deep = pace(deep_days=5)
    assert collect.collect_next(database, reader, deep, NOW)
    with database.read() as conn:
        assert conn.scalar(text("SELECT closed_through FROM watermark")) == utc_day(NOW - 2 * DAY)
    assert collect.collect_next(database, reader, deep, NOW + 12 * HOUR - 1) is None
    assert collect.collect_next(database, reader, deep, NOW + 12 * HOUR)
    today = utc_day(NOW)
    assert reader.read_of_costs[-1] == (today - 2 * DAY - 7 * DAY, today + DAY)


class Troubled(OpenAI):
    """A provider of which one stream's answers are `changed`."""

    def __init__(self, fake, stream, changed):
        super().__init__("openai", "acme", ADMIN_KEY, base_url=fake.url, limits=AT_ONCE)
        fake.opened(self)
        self._troubled, self._changed = stream, changed

    def read(self, stream, start, end, now):
        found = super().read(stream, start, end, now)
        return self._changed(found) if stream == self._troubled else found


def test_a_line_item_in_two_currencies_counts_in_the_first_and_the_other_is_kept_apart(
    database, fake
):
    def in_euros_too(read):
        extra = [row._replace(currency="EUR", amount_pico=7) for row in read.rows[:1]]
        return read._replace(rows=[*read.rows, *extra])

    reader = Troubled(fake, "costs", in_euros_too)
    prepare(database, reader)
    found = collect.collect_all(database, reader, pace(backfill_days={"openai": 3}), NOW)
    assert [item.error for item in found] == [""] * len(found)
    bills = {day: pico for day, pico in expected(fake)[1].items() if day >= utc_day(NOW) - 3 * DAY}
    assert stored(database)[1] == bills
    with database.read() as conn:
        kept = conn.execute(text("SELECT place, reason, payload FROM quarantine")).all()
        assert conn.scalar(text("SELECT COUNT(*) FROM watermark WHERE closed_through IS NULL")) == 0
    assert len(kept) == sum(item.problems for item in found) == 1
    assert kept[0][0].startswith("bill of 2026-11-18, 'gpt-5-mini-2025-08-07, ")
    assert kept[0][1] == "billed in EUR beside USD on the same day; only USD counts"
    assert '"amount_pico": 7' in kept[0][2]


def failures(database):
    with database.read() as conn:
        rows = conn.execute(
            text("SELECT stream, last_error, failures_in_a_row FROM v_data_quality")
        )
        return {stream: (error, count) for stream, error, count in rows if error or count}


def test_a_crash_in_one_stream_is_recorded_backs_off_and_stops_no_other(database, fake, caplog):
    def crashing(read):
        raise KeyError("amount")

    reader = Troubled(fake, "costs", crashing)
    prepare(database, reader)
    found = collect.collect_all(database, reader, pace(), NOW)
    assert {item.stream: item.error for item in found if item.error} == {
        "costs": "KeyError: 'amount'"
    }
    assert len(found) == len(reader.streams())
    assert failures(database) == {"costs": ("KeyError: 'amount'", 1)}
    assert "Traceback" in caplog.text
    assert collect.collect_next(database, reader, pace(), NOW + 59) is None
    again = collect.collect_next(database, reader, pace(), NOW + 60)
    assert (again.stream, failures(database)["costs"][1]) == ("costs", 2)


def test_a_failing_database_is_recorded_where_it_can_be_and_still_told(database, fake):
    def failing_store(read):
        raise StorageError("the disk is full", "Make room.")

    reader = Troubled(fake, "costs", failing_store)
    prepare(database, reader)
    with pytest.raises(StorageError, match="the disk is full"):
        collect.collect_all(database, reader, pace(), NOW)
    assert failures(database) == {"costs": ("the disk is full. Make room.", 1)}


def test_a_read_that_outlasted_its_claim_is_not_written_over_a_newer_one(database, fake):
    from monitor.domain.errors import DatabaseBusy
    from monitor.storage import work

    reader = source(fake)
    prepare(database, reader)
    with database.write() as conn:
        slow = work.claim(conn, "stream", NOW, 60, "openai")
    stream = slow.row["name"]
    read = reader.read(stream, NOW - NOW % DAY, NOW - NOW % DAY + DAY, NOW)
    collect.collect_all(database, reader, pace(), NOW + 61)
    with pytest.raises(DatabaseBusy, match="another worker took it"):
        collect.store(database, slow, read, NOW, 0, asked_from=read.start)
