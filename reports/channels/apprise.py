"""The rest of the world's services through Apprise, an optional package.

One object for one target: `notify` says only whether all went well, so that of several targets
nobody could tell which one failed. Its plugins read answers of any size, for as long as these
drip, so each message is handed over by a process of its own, which ends at the deadline:
`python -m reports.channels.apprise` reads a JSON object (url, title, body, type) from stdin and
writes what became of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monitor.domain.errors import ChannelError
from monitor.domain.names import clean_name
from monitor.domain.notices import Group, worst_first
from monitor.ports import Delivery
from reports.channels.wording import lines, summary, title

GROUPED = True
_ROOT = Path(__file__).parents[2]
_SENT, _UNKNOWN, _REFUSED = "sent", "unknown address", "the service did not take it"
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
        timeout: seconds for one message.
    """

    def __init__(self, name: str, url: str, timeout: float) -> None:
        self.name = name
        self._url, self._timeout = url, timeout

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Hand over; a failure may have been heard, so a repeat may be one."""
        del recipient
        try:
            self._installed()
            said = self._handed_over({**json.loads(message), "url": self._url})
        except ChannelError as error:
            return Delivery("misconfigured", "connect", None, str(error))
        except subprocess.TimeoutExpired:
            return Delivery("ambiguous", "body", None, f"no answer within {self._timeout:g} s")
        except OSError as error:
            return Delivery("transient", "connect", None, f"no process: {error.strerror}")
        if said == _SENT:
            return Delivery("sent", "done", None, "")
        if said == _UNKNOWN:
            return Delivery("misconfigured", "connect", None, str(self._unknown()))
        # Plugins of a hundred services raise anything.
        return Delivery("ambiguous", "body", None, said)

    def _handed_over(self, told: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "reports.channels.apprise"],
            input=json.dumps(told).encode(),
            capture_output=True,
            timeout=self._timeout,
            check=False,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        # Its log may quote the address, so only our own word counts.
        said = done.stdout.decode(errors="replace").strip().splitlines()[-1:]
        return clean_name(said[0] if said else f"its process ended with {done.returncode}", 100)

    def probe(self) -> str:
        """Whether the package is there and knows the address; raises ChannelError."""
        self._installed()
        if _target(self._url) is None:
            raise self._unknown()
        return f"`crossover alerts test --channel {self.name}` sends a message"

    def _installed(self) -> None:
        if find_spec("apprise") is None:
            raise ChannelError(
                f"channel {self.name} needs the package apprise",
                "Install crossover-monitor[apprise].",
            )

    def _unknown(self) -> ChannelError:
        return ChannelError(
            f"Apprise does not know the address of channel {self.name}",
            "Write it as Apprise's documentation says: https://appriseit.com/services/.",
        )


def _target(url: str) -> Any:
    """What sends to an address; None: Apprise does not know such."""
    target = import_module("apprise").Apprise()
    return target if target.add(url) else None


def main() -> None:
    """The process: hand one message over, and say how that went."""
    told: dict[str, str] = json.load(sys.stdin)
    target = _target(told["url"])
    if target is None:
        said = _UNKNOWN
    else:
        try:
            well = target.notify(body=told["body"], title=told["title"], notify_type=told["type"])
            said = _SENT if well else _REFUSED
        except Exception as error:  # noqa: BLE001 - plugins raise anything
            said = type(error).__name__
    print(said)  # noqa: T201


if __name__ == "__main__":
    main()
