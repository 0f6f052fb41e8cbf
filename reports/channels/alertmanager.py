"""Alerts for a Prometheus Alertmanager, which groups, routes and tells them on.

Form: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. A firing alert ends
far ahead: without an end Alertmanager would end it itself after its `resolve_timeout`, because it
expects to be told again every few minutes. The resolved edge then sets the end.
"""

from __future__ import annotations

import json

from monitor.domain.errors import ChannelError
from monitor.domain.notices import Group
from monitor.domain.usage import DAY
from monitor.ports import Delivery, Post
from reports.channels.answers import deliver
from reports.channels.wording import instant, lines, title

GROUPED = False
_PATH = "/api/v2/alerts"
_OPEN_FOR = 3650 * DAY


def compose(group: Group) -> bytes:
    """The alert as it is stored and sent."""
    (notice,) = group.notices
    labels = {
        "alertname": f"crossover_{notice.rule}",
        "severity": notice.severity,
        "subject": notice.subject,
        "workload": notice.workload,
        "period": notice.period,
        "organisation": group.organisation,
        # Two versions of a rule are two alerts.
        "key": notice.key,
    }
    told = {"summary": title(notice, 400)}
    told |= {
        (label or "description").lower().replace(" ", "_"): text for label, text in lines(notice)
    }
    told |= {f"link_{name}": url for name, url in notice.links.items()}
    ended = notice.edge == "resolved"
    end = max(notice.at, notice.since + 1) if ended else notice.since + _OPEN_FOR
    alert: dict[str, object] = {
        # An empty label is none.
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": told,
        "startsAt": instant(notice.since),
        "endsAt": instant(end),
    }
    if notice.runbook:
        alert["generatorURL"] = notice.runbook
    return json.dumps([alert], ensure_ascii=False, sort_keys=True).encode()


class Alertmanager:
    """One Alertmanager.

    Args:
        name: of the channel.
        url: its address, without the API's path.
        post: one attempt over HTTP.
        timeout: seconds for one message.
    """

    def __init__(self, name: str, url: str, post: Post, timeout: float) -> None:
        self.name = name
        self._url, self._post, self._timeout = url.rstrip("/"), post, timeout

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Post the stored alert; a repeat is the same alert."""
        del recipient
        headers, url = {"Content-Type": "application/json"}, self._url + _PATH
        return deliver(self._post, url, message, headers, self._timeout, repeatable=True)

    def probe(self) -> str:
        """Ask whether it is ready; raises ChannelError where it is not."""
        remedy = "Check the channel's url, and that the Alertmanager runs."
        try:
            answer = self._post(self._url + "/-/ready", None, {}, self._timeout)
        except OSError as error:
            raise ChannelError(
                f"Alertmanager of channel {self.name} did not answer ({type(error).__name__})",
                remedy,
            ) from None
        if answer.status != 200:
            raise ChannelError(
                f"Alertmanager of channel {self.name} is not ready ({answer.status})", remedy
            )
        return "ready"
