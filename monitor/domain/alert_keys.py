"""The key of an alert: the same from firing to resolved, another for the next period or version."""

from __future__ import annotations

import re
from typing import NamedTuple

_STORED = re.compile(r"(.+) v([0-9]+)")


class Key(NamedTuple):
    """What makes an alert one of its kind."""

    rule: str
    """A name of the rule book."""
    version: int
    subject: str
    period: str = ""

    def __str__(self) -> str:
        return "/".join(
            map(escaped, (self.rule, f"v{self.version}", self.subject, self.period))
        ).rstrip("/")

    @property
    def stored(self) -> str:
        """Rule and version as a row of `alert` has them."""
        return f"{self.rule} v{self.version}"


def of_row(rule: str, subject: str, period: str) -> Key:
    """The key of a row of `alert`."""
    found = _STORED.fullmatch(rule)
    name, version = (found[1], int(found[2])) if found else (rule, 1)
    return Key(name, version, subject, period)


def parse(text: str) -> Key | None:
    """The key that was written; None: it is none."""
    parts = [_plain(part) for part in text.split("/")]
    if len(parts) not in (3, 4) or not re.fullmatch(r"v[0-9]{1,6}", parts[1]):
        return None
    return Key(parts[0], int(parts[1][1:]), parts[2], parts[3] if len(parts) == 4 else "")


def escaped(part: str) -> str:
    """A part of a key: a slash inside a name must not make two alerts look like one."""
    return part.replace("%", "%25").replace("/", "%2F")


def _plain(part: str) -> str:
    return part.replace("%2F", "/").replace("%25", "%")
