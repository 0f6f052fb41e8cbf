"""`put_minutes`: a minute counts once, hours are derived from minutes, missing is not idle."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from monitor.domain.usage import HOUR, MINUTE, Device, Minute
from monitor.storage.fleet import put_devices, put_minutes
from tests.factories import DAY0
from tests.integration.beside import beside, together

DEVICES = [Device("node-1", "GPU-a", "H200", 0), Device("node-1", "GPU-b", "H200", 1)]


def minute(number=0, uuid="GPU-a", **readings):
    filled = {"util_min": 10.0, "util_mean": 20.0, "util_max": 30.0, "samples": 6} | readings
    return Minute(uuid, DAY0 + number * MINUTE, **filled)


@pytest.fixture
def ids(database):
    with database.write() as conn:
        return put_devices(conn, DEVICES, DAY0)


def put(database, ids, *minutes):
    with database.write() as conn:
        return put_minutes(conn, ids, minutes)


def minutes(database):
    with database.read() as conn:
        query = "SELECT * FROM gpu_minute ORDER BY device_id, minute"
        return [row._asdict() for row in conn.execute(text(query))]


def hours(database):
    with database.read() as conn:
        query = "SELECT * FROM gpu_hour ORDER BY device_id, hour"
        return [row._asdict() for row in conn.execute(text(query))]


def test_every_reading_comes_back_as_it_was(database, ids):
    whole = Minute(
        *("GPU-b", DAY0, 0.0, 12.345678901234567, 100.0, 2**40, 699_999.25, 2**41, 83, 2**50),
        *(60, "partial", "util: mig; energy: NotSupported"),
    )
    assert put(database, ids, whole) == 1
    (found,) = minutes(database)
    assert found.pop("device_id") == ids["GPU-b"]
    assert found == {name: value for name, value in whole._asdict().items() if name != "uuid"}


def test_the_same_minutes_again_change_nothing(database, ids):
    batch = [minute(n, uuid) for n in range(61) for uuid in ids]
    put(database, ids, *batch)
    before = minutes(database), hours(database)
    put(database, ids, *batch)
    assert (minutes(database), hours(database)) == before
    assert [len(rows) for rows in before] == [122, 4]


def test_of_two_accounts_of_a_minute_the_one_with_more_samples_stays(database, ids):
    put(database, ids, minute(util_mean=20.0, samples=6))
    put(database, ids, minute(util_mean=99.0, samples=5))
    put(database, ids, minute(util_mean=88.0, samples=6))
    assert [row["util_mean"] for row in minutes(database)] == [20.0]
    put(database, ids, minute(util_mean=50.0, samples=7))
    assert [row["util_mean"] for row in minutes(database)] == [50.0]
    assert [(row["util_mean"], row["samples"]) for row in hours(database)] == [(50.0, 7)]


def test_an_hour_is_derived_from_all_its_minutes_however_they_arrive(database, ids):
    put(database, ids, minute(0, util_mean=10.0, energy_mj=100, temp_max=50, power_mean_mw=1.0))
    put(database, ids, minute(59, util_mean=40.0, util_max=90.0, energy_mj=None, temp_max=70))
    put(database, ids, minute(60), minute(5, "GPU-b"))
    first = hours(database)[0]
    assert (first["hour"], first["minutes"], first["minutes_measured"]) == (DAY0, 2, 2)
    assert (first["util_min"], first["util_mean"], first["util_max"]) == (10.0, 25.0, 90.0)
    assert (first["energy_mj"], first["temp_max"], first["power_mean_mw"]) == (100, 70, 1.0)
    assert first["samples"] == 12
    assert len(hours(database)) == 3


def test_a_minute_that_was_not_measured_is_neither_idle_nor_in_the_mean(database, ids):
    unknown = {"util_min": None, "util_mean": None, "util_max": None, "samples": 0}
    put(database, ids, minute(0, util_mean=80.0), minute(1, **unknown, status="lost", reason="xid"))
    put(database, ids, minute(0, "GPU-b", **unknown))
    measured, never = hours(database)
    assert (measured["minutes"], measured["minutes_measured"]) == (2, 1)
    assert measured["util_mean"] == 80.0
    assert (never["minutes"], never["minutes_measured"]) == (1, 0)
    for name in ("util_min", "util_mean", "util_max", "energy_mj", "temp_max", "throttle_ns"):
        assert never[name] is None, name


def test_a_device_is_known_by_its_uuid_wherever_it_moves(database, ids):
    moved = DEVICES[0]._replace(host="node-2", ordinal=7, driver="580.1")
    with database.write() as conn:
        assert put_devices(conn, [moved], DAY0 + 60) == ids
        rows = conn.execute(text("SELECT name, seen_at FROM host ORDER BY name")).all()
        found = conn.execute(text("SELECT ordinal, driver FROM device WHERE uuid = 'GPU-a'")).one()
    assert [tuple(row) for row in rows] == [("node-1", DAY0), ("node-2", DAY0 + 60)]
    assert tuple(found) == (7, "580.1")


def test_many_devices_over_a_month_s_end_are_stored_at_once(database):
    devices = [Device("node-1", f"GPU-{n}") for n in range(60)]
    with database.write() as conn:
        ids = put_devices(conn, devices, DAY0)
    batch = [minute(n, uuid, util_mean=float(n)) for n in (-1, 0, 1) for uuid in ids]
    assert put(database, ids, *batch) == 180
    assert len(minutes(database)) == 180
    assert [row["hour"] for row in hours(database)][:2] == [DAY0 - HOUR, DAY0]
    assert {row["util_mean"] for row in hours(database)} == {-1.0, 0.5}


readings = st.builds(
    minute,
    st.integers(57, 62),
    st.sampled_from(["GPU-a", "GPU-b"]),
    util_min=st.one_of(st.none(), st.integers(0, 10).map(float)),
    util_mean=st.one_of(st.none(), st.integers(10, 20).map(float)),
    energy_mj=st.one_of(st.none(), st.integers(0, 10**12)),
    samples=st.integers(0, 3),
)


@pytest.mark.proof
def test_hours_follow_from_whatever_minutes_were_handed_over(database, ids):
    @given(st.lists(st.lists(readings, max_size=4), max_size=4))
    def check(batches):
        with database.write() as conn:
            conn.exec_driver_sql("DELETE FROM gpu_minute")
            conn.exec_driver_sql("DELETE FROM gpu_hour")
        kept = {}
        for batch in batches:
            once = {(one.uuid, one.minute): one for one in batch}
            put(database, ids, *once.values())
            for key, one in once.items():
                if key not in kept or one.samples > kept[key].samples:
                    kept[key] = one
        assert len(minutes(database)) == len(kept)
        found = {(row["device_id"], row["hour"]): row for row in hours(database)}
        groups = {}
        for one in kept.values():
            hour = one.minute - one.minute % HOUR
            groups.setdefault((ids[one.uuid], hour), []).append(one)
        assert found.keys() == groups.keys()
        for key, group in groups.items():
            means = [one.util_mean for one in group if one.util_mean is not None]
            lows = [one.util_min for one in group if one.util_min is not None]
            energies = [one.energy_mj for one in group if one.energy_mj is not None]
            hour = found[key]
            assert (hour["minutes"], hour["minutes_measured"]) == (len(group), len(means))
            assert hour["util_mean"] == (pytest.approx(sum(means) / len(means)) if means else None)
            assert hour["util_min"] == (min(lows) if lows else None)
            assert hour["energy_mj"] == (sum(energies) if energies else None)
            assert hour["samples"] == sum(one.samples for one in group)

    check()


def test_two_deliveries_of_one_hour_at_the_same_time_leave_all_its_minutes_in_it(database, ids):
    put(database, ids, minute(59))
    with database.write() as conn:
        put_minutes(conn, ids, [minute(0)])
        other = beside(database, lambda own: put(own, ids, minute(1), minute(2, "GPU-b")))
    assert other.result() == 2
    assert [row["minutes"] for row in hours(database)] == [3, 1]


def test_deliveries_of_many_minutes_at_once_lose_none(database, ids):
    def deliver(first, own):
        for n in range(first, 60, 2):
            put(own, ids, minute(n), minute(n, "GPU-b"))

    together(database, [partial(deliver, first) for first in range(2)])
    assert [row["minutes"] for row in hours(database)] == [60, 60]
