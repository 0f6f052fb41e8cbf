"""The rule book: what is watched, and when it fires and lets go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from monitor.domain.alerts import Rule
from monitor.domain.notices import Severity

_MOVES = (
    Rule("crossing", 2, "notice"),
    Rule("move", 1, "warning"),
    Rule("return_to_api", 1, "warning"),
    Rule("about_to_cross", 2, "warning", n=3, m=4, leave_after=30),
)
"""About moving and returning: edges of comparison and advice, without thresholds of their own.

`crossing` is a fact and says so once each way; `move` and `return_to_api` are the advice's.
"""

_WATCHED = (
    Rule("budget", 1, "warning"),
    # A projection wavers: 3 of 4 days to begin, a week to let go.
    Rule("budget_projected", 1, "warning", n=3, m=4, leave_after=7),
    Rule("unpriced_spend", 1, "warning", n=2, m=2, leave_after=2),
    Rule("source_stale", 1, "warning", n=2, m=2, leave_after=2, cadence="hourly"),
    Rule("internal", 1, "warning", cadence="hourly"),
)
"""About spend, sources and the daemon's own work."""

BOOK: Mapping[str, Rule] = {rule.name: rule for rule in (*_MOVES, *_WATCHED)}
"""Every rule by its name, as it is where nothing else is configured."""


class Chosen(NamedTuple):
    """What the configuration changes of a rule; None keeps the book's."""

    enabled: bool = True
    severity: Severity | None = None
    owner: str = ""
    runbook: str = ""
    percent: int | None = None


def chosen(changes: Mapping[str, Chosen]) -> dict[str, Rule]:
    """The book with the configuration's changes; a rule that is off is left out.

    What changes whether a rule fires gives it another version, which begins afresh; who answers
    for it and how loud it is does not.
    """
    return {
        name: _changed(rule, changes.get(name, Chosen()))
        for name, rule in BOOK.items()
        if changes.get(name, Chosen()).enabled
    }


def _changed(rule: Rule, change: Chosen) -> Rule:
    # Below a million: keys have room for six digits.
    version = rule.version if change.percent is None else rule.version * 10_000 + change.percent
    return replace(
        rule,
        version=version,
        severity=change.severity or rule.severity,
        owner=change.owner or rule.owner,
        runbook=change.runbook or rule.runbook,
    )
