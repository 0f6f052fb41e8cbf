"""OTLP as both of its encodings say it: what the receiver looks at, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

DELTA, CUMULATIVE = 1, 2
NO_RECORDED_VALUE = 1
"""The flag of a data point that says only that its series has ended."""

Attributes = Mapping[str, Any]
"""Text, bool, int, float, None, or for what is nested a tuple."""


class Origin(NamedTuple):
    """Who says it."""

    resource: Attributes
    """One object for all that a resource says."""
    scope: str
    version: str = ""


class DataPoint(NamedTuple):
    """One point of a sum or a histogram; times are nanoseconds since the epoch, 0 is unknown."""

    start: int
    time: int
    flags: int
    value: int | float | None
    """A histogram's sum."""
    operations: int
    """A histogram's count; else 0."""
    attributes: Attributes


class Metric(NamedTuple):
    """One instrument's points."""

    origin: Origin
    name: str
    shape: str
    """sum, histogram, or '' for what cannot be totalled."""
    temporality: int
    monotonic: bool
    points: Iterable[DataPoint]
    """Made as they are drawn, once."""


class Span(NamedTuple):
    """One operation, with the attributes that were asked for."""

    origin: Origin
    trace: str
    span: str
    parent: str
    """Ids as lower-case hex; a root has no parent."""
    start: int
    end: int
    failed: bool
    attributes: Attributes


class Record(NamedTuple):
    """One log record, with the attributes that were asked for."""

    origin: Origin
    time: int
    name: str
    """Of the event: its field, or the body where that is a text."""
    attributes: Attributes
