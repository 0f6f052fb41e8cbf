"""The agent as a process, over a driver library in C that the loader finds by its name."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs

ROOT = Path(__file__).parents[2]
STUB = ROOT / "tests" / "fixtures" / "nvml" / "stub.c"
T0 = 1_795_000_020

# The agent under a clock that only its own waits move; INSTALL puts the driver there at DRIVER_AT.
CONTROLLED = """
import os, shutil, sys
from collectors import agent

class Steps:
    time, end = float(os.environ["START"]), float(os.environ["END"])

    def now(self):
        return self.time

    def wait(self, seconds):
        self.time += seconds
        if self.time >= float(os.environ.get("DRIVER_AT", "inf")) and "INSTALL" in os.environ:
            shutil.copy(*os.environ.pop("INSTALL").split(":"))
        return self.time > self.end

sys.exit(agent.main(sys.argv[1:], Steps()))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A folder with the stub as libnvidia-ml.so.1."""
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    command = [needs.gcc(), "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-Wall", "-Werror"]
    subprocess.run([*command, "-o", library, STUB], check=True)
    return folder


def environment(libraries, **settings):
    return {**os.environ, "LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(ROOT), **settings}


def once(libraries, **settings):
    return subprocess.run(
        [sys.executable, "-m", "collectors.agent", "--once", "--format", "json"],
        env=environment(libraries, **settings),
        capture_output=True,
        text=True,
        check=False,
    )


def minutes(libraries, *, until, **settings):
    """The rows of a run from `T0` to `until` under a controlled clock, by GPU, and its log."""
    clock = {"START": str(T0), "END": str(T0 + until)}
    done = subprocess.run(
        [sys.executable, "-c", CONTROLLED, "--host", "gpu-1"],
        env=environment(libraries, **clock, **settings),
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {uuid: [r for r in rows if r["uuid"] == uuid] for uuid in {r["uuid"] for r in rows}}, (
        done.stderr
    )


def fails(call, *, gpu="0", code, after=0):
    return f"{call}:{gpu}:{code}:{after}"


@pytest.mark.proof
def test_one_reading_of_each_gpu_as_json(driver):
    done = once(driver, NVML_STUB_GPUS="2", NVML_STUB_MIG="1")
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0
    assert (first["uuid"], first["name"], first["driver"]) == (
        "GPU-stub-0",
        "Stub GPU",
        "570.00-stub",
    )
    assert (first["util"], first["mem_used"], first["power_mw"]) == (50.0, 60 << 30, 400_000)
    assert (first["pci_bus"], first["temperature"]) == ("00000000:00:00.0", 65)
    assert first["reason"] == "throttle: without power brake (NotSupported)"
    assert second["util"] is None
    assert second["reason"].startswith("util: mig")


@pytest.mark.parametrize(
    ("failing", "cause", "remedy"),
    [
        (fails("nvmlInitWithFlags", gpu="-", code=12), "LibraryNotFound", "Install NVIDIA's"),
        (fails("nvmlInitWithFlags", gpu="-", code=9), "DriverNotLoaded", "modprobe nvidia"),
        (fails("nvmlInitWithFlags", gpu="-", code=18), "LibRmVersionMismatch", "reboot"),
        (fails("nvmlInitWithFlags", gpu="-", code=999), "Unknown", "Restart the container"),
        (fails("nvmlDeviceGetHandleByIndex_v2", code=4), "NoPermission", "/dev/nvidia*"),
    ],
)
def test_a_reading_that_cannot_be_taken_names_cause_and_remedy(driver, failing, cause, remedy):
    done = once(driver, NVML_STUB_FAIL=failing)
    assert (done.returncode, done.stdout) == (4, "")
    assert cause in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr


def test_minutes_under_a_controlled_clock(driver):
    rows, log = minutes(driver, until=180, NVML_STUB_UTIL="100,0", NVML_STUB_POWER_MW="250000")
    first, second, third = rows["GPU-stub-0"]
    assert [row["minute"] - T0 for row in (first, second, third)] == [0, 60, 120]
    assert {row["energy_mj"] for row in rows["GPU-stub-0"]} == {60 * 250_000}
    assert (second["util_min"], second["util_mean"], second["util_max"]) == (0.0, 50.0, 100.0)
    assert second["samples"] == 12 * 30
    assert first["samples"] == 1 + 11 * 30  # what lay in the buffer at the start is left out
    assert second["throttle_ns"] == 12 * 1_000_000
    assert second["host"] == "gpu-1"
    assert "ok: driver 570.00-stub, 1 GPU" in log


def test_a_lost_gpu_a_mig_gpu_and_an_old_one_beside_each_other(driver):
    rows, log = minutes(
        driver,
        until=180,
        NVML_STUB_GPUS="4",
        NVML_STUB_MIG="1",
        NVML_STUB_FAIL=",".join(
            [
                fails("nvmlDeviceGetPowerUsage", gpu="0", code=15, after=18),
                fails("nvmlDeviceGetTotalEnergyConsumption", gpu="2", code=3),
                fails("nvmlDeviceGetMemoryInfo", gpu="3", code=3),
            ]
        ),
    )
    assert [row["status"] for row in rows["GPU-stub-0"]] == ["partial", "lost", "lost"]
    assert rows["GPU-stub-0"][1]["util_mean"] == 50.0
    assert rows["GPU-stub-0"][2]["util_mean"] is None
    assert all(row["util_mean"] is None for row in rows["GPU-stub-1"])
    assert {row["energy_mj"] for row in rows["GPU-stub-2"]} == {60 * 400_000}
    assert "energy: NotSupported, from power" in rows["GPU-stub-2"][0]["reason"]
    assert all(row["mem_used_max"] is None for row in rows["GPU-stub-3"])
    assert "mem: NotSupported" in rows["GPU-stub-3"][0]["reason"]
    assert log.count("GPU-stub-0 is lost: GpuIsLost") == 1


def test_an_energy_counter_that_starts_anew_loses_nothing(driver):
    rows, _ = minutes(driver, until=180, NVML_STUB_RESET_AFTER="18")
    assert [row["energy_mj"] for row in rows["GPU-stub-0"]] == [60 * 400_000] * 3
    assert ["counter reset" in row["reason"] for row in rows["GPU-stub-0"]] == [False, True, False]


def test_a_driver_that_is_installed_later_is_found(driver, tmp_path):
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        pass
    else:
        pytest.skip("needs a machine without NVIDIA's driver")
    rows, log = minutes(
        tmp_path,
        until=720,
        INSTALL=f"{driver}/libnvidia-ml.so.1:{tmp_path}",
        DRIVER_AT=str(T0 + 300),
    )
    assert [row["minute"] - T0 for row in rows["GPU-stub-0"]] == [600, 660]
    assert [line.split(":")[0] for line in log.splitlines()] == ["INFO no_driver", "INFO ok"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_in_good_order(driver, stop):
    with subprocess.Popen(
        [sys.executable, "-m", "collectors.agent"],
        env=environment(driver),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "ok: driver" in process.stderr.readline()
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert all(json.loads(line)["uuid"] == "GPU-stub-0" for line in out.splitlines())


def test_a_reader_that_leaves_ends_the_agent_quietly(driver):
    read, write = os.pipe()
    os.close(read)
    clock = {"START": str(T0), "END": str(T0 + 600)}
    done = subprocess.run(
        [sys.executable, "-c", CONTROLLED],
        env=environment(driver, **clock),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["INFO ok: driver 570.00-stub, 1 GPU"]


def test_a_foreign_module_of_the_same_name_is_refused(tmp_path):
    (tmp_path / "pynvml.py").write_text("def nvmlInit(): pass\n")
    done = once(tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 4
    assert "belongs to an unknown package. Run: pip uninstall" in done.stderr


def test_the_agent_needs_nothing_but_the_binding_and_imports_that_late():
    code = "import sys, collectors.agent; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()}
    assert "collectors" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "numpy", "pydantic", "typer", "httpx", "pynvml"})
