"""Adaptive Cards for a Microsoft Teams webhook (Workflows), and those who understand the same form.

Names stand in text runs, which know no markdown. A message may have 28 kB:
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
"""

from __future__ import annotations

import json
from typing import Any

from monitor.domain.notices import Group, Notice, worst_first
from monitor.ports import Delivery, Post
from reports.channels.answers import deliver
from reports.channels.wording import lines, summary, title

GROUPED = True
LARGEST = 28_000
_LINKS = {"acknowledge": "Acknowledge", "snooze": "Snooze", "silence": "Silence"}


def compose(group: Group) -> bytes:
    """The payload as it is stored and sent: as many alerts as fit, the worst first."""
    ordered = worst_first(group.notices)
    best = _payload(group, [], len(ordered))
    for count in range(1, len(ordered) + 1):
        found = _payload(group, ordered[:count], len(ordered) - count)
        if len(found) > LARGEST:
            break
        best = found
    return best


def _payload(group: Group, shown: list[Notice], hidden: int) -> bytes:
    body = [_text(summary(group, 200), size="large", weight="bolder")]
    for notice in shown:
        body.append(_text(title(notice, 200), weight="bolder", separator=True))
        body += [_text(f"{label}: {text}" if label else text) for label, text in lines(notice)]
    if hidden:
        body.append(_text(f"and {hidden} more: crossover alerts list"))
    body.append(_text(f"{group.organisation}, by Crossover", subtle=True))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": _actions(shown),
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    document = {"type": "message", "attachments": [attachment]}
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def _actions(shown: list[Notice]) -> list[dict[str, str]]:
    """Of a single alert only: below a list nobody could tell what a button is about."""
    if len(shown) != 1:
        return []
    return [
        {"type": "Action.OpenUrl", "title": label, "url": shown[0].links[name]}
        for name, label in _LINKS.items()
        if name in shown[0].links
    ]


def _text(
    text: str,
    *,
    size: str = "default",
    weight: str = "default",
    separator: bool = False,
    subtle: bool = False,
) -> dict[str, Any]:
    run = {"type": "TextRun", "text": text, "size": size, "weight": weight, "isSubtle": subtle}
    return {"type": "RichTextBlock", "separator": separator, "inlines": [run]}


class Teams:
    """One webhook of a workflow.

    Args:
        name: of the channel.
        url: the webhook's address, which is its key.
        post: one attempt over HTTP.
        timeout: seconds for one message.
    """

    def __init__(self, name: str, url: str, post: Post, timeout: float) -> None:
        self.name = name
        self._url, self._post, self._timeout = url, post, timeout

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Post the stored bytes; the far side does not know a repeat."""
        del recipient
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return deliver(self._post, self._url, message, headers, self._timeout, repeatable=False)

    def probe(self) -> str:
        """Nothing is sent: only a message proves the address."""
        return f"`crossover alerts test --channel {self.name}` sends a message"
