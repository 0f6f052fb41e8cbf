"""What each channel is sent: within the service's limits, and harmless whatever names say."""

import json
from decimal import Decimal

import pytest

from monitor.domain.notices import Group, Notice, Said
from reports.channels import alertmanager, apprise, pagerduty, slack, teams, webhook
from reports.channels.kinds import COMPOSERS

EVIL = "<!channel> *bold* @here &amp; <b>x</b>\r\nBcc: x \u202e \U0001f600 =1+1 " + "x" * 500
SAID = Said(
    "Budget support reached 80%: $32,000 of $40,000",
    "$32,000 of $40,000 are spent.",
    "Billed to the 20th, estimated since.",
    "$8,000 a month are left.",
    Decimal("8000.25"),
    ("Raise the budget.",),
    "SELECT * FROM v_budget",
    (("Spent", "$32,000"),),
)
NOTICE = Notice(
    "budget/v1/support/2026-11",
    "firing",
    "warning",
    "budget",
    "support",
    SAID,
    since=1_795_305_600,
    at=1_795_392_000,
    period="2026-11",
    workload="support-bot",
    links={"acknowledge": "https://crossover.example.org/act/abc"},
)
BAD = NOTICE._replace(subject=EVIL, workload=EVIL, said=SAID._replace(title=EVIL, what=EVIL))


def group(*notices, **changes):
    return Group("alert/abc", "Acme", notices, 1_795_400_000)._replace(**changes)


def strings(value):
    if isinstance(value, dict):
        return [s for each in value.values() for s in strings(each)]
    if isinstance(value, list):
        return [s for each in value for s in strings(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", COMPOSERS)
@pytest.mark.parametrize("notice", [NOTICE, BAD])
def test_the_same_group_gives_the_same_bytes_and_they_are_json(kind, notice):
    compose = COMPOSERS[kind].compose
    assert compose(group(notice)) == compose(group(notice))
    json.loads(compose(group(notice)))


def test_the_webhook_says_everything():
    found = json.loads(webhook.compose(group(NOTICE)))
    assert (found["version"], found["id"], found["organisation"]) == (1, "alert/abc", "Acme")
    (alert,) = found["alerts"]
    assert alert["usd_per_month"] == "8000.25"
    assert alert["since"] == "2026-11-22T00:00:00Z"
    assert alert["facts"] == [{"label": "Spent", "value": "$32,000"}]
    unknown = NOTICE._replace(said=SAID._replace(usd_per_month=None))
    assert json.loads(webhook.compose(group(unknown)))["alerts"][0]["usd_per_month"] is None


def test_slack_gets_plain_texts_within_its_limits():
    found = json.loads(slack.compose(group(*[BAD] * 200)))
    blocks = found["blocks"]
    assert len(blocks) <= 50
    assert "and 188 more" in blocks[-2]["text"]["text"]
    texts = [b["text"] for b in blocks if "text" in b]
    assert {t["type"] for t in texts} == {"plain_text"}
    assert all(len(t["text"]) <= 3000 for t in texts)
    assert all(len(b["text"]["text"]) <= 150 for b in blocks if b["type"] == "header")
    assert "<" not in found["text"]


def test_slack_offers_the_answers():
    found = json.loads(slack.compose(group(NOTICE)))
    (actions,) = [b for b in found["blocks"] if b["type"] == "actions"]
    assert actions["elements"][0]["url"] == NOTICE.links["acknowledge"]


def test_teams_gets_runs_without_markdown_within_28_kb():
    found = teams.compose(group(*[BAD] * 200))
    assert len(found) <= 28_000
    card = json.loads(found)["attachments"][0]["content"]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert any("more: crossover alerts list" in text for text in strings(card))
    assert json.loads(teams.compose(group(NOTICE)))["attachments"][0]["content"]["actions"]


def test_an_incident_has_one_key_from_trigger_to_resolve():
    fired = json.loads(pagerduty.compose(group(NOTICE)))
    ended = json.loads(pagerduty.compose(group(NOTICE._replace(edge="resolved"))))
    assert (fired["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert fired["dedup_key"] == ended["dedup_key"] == NOTICE.key
    assert fired["payload"]["severity"] == "warning"
    assert "routing_key" not in fired
    long = json.loads(pagerduty.compose(group(BAD._replace(key="x" * 400))))
    assert len(long["dedup_key"]) <= 255
    assert len(long["payload"]["summary"]) <= 1024


def test_an_alert_for_alertmanager_ends_far_ahead_and_then_at_its_edge():
    (fired,) = json.loads(alertmanager.compose(group(NOTICE)))
    (ended,) = json.loads(alertmanager.compose(group(NOTICE._replace(edge="resolved"))))
    assert fired["labels"] == ended["labels"]
    assert fired["labels"]["alertname"] == "crossover_budget"
    assert fired["endsAt"] > "2036"
    assert (ended["startsAt"], ended["endsAt"]) == ("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")
    assert "" not in fired["labels"].values()


def test_apprise_gets_a_title_and_a_body():
    found = json.loads(apprise.compose(group(NOTICE, BAD._replace(severity="critical"))))
    assert found["type"] == "failure"
    assert "and 1 more" in found["title"]
    assert SAID.what in found["body"]


def test_control_characters_reach_nobody_as_such():
    for kind in ("slack", "teams", "apprise", "pagerduty"):
        told = json.loads(COMPOSERS[kind].compose(group(BAD)))
        shown = [s for s in strings(told) if "Bcc" in s and s != EVIL]
        assert shown
        assert not any("\r" in s or "\u202e" in s for s in shown), kind
