"""What reports hand over, and what they are built from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from reports.audiences import FINANCE, Audience
from reports.language import Style
from reports.render import Attachment, Image

Value = Decimal | int | str | None
"""Of a figure; None is unknown."""
Row = Mapping[str, Value]
"""Figures by name."""

Crossed = Literal[
    "crossed_up",
    "crossed_down",
    "above",
    "below",
    "about_to_cross",
    "return_to_api",
    "stays_home",
]


def decimal(row: Row, name: str) -> Decimal | None:
    """An amount or a share."""
    found = row[name]
    assert found is None or isinstance(found, Decimal), f"{name} is {found!r}"
    return found


def whole(row: Row, name: str) -> int | None:
    """A count."""
    found = row[name]
    assert found is None or isinstance(found, int), f"{name} is {found!r}"
    return found


def words(row: Row, name: str) -> str:
    """A text; '' if unknown."""
    found = row[name]
    return "" if found is None else str(found)


class Told(NamedTuple):
    """A figure of a report's head: what is corrected if it was told without all of its data."""

    id: str
    label: str
    value: Value
    unit: str


class Rendered(NamedTuple):
    """A report or alert before it has a recipient."""

    subject: str
    text: str
    html: str
    images: Sequence[Image] = ()
    attachments: Sequence[Attachment] = ()
    failed: Sequence[str] = ()
    """Sections that could not be made, each with its cause: for the operator, not for readers."""
    style: Style = Style()
    """In which words it speaks."""


class Standing(NamedTuple):
    """What people ordered about a workload, and what its comparison rests on."""

    runs_on: str = "api"
    must_stay_on_api: str = ""
    must_stay_in_house: str = ""
    assumptions: Sequence[str] = ()
    zero_lines: Sequence[str] = ()
    decided: str = ""
    """What people decided about it, in a sentence; or ''."""
    stands: bool = False
    """The decision holds: it is shown, and nothing is recommended against it."""
    link: str = ""
    """URL of the recommendation; or ''."""


class WeeklyFacts(NamedTuple):
    """Everything that a weekly report says. Every number in it is a figure."""

    organisation: str
    week: str
    first: date
    last: date
    """The last day, included."""
    month: str
    """The month of the last day, which totals and projection speak of."""
    due_at: datetime
    """When the report fell due; it is dated so."""
    demo: bool
    missing: Sequence[str]
    """What the figures lack because the report could wait no longer."""
    numbers: Mapping[str, Value]
    """Figure id -> value."""
    units: Mapping[str, str]
    """Figure id -> unit; of a table's column `TABLE.column`."""
    tables: Mapping[str, Sequence[Row]]
    standings: Mapping[tuple[str, str], Standing]
    """By workload and deployment, of those that the report shows in full."""
    corrected: Sequence[str] = ()
    """What another edition told otherwise, in sentences; empty: this is the first."""
    unsent: str = ""
    """Which earlier reports were never sent, and why, in a sentence; or ''."""
    audience: Audience = FINANCE
    failed: Mapping[str, str] = {}
    """Figures that could not be read -> why: what shows them is left out."""


class RecommendationFacts(NamedTuple):
    """Everything that a recommendation says. Every number in it is a figure."""

    organisation: str
    workload: str
    deployment: str
    as_of: datetime
    """The UTC midnight that ends the newest day used."""
    demo: bool
    row: Row
    """The comparison, as the weekly report has it."""
    standing: Standing
    numbers: Mapping[str, Value]
    """Of `recommendation.*`, by id."""
    tables: Mapping[str, Sequence[Row]]
    """What `recommendation.TABLES` names."""
    units: Mapping[str, str]
    style: Style = Style()
    """How it looks; it speaks English in any."""
    others: Sequence[tuple[Row, Standing]] = ()
    """Further deployments of the workload, the most pressing first."""


class AlertFacts(NamedTuple):
    """Everything that an alert about one workload and deployment says. Dollars are a month's."""

    kind: Crossed
    organisation: str
    workload: str
    deployment: str
    as_of: datetime
    """The UTC midnight that ends the newest day used."""
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
    assumptions: Sequence[str]
    """What was assumed because nobody measured or configured it."""
    zero_lines: Sequence[str]
    """Cost lines taken as zero."""
    row: Row | None = None
    """The comparison's figures, as the weekly report has them; None: not told."""
    in_house: bool = False
    """A gate or an order holds the workload in house."""
    near_days: int | None = None
    """Until the volume meets the break-even, by its trend."""
    near_chance: float | None = None
    """That it lies beyond it at the end of the time looked ahead."""
