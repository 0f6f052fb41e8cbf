"""One GPU asked through NVML: an answer becomes part of a Reading, a refusal its reason.

The binding (`pynvml` of nvidia-ml-py) is handed in, so that this imports without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from collectors.nvml_minute import Reading
from monitor.domain.names import clean_name
from monitor.domain.usage import Device

# Error codes of NVML.
UNINITIALIZED = 1
NOT_SUPPORTED = 3
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
LIB_RM_VERSION_MISMATCH = 18
ARGUMENT_VERSION_MISMATCH = 25

LOST = {GPU_IS_LOST, RESET_REQUIRED}
# The library itself is unusable: no use in asking it for the next quantity.
LIBRARY = {UNINITIALIZED, LIB_RM_VERSION_MISMATCH}
# The answer will be the same until the library is opened again.
REFUSED = {NOT_SUPPORTED, FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH}

TEMPERATURE_OF_GPU = 0
# Cumulative nanoseconds by cause.
THROTTLE_FIELDS = {
    74: "power",
    269: "software thermal",
    270: "hardware thermal",
    271: "power brake",
}
# Members of the value union, by NVML's value type.
UNION_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


def error_name(error: Any) -> str:
    """`GpuIsLost` for NVMLError_GpuIsLost; `code 77` where the binding has no class for it."""
    name = type(error).__name__
    return name.removeprefix("NVMLError_") if "_" in name else f"code {error.value}"


class Gpu:
    """One GPU from one opening of the library to the next."""

    def __init__(self, nvml: Any, index: int) -> None:
        """Raises the binding's NVMLError where this GPU may not be opened."""
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self._index = index
        self._cursor = 0
        self._refusals: dict[str, str] = {}
        self._notes: dict[str, str] = {}

    def identify(self, host: str, driver: str) -> Device:
        """Who this GPU is. Only the UUID must be known; raises NVMLError where it is not."""
        nvml = self._nvml
        memory = self._memory()
        return Device(
            host=host,
            uuid=clean_name(nvml.nvmlDeviceGetUUID(self._handle)),
            name=clean_name(self._try("name", nvml.nvmlDeviceGetName)[0] or ""),
            ordinal=self._index,
            pci_bus=clean_name(self._try("pci", self._pci_bus)[0] or ""),
            memory_bytes=memory.total if memory else None,
            power_limit_mw=self._try("limit", nvml.nvmlDeviceGetEnforcedPowerLimit)[0],
            driver=driver,
        )

    def _pci_bus(self, handle: Any) -> str:
        return str(self._nvml.nvmlDeviceGetPciInfo(handle).busId)

    def read(self) -> Reading:
        """One look; raises NVMLError where the GPU is lost or the library is unusable."""
        nvml = self._nvml
        self._notes = {}
        memory = self._memory()
        return Reading(
            utilisation=self._utilisation(),
            mem_used=memory.used if memory else None,
            power_mw=self._first("power", ("power", nvml.nvmlDeviceGetPowerUsage)),
            energy_mj=self._first("energy", ("energy", nvml.nvmlDeviceGetTotalEnergyConsumption)),
            temperature=self._first(
                "temp",
                ("temp", nvml.nvmlDeviceGetTemperature, TEMPERATURE_OF_GPU),
                ("temp v", nvml.nvmlDeviceGetTemperatureV, TEMPERATURE_OF_GPU),
            ),
            throttle_ns=self._throttle(),
            notes=self._notes,
        )

    def _try(self, key: str, call: Callable[..., Any], *args: Any) -> tuple[Any, str]:
        """The answer, or None and the reason; what was refused once is not asked again."""
        if key in self._refusals:
            return None, self._refusals[key]
        try:
            return call(self._handle, *args), ""
        except UnicodeDecodeError:
            return None, "not UTF-8"
        except self._nvml.NVMLError as error:
            return None, self._reason(key, error)

    def _reason(self, key: str, error: Any) -> str:
        if error.value in LOST | LIBRARY:
            raise error
        reason = error_name(error)
        if error.value in REFUSED:
            self._refusals[key] = reason
        return reason

    def _first(self, quantity: str, *ways: tuple[Any, ...]) -> Any:
        """The first of several ways that answers; else None, noting why the first did not."""
        reasons = []
        for way in ways:
            answer, reason = self._try(*way)
            if not reason:
                return answer
            reasons.append(reason)
        self._notes[quantity] = reasons[0]
        return None

    def _memory(self) -> Any:
        info = self._nvml.nvmlDeviceGetMemoryInfo
        return self._first("mem", ("mem", info), ("mem v2", info, self._nvml.nvmlMemory_v2))

    def _utilisation(self) -> tuple[float, ...]:
        mig, _ = self._try("mig", self._nvml.nvmlDeviceGetMigMode)
        if mig and mig[0]:
            self._notes["util"] = "mig"
            return ()
        return self._buffered() or self._snapshot()

    def _buffered(self) -> tuple[float, ...]:
        """The samples since the last look; () where there is none, or only older history.

        Timestamps serve as cursors alone: their epoch differs between drivers.
        """
        for _ in range(2):  # the buffer may grow between the binding's two calls
            answer, reason = self._try(
                "samples",
                self._nvml.nvmlDeviceGetSamples,
                self._nvml.NVML_GPU_UTILIZATION_SAMPLES,
                self._cursor,
            )
            if reason != "InsufficientSize":
                break
        if not answer:
            return ()
        seen, (value_type, samples) = self._cursor, answer
        self._cursor = max((s.timeStamp for s in samples), default=seen)
        return _percents(_number(value_type, s.sampleValue) for s in samples) if seen else ()

    def _snapshot(self) -> tuple[float, ...]:
        rates = self._first("util", ("rates", self._nvml.nvmlDeviceGetUtilizationRates))
        if rates is None:
            return ()
        percents = _percents([rates.gpu])
        if not percents:
            self._notes["util"] = f"implausible {rates.gpu} %"
        return percents

    def _throttle(self) -> dict[int, int]:
        counters, missing = {}, {}
        for field, cause in THROTTLE_FIELDS.items():
            counter, reason = self._try(f"field {field}", self._field, field)
            if reason:
                missing[cause] = reason
            else:
                counters[field] = int(counter)
        if counters and missing:
            parts = [f"{cause} ({reason})" for cause, reason in missing.items()]
            self._notes["throttle"] = f"without {', '.join(parts)}"
        elif missing:
            self._notes["throttle"] = ", ".join(dict.fromkeys(missing.values()))
        return counters

    def _field(self, handle: Any, field: int) -> float:
        """The value of one field, whose own return code stands beside the call's."""
        (value,) = self._nvml.nvmlDeviceGetFieldValues(handle, [field])
        number = _number(value.valueType, value.value)
        if value.nvmlReturn or number is None:
            raise self._nvml.NVMLError(value.nvmlReturn or NOT_SUPPORTED)
        return number


def _number(value_type: int, union: Any) -> float | None:
    known = 0 <= value_type < len(UNION_MEMBERS)
    return getattr(union, UNION_MEMBERS[value_type]) if known else None


def _percents(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(float(v) for v in values if v is not None and 0 <= v <= 100)
