"""Readings of the real nvidia-ml-py, over a library object, into the database and its views."""

import pynvml
import pytest
from sqlalchemy import text

from collectors.nvml import Nvml
from monitor.domain.usage import HOUR
from monitor.jobs import gpu
from tests.factories import DAY0
from tests.unit.fake_nvml import FakeGpu, FakeLibrary


@pytest.fixture
def library():
    """Two GPUs, one of them in MIG mode, under the binding."""
    found = FakeLibrary(FakeGpu("GPU-a"), FakeGpu("GPU-b", mig=1))
    pynvml.nvmlLib, pynvml._nvmlLib_refcount = found, 0
    pynvml._nvmlGetFunctionPointer_cache.clear()
    yield found
    pynvml.nvmlLib, pynvml._nvmlLib_refcount = None, 0
    pynvml._nvmlGetFunctionPointer_cache.clear()


def poll_for(database, sampler, library, minutes):
    for second in range(0, minutes * 60 + 6, 5):
        library.gpus[0].sampled(40, 60)
        library.gpus[0].energy_mj += 2_000_000
        gpu.poll(database, sampler, DAY0 + HOUR + second)


def hours(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT * FROM v_gpu_hourly ORDER BY gpu")).mappings().all()
    return {row["gpu"]: row for row in rows}


def test_minutes_become_hours_and_unknown_stays_unknown(database, library):
    sampler = Nvml("gpu-host")
    poll_for(database, sampler, library, 10)
    sampler.close()
    found = hours(database)
    plain, mig = found["GPU-a"], found["GPU-b"]
    assert (plain["hour"], plain["host"]) == ("2026-11-01T01:00:00Z", "gpu-host")
    assert plain["minutes"] == plain["minutes_measured"] == 10
    assert float(plain["util_mean"]) == pytest.approx(50, abs=2)
    assert (mig["minutes"], mig["minutes_measured"], mig["util_mean"]) == (10, 0, None)
    with database.read() as conn:
        reasons = conn.execute(
            text("SELECT reason FROM gpu_minute WHERE util_mean IS NULL")
        ).scalars()
        assert all("mig" in reason for reason in reasons)


def test_the_same_minutes_again_change_nothing(database, library):
    for _ in range(2):
        sampler = Nvml("gpu-host")
        library.gpus[0].samples.clear()
        poll_for(database, sampler, library, 3)
        sampler.close()
    assert hours(database)["GPU-a"]["minutes"] == 3


def test_without_a_driver_nothing_is_stored_and_nothing_fails(database):
    sampler = Nvml("laptop")
    assert gpu.poll(database, sampler, DAY0) == gpu.poll(database, sampler, DAY0 + 70) == 0
    sampler.close()
    assert hours(database) == {}
