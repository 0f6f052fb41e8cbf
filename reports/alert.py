"""The mail of alerts: one in full, or several with the worst first, each with its seven answers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.domain.names import clean_name
from monitor.domain.notices import Edge, Group, Notice, Severity, worst_first
from reports import formats
from reports.formats import name, plural
from reports.language import AS_IT_COMES, Style, say, use
from reports.model import Rendered
from reports.retold import retell
from reports.twins import logo, twins
from reports.verdict import Tone

SHOWN = 12
"""Alerts in one mail; the rest is counted, and listed by a command."""

_TONES: dict[Severity, Tone] = {"critical": "return", "warning": "move", "notice": "unknown"}
_EDGES: dict[Edge, str] = {"firing": "", "resolved": "Resolved: ", "unstable": "Unstable: "}
_GOES_TO_AND_FRO = (
    "It began and ended more than four times in two weeks. From here on the digest tells what it"
    " does, until it settles."
)
_ANSWERS = {"acknowledge": "Acknowledge", "snooze": "Snooze", "silence": "Silence"}


@dataclass(frozen=True)
class Told:
    """One alert as words; templates only place them."""

    tone: Tone
    title: str
    what: str
    answers: Sequence[tuple[str, str]]
    """Label and sentence: since when, how sure, what it costs, who answers for it."""
    facts: Sequence[tuple[str, str]]
    notes: Sequence[tuple[str, str]]
    rests_on: Sequence[str]
    actions: Sequence[str]
    query: str
    links: Sequence[tuple[str, str]]
    """Label and URL."""
    commands: Sequence[str]


@dataclass(frozen=True)
class View:
    """The mail as words."""

    subject: str
    organisation: str
    dateline: str
    demo: bool
    tone: Tone
    lead: str
    """What the mail is, above several alerts; or ''."""
    alerts: Sequence[Told]
    more: int
    footer: Sequence[str]


def build(group: Group, chosen: Style = AS_IT_COMES, brought: Sequence[str] = ()) -> Rendered:
    """The mail as subject, plain text and HTML; `brought`: sentences on what is attached."""
    with use(chosen):
        shown = view(group, brought)
        bodies = twins("alert", view=shown)
        return Rendered(shown.subject, *bodies, logo(shown.organisation), style=chosen)


def view(group: Group, brought: Sequence[str] = ()) -> View:
    """What the mail says."""
    ordered = worst_first(group.notices)
    alone = len(ordered) == 1
    told = [_told(notice, alone=alone) for notice in ordered[:SHOWN]]
    newest = max(notice.at for notice in ordered)
    return View(
        subject=subject(group),
        organisation=name(group.organisation),
        dateline=say("data to {at}", at=_instant(newest)),
        demo=group.demo,
        tone=told[0].tone,
        lead=_lead(group),
        alerts=told,
        more=len(ordered) - len(told),
        footer=[*(_said(text) for text in brought), *_footer(group)],
    )


def subject(group: Group) -> str:
    """The worst alert, and how many more there are."""
    worst, *others = worst_first(group.notices)
    marks = say("Demonstration: ") if group.demo else ""
    if group.digest:
        changed = plural(len(group.notices), "change")
        return marks + say("Digest: {changes} of unstable alerts", changes=changed)
    more = say(" (and {n} more)", n=len(others)) if others else ""
    return f"{marks}{_title(worst)}{more}"


def _title(notice: Notice) -> str:
    return say(_EDGES[notice.edge]) + retell(name(notice.said.title, 160))


def _lead(group: Group) -> str:
    if group.digest:
        return say("What alerts did that go to and fro too often for a message each.")
    if len(group.notices) == 1:
        return ""
    counts = [
        f"{n} {say(word)}"
        for edge, word in (("firing", "began"), ("resolved", "ended"), ("unstable", "unstable"))
        if (n := sum(notice.edge == edge for notice in group.notices))
    ]
    told = plural(len(group.notices), "alert")
    return say("{alerts}: {counts}. The worst first.", alerts=told, counts=", ".join(counts))


def _told(notice: Notice, *, alone: bool) -> Told:
    """Beside others without its notes: `crossover alerts show` has them."""
    said = notice.said if alone else notice.said._replace(notes=(), rests_on=())
    ended = notice.edge == "resolved"
    answers = [
        (say("Since"), _instant(notice.since)),
        (say("Ended"), _instant(notice.at) if ended else ""),
        (say("How sure"), retell(said.sure)),
        (say("A month"), retell(said.cost)),
        (say("Answers for it"), notice.owner),
        (say("Runbook"), notice.runbook),
    ]
    return Told(
        tone="stay" if ended else _TONES[notice.severity],
        title=_title(notice),
        what=_said(
            retell(said.what) + (f" {say(_GOES_TO_AND_FRO)}" if notice.edge == "unstable" else "")
        ),
        answers=[(label, _said(text)) for label, text in answers if text],
        facts=[(retell(name(label, 80)), _said(retell(text))) for label, text in said.facts],
        notes=[(retell(name(label, 80)), _said(retell(text))) for label, text in said.notes],
        rests_on=[_said(retell(text)) for text in said.rests_on],
        actions=[_said(retell(text)) for text in said.actions],
        query=_said(said.query),
        links=[(say(_ANSWERS[key]), url) for key, url in notice.links.items() if key in _ANSWERS],
        commands=[] if ended else _commands(notice),
    )


def _instant(at: int) -> str:
    return formats.instant(datetime.fromtimestamp(at, UTC))


def _said(text: str) -> str:
    return name(text, 2000)


def _commands(notice: Notice) -> list[str]:
    """How to answer without a link."""
    rule, about = shlex.quote(notice.rule), shlex.quote(clean_name(notice.subject))
    return [
        f"crossover alerts ack {shlex.quote(clean_name(notice.key, 400))} --why REASON",
        f"crossover alerts silence {rule} {about} --for 1w --why REASON",
    ]


def _footer(group: Group) -> list[str]:
    due = _instant(group.due_at)
    sent = (
        say("Sent as a digest: [alerts] digest says how often.")
        if group.digest
        else say("Sent once: it does not repeat while nothing changes.")
    )
    who = say("Who is told stands under [alerts] of {who}.", who=name(group.organisation))
    return [
        f"{sent} {who}",
        say("Amounts are US dollars; days are UTC. Dated {at}.", at=due),
    ]
