"""A driver library in Python, to stand under the real nvidia-ml-py as `pynvml.nvmlLib`.

Its functions take the ctypes arguments that the binding passes and write through them as C would.
"""

import ctypes
from dataclasses import dataclass, field

import pynvml

UINT, ULONG_LONG = 1, 3


@dataclass
class FakeGpu:
    """One GPU. `errors` holds the code that a call returns, `fields` a value or an error code."""

    uuid: str
    name: str = "NVIDIA H200"
    rate: int = 50
    samples: list[tuple[int, int]] = field(default_factory=list)
    no_samples: int = pynvml.NVML_ERROR_NOT_FOUND
    mem_used: int = 20 * 2**30
    mem_total: int = 141 * 2**30
    power_mw: int = 400_000
    energy_mj: int = 10**9
    temperature: int = 60
    mig: int = 0
    throttle_ns: dict[int, int] = field(
        default_factory=lambda: dict.fromkeys((74, 269, 270, 271), 0)
    )
    field_errors: dict[int, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    def sampled(self, *values: int) -> None:
        """Add utilisation samples, a sixth of a second apart."""
        last = self.samples[-1][0] if self.samples else 7_000_000
        self.samples += [(last + 166_667 * (i + 1), value) for i, value in enumerate(values)]


class FakeLibrary:
    """`errors` holds the code that a call returns; `missing` symbols the driver does not have."""

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.errors: dict[str, int] = {}
        self.missing: set[str] = set()
        self.calls: list[str] = []
        self.driver = b"580.95.05"

    def __getattr__(self, symbol: str):
        body = getattr(type(self), f"c_{symbol}", None)
        if body is None or symbol in self.missing:
            raise AttributeError(symbol)

        def call(*args):
            self.calls.append(symbol)
            if symbol in self.errors:
                return self.errors[symbol]
            if symbol.startswith("nvmlDevice") and "Count" not in symbol:
                gpu = self._gpu(args[0])
                return gpu.errors.get(symbol) or body(self, gpu, *args[1:])
            return body(self, *args)

        return call

    def _gpu(self, which) -> FakeGpu:
        """The GPU of an index or of a handle, which is its index plus one."""
        if isinstance(which, ctypes.c_uint):
            return self.gpus[which.value]
        return self.gpus[ctypes.cast(which, ctypes.c_void_p).value - 1]

    def c_nvmlInitWithFlags(self, flags):
        return 0

    def c_nvmlShutdown(self):
        return 0

    def c_nvmlSystemGetDriverVersion(self, text, size):
        text.value = self.driver
        return 0

    def c_nvmlDeviceGetCount_v2(self, count):
        count._obj.value = len(self.gpus)
        return 0

    def c_nvmlDeviceGetHandleByIndex_v2(self, gpu, handle):
        pointer = ctypes.c_void_p(self.gpus.index(gpu) + 1)
        ctypes.memmove(ctypes.addressof(handle._obj), ctypes.byref(pointer), 8)
        return 0

    def c_nvmlDeviceGetUUID(self, gpu, text, size):
        text.value = gpu.uuid.encode()
        return 0

    def c_nvmlDeviceGetName(self, gpu, text, size):
        text.value = gpu.name.encode("utf-8", "surrogateescape")
        return 0

    def c_nvmlDeviceGetPciInfo_v3(self, gpu, info):
        info._obj.busId = b"00000000:17:00.0"
        return 0

    def c_nvmlDeviceGetEnforcedPowerLimit(self, gpu, limit):
        limit._obj.value = 700_000
        return 0

    def c_nvmlDeviceGetMigMode(self, gpu, current, pending):
        current._obj.value = pending._obj.value = gpu.mig
        return 0

    def c_nvmlDeviceGetUtilizationRates(self, gpu, rates):
        rates._obj.gpu = gpu.rate
        return 0

    def c_nvmlDeviceGetSamples(self, gpu, kind, since, *results):
        value_type, count, array = results
        new = [s for s in gpu.samples if s[0] > since.value]
        if not new:
            return gpu.no_samples
        value_type._obj.value = UINT
        count._obj.value = len(new)
        for place, (at, value) in zip(array or (), new, strict=bool(array)):
            place.timeStamp = at
            place.sampleValue.uiVal = value
        return 0

    def c_nvmlDeviceGetMemoryInfo(self, gpu, info):
        info._obj.total, info._obj.used = gpu.mem_total, gpu.mem_used
        return 0

    def c_nvmlDeviceGetMemoryInfo_v2(self, gpu, info):
        return self.c_nvmlDeviceGetMemoryInfo(gpu, info)

    def c_nvmlDeviceGetPowerUsage(self, gpu, milliwatts):
        milliwatts._obj.value = gpu.power_mw
        return 0

    def c_nvmlDeviceGetTotalEnergyConsumption(self, gpu, millijoules):
        millijoules._obj.value = gpu.energy_mj
        return 0

    def c_nvmlDeviceGetTemperature(self, gpu, sensor, celsius):
        celsius._obj.value = gpu.temperature
        return 0

    def c_nvmlDeviceGetTemperatureV(self, gpu, reading):
        reading._obj.temperature = gpu.temperature
        return 0

    def c_nvmlDeviceGetFieldValues(self, gpu, count, values):
        for value in values._obj:
            value.nvmlReturn = gpu.field_errors.get(value.fieldId, 0)
            value.valueType = ULONG_LONG
            value.value.ullVal = gpu.throttle_ns[value.fieldId]
        return 0
