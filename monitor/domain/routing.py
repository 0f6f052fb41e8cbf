"""Who is told of an alert: routes by severity, rule and workload."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from monitor.domain.notices import Severity

MAIL = "smtp"


class Target(NamedTuple):
    """One way out and one recipient."""

    channel: str
    recipient: str
    """A mail address; of other channels their name."""


class Route(NamedTuple):
    """Alerts that match all of it go to its targets."""

    to: Sequence[str] = ()
    """Mail addresses or names of channels."""
    severities: Sequence[Severity] = ()
    """Empty: any."""
    rule: str = "*"
    workload: str = "*"
    owner: bool = False
    """To the owner of the workload too."""


class Routes(NamedTuple):
    """All routes, and who gets what none of them takes."""

    routes: Sequence[Route] = ()
    default: Sequence[str] = ()


def targets(
    routes: Routes, severity: Severity, rule: str, workload: str, owner: str
) -> list[Target]:
    """Each target once, in the order of the routes.

    Args:
        routes: of the configuration.
        severity: of the alert.
        rule: its name.
        workload: what it is about; '' matches only a pattern that matches everything.
        owner: the mail address of the workload's owner, or ''.
    """
    taken = [r for r in routes.routes if _takes(r, severity, rule, workload)]
    named = [to for route in taken for to in (*route.to, *([owner] if route.owner else []))]
    if not taken:
        named = list(routes.default)
    return list(dict.fromkeys(target(to) for to in named if to))


def target(to: str) -> Target:
    """A mail address, or a channel by its name."""
    return Target(MAIL, to) if "@" in to else Target(to, to)


def _takes(route: Route, severity: Severity, rule: str, workload: str) -> bool:
    return (
        (not route.severities or severity in route.severities)
        and fnmatchcase(rule, route.rule)
        and fnmatchcase(workload, route.workload)
    )
