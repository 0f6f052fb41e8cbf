"""The rest of the world's services through Apprise, an optional package.

One object for one target: `notify` says only whether all went well, so that of several targets
nobody could tell which one failed.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from monitor.domain.errors import ChannelError
from monitor.domain.notices import Group
from monitor.ports import Delivery
from reports.channels.wording import lines, summary, title, worst_first

GROUPED = True
_TYPES = {"critical": "failure", "warning": "warning", "notice": "info"}


def compose(group: Group) -> bytes:
    """Title, body and type as they are stored."""
    ordered = worst_first(group.notices)
    paragraphs = [
        "\n".join(
            [title(notice, 200)]
            + [f"{label}: {text}" if label else text for label, text in lines(notice)]
        )
        for notice in ordered
    ]
    worst = ordered[0]
    kind = _TYPES[worst.severity] if worst.edge == "firing" else "info"
    document = {
        "title": summary(group, 200),
        "body": "\n\n".join([*paragraphs, f"{group.organisation}, by Crossover"]),
        "type": kind,
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


class Apprise:
    """One target in Apprise's own notation.

    Args:
        name: of the channel.
        url: such as `ntfys://topic`; it may hold a key.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Hand over; a failure may have been heard, so a repeat may be one."""
        del recipient
        told: dict[str, str] = json.loads(message)
        try:
            target = self._target()
        except ChannelError as error:
            return Delivery("misconfigured", "connect", None, str(error))
        try:
            well = target.notify(body=told["body"], title=told["title"], notify_type=told["type"])
        except Exception as error:  # noqa: BLE001 - plugins of a hundred services raise anything
            return Delivery("ambiguous", "body", None, type(error).__name__)
        if well:
            return Delivery("sent", "done", None, "")
        return Delivery("ambiguous", "body", None, "the service did not take it")

    def probe(self) -> str:
        """Whether the package is there and knows the address; raises ChannelError."""
        self._target()
        return f"`crossover alerts test --channel {self.name}` sends a message"

    def _target(self) -> Any:
        try:
            package = import_module("apprise")
        except ImportError:
            raise ChannelError(
                f"channel {self.name} needs the package apprise",
                "Install crossover-monitor[apprise].",
            ) from None
        target = package.Apprise()
        if not target.add(self._url):
            raise ChannelError(
                f"Apprise does not know the address of channel {self.name}",
                "Write it as Apprise's documentation says: https://appriseit.com/services/.",
            )
        return target
