"""What reports hand over, and what they are built from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from reports.render import Image

Crossed = Literal["crossed_up", "crossed_down", "about_to_cross", "return_to_api", "unstable"]


class Rendered(NamedTuple):
    """A report or alert before it has a recipient."""

    subject: str
    text: str
    html: str
    images: Sequence[Image] = ()


class AlertFacts(NamedTuple):
    """Everything that an alert about one workload and deployment says. Dollars are a month's."""

    kind: Crossed
    organisation: str
    workload: str
    deployment: str
    as_of: datetime
    """The UTC midnight that ends the newest day used."""
    due_at: datetime
    """When the alert fell due; it is dated so."""
    advice: str
    reason: str
    month: str
    requests: tuple[int, int, int]
    """q10, q50, q90 of the month's requests."""
    crossing_requests: int | None
    api_usd: tuple[Decimal, Decimal, Decimal]
    self_host_usd: tuple[Decimal, Decimal, Decimal]
    savings_usd: tuple[Decimal, Decimal, Decimal]
    """At the q10, q50 and q90 volume."""
    ahead_month: str
    """The month that lies within the lead time."""
    assumptions: Sequence[str]
    """What was assumed because nobody measured or configured it."""
    zero_lines: Sequence[str]
    """Cost lines taken as zero."""
    demo: bool
    """The data is a demonstration."""
