"""GPUs of this host, read through NVIDIA's management library.

A machine without a driver is a normal state: `poll` returns nothing, `state` is `no_driver`, and
the driver is looked for again every ten minutes. A GPU that cannot be read is a row with a status
and a reason, never a zero. Opening keeps the GPUs initialised until `close`, which on hosts without
persistence mode raises their idle power a little.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from collectors.nvml_binding import load
from collectors.nvml_device import LOST, Gpu, error_name
from collectors.nvml_minute import Minutes, Reading
from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name
from monitor.domain.usage import Device, Minute

log = logging.getLogger("crossover.nvml")

State = Literal["starting", "ok", "no_driver", "error"]

FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 600.0
# From this failure in a row on, it is an error and no longer a hiccup.
PERSISTENT = 3

NO_DRIVER = {"LibraryNotFound", "DriverNotLoaded"}
REMEDIES = {
    "LibraryNotFound": "Install NVIDIA's driver, or start the container with its runtime"
    " and NVIDIA_DRIVER_CAPABILITIES=utility; without a GPU there is nothing to do",
    "DriverNotLoaded": "Load the kernel module (modprobe nvidia) or reboot",
    "LibRmVersionMismatch": "Restart this process, and reboot if that does not help:"
    " the driver was upgraded while it was in use",
    "NoPermission": "Give this user access to /dev/nvidia*, or the container its GPUs",
    "Unknown": "Restart the container: it loses its GPUs when its host reloads systemd",
}
OTHERWISE = "Run nvidia-smi on the same host to see whether the driver works"


class NoDriver(SourceError):
    """No NVIDIA driver on this machine or in this container."""


class Nvml:
    """A `monitor.ports.Sampler` over the GPUs of this host. One thread polls.

    `state` and `detail` say how the last poll went: the driver and its GPUs, or cause and remedy.
    """

    def __init__(self, host: str, name: str = "nvml") -> None:
        self.name = name
        self.state: State = "starting"
        self.detail = "not polled yet"
        self._host = clean_name(host)
        self._nvml: Any = None
        self._gpus: dict[str, Gpu] = {}
        self._known: dict[str, Device] = {}
        self._lost: dict[str, str] = {}
        self._summary = ""
        self._failure = ""
        self._failures = 0
        self._retry: tuple[float, float] | None = None
        self._minutes = Minutes()
        self._polled_at = float("-inf")

    def devices(self) -> Sequence[Device]:
        """Every GPU seen since the start, those that were lost included."""
        return list(self._known.values())

    def poll(self, now: float) -> Sequence[Minute]:
        """Take one reading of each GPU at wall-clock `now`; return the minutes it completed."""
        if now < self._polled_at:
            log.warning("the clock went back by %.1f s", self._polled_at - now)
        self._polled_at = now
        return self._minutes.fold(now, self.look(now))

    def look(self, now: float) -> dict[str, Reading]:
        """One reading of each known GPU, by UUID; opens the library when that is due."""
        if self._due(now):
            self._reopen(now)
        if not self._gpus:
            return {uuid: self._unread(uuid) for uuid in self._known}
        readings = {uuid: self._read(uuid) for uuid in self._known}
        if trouble := _trouble(readings):
            self._failed(now, trouble)
        else:
            self._worked()
        return readings

    def probe(self) -> str:
        """Open the library and say what is there: driver and number of GPUs.

        Raises:
            SourceError: with cause and remedy; `NoDriver` where there is no driver.
        """
        self._shut()
        self._open()
        return self._summary

    def close(self) -> None:
        """Release the library; the minute that is open is not handed over."""
        self._shut()

    def _due(self, now: float) -> bool:
        """Whether to open the library now; a clock set back must not put it off for long."""
        if self._retry is None:
            return not self._gpus
        failed_at, until = self._retry
        return not failed_at <= now < until

    def _reopen(self, now: float) -> None:
        self._shut()
        try:
            self._open()
        except NoDriver as error:
            if self._known:
                self._failed(now, str(error))
            else:
                self._without_driver(now, error)
        except SourceError as error:
            self._failed(now, str(error))

    def _open(self) -> None:
        """Initialise the library and find its GPUs; raises SourceError and leaves it shut."""
        nvml = load(self.name)
        try:
            nvml.nvmlInit()
            self._nvml = nvml
            self._find()
        except nvml.NVMLError as error:
            self._shut()
            raise self._explained(error) from error
        if not self._gpus:
            self._shut()
            self._failure = "no GPU visible"
            raise SourceError(
                self.name, f"no GPU is visible ({self._summary})", REMEDIES["NoPermission"]
            )
        self._lost = {uuid: "not found again" for uuid in self._known if uuid not in self._gpus}
        self._retry = None

    def _find(self) -> None:
        nvml = self._nvml
        driver = clean_name(nvml.nvmlSystemGetDriverVersion())
        count = nvml.nvmlDeviceGetCount()
        notes = [f"driver {driver}, {count} GPU{'' if count == 1 else 's'}"]
        for index in range(count):
            try:
                gpu = Gpu(nvml, index)
                device = gpu.identify(self._host, driver)
            except nvml.NVMLError as error:
                notes.append(f"GPU {index} cannot be opened: {error_name(error)}")
                log.warning("%s", notes[-1])
            else:
                self._gpus[device.uuid] = gpu
                self._known[device.uuid] = device
        self._summary = "; ".join(notes)

    def _explained(self, error: Any) -> SourceError:
        self._failure = error_name(error)
        kind = NoDriver if self._failure in NO_DRIVER else SourceError
        remedy = REMEDIES.get(self._failure, OTHERWISE)
        return kind(self.name, f"NVML answers {self._failure}", remedy)

    def _shut(self) -> None:
        self._gpus = {}
        if self._nvml is None:
            return
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            log.debug("shutdown: %s", error_name(error))
        self._nvml = None

    def _read(self, uuid: str) -> Reading:
        if uuid in self._lost:
            return self._unread(uuid)
        try:
            return self._gpus[uuid].read()
        except self._nvml.NVMLError as error:
            reason = error_name(error)
            if error.value not in LOST:
                return Reading(notes={"poll": reason})
        self._lost[uuid] = reason
        log.error("%s is lost: %s; reset it or reboot, then start again", uuid, reason)
        return self._unread(uuid)

    def _unread(self, uuid: str) -> Reading:
        if uuid in self._lost:
            return Reading(notes={"gpu": self._lost[uuid]}, lost=True)
        return Reading(notes={"poll": self._failure})

    def _worked(self) -> None:
        self._failures = 0
        self._retry = None
        lost = [f"{uuid} lost ({why})" for uuid, why in self._lost.items()]
        self._say("ok", "; ".join([self._summary, *lost]), logging.INFO)

    def _failed(self, now: float, why: str) -> None:
        """Note a failure of the library as a whole; try again after twice the time."""
        if self._retry and not self._due(now):
            return
        delay = min(FIRST_RETRY_SECONDS * 2**self._failures, LAST_RETRY_SECONDS)
        self._failures += 1
        self._retry = (now, now + delay)
        level = logging.ERROR if self._failures == PERSISTENT else logging.WARNING
        self._say("error", why, level, again=self._failures == PERSISTENT)

    def _without_driver(self, now: float, error: NoDriver) -> None:
        self._retry = (now, now + LAST_RETRY_SECONDS)
        absent = self._failure == "LibraryNotFound"
        self._say("no_driver", str(error), logging.INFO if absent else logging.WARNING)

    def _say(self, state: State, detail: str, level: int, *, again: bool = False) -> None:
        """Keep the state, and log it once when it changes."""
        if again or (state, detail) != (self.state, self.detail):
            log.log(level, "%s: %s", state, detail)
        self.state, self.detail = state, detail


def _trouble(readings: Mapping[str, Reading]) -> str:
    """Why the library must be opened again: a GPU that answers nothing, or all of them lost."""
    if all(reading.lost for reading in readings.values()):
        return "every GPU is lost"
    for uuid, reading in readings.items():
        if reading.empty and not reading.lost:
            return f"{uuid} answers nothing ({reading.reason})"
    return ""
