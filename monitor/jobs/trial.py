"""A made-up alert, marked as one, to try a way out with."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from monitor.domain.notices import Group, Notice, Said
from monitor.jobs.mail import Envelope, addressed
from monitor.ports import Composer
from reports.model import Rendered

_SAID = Said(
    title="Test of a channel: nothing happened",
    what="Somebody tried this channel with `crossover alerts test`.",
    sure="Certain: it was made up.",
    cost="It costs nothing.",
    actions=("Nothing is to be done.",),
    query="SELECT * FROM v_alerts",
)


def group(organisation: str, channel: str, now: int) -> Group:
    """The alert as any other would come; each call is another one."""
    key = f"test/v1/{channel}/{now}"
    notice = Notice(key, "firing", "notice", "test", channel, _SAID, now, now)
    return Group(key, organisation, [notice], now)


def composed(composer: Composer, organisation: str, channel: str, now: int) -> bytes:
    """What a channel that writes alerts itself is handed."""
    return composer.compose(group(organisation, channel, now))


def mailed(envelope: Envelope, organisation: str, now: int) -> bytes:
    """The same as a mail to the envelope's one recipient."""
    shown = f"{_SAID.title}\n\n{_SAID.what}\n\n{organisation}, by Crossover\n"
    html = "".join(f"<p>{escape(line)}</p>" for line in shown.split("\n\n"))
    rendered = Rendered(_SAID.title, shown, f"<html><body>{html}</body></html>")
    date = datetime.fromtimestamp(now, UTC)
    (message,) = addressed(rendered, envelope, "alert", f"test/{now}", date)
    return message.message
