"""The kinds of channels, and how each writes an alert."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.ports import Composer
from reports.channels import alertmanager, apprise, pagerduty, slack, teams, webhook

COMPOSERS: Mapping[str, Composer] = {
    "webhook": Composer("webhook", webhook.GROUPED, webhook.compose),
    "slack": Composer("slack", slack.GROUPED, slack.compose),
    "teams": Composer("teams", teams.GROUPED, teams.compose),
    "pagerduty": Composer("pagerduty", pagerduty.GROUPED, pagerduty.compose),
    "alertmanager": Composer("alertmanager", alertmanager.GROUPED, alertmanager.compose),
    "apprise": Composer("apprise", apprise.GROUPED, apprise.compose),
}
"""Mail is written by the report's templates instead."""
