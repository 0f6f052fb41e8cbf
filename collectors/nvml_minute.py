"""Readings of GPUs folded into rows of one UTC minute: arithmetic alone, no library, no clock.

Counters (energy, throttling) grow between two readings; the growth is spread evenly over the time
between them, so the reading that closes a minute also gives it its last seconds. Readings further
apart than `JOIN_SECONDS` are not joined: what happened between them is unknown.

A minute is handed over once, when the clock has moved on to another. A clock that goes back into a
minute already handed over is waited out: such readings are left out, and the minute that was open
stays open. The minute that is open when the process ends is not handed over, so a restart gives
each minute once too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from monitor.domain.usage import MINUTE, Minute

JOIN_SECONDS = 90.0
# No board draws 10 kW: a counter that grew faster was damaged, or slipped back without a reset.
MAX_POWER_MW = 10_000_000
NS = 10**9
# A week: what a clock that steps back may come through again.
REMEMBERED_MINUTES = 10_080

NOTHING: Mapping[str, str] = MappingProxyType({})
NO_COUNTERS: Mapping[int, int] = MappingProxyType({})


class Reading(NamedTuple):
    """One look at one GPU. None is unknown, and `notes` says why.

    Notes are keyed by what is missing: util, mem, power, energy, temp, throttle; or gpu (lost) and
    poll (the whole look failed). In a row, `minute` is one more: how much of it was read.
    """

    utilisation: tuple[float, ...] = ()
    """Percent: the samples since the previous look, or one snapshot."""
    mem_used: int | None = None
    """Bytes."""
    power_mw: int | None = None
    energy_mj: int | None = None
    """A counter since the driver was loaded."""
    temperature: int | None = None
    """Degrees Celsius."""
    throttle_ns: Mapping[int, int] = NO_COUNTERS
    """Counters since the driver was loaded, by NVML field."""
    notes: Mapping[str, str] = NOTHING
    lost: bool = False

    @property
    def empty(self) -> bool:
        """Whether the GPU answered nothing at all."""
        return not self.utilisation and not self.throttle_ns and self[1:5] == (None,) * 4

    @property
    def status(self) -> str:
        """ok, partial, lost or error, as in `Minute`."""
        return status_of(lost=self.lost, answered=not self.empty, reason=self.reason)

    @property
    def reason(self) -> str:
        """Which quantities are missing and why."""
        return "; ".join(f"{quantity}: {why}" for quantity, why in self.notes.items())


def status_of(*, lost: bool, answered: bool, reason: str) -> str:
    """The status of a reading or a row: anything that has a reason is not `ok`."""
    if lost:
        return "lost"
    if not answered:
        return "error"
    return "partial" if reason else "ok"


class Growth(NamedTuple):
    """What the counters of one GPU gained between two readings."""

    start: float
    end: float
    energy_mj: float | None
    throttle_ns: int | None
    notes: Mapping[str, str]


def grow(before: tuple[float, Reading] | None, now: float, reading: Reading) -> Growth | None:
    """The growth since the reading `before`; None where the two cannot be joined."""
    if before is None or not 0 < now - before[0] <= JOIN_SECONDS:
        return None
    start, last = before
    energy, why = _energy(last, reading, now - start)
    return Growth(
        start, now, energy, _throttled(last, reading), {"energy": why} if why else NOTHING
    )


def _energy(last: Reading, reading: Reading, seconds: float) -> tuple[float | None, str]:
    """Millijoules from the counter, or else from the power at both ends, and a remark."""
    if last.energy_mj is not None and reading.energy_mj is not None:
        gained = counter_growth(last.energy_mj, reading.energy_mj, MAX_POWER_MW * seconds)
        if gained is None:
            return None, "implausible counter"
        return gained, "counter reset" if reading.energy_mj < last.energy_mj else ""
    if last.power_mw is not None and reading.power_mw is not None:
        return (last.power_mw + reading.power_mw) / 2 * seconds, "from power"
    return None, ""


def _throttled(last: Reading, reading: Reading) -> int | None:
    """Nanoseconds over all causes; causes may overlap in time."""
    gained = [
        counter_growth(last.throttle_ns[field], counter, JOIN_SECONDS * NS)
        for field, counter in reading.throttle_ns.items()
        if field in last.throttle_ns
    ]
    known = [g for g in gained if g is not None]
    return sum(known) if known else None


def counter_growth(before: int, after: int, most: float) -> int | None:
    """What a counter gained; after a reset all of `after` is new. None: more than is possible."""
    gained = after - before if after >= before else after
    return gained if gained <= most else None


class Minutes:
    """The open minute of every GPU."""

    def __init__(self) -> None:
        self._minute: int | None = None
        self._open: dict[str, _Bucket] = {}
        self._last: dict[str, tuple[float, Reading]] = {}
        self._handed_over: deque[int] = deque(maxlen=REMEMBERED_MINUTES)

    def fold(self, now: float, readings: Mapping[str, Reading]) -> list[Minute]:
        """Take one reading of each GPU, by UUID; return the minutes that `now` completes."""
        minute = int(now // MINUTE) * MINUTE
        growths = self._grow(now, readings)
        if minute in self._handed_over:
            return []
        rows: list[Minute] = []
        if minute != self._minute:
            self._spread(growths)
            rows = self._close()
            self._minute = minute
        for uuid, reading in readings.items():
            self._open.setdefault(uuid, _Bucket(minute)).read(reading)
        self._spread(growths)
        return rows

    def _grow(self, now: float, readings: Mapping[str, Reading]) -> dict[str, Growth]:
        growths = {}
        for uuid, reading in readings.items():
            if reading.empty:
                continue
            if growth := grow(self._last.get(uuid), now, reading):
                growths[uuid] = growth
            self._last[uuid] = (now, reading)
        return growths

    def _spread(self, growths: Mapping[str, Growth]) -> None:
        for uuid, growth in growths.items():
            if uuid in self._open:
                self._open[uuid].grow(growth)

    def _close(self) -> list[Minute]:
        rows = [bucket.row(uuid) for uuid, bucket in self._open.items()]
        if self._minute is not None:
            self._handed_over.append(self._minute)
        self._open = {}
        return rows


class _Bucket:
    """One GPU in one minute."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.samples: list[float] = []
        self.means: list[float] = []
        self.mem: list[int] = []
        self.power: list[int] = []
        self.temperature: list[int] = []
        self.energy: float | None = None
        self.throttle: float | None = None
        self.covered = 0.0
        self.answered = False
        self.lost = False
        self.notes: dict[str, list[str]] = {}

    def read(self, reading: Reading) -> None:
        self._note(reading.notes)
        self.lost |= reading.lost
        self.answered |= not reading.empty
        if reading.utilisation:
            self.samples += reading.utilisation
            self.means.append(sum(reading.utilisation) / len(reading.utilisation))
        for values, value in (
            (self.mem, reading.mem_used),
            (self.power, reading.power_mw),
            (self.temperature, reading.temperature),
        ):
            if value is not None:
                values.append(value)

    def grow(self, growth: Growth) -> None:
        """Add the part of a growth that falls into this minute."""
        seconds = min(growth.end, self.minute + MINUTE) - max(growth.start, self.minute)
        if seconds <= 0:
            return
        part = seconds / (growth.end - growth.start)
        self.covered += seconds
        self._note(growth.notes)
        if growth.energy_mj is not None:
            self.energy = (self.energy or 0.0) + growth.energy_mj * part
        if growth.throttle_ns is not None:
            self.throttle = (self.throttle or 0.0) + growth.throttle_ns * part

    def _note(self, notes: Mapping[str, str]) -> None:
        for quantity, why in notes.items():
            whys = self.notes.setdefault(quantity, [])
            if why not in whys:
                whys.append(why)

    def row(self, uuid: str) -> Minute:
        if self.answered and abs(self.covered - MINUTE) >= 1:
            self._note({"minute": f"covers {self.covered:.0f} of {MINUTE} s"})
        reason = "; ".join(
            f"{quantity}: {', '.join(whys)}" for quantity, whys in self.notes.items()
        )
        status = status_of(lost=self.lost, answered=self.answered, reason=reason)
        if not self.answered:
            return Minute(uuid, self.minute, status=status, reason=reason)
        return Minute(
            uuid,
            self.minute,
            util_min=min(self.samples, default=None),
            # A mean of each look's mean: the buffer is silent while a GPU idles, so that a look
            # then has one sample where a busy one has thirty.
            util_mean=_mean(self.means),
            util_max=max(self.samples, default=None),
            mem_used_max=max(self.mem, default=None),
            power_mean_mw=_mean(self.power),
            energy_mj=None if self.energy is None else round(self.energy),
            temp_max=max(self.temperature, default=None),
            throttle_ns=None if self.throttle is None else round(min(self.throttle, MINUTE * NS)),
            samples=len(self.samples),
            status=status,
            reason=reason,
        )


def _mean(values: list[float] | list[int]) -> float | None:
    return sum(values) / len(values) if values else None
