"""An alert in a few plain lines, for ways out that show little."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from monitor.domain.names import clean_name
from monitor.domain.notices import SEVERITIES, Group, Notice

EDGES = {"firing": "", "resolved": "Resolved: ", "unstable": "Unstable: "}


def instant(at: int) -> str:
    """UTC epoch seconds as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def title(notice: Notice, cap: int) -> str:
    """One line: the edge and the alert's own title."""
    return clean_name(EDGES[notice.edge] + notice.said.title, cap)


def summary(group: Group, cap: int) -> str:
    """One line for the whole group."""
    worst, *others = worst_first(group.notices)
    more = f" and {len(others)} more" if others else ""
    marks = "Demonstration: " if group.demo else ""
    return marks + title(worst, cap - len(marks) - len(more)) + more


def worst_first(notices: Sequence[Notice]) -> list[Notice]:
    """Firing before the rest, then the more severe; else as given."""
    return sorted(notices, key=lambda n: (n.edge != "firing", -SEVERITIES.index(n.severity)))


def lines(notice: Notice) -> list[tuple[str, str]]:
    """Label and text of what there is to say, in the order that it is asked in."""
    said = notice.said
    found = [
        ("", said.what),
        ("Since", instant(notice.since)),
        ("How sure", said.sure),
        ("A month", said.cost),
        ("To do", " ".join(said.actions)),
        ("Owner", notice.owner),
        ("Runbook", notice.runbook),
        ("Query", said.query),
    ]
    return [(label, clean_name(text, 2000)) for label, text in found if text]
