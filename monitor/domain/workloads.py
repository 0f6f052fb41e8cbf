"""Which workload a series belongs to: ordered rules over its dimensions, the first match wins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from monitor.domain.usage import Dimensions

UNASSIGNED = "unassigned"
"""The workload of everything that no rule names: shown as such, never spread over the others."""


class Rule(NamedTuple):
    """A workload and what its series look like.

    Every field after the first is a shell-style pattern (`*`, `?`, `[ab]`) over the dimension of
    that name, and case counts. An empty pattern matches anything; `?*` asks for a value.
    """

    workload: str
    provider: str = ""
    model: str = ""
    project: str = ""
    api_key: str = ""
    label: str = ""
    account: str = ""


_PATTERNS = Rule._fields[1:]


def assign(rules: Iterable[Rule], dims: Dimensions) -> str:
    """The workload of the first rule that matches, else `UNASSIGNED`."""
    return next((rule.workload for rule in rules if _matches(rule, dims)), UNASSIGNED)


def rules_hash(rules: Sequence[Rule]) -> str:
    """SHA-256 of the rules in their order, as hex.

    Empty patterns are left out, so that a dimension added to `Rule` leaves old hashes as they are.
    """
    canonical = [{k: v for k, v in rule._asdict().items() if v} for rule in rules]
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _matches(rule: Rule, dims: Dimensions) -> bool:
    return all(
        not pattern or fnmatchcase(getattr(dims, field), pattern)
        for field, pattern in zip(_PATTERNS, rule[1:], strict=True)
    )
