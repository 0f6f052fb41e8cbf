"""What the rules about the daemon's own work see besides what was given up, and what expires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.domain.notices import Said, Severity
from monitor.domain.periods import day_of
from monitor.domain.rulebook import Limits
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch_words import counted, quoted

STUCK = 6 * HOUR
"""A message that waits longer than this stands behind something: retries space out to an hour."""


class Waiting(NamedTuple):
    """Messages that wait for longer than `STUCK`."""

    messages: int
    channels: Sequence[str]
    oldest_at: int
    """When the oldest was written, UTC epoch seconds; 0: none waits."""
    said: str
    """What the channel answered last to the oldest."""


def stuck(seen: Waiting, as_of: int) -> Signal:
    """Messages that are tried again and again: mail that nobody misses yet."""
    hours = (as_of - seen.oldest_at) // HOUR
    named = ", ".join(seen.channels)
    said = Said(
        title=f"{counted(seen.messages, 'message')} cannot leave by {named}"
        if seen.messages
        else "Messages leave again",
        what=f"The oldest waits for {counted(hours, 'hour')}"
        + (f": {seen.said.rstrip('.')}." if seen.said else ".")
        if seen.messages
        else "None waits any more.",
        sure="Certain: each is still to be sent, and none is lost.",
        cost="Nothing by itself; reports and alerts arrive late.",
        actions=(
            "crossover check tries every channel and says what is wrong.",
            "crossover outbox list shows each message and its last answer.",
        ),
        query="SELECT id, kind, channel, recipient, attempts, last_phase, last_text, created_at"
        " FROM v_messages WHERE state = 'pending' ORDER BY created_at",
    )
    return Signal("internal", "stuck messages", as_of, seen.messages > 0, said)


class Incomplete(NamedTuple):
    """A report that left without some of what it tells."""

    run_key: str
    lacks: Sequence[str]
    mended: bool
    """Whether a corrected edition was made since, or found nothing to correct."""


def incomplete(seen: Incomplete, as_of: int) -> Signal:
    """A report that its readers got with holes."""
    listed = "; ".join(seen.lacks[:5]) + (" and more" if len(seen.lacks) > 5 else "")
    said = Said(
        title=f"Report {seen.run_key} was corrected"
        if seen.mended
        else f"Report {seen.run_key} left without {counted(len(seen.lacks), 'part')} of its data",
        what=f"It lacked {listed}.",
        sure="Certain: the report says so at its top.",
        cost="Nothing by itself; its sums are too low by what it lacked.",
        actions=(
            "See why the data is late: v_data_quality, crossover check.",
            "Once it comes, a corrected edition follows if an amount changed by a cent.",
        ),
        query="SELECT run_key, state, error, finished_at FROM v_runs"
        f" WHERE run_key = '{quoted(seen.run_key)}'",
    )
    return Signal("internal", f"report {seen.run_key}", as_of, not seen.mended, said)


class Decided(NamedTuple):
    """The newest day's decision, and what failed in it."""

    day: str
    failed: Sequence[str]


def undecided(seen: Decided, as_of: int) -> Signal:
    """What the day's decision could not compute; late data is another rule's."""
    said = Said(
        title=f"{counted(len(seen.failed), 'part')} of the decision of {seen.day} failed"
        if seen.failed
        else f"The decision of {seen.day} is whole",
        what="; ".join(seen.failed[:5]) + "." if seen.failed else "Nothing of it failed.",
        sure="Certain: what failed was left out, and the rest stands.",
        cost="Nothing by itself; projections, budgets or rules of that day are missing.",
        actions=("Mend what the error names; the next day is decided with it.",),
        query="SELECT run_key, state, error, finished_at FROM v_runs WHERE kind = 'decide'"
        " ORDER BY period_end DESC",
    )
    return Signal("internal", "the day's decision", as_of, bool(seen.failed), said)


MOST_UNREAD = 0.001
"""The share of rows that cannot be read which is more than an oddity of the data."""


class Unread(NamedTuple):
    """How many rows of a stream's newest reads could not be read."""

    source: str
    stream: str
    problems: int
    rows: int
    """All that came, those that could not be read among them."""

    @property
    def too_many(self) -> bool:
        """Whether that is more than an oddity of the data."""
        return self.problems > MOST_UNREAD * self.rows


def unread(seen: Sequence[Unread], as_of: int) -> Signal:
    """Rows in quarantine that are too many to be left there: totals lack them."""
    many = [each for each in seen if each.too_many]
    named = ", ".join(f"{e.source} {e.stream}: {e.problems:,} of {e.rows:,}" for e in many[:5])
    said = Said(
        title="Rows of sources could not be read" if many else "Nearly every row is read again",
        what=f"{named} of the last week." if many else "At most one of a thousand is not.",
        sure="Certain: they are kept in quarantine, with the reason of each.",
        cost="Nothing by itself; tokens and bills are too low by what they lack.",
        actions=(
            "crossover quarantine list shows them.",
            "After an update crossover quarantine replay reads their days again.",
        ),
        query="SELECT source, stream, quarantined_rows FROM v_data_quality"
        " WHERE quarantined_rows > 0 ORDER BY source, stream",
    )
    return Signal("internal", "unread rows", as_of, bool(many), said)


class Expiring(NamedTuple):
    """Something that ends on a known day."""

    name: str
    kind: str
    """certificate, contract or price."""
    at: int | None
    """UTC epoch seconds; None: it could not be read."""
    why: str = ""
    """Why it could not be read."""


_URGENT = 3 * DAY
_AFTER = {
    "certificate": "connections fail, and sources or mail stop with them",
    "contract": "usage is charged at list prices, without the discount agreed on",
    "price": "usage is priced at the list price again",
}
_RENEW = {
    "certificate": "Have it renewed by whoever runs that server.",
    "contract": "Renew it, then set valid_to of its [[contract]] anew.",
    "price": "If it holds on, set valid_to of its [[prices.override]] anew.",
}


def expiry(seen: Expiring, as_of: int, limits: Limits) -> Signal:
    """What ends within the days to look ahead; renewed it is another alert."""
    ends = as_of if seen.at is None else seen.at
    left = (ends - as_of) // DAY
    over = ends <= as_of
    when = "has ended" if over else f"ends in {counted(left, 'day')}"
    said = Said(
        title=f"The {seen.kind} {seen.name} {when}, on {day_of(ends)}",
        what=f"After {day_of(ends)} {_AFTER[seen.kind]}."
        if seen.at is not None
        else f"When it ends could not be read: {seen.why}.",
        sure="Certain: the day stands in it."
        if seen.kind == "certificate"
        else "Certain: the day is configured.",
        cost="Not known before it ends.",
        actions=(_RENEW[seen.kind],),
        query=_QUERY[seen.kind],
        facts=(("Ends", day_of(ends)),),
    )
    holds = None if seen.at is None else ends - as_of <= (limits.days or 0) * DAY
    urgent = ends - as_of <= _URGENT
    severity: Severity | None = "critical" if urgent else None
    return Signal(
        "expiry",
        f"{seen.kind} {seen.name}",
        as_of,
        holds,
        said,
        period="" if seen.at is None else day_of(seen.at),
        # What was told weeks ago is told again.
        rank=int(urgent),
        severity=severity,
    )


_QUERY = {
    "certificate": "SELECT source, last_read_at, last_error FROM v_data_quality",
    "contract": "SELECT account, valid_to, days_left, commit_usd FROM v_contract"
    " WHERE valid_to IS NOT NULL ORDER BY day DESC",
    "price": "SELECT account, provider, model, valid_from, source FROM v_rate"
    " WHERE source <> 'genai-prices' ORDER BY valid_from DESC",
}
