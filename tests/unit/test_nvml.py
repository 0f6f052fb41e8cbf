"""The NVML source against a driver library in Python, under the real nvidia-ml-py."""

import json
import logging
import os
import sys
from itertools import pairwise

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import agent
from collectors.nvml import NoDriver, Nvml
from collectors.nvml_binding import load
from collectors.nvml_minute import Minutes, Reading
from monitor.domain.errors import SourceError
from tests.unit.fake_nvml import FakeGpu, FakeLibrary

T0 = 1_795_000_020  # a full UTC minute
SAMPLES = "nvmlDeviceGetSamples"
RATES = "nvmlDeviceGetUtilizationRates"
MEMORY = "nvmlDeviceGetMemoryInfo"
POWER = "nvmlDeviceGetPowerUsage"
ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
TEMPERATURE = "nvmlDeviceGetTemperature"
FIELDS = "nvmlDeviceGetFieldValues"
INIT = "nvmlInitWithFlags"
EVERYTHING = (
    SAMPLES,
    RATES,
    MEMORY,
    f"{MEMORY}_v2",
    POWER,
    ENERGY,
    FIELDS,
    TEMPERATURE,
    f"{TEMPERATURE}V",
)
NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, TIMEOUT = 3, 4, 9, 10
LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, LOST, RESET_REQUIRED, MISMATCH = 12, 13, 15, 16, 18
UNKNOWN = 999


@pytest.fixture
def install():
    """Put a library under the binding, which caches both it and its functions."""

    def put(library):
        pynvml.nvmlLib = library
        pynvml._nvmlLib_refcount = 0
        pynvml._nvmlGetFunctionPointer_cache.clear()
        return library

    yield lambda *gpus: put(FakeLibrary(*gpus))
    put(None)


def follow(sampler, start, end, step=5, each=lambda: None):
    """Poll from `start` to `end`, both included; `each` moves the world on before each poll."""
    rows = []
    for now in range(start, end + 1, step):
        each()
        rows += sampler.poll(now)
    return rows


def burn(*gpus, seconds=5):
    """Let the GPUs use energy as their power says."""
    for gpu in gpus:
        gpu.energy_mj += gpu.power_mw * seconds


def fail(gpu, code, *calls):
    gpu.errors.update(dict.fromkeys(calls or EVERYTHING, code))


def one_minute(gpu, library=None):
    """The row of one whole minute; the first poll is a minute earlier."""
    sampler = Nvml("gpu-1")
    rows = follow(sampler, T0 - 60, T0 + 60, each=lambda: burn(gpu))
    return next(row for row in rows if row.minute == T0)


# --- a whole minute ---


def test_a_minute_carries_every_reading_of_a_healthy_gpu(install):
    gpu = FakeGpu("GPU-a", mem_used=7 * 2**30, temperature=71)
    install(gpu)
    row = one_minute(gpu)
    assert row._asdict() == {
        "uuid": "GPU-a",
        "minute": T0,
        "util_min": 50.0,
        "util_mean": 50.0,
        "util_max": 50.0,
        "mem_used_max": 7 * 2**30,
        "power_mean_mw": 400_000.0,
        "energy_mj": 60 * 400_000,
        "temp_max": 71,
        "throttle_ns": 0,
        "samples": 12,
        "status": "ok",
        "reason": "",
    }


def test_the_first_minute_says_how_much_of_it_was_read(install):
    gpu = FakeGpu("GPU-a")
    install(gpu)
    (row,) = follow(Nvml("h"), T0 + 40, T0 + 60, each=lambda: burn(gpu))
    assert row.energy_mj == 20 * 400_000
    assert (row.status, row.reason) == ("partial", "minute: covers 20 of 60 s")


def test_a_minute_is_handed_over_when_the_clock_is_in_the_next_one(install):
    install(FakeGpu("GPU-a"))
    sampler = Nvml("h")
    assert follow(sampler, T0, T0 + 55) == []
    assert [row.minute for row in sampler.poll(T0 + 60)] == [T0]


def test_every_gpu_gets_its_own_row(install):
    install(FakeGpu("GPU-a", rate=90), FakeGpu("GPU-b", rate=0))
    rows = follow(Nvml("h"), T0, T0 + 60)
    assert [(row.uuid, row.util_mean) for row in rows] == [("GPU-a", 90.0), ("GPU-b", 0.0)]


def test_a_device_is_described_once_with_clean_names(install):
    gpu = FakeGpu("GPU-a", name="NVIDIA\x1b[31m H200\n")
    library = install(gpu)
    sampler = Nvml("gpu\n1")
    follow(sampler, T0, T0 + 60)
    (device,) = sampler.devices()
    assert device.host == "gpu 1"
    assert device.name == "NVIDIA [31m H200"
    assert (device.ordinal, device.pci_bus) == (0, "00000000:17:00.0")
    assert (device.memory_bytes, device.power_limit_mw) == (141 * 2**30, 700_000)
    assert device.driver == "580.95.05"
    assert library.calls.count("nvmlDeviceGetUUID") == 1


def test_a_name_that_is_not_utf8_leaves_the_gpu_readable(install):
    install(FakeGpu("GPU-a", name="caf\udce9"))
    sampler = Nvml("h")
    sampler.poll(T0)
    assert [(d.uuid, d.name) for d in sampler.devices()] == [("GPU-a", "")]


# --- utilisation ---


def test_every_sample_since_the_last_poll_counts(install):
    gpu = FakeGpu("GPU-a", rate=10)
    gpu.sampled(10)
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    gpu.sampled(0, 100, 20)
    sampler.poll(T0 + 5)
    (row,) = sampler.poll(T0 + 60)
    assert (row.util_min, row.util_max, row.samples) == (0.0, 100.0, 4)
    assert row.util_mean == (10 + 40) / 2


def test_history_from_before_the_start_is_left_out(install):
    gpu = FakeGpu("GPU-a", rate=1)
    gpu.sampled(*[100] * 30)
    install(gpu)
    (row,) = follow(Nvml("h"), T0, T0 + 60, step=60)
    assert (row.util_max, row.samples) == (1.0, 1)


@pytest.mark.parametrize("answer", [pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA, 0])
def test_a_silent_buffer_gives_a_snapshot_and_keeps_its_cursor(install, answer):
    gpu = FakeGpu("GPU-a", rate=0, no_samples=answer)
    gpu.sampled(80)
    install(gpu)
    sampler = Nvml("h")
    assert sampler.look(T0)["GPU-a"].utilisation == (0.0,)
    assert sampler.look(T0 + 5)["GPU-a"].utilisation == (0.0,)
    gpu.sampled(70)
    assert sampler.look(T0 + 10)["GPU-a"].utilisation == (70.0,)
    assert sampler.look(T0 + 15)["GPU-a"].reason == ""


def test_a_silent_half_minute_weighs_as_much_as_a_busy_one(install):
    gpu = FakeGpu("GPU-a", rate=0)
    gpu.sampled(100)
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0 - 5)
    rows = follow(sampler, T0, T0 + 25, each=lambda: gpu.sampled(*[100] * 30))
    rows += follow(sampler, T0 + 30, T0 + 60)
    assert rows[-1].util_mean == 50.0


def test_a_sample_above_100_percent_is_left_out(install):
    gpu = FakeGpu("GPU-a")
    gpu.sampled(5)
    install(gpu)
    sampler = Nvml("h")
    sampler.look(T0)
    gpu.sampled(40, 2**32 - 1)
    assert sampler.look(T0 + 5)["GPU-a"].utilisation == (40.0,)


def test_a_snapshot_above_100_percent_is_unknown(install):
    install(FakeGpu("GPU-a", rate=255))
    reading = Nvml("h").look(T0)["GPU-a"]
    assert (reading.utilisation, reading.reason) == ((), "util: implausible 255 %")


def test_a_buffer_that_grew_between_two_calls_is_asked_again(install):
    gpu = FakeGpu("GPU-a")
    gpu.sampled(5)
    library = install(gpu)
    sampler = Nvml("h")
    sampler.look(T0)
    gpu.sampled(30)
    fail(gpu, pynvml.NVML_ERROR_INSUFFICIENT_SIZE, SAMPLES)
    library.calls.clear()
    assert sampler.look(T0 + 5)["GPU-a"].utilisation == (50.0,)
    assert library.calls.count(SAMPLES) == 2


def test_utilisation_that_is_refused_is_unknown_and_not_zero(install):
    gpu = FakeGpu("GPU-a")
    fail(gpu, NOT_SUPPORTED, SAMPLES, RATES)
    install(gpu)
    row = one_minute(gpu)
    assert (row.util_min, row.util_mean, row.util_max, row.samples) == (None, None, None, 0)
    assert (row.status, row.reason) == ("partial", "util: NotSupported")


def test_a_mig_gpu_has_no_utilisation_and_says_so(install):
    gpu = FakeGpu("GPU-a", mig=1)
    gpu.sampled(100)
    library = install(gpu)
    row = one_minute(gpu)
    assert (row.util_mean, row.samples) == (None, 0)
    assert (row.status, row.reason) == ("partial", "util: mig")
    assert row.energy_mj == 60 * 400_000
    assert {SAMPLES, RATES}.isdisjoint(library.calls)


@pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND])
def test_a_card_that_knows_no_mig_is_read_as_usual(install, code):
    gpu = FakeGpu("GPU-a")
    fail(gpu, code, "nvmlDeviceGetMigMode")
    install(gpu)
    assert one_minute(gpu).status == "ok"


# --- memory, temperature ---


def test_memory_falls_back_to_the_second_form(install):
    gpu = FakeGpu("GPU-a", mem_used=123)
    fail(gpu, NOT_SUPPORTED, MEMORY)
    install(gpu)
    row = one_minute(gpu)
    assert (row.mem_used_max, row.status) == (123, "ok")


def test_unified_memory_is_unknown_with_the_reason(install):
    gpu = FakeGpu("GPU-a")
    fail(gpu, NOT_SUPPORTED, MEMORY, f"{MEMORY}_v2")
    install(gpu)
    sampler = Nvml("h")
    (row,) = follow(sampler, T0, T0 + 60, each=lambda: burn(gpu))
    assert (row.mem_used_max, row.reason) == (None, "mem: NotSupported")
    assert sampler.devices()[0].memory_bytes is None


def test_the_largest_memory_and_temperature_of_the_minute_are_kept(install):
    gpu = FakeGpu("GPU-a")
    install(gpu)
    sampler = Nvml("h")
    for second, (used, celsius) in enumerate([(1, 40), (9, 80), (4, 60)]):
        gpu.mem_used, gpu.temperature = used, celsius
        sampler.poll(T0 + second)
    gpu.mem_used = 99
    (row,) = sampler.poll(T0 + 60)
    assert (row.mem_used_max, row.temp_max) == (9, 80)


def test_temperature_falls_back_to_the_versioned_call(install):
    gpu = FakeGpu("GPU-a", temperature=55)
    library = install(gpu)
    library.missing = {TEMPERATURE}
    row = one_minute(gpu)
    assert (row.temp_max, row.status) == (55, "ok")


def test_a_passing_failure_of_one_reading_is_named_and_the_rest_stays(install):
    gpu = FakeGpu("GPU-a")
    install(gpu)
    sampler = Nvml("h")
    follow(sampler, T0 - 60, T0, each=lambda: burn(gpu))
    fail(gpu, TIMEOUT, POWER)
    sampler.poll(T0 + 5)
    gpu.errors.clear()
    (row,) = follow(sampler, T0 + 10, T0 + 60)
    assert (row.power_mean_mw, row.energy_mj) == (400_000.0, 0)
    assert (row.status, row.reason) == ("partial", "power: Timeout")


# --- energy ---


def test_energy_is_split_at_the_minute_and_none_is_lost(install):
    gpu = FakeGpu("GPU-a")
    install(gpu)
    rows = follow(Nvml("h"), T0 - 57, T0 + 123, each=lambda: burn(gpu))
    assert [row.energy_mj for row in rows] == [57 * 400_000, 60 * 400_000, 60 * 400_000]


def test_a_counter_that_starts_anew_counts_from_zero_and_says_so(install):
    gpu = FakeGpu("GPU-a", energy_mj=10**12)
    install(gpu)
    sampler = Nvml("h")
    follow(sampler, T0 - 60, T0, each=lambda: burn(gpu))
    gpu.energy_mj = 5_000
    (row,) = follow(sampler, T0 + 30, T0 + 60, step=30)
    assert (row.energy_mj, row.reason) == (5_000, "energy: counter reset")


def test_a_counter_that_slips_back_is_not_taken_for_a_new_start(install):
    gpu = FakeGpu("GPU-a", energy_mj=10**12)
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    gpu.energy_mj -= 1
    (row,) = follow(sampler, T0 + 30, T0 + 60, step=30, each=lambda: None)
    assert (row.energy_mj, row.reason) == (0, "energy: implausible counter")


def test_an_old_card_without_a_counter_gets_its_energy_from_power(install):
    gpu = FakeGpu("GPU-a", power_mw=200_000)
    fail(gpu, NOT_SUPPORTED, ENERGY)
    library = install(gpu)
    row = one_minute(gpu)
    assert row.energy_mj == 60 * 200_000
    assert (row.status, row.reason) == ("partial", "energy: NotSupported, from power")
    assert library.calls.count(ENERGY) == 1


def test_power_is_integrated_over_the_time_that_passed(install):
    gpu = FakeGpu("GPU-a", power_mw=100_000)
    fail(gpu, NOT_SUPPORTED, ENERGY)
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    gpu.power_mw = 300_000
    sampler.poll(T0 + 20)
    (row,) = sampler.poll(T0 + 60)
    assert row.energy_mj == 20 * 200_000 + 40 * 300_000


def test_energy_without_counter_and_power_is_unknown(install):
    gpu = FakeGpu("GPU-a")
    fail(gpu, NOT_SUPPORTED, ENERGY, POWER)
    install(gpu)
    row = one_minute(gpu)
    assert (row.energy_mj, row.power_mean_mw) == (None, None)
    assert row.reason == "power: NotSupported; energy: NotSupported"


def test_readings_far_apart_are_not_joined(install):
    gpu = FakeGpu("GPU-a")
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    burn(gpu, seconds=600)
    (row,) = sampler.poll(T0 + 600)
    assert (row.energy_mj, row.reason) == (None, "minute: covers 0 of 60 s")
    burn(gpu, seconds=60)
    (row,) = sampler.poll(T0 + 660)
    assert (row.minute, row.energy_mj) == (T0 + 600, 60 * 400_000)


# --- throttling ---


def test_throttling_adds_its_causes(install):
    gpu = FakeGpu("GPU-a", throttle_ns={74: 5, 269: 6, 270: 7, 271: 8})
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    gpu.throttle_ns = {74: 1_005, 269: 206, 270: 37, 271: 12}
    sampler.poll(T0 + 30)
    (row,) = sampler.poll(T0 + 60)
    assert (row.throttle_ns, row.status) == (1_234, "ok")


def test_overlapping_causes_never_exceed_the_minute(install):
    gpu = FakeGpu("GPU-a")
    install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    gpu.throttle_ns = dict.fromkeys(gpu.throttle_ns, 50 * 10**9)
    (row,) = sampler.poll(T0 + 60)
    assert row.throttle_ns == 60 * 10**9


def test_a_throttle_field_that_fails_is_named_and_the_others_count(install):
    gpu = FakeGpu("GPU-a", field_errors={270: NOT_SUPPORTED, 271: TIMEOUT})
    library = install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    gpu.throttle_ns = {74: 100, 269: 20, 270: 4_000, 271: 50_000}
    sampler.poll(T0 + 30)
    (row,) = sampler.poll(T0 + 60)
    assert (row.throttle_ns, row.status) == (120, "partial")
    assert row.reason == "throttle: without hardware thermal (NotSupported), power brake (Timeout)"
    assert library.calls.count(FIELDS) == 3 * 3 + 1  # 270 was asked once


@pytest.mark.parametrize("how", ["call", "fields", "symbol"])
def test_throttling_that_is_refused_is_unknown_and_not_zero(install, how):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    if how == "call":
        fail(gpu, FUNCTION_NOT_FOUND, FIELDS)
    elif how == "fields":
        gpu.field_errors = dict.fromkeys(gpu.throttle_ns, FUNCTION_NOT_FOUND)
    else:
        library.missing = {FIELDS}
    row = one_minute(gpu)
    assert (row.throttle_ns, row.reason) == (None, "throttle: FunctionNotFound")


# --- what a driver refuses ---


def test_what_is_not_supported_is_asked_once_for_each_gpu(install):
    old, new = FakeGpu("GPU-old"), FakeGpu("GPU-new")
    fail(old, NOT_SUPPORTED, POWER)
    library = install(old, new)
    follow(Nvml("h"), T0, T0 + 55)
    assert library.calls.count(POWER) == 1 + 12


def test_what_was_refused_is_asked_again_after_the_library_was_reopened(install):
    gpu = FakeGpu("GPU-a")
    fail(gpu, NOT_SUPPORTED, POWER)
    library = install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    library.errors = {RATES: pynvml.NVML_ERROR_UNINITIALIZED}
    sampler.poll(T0 + 5)
    library.errors, gpu.errors = {}, {}
    assert sampler.look(T0 + 10)["GPU-a"].power_mw == 400_000


# --- no driver ---


def test_a_machine_without_a_driver_is_a_normal_state(install, caplog):
    library = install()
    library.errors[INIT] = LIBRARY_NOT_FOUND
    sampler = Nvml("h")
    with caplog.at_level(logging.INFO):
        assert follow(sampler, T0, T0 + 1_800) == []
    assert sampler.devices() == []
    assert sampler.state == "no_driver"
    assert "LibraryNotFound. Install NVIDIA's driver" in sampler.detail
    assert [(r.name, r.levelname) for r in caplog.records] == [("crossover.nvml", "INFO")]
    assert library.calls == [INIT] * 4  # at once, then every ten minutes


def test_a_driver_that_appears_later_is_found(install):
    library = install(FakeGpu("GPU-a"))
    library.errors[INIT] = LIBRARY_NOT_FOUND
    sampler = Nvml("h")
    sampler.poll(T0)
    library.errors.clear()
    assert follow(sampler, T0 + 5, T0 + 595) == []
    (row,) = follow(sampler, T0 + 600, T0 + 660)
    assert (row.minute, sampler.state) == (T0 + 600, "ok")
    assert sampler.detail == "driver 580.95.05, 1 GPU"


def test_a_driver_that_is_not_loaded_is_a_warning(install, caplog):
    install().errors[INIT] = DRIVER_NOT_LOADED
    sampler = Nvml("h")
    sampler.poll(T0)
    assert (sampler.state, caplog.records[0].levelname) == ("no_driver", "WARNING")


def test_a_clock_set_back_does_not_put_off_the_search_for_a_driver(install):
    library = install(FakeGpu("GPU-a"))
    library.errors[INIT] = LIBRARY_NOT_FOUND
    sampler = Nvml("h")
    sampler.poll(T0)
    library.errors.clear()
    sampler.poll(T0 - 86_400)
    assert sampler.state == "ok"


def test_a_probe_names_driver_and_gpus(install):
    library = install(FakeGpu("GPU-a"), FakeGpu("GPU-b"))
    sampler = Nvml("h")
    assert sampler.probe() == "driver 580.95.05, 2 GPUs"
    sampler.close()
    sampler.close()
    assert library.calls.count("nvmlShutdown") == 1


@pytest.mark.parametrize(
    ("code", "cause", "remedy"),
    [
        (LIBRARY_NOT_FOUND, "LibraryNotFound", "Install NVIDIA's driver"),
        (DRIVER_NOT_LOADED, "DriverNotLoaded", "modprobe nvidia"),
        (MISMATCH, "LibRmVersionMismatch", "Restart this process"),
        (UNKNOWN, "Unknown", "Restart the container"),
        (77, "code 77", "Run nvidia-smi"),
    ],
)
def test_a_probe_that_fails_names_cause_and_remedy(install, code, cause, remedy):
    install().errors[INIT] = code
    with pytest.raises(SourceError, match=f"source nvml: NVML answers {cause}") as error:
        Nvml("h").probe()
    assert remedy in error.value.remedy
    assert isinstance(error.value, NoDriver) == (code in {LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED})


def test_a_missing_module_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SourceError, match=r"pynvml is missing\. Run: pip install nvidia-ml-py"):
        load("nvml")


def test_a_module_that_another_package_owns_is_refused(monkeypatch, tmp_path):
    info = tmp_path / "nvidia_ml_py3-7.352.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-ml-py3\nVersion: 7.352.0\n")
    (info / "RECORD").write_text(f"{os.path.relpath(pynvml.__file__, tmp_path)},,\n")
    assert load("nvml") is pynvml
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match="belongs to nvidia-ml-py and nvidia-ml-py3") as error:
        load("nvml")
    assert "pip uninstall -y pynvml nvidia-ml-py3" in error.value.remedy


# --- GPUs that cannot be read ---


def test_a_driver_that_shows_no_gpu_is_a_failure_and_not_idle(install):
    install()
    sampler = Nvml("h")
    assert follow(sampler, T0, T0 + 60) == []
    assert sampler.state == "error"
    assert "no GPU is visible" in sampler.detail


def test_gpus_that_vanish_leave_rows_without_data(install):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0 - 60)
    fail(gpu, UNKNOWN)
    sampler.poll(T0 - 30)
    library.gpus.clear()
    rows = follow(sampler, T0, T0 + 60)
    assert rows[-1]._replace(minute=0) == rows[-1].__class__(
        "GPU-a", 0, status="error", reason="poll: no GPU visible"
    )
    assert [device.uuid for device in sampler.devices()] == ["GPU-a"]


def test_a_driver_that_vanishes_is_a_failure_and_no_normal_state(install):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    fail(gpu, pynvml.NVML_ERROR_UNINITIALIZED)
    sampler.poll(T0 + 5)
    library.errors = {INIT: DRIVER_NOT_LOADED, "nvmlShutdown": UNKNOWN}
    reading = sampler.look(T0 + 10)["GPU-a"]
    assert (reading.status, reading.reason) == ("error", "poll: DriverNotLoaded")
    assert sampler.state == "error"
    library.errors, gpu.errors = {}, {}
    assert sampler.look(T0 + 20)["GPU-a"].status == "ok"


def test_a_gpu_that_may_not_be_opened_is_reported_and_the_others_go_on(install, caplog):
    hidden = FakeGpu("GPU-a")
    fail(hidden, NO_PERMISSION, "nvmlDeviceGetHandleByIndex_v2")
    install(hidden, FakeGpu("GPU-b"))
    sampler = Nvml("h")
    rows = follow(sampler, T0, T0 + 60)
    assert [row.uuid for row in rows] == ["GPU-b"]
    assert sampler.detail == ("driver 580.95.05, 2 GPUs; GPU 0 cannot be opened: NoPermission")
    assert [r.message for r in caplog.records] == ["GPU 0 cannot be opened: NoPermission"]


def test_gpus_none_of_which_may_be_opened_are_a_failure(install):
    hidden = FakeGpu("GPU-a")
    fail(hidden, NO_PERMISSION, "nvmlDeviceGetHandleByIndex_v2")
    install(hidden)
    with pytest.raises(SourceError, match=r"no GPU is visible .*NoPermission.* access to /dev"):
        Nvml("h").probe()


@pytest.mark.parametrize("code", [LOST, RESET_REQUIRED])
def test_a_lost_gpu_is_marked_and_the_others_go_on(install, code, caplog):
    bad, good = FakeGpu("GPU-bad"), FakeGpu("GPU-good")
    install(bad, good)
    sampler = Nvml("h")
    follow(sampler, T0 - 60, T0 + 25, each=lambda: burn(bad, good))
    fail(bad, code, POWER)
    rows = follow(sampler, T0 + 30, T0 + 120, each=lambda: burn(good))
    name = {LOST: "GpuIsLost", RESET_REQUIRED: "ResetRequired"}[code]
    assert [(row.uuid, row.status) for row in rows] == [
        ("GPU-bad", "lost"),
        ("GPU-good", "ok"),
    ] * 2
    assert rows[0].util_mean == 50.0
    assert rows[0].reason == f"gpu: {name}; minute: covers 25 of 60 s"
    assert rows[2] == rows[2].__class__("GPU-bad", T0 + 60, status="lost", reason=f"gpu: {name}")
    assert sampler.state == "ok"
    assert f"GPU-bad lost ({name})" in sampler.detail
    assert [r.levelname for r in caplog.records] == ["ERROR"]


def test_a_lost_gpu_is_not_asked_again(install):
    bad = FakeGpu("GPU-bad")
    fail(bad, LOST, POWER)
    library = install(bad, FakeGpu("GPU-good"))
    follow(Nvml("h"), T0, T0 + 55)
    assert library.calls.count(POWER) == 1 + 12


def test_when_every_gpu_is_lost_the_library_is_reopened(install):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    fail(gpu, LOST, POWER)
    sampler = Nvml("h")
    sampler.poll(T0)
    assert sampler.state == "error"
    gpu.errors.clear()
    assert sampler.look(T0 + 5)["GPU-a"].status == "ok"
    assert library.calls.count(INIT) == 2


def test_a_gpu_that_is_not_found_again_after_reopening_is_lost(install):
    bad, good = FakeGpu("GPU-bad"), FakeGpu("GPU-good")
    install(bad, good)
    sampler = Nvml("h")
    sampler.poll(T0)
    fail(bad, UNKNOWN, *EVERYTHING, "nvmlDeviceGetHandleByIndex_v2")
    readings = [sampler.look(T0 + second) for second in (5, 10)]
    assert [r["GPU-bad"].status for r in readings] == ["error", "lost"]
    assert readings[1]["GPU-bad"].reason == "gpu: not found again"
    assert [r["GPU-good"].status for r in readings] == ["ok", "ok"]
    assert sampler.state == "ok"


# --- a library that fails ---


def test_one_reading_that_answers_unknown_does_not_reopen_the_library(install):
    gpu = FakeGpu("GPU-a")
    fail(gpu, UNKNOWN, POWER)
    library = install(gpu)
    row = one_minute(gpu)
    assert (row.power_mean_mw, row.reason) == (None, "power: Unknown")
    assert library.calls.count(INIT) == 1


@pytest.mark.parametrize("code", [UNKNOWN, MISMATCH, pynvml.NVML_ERROR_UNINITIALIZED])
def test_a_library_that_fails_is_reopened_at_the_next_poll(install, code):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    sampler = Nvml("h")
    follow(sampler, T0 - 60, T0, each=lambda: burn(gpu))
    fail(gpu, code)
    burn(gpu)
    sampler.poll(T0 + 5)
    assert sampler.state == "error"
    gpu.errors.clear()
    rows = follow(sampler, T0 + 10, T0 + 60, each=lambda: burn(gpu))
    assert sampler.state == "ok"
    assert library.calls.count(INIT) == library.calls.count("nvmlShutdown") + 1 == 2
    assert (rows[-1].energy_mj, rows[-1].status) == (60 * 400_000, "partial")


def test_a_library_that_stays_broken_is_reopened_ever_more_rarely(install, caplog):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    sampler = Nvml("h")
    sampler.poll(T0)
    library.errors = dict.fromkeys((INIT, *EVERYTHING), UNKNOWN)
    tried = []
    for now in range(T0 + 5, T0 + 3_600, 5):
        library.calls.clear()
        sampler.poll(now)
        if INIT in library.calls:
            tried.append(now - T0)
    waits = [later - earlier for earlier, later in pairwise([5, *tried])]
    assert waits[:6] == [5, 10, 20, 40, 80, 160]
    assert set(waits[7:]) == {600}
    assert [r.levelname for r in caplog.records].count("ERROR") == 1
    library.errors.clear()
    sampler.poll(T0 + 5_000)
    assert sampler.state == "ok"


def test_a_failure_that_passes_by_itself_is_forgotten(install):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    sampler = Nvml("h")
    fail(gpu, UNKNOWN)
    follow(sampler, T0, T0 + 5)  # reopened once; the next time would be at 15
    gpu.errors.clear()
    follow(sampler, T0 + 10, T0 + 60)
    assert library.calls.count(INIT) == 2
    fail(gpu, UNKNOWN)
    sampler.poll(T0 + 65)
    gpu.errors.clear()
    sampler.poll(T0 + 70)  # five seconds later again, not after the doubled time
    assert library.calls.count(INIT) == 3


def test_a_minute_whose_polls_all_failed_is_no_data_and_not_idle(install):
    gpu = FakeGpu("GPU-a")
    library = install(gpu)
    sampler = Nvml("h")
    follow(sampler, T0 - 60, T0 - 5)
    library.errors = dict.fromkeys((INIT, *EVERYTHING), UNKNOWN)
    rows = follow(sampler, T0, T0 + 60)
    assert rows[-1].status == "error"
    assert "Unknown" in rows[-1].reason
    assert set(rows[-1][2:10]) == {None}
    assert rows[-1].samples == 0


def test_a_sick_gpu_does_not_silence_a_healthy_one(install):
    sick, healthy = FakeGpu("GPU-sick"), FakeGpu("GPU-ok")
    install(sick, healthy)
    sampler = Nvml("h")
    sampler.poll(T0 - 5)
    fail(sick, UNKNOWN)
    rows = follow(sampler, T0, T0 + 60)
    assert [(row.uuid, row.status) for row in rows[2:]] == [
        ("GPU-sick", "error"),
        ("GPU-ok", "ok"),
    ]


# --- the clock ---


def test_a_clock_that_goes_back_within_the_minute_changes_nothing(install, caplog):
    install(FakeGpu("GPU-a"))
    sampler = Nvml("h")
    for second in (0, 30, 20, 60):
        rows = sampler.poll(T0 + second)
    assert [(row.minute, row.samples) for row in rows] == [(T0, 3)]
    assert "went back by 10.0 s" in caplog.text


def test_a_minute_handed_over_is_not_given_again_when_the_clock_goes_back(install):
    install(FakeGpu("GPU-a"))
    sampler = Nvml("h")
    rows = follow(sampler, T0, T0 + 65)
    rows += follow(sampler, T0 + 10, T0 + 120)
    assert [row.minute for row in rows] == [T0, T0 + 60]
    assert rows[1].samples == 2 + 12


def test_a_clock_that_was_a_day_ahead_loses_one_minute_and_not_a_day(install):
    install(FakeGpu("GPU-a"))
    sampler = Nvml("h")
    rows = follow(sampler, T0 + 86_400, T0 + 86_460)
    rows += follow(sampler, T0, T0 + 120)
    assert [row.minute - T0 for row in rows] == [86_400, 86_460, 0, 60]


readings = st.builds(
    Reading,
    utilisation=st.lists(st.integers(0, 100).map(float), max_size=3).map(tuple),
    mem_used=st.just(1),
    power_mw=st.integers(0, 10**6),
    energy_mj=st.integers(0, 10**9),
    temperature=st.just(1),
    notes=st.just({"util": "none", "throttle": "none"}),
)


@given(st.lists(st.tuples(st.integers(-200, 200), readings), max_size=40))
def test_whatever_the_clock_does_a_minute_comes_once_and_no_gap_lacks_a_reason(steps):
    minutes, now, rows = Minutes(), T0, []
    for step, reading in steps:
        now += step
        rows += minutes.fold(now, {"GPU-a": reading})
    assert len({row.minute for row in rows}) == len(rows)
    for row in rows:
        assert row.reason or None not in row
        assert row.util_mean is None or row.util_min <= row.util_mean <= row.util_max


@given(st.lists(st.tuples(st.floats(0.1, 80), st.integers(0, 10**6)), min_size=1, max_size=40))
def test_energy_is_kept_whatever_the_polling_times(steps):
    minutes, now, counter, rows = Minutes(), float(T0), 0, []
    minutes.fold(now, {"GPU-a": Reading(energy_mj=counter)})
    for seconds, energy in steps:
        now += seconds
        counter += min(energy, int(9.9e6 * seconds))  # within what a GPU can draw
        rows += minutes.fold(now, {"GPU-a": Reading(energy_mj=counter)})
    before = {row.minute for row in rows}
    rows += minutes.fold(now + 3_600, {"GPU-a": Reading(energy_mj=counter)})
    skipped = (max(row.minute for row in rows) - T0) // 60 + 1 - len(rows)
    total = sum(row.energy_mj or 0 for row in rows)
    assert before < {row.minute for row in rows}
    assert total <= counter + len(rows)
    assert skipped or total >= counter - len(rows)


# --- the program for a GPU host ---


class Steps:
    """A clock that stands still but for the program's own waits, and stops after the last."""

    def __init__(self, start, end):
        self.time, self.end, self.waits = start, end, []

    def now(self):
        return self.time

    def wait(self, seconds):
        self.waits.append(seconds)
        self.time += seconds
        return self.time > self.end


def test_the_agent_prints_a_json_object_for_each_gpu_and_minute(install, capsys):
    gpu = FakeGpu("GPU-a")
    fail(gpu, NOT_SUPPORTED, SAMPLES, RATES)
    library = install(gpu, FakeGpu("GPU-b"))
    clock = Steps(T0 + 2.5, T0 + 120)
    assert agent.main(["--host", "gpu-1"], clock) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["host"], r["uuid"], r["minute"] - T0) for r in rows] == [
        ("gpu-1", "GPU-a", 0),
        ("gpu-1", "GPU-b", 0),
        ("gpu-1", "GPU-a", 60),
        ("gpu-1", "GPU-b", 60),
    ]
    assert (rows[0]["util_mean"], rows[1]["util_mean"]) == (None, 50.0)
    assert clock.waits[:3] == [2.5, 5.0, 5.0]  # on the clock's own multiples of the interval
    assert library.calls[-1] == "nvmlShutdown"


def test_the_agent_prints_one_reading_as_a_table(install, capsys):
    gpu = FakeGpu("GPU-a", mig=1)
    install(gpu)
    assert agent.main(["--once"], Steps(T0, T0)) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == list(agent.ONCE_COLUMNS)
    assert row.split() == (f"GPU-a NVIDIA H200 - {20 * 2**30} 400000 60 partial util: mig".split())


def test_the_agent_prints_minutes_as_a_table(install, capsys):
    install(FakeGpu("GPU-a"))
    agent.main(["--format", "table"], Steps(T0, T0 + 60))
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == list(agent.MINUTE_COLUMNS)
    assert row.split()[:3] == [str(T0), "GPU-a", "50.0"]


def test_the_agent_says_why_it_cannot_read_once(install, capsys):
    install().errors[INIT] = DRIVER_NOT_LOADED
    assert agent.main(["--once", "--format", "json"], Steps(T0, T0)) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "DriverNotLoaded. Load the kernel module" in err


@pytest.mark.parametrize("interval", ["0", "31", "nan", "soon"])
def test_the_agent_refuses_an_interval_that_loses_samples(interval, capsys):
    with pytest.raises(SystemExit) as stop:
        agent.main(["--interval", interval])
    assert stop.value.code == 2
    assert "--interval" in capsys.readouterr().err
