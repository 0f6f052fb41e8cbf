"""Messages for an incoming webhook as Slack has them, and those who understand the same form.

Texts are plain, never mrkdwn: a name can neither format a message nor call a whole channel.
Limits: https://docs.slack.dev/reference/block-kit/blocks (50 blocks; header 150, section 3,000
characters; button 75, its URL 3,000).
"""

from __future__ import annotations

import json
from typing import Any

from monitor.domain.notices import Group, Notice
from monitor.ports import Delivery, Post
from reports.channels.answers import deliver
from reports.channels.wording import lines, summary, title, worst_first

GROUPED = True
_BLOCKS, _HEADER, _SECTION, _URL = 50, 150, 3000, 3000
_PER_NOTICE = 4
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LINKS = {"acknowledge": "Acknowledge", "snooze": "Snooze", "silence": "Silence"}


def compose(group: Group) -> bytes:
    """The payload as it is stored and sent."""
    shown = worst_first(group.notices)[: (_BLOCKS - 2) // _PER_NOTICE]
    blocks = [block for notice in shown for block in _blocks(notice)]
    if hidden := len(group.notices) - len(shown):
        blocks.append(_section(f"and {hidden} more: crossover alerts list"))
    blocks.append(_section(f"{group.organisation}, by Crossover"))
    # What notifications and screen readers say; it is parsed as mrkdwn.
    text = summary(group, _SECTION).translate(_ENTITIES)
    return json.dumps({"text": text, "blocks": blocks}, ensure_ascii=False, sort_keys=True).encode()


def _blocks(notice: Notice) -> list[dict[str, Any]]:
    told = "\n".join(f"{label}: {text}" if label else text for label, text in lines(notice))
    found = [
        {"type": "header", "text": _plain(title(notice, _HEADER), _HEADER)},
        _section(told),
    ]
    if buttons := _buttons(notice):
        found.append({"type": "actions", "elements": buttons})
    return [*found, {"type": "divider"}]


def _buttons(notice: Notice) -> list[dict[str, Any]]:
    return [
        {"type": "button", "text": _plain(label, 75), "url": notice.links[name]}
        for name, label in _LINKS.items()
        if name in notice.links and len(notice.links[name]) <= _URL
    ]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text, _SECTION)}


def _plain(text: str, cap: int) -> dict[str, Any]:
    # An empty text is refused.
    return {"type": "plain_text", "text": text[:cap] or "-", "emoji": False}


class Slack:
    """One incoming webhook.

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
