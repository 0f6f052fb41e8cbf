"""What an alert says, the same for every way out: mail, chat, pager, machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

Edge = Literal["firing", "resolved", "unstable"]
Severity = Literal["notice", "warning", "critical"]

SEVERITIES: tuple[Severity, ...] = ("notice", "warning", "critical")
"""Lowest first."""


class Said(NamedTuple):
    """What a rule has to say of a subject: complete sentences, without markup."""

    title: str
    """One line with the number that matters."""
    what: str
    """What happened."""
    sure: str = ""
    """How sure that is, and why."""
    cost: str = ""
    """What it costs or saves a month, in words; that it is not known, if so."""
    usd_per_month: Decimal | None = None
    """The same as a number; None is unknown."""
    actions: tuple[str, ...] = ()
    """What to do, in order."""
    query: str = ""
    """A SELECT over the public views that shows it."""
    facts: tuple[tuple[str, str], ...] = ()
    """Label and value, as rows of a small table."""
    rests_on: tuple[str, ...] = ()
    """What was assumed, what was taken as zero."""
    notes: tuple[tuple[str, str], ...] = ()
    """Label and sentences: what else is to be known."""


class Notice(NamedTuple):
    """One edge of one alert, for people and for machines."""

    key: str
    """Of the alert: the same from firing to resolved, another for the next period or version."""
    edge: Edge
    severity: Severity
    rule: str
    subject: str
    said: Said
    since: int
    """When it began to hold: UTC epoch seconds of the day's end on which it was seen."""
    at: int
    """When this edge was seen, likewise."""
    period: str = ""
    workload: str = ""
    owner: str = ""
    """Who answers for the rule or the subject."""
    runbook: str = ""
    links: Mapping[str, str] = {}
    """Name -> URL: `acknowledge`, `silence`, `snooze`; empty where no address is configured."""


class Group(NamedTuple):
    """Notices that one target gets in one message."""

    dedup_key: str
    """Of the message: a repeat carries the same."""
    organisation: str
    notices: Sequence[Notice]
    due_at: int
    """The instant that the message is dated with, UTC epoch seconds."""
    digest: bool = False
    demo: bool = False


def to_json(notice: Notice) -> str:
    """A notice as text to store."""
    document = {**notice._asdict(), "said": _plain(notice.said)}
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def worst_first(notices: Sequence[Notice]) -> list[Notice]:
    """Firing before the rest, then the more severe; else as given."""
    return sorted(notices, key=lambda n: (n.edge != "firing", -SEVERITIES.index(n.severity)))


def said_from_json(text: str) -> Said:
    """What `said_to_json` wrote; an empty object says nothing."""
    return _said({**Said("", "")._asdict(), **json.loads(text)})


def said_to_json(said: Said) -> str:
    """What is said, as text to store."""
    return json.dumps(_plain(said), sort_keys=True, ensure_ascii=False)


def from_json(text: str) -> Notice:
    """The notice that `to_json` wrote."""
    document: dict[str, Any] = json.loads(text)
    return Notice(**{**document, "said": _said(document["said"])})


def _plain(said: Said) -> dict[str, Any]:
    usd = None if said.usd_per_month is None else str(said.usd_per_month)
    return {**said._asdict(), "usd_per_month": usd}


def _said(fields: Mapping[str, Any]) -> Said:
    usd = fields["usd_per_month"]
    return Said(
        **{
            **fields,
            "usd_per_month": None if usd is None else Decimal(usd),
            "actions": tuple(fields["actions"]),
            "facts": tuple((label, value) for label, value in fields["facts"]),
            "rests_on": tuple(fields["rests_on"]),
            "notes": tuple((label, value) for label, value in fields["notes"]),
        }
    )
