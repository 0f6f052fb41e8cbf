"""Answering: what a person says to an alert or a report, by command or by a link of a mail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NamedTuple

from sqlalchemy import Connection

from monitor.domain.errors import InputError
from monitor.domain.links import Link
from monitor.domain.names import clean_name
from monitor.domain.silences import (
    LONGEST,
    LONGEST_BY_LINK,
    Kind,
    Silence,
    checked_until,
    duration,
    exactly,
)
from monitor.storage import people
from monitor.storage.people import Alert

WHY_CAP = 400
BY_CAP = 320

CHOICES: Mapping[str, Mapping[str, str]] = {
    "silence": {"1h": "1 hour", "1d": "1 day", "1w": "1 week"},
    "snooze": {"1h": "1 hour", "1d": "1 day", "1w": "1 week"},
}
"""Action -> durations that a page offers, besides a date."""


class Done(NamedTuple):
    """What became of an answer by link."""

    said: str
    """Complete sentences."""
    changed: bool = False
    undo: str = ""
    """The command that takes it back."""


def find(conn: Connection, name: str) -> Alert:
    """The alert of a key or an id.

    Raises:
        InputError: there is none; near ones are named.
    """
    if found := people.alert(conn, name):
        return found
    near = get_close_matches(name, [alert.key for alert in people.alerts(conn)], 3, 0.5)
    raise InputError(
        f"there is no alert {name!r}",
        f"Did you mean {' or '.join(near)}?" if near else "See `crossover alerts list --all`.",
    )


def acknowledge(conn: Connection, alert: Alert, by: str, why: str, now: int) -> None:
    """Say that somebody takes care of an alert.

    Raises:
        InputError: it does not stand.
    """
    if not people.acknowledge(conn, alert.id, _who(by), clean_name(why, WHY_CAP), now):
        raise InputError(
            f"{alert.rule} of {alert.subject} is {alert.status}",
            "Only an alert that stands can be acknowledged.",
        )


def snooze(conn: Connection, alert: Alert, until: int, by: str, why: str, now: int) -> int:
    """Ask for quiet about one alert for a while; returns the silence's id."""
    names = exactly(alert.rule), exactly(alert.subject)
    return _quiet(conn, "snooze", *names, until=until, by=by, why=why, now=now)


def silence(
    conn: Connection,
    rule: str,
    subject: str,
    *,
    until: int,
    by: str,
    why: str,
    now: int,
    known: Sequence[str] = (),
) -> int:
    """Ask for quiet about all that two patterns take; returns the silence's id.

    Args:
        conn: of a writing transaction.
        rule: a pattern over the names of rules.
        subject: a pattern over what alerts are about.
        until: UTC epoch seconds.
        by: who asks.
        why: the reason, which every list shows.
        now: UTC epoch seconds.
        known: names of rules, one of which the pattern must take; empty: not asked.

    Raises:
        InputError: there is no reason, no such rule, or the end is in the past or too far ahead.
    """
    if known and not any(fnmatchcase(name, rule) for name in known):
        near = get_close_matches(rule, known, 3, 0.5)
        raise InputError(
            f"no rule is called {rule!r}",
            f"Did you mean {' or '.join(near)}?" if near else f"Rules: {', '.join(known)}.",
        )
    if not clean_name(why, WHY_CAP):
        raise InputError("a silence needs a reason", "Say in a few words why.")
    return _quiet(conn, "silence", rule, subject, until=until, by=by, why=why, now=now)


def _quiet(
    conn: Connection,
    kind: Kind,
    rule: str,
    subject: str,
    *,
    until: int,
    by: str,
    why: str,
    now: int,
) -> int:
    checked_until(until, now, LONGEST)
    reason = clean_name(why, WHY_CAP)
    return people.add_silence(conn, Silence(0, kind, rule, subject, now, until, _who(by), reason))


def _who(by: str) -> str:
    found = clean_name(by, BY_CAP)
    if not found:
        raise InputError("the name of who asks has no readable character", "Name yourself.")
    return found


def by_link(conn: Connection, link: Link, form: Mapping[str, str], now: int, zone: tzinfo) -> Done:
    """Do what a link of an alert's mail promises, once.

    Args:
        conn: of a writing transaction; what is raised rolls back that the link was used.
        link: read from its token, so it is ours and has not expired.
        form: `why`, `duration` (1h, 1d, 1w or date) and `date`.
        now: UTC epoch seconds.
        zone: whose days the form's date is one of.

    Raises:
        InputError: the form cannot be used, or the alert is gone.
    """
    if not people.use_link(conn, link.nonce, link.action, now):
        return Done("This link was used before. Nothing changed.")
    alert, by, why = find(conn, link.about), f"by link of {link.recipient}", form.get("why", "")
    if link.action == "acknowledge":
        acknowledge(conn, alert, by, why, now)
        said = "The alert is acknowledged: it is known that somebody takes care of it."
        return Done(said, changed=True)
    until = _until(link, form, now, zone)
    if link.action == "snooze":
        number = snooze(conn, alert, until, by, why, now)
    else:
        names = exactly(alert.rule), exactly(alert.subject)
        number = silence(conn, *names, until=until, by=by, why=why, now=now)
    return Done(
        f"No message about {alert.rule} of {alert.subject} leaves until {moment(until, zone)}.",
        changed=True,
        undo=f"crossover alerts unsilence {number}",
    )


def _until(link: Link, form: Mapping[str, str], now: int, zone: tzinfo) -> int:
    chosen = form.get("duration", "")
    if chosen == "date":
        end = end_of_day(form.get("date", ""), zone)
    elif chosen in CHOICES[link.action]:
        end = now + duration(chosen)
    else:
        raise InputError("no duration is chosen", "Choose one.")
    return checked_until(end, now, LONGEST_BY_LINK[link.action])


def end_of_day(text: str, zone: tzinfo) -> int:
    """The instant at which a day such as 2026-12-31 ends in a zone, UTC epoch seconds.

    Raises:
        InputError: it is no day.
    """
    try:
        following = date.fromisoformat(text.strip()) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InputError(f"{text!r} is no day", "Write it as 2026-12-31.") from None
    return int(datetime.combine(following, time(), zone).timestamp())


def moment(at: int, zone: tzinfo) -> str:
    """An instant as people read it, to the minute, with its zone."""
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M} {zone}"


def instant(text: str) -> int:
    """UTC epoch seconds of `2026-12-31` (its beginning) or `2026-12-31T18:00Z`.

    Raises:
        InputError: it is neither; a time needs its zone.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"{text!r} is no instant", "Write 2026-12-31 (UTC) or 2026-12-31T18:00Z."
        ) from None
    if found.tzinfo is None:
        if len(text.strip()) > 10:
            raise InputError(f"{text!r} names no zone", "Add Z or an offset: 2026-12-31T18:00Z.")
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp())
