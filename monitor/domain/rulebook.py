"""The rule book: what is watched, and when it fires and lets go."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.domain.alerts import Rule

_MOVES = (
    Rule("crossing", 2, "notice"),
    Rule("move", 1, "warning"),
    Rule("return_to_api", 1, "warning"),
    Rule("about_to_cross", 2, "warning", n=3, m=4, leave_after=30),
)
"""About moving and returning: edges of comparison and advice, without thresholds of their own.

`crossing` is a fact and says so once each way; `move` and `return_to_api` are the advice's.
"""

BOOK: Mapping[str, Rule] = {rule.name: rule for rule in _MOVES}
"""Every rule by its name, as it is where nothing else is configured."""
