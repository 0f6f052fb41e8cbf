"""Events for PagerDuty's Events API v2: an alert is one incident, from trigger to resolve.

Form: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/. The same dedup_key makes a
repeat harmless, so each alert is a message of its own.
"""

from __future__ import annotations

import hashlib
import json

from monitor.domain.notices import Group
from monitor.ports import Delivery, Post
from reports.channels.answers import deliver
from reports.channels.wording import instant, lines, title

GROUPED = False
URL = "https://events.pagerduty.com/v2/enqueue"
_KEY, _SUMMARY = 255, 1024
_SEVERITIES = {"critical": "critical", "warning": "warning", "notice": "info"}


def compose(group: Group) -> bytes:
    """The event as it is stored; the routing key joins it when it is sent."""
    (notice,) = group.notices
    event: dict[str, object] = {"dedup_key": dedup_key(notice.key)}
    if notice.edge == "resolved":
        return _bytes(event | {"event_action": "resolve"})
    details = {label or "What": text for label, text in lines(notice)}
    details |= dict(notice.said.facts)
    event |= {
        "event_action": "trigger",
        "client": "Crossover",
        "links": [{"href": url, "text": name} for name, url in sorted(notice.links.items())],
        "payload": {
            "summary": title(notice, _SUMMARY),
            "source": group.organisation,
            # Changing to and fro wakes nobody.
            "severity": "info" if notice.edge == "unstable" else _SEVERITIES[notice.severity],
            "timestamp": instant(notice.since),
            "component": notice.subject,
            "group": notice.workload or notice.subject,
            "class": notice.rule,
            "custom_details": details,
        },
    }
    return _bytes(event)


def dedup_key(key: str) -> str:
    """The alert's key if it is short enough, else its hash."""
    return key if len(key) <= _KEY else hashlib.sha256(key.encode()).hexdigest()


def _bytes(event: dict[str, object]) -> bytes:
    return json.dumps(event, ensure_ascii=False, sort_keys=True).encode()


class PagerDuty:
    """One service's integration.

    Args:
        name: of the channel.
        routing_key: of the integration; it is in no stored message.
        post: one attempt over HTTP.
        timeout: seconds for one message.
        url: of the events API; others understand the same form.
    """

    def __init__(
        self, name: str, routing_key: str, post: Post, timeout: float, url: str = URL
    ) -> None:
        self.name = name
        self._key, self._post, self._timeout, self._url = routing_key, post, timeout, url

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Post the stored event with the routing key."""
        del recipient
        event = _bytes(json.loads(message) | {"routing_key": self._key})
        headers = {"Content-Type": "application/json"}
        found = deliver(self._post, self._url, event, headers, self._timeout, repeatable=True)
        return found._replace(text=found.text.replace(self._key, "***"))

    def probe(self) -> str:
        """Nothing is sent: only an event proves the key."""
        return f"`crossover alerts test --channel {self.name}` sends an event"
