"""What was used: rows that parsers return and writers store. All of it is metered, none is priced.

Token classes are disjoint: adding them up counts every token once. A class that a source does not
report is None (unknown), never 0 (measured zero). `reasoning` is a part of `output` and
informational. Which fields of a source's "input" contain which classes only its parser knows.
"""

from __future__ import annotations

from typing import NamedTuple

DAY = 86_400
HOUR = 3_600
MINUTE = 60

# The largest count a row may hold: far above any real bucket, far below 64 bits, so that sums of a
# year stay exact in the database. A larger one is a unit error or damage, and is quarantined.
MAX_COUNT = 10**15

# The same for what one request can have used, and for one reading of a counter: whoever may send
# them sends thousands at once, and sums of what is sent must not leave 64 bits either.
MAX_REQUEST = 10**9
MAX_READING = 10**12


class Dimensions(NamedTuple):
    """What a quantity is split by. An absent dimension is '', never None. All names are clean."""

    account: str = ""
    provider: str = ""
    model: str = ""
    project: str = ""
    api_key: str = ""
    actor: str = ""
    tier: str = ""
    batch: str = ""
    region: str = ""
    label: str = ""


class Quantities(NamedTuple):
    """Disjoint token classes and requests; None is unknown. Unit: tokens, except requests."""

    uncached_input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_long: int | None = None
    output: int | None = None
    audio_input: int | None = None
    audio_cache_read: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_cache_read: int | None = None
    image_output: int | None = None
    reasoning: int | None = None
    requests: int | None = None

    @property
    def tokens(self) -> int:
        """All tokens, each counted once."""
        return sum(filter(None, self[:_CLASSES]))


# Quantities that are priced and added, in the order of `Quantities`; reasoning is inside output.
TOKEN_CLASSES = Quantities._fields[:11]
_CLASSES = len(TOKEN_CLASSES)
QUANTITY_FIELDS = Quantities._fields
INPUT_CLASSES = tuple(c for c in TOKEN_CLASSES if not c.endswith("output"))
CACHED_CLASSES = tuple(c for c in INPUT_CLASSES if c.endswith("cache_read"))


def add(a: Quantities, b: Quantities) -> Quantities:
    """The sum; unknown plus unknown stays unknown."""
    return Quantities(
        *(y if x is None else x if y is None else x + y for x, y in zip(a, b, strict=True))
    )


class UsageRow(NamedTuple):
    """Metered quantities of one series in one time bucket."""

    dims: Dimensions
    start: int
    """UTC epoch seconds, aligned to `seconds`."""
    seconds: int
    """3600 or 86400."""
    quantities: Quantities


class BillRow(NamedTuple):
    """What a provider says it charges for one UTC day and line item."""

    dims: Dimensions
    day: int
    """UTC epoch seconds of midnight."""
    line_item: str
    amount_pico: int
    """In 10^-12 of `currency`; negative for a credit."""
    currency: str
    """Three capital letters."""


class Event(NamedTuple):
    """One request, deduplicated by `id` within its source."""

    id: str
    at: int
    """UTC epoch seconds."""
    dims: Dimensions
    quantities: Quantities


class Device(NamedTuple):
    """One GPU, known by its UUID."""

    host: str
    uuid: str
    name: str = ""
    ordinal: int | None = None
    """The index the driver gave it: display only, it may change at a reboot."""
    pci_bus: str = ""
    memory_bytes: int | None = None
    power_limit_mw: int | None = None
    driver: str = ""


class Minute(NamedTuple):
    """One GPU over one UTC minute. None is unknown and `reason` says why; 0 was measured."""

    uuid: str
    minute: int
    """UTC epoch seconds, a multiple of 60."""
    util_min: float | None = None
    util_mean: float | None = None
    util_max: float | None = None
    """Percent of the time in which at least one kernel ran: not the share of the chip in use."""
    mem_used_max: int | None = None
    """Bytes."""
    power_mean_mw: float | None = None
    energy_mj: int | None = None
    """Millijoules in this minute."""
    temp_max: int | None = None
    """Degrees Celsius."""
    throttle_ns: int | None = None
    """Nanoseconds held back by power or heat."""
    samples: int = 0
    """Utilisation samples behind the mean."""
    status: str = "ok"
    """ok, partial, lost, error."""
    reason: str = ""
    """Which readings are missing and why, such as `util: mig; energy: NotSupported`."""


class Problem(NamedTuple):
    """One row that could not be read; kept in quarantine, counted, never guessed."""

    place: str
    """Where it stood: `page 2, bucket 2026-11-18, result 3` or `line 17`."""
    reason: str
    payload: str = ""
    """The row as text, capped, without secrets."""


def utc_day(at: int) -> int:
    """Midnight of the UTC day that contains an instant, both in epoch seconds."""
    return at - at % DAY
