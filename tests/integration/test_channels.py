"""Alerts through real HTTP: what arrives, what is tried again, and what a hanging service delays."""

import hashlib
import hmac
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from collectors import http
from monitor.config import from_tables
from monitor.domain.errors import ChannelError, ConfigError
from monitor.jobs.deliver import deliver_next
from monitor.storage import work
from reports.channels import alertmanager, webhook
from reports.channels.alertmanager import Alertmanager
from reports.channels.apprise import Apprise
from reports.channels.kinds import COMPOSERS
from reports.channels.pagerduty import PagerDuty
from reports.channels.slack import Slack
from reports.channels.teams import Teams
from reports.channels.webhook import Webhook
from tests import needs
from tests.cli import crossover
from tests.hooks import Hooks
from tests.unit.test_channel_forms import NOTICE, group

NOW = 1_795_400_000
KEY = "canary-4711"


@pytest.fixture
def hooks():
    with Hooks() as running:
        yield running


def channel(kind, url, timeout=10.0):
    return {
        "webhook": lambda: Webhook("w", url, KEY, http.post, timeout),
        "slack": lambda: Slack("s", f"{url}/{KEY}", http.post, timeout),
        "teams": lambda: Teams("t", f"{url}/{KEY}", http.post, timeout),
        "pagerduty": lambda: PagerDuty("p", KEY, http.post, timeout, url),
        "alertmanager": lambda: Alertmanager("a", url, http.post, timeout),
    }[kind]()


KINDS = ("webhook", "slack", "teams", "pagerduty", "alertmanager")


def send(kind, url, timeout=10.0):
    return channel(kind, url, timeout).send("", COMPOSERS[kind].compose(group(NOTICE)))


def is_genuine(secret, headers, body, now):
    """As docs/alerts.md has it."""
    timestamp = headers["X-Crossover-Timestamp"]
    signed = timestamp.encode() + b"." + body
    expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    fresh = abs(now - int(timestamp)) <= 300
    return fresh and hmac.compare_digest(expected, headers["X-Crossover-Signature"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_arrives_as_the_stored_bytes(kind, hooks):
    assert send(kind, hooks.url).outcome == "sent"
    (got,) = hooks.got
    told, stored = json.loads(got.body), json.loads(COMPOSERS[kind].compose(group(NOTICE)))
    # The routing key is no part of what is stored.
    assert told == (stored | {"routing_key": KEY} if kind == "pagerduty" else stored)


def test_a_receiver_knows_what_is_genuine_and_what_is_old(hooks):
    send("webhook", hooks.url)
    (got,), (headers,) = hooks.got, hooks.sent
    body, now = got.body.encode(), time.time()
    assert headers["Idempotency-Key"] == "alert/abc"
    assert is_genuine(KEY, headers, body, now)
    assert not is_genuine(KEY, headers, body + b" ", now)
    assert not is_genuine("other", headers, body, now)
    assert not is_genuine(KEY, headers, body, now + 3600)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (202, "sent"),
        (400, "permanent"),
        (401, "misconfigured"),
        (404, "misconfigured"),
        (429, "transient"),
        (500, "transient"),
        (302, "misconfigured"),
    ],
)
def test_each_answer_has_its_meaning_and_no_key_is_told(kind, status, outcome, hooks):
    hooks.status = status
    hooks.headers = {"Location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {}
    found = send(kind, hooks.url)
    assert (found.outcome, found.code) == (outcome, status)
    assert KEY not in found.text
    assert len(hooks.got) == 1


def test_the_wait_that_a_service_asks_for_is_kept_in_words(hooks):
    hooks.status, hooks.headers = 429, {"Retry-After": "7"}
    assert "asks to wait 7 s" in send("slack", hooks.url).text


@pytest.mark.parametrize(
    ("kind", "outcome"), [("webhook", "transient"), ("slack", "ambiguous"), ("teams", "ambiguous")]
)
def test_no_answer_is_ambiguous_where_a_repeat_is_not_recognised(kind, outcome, hooks):
    hooks.cut = True
    assert send(kind, hooks.url).outcome == outcome
    hooks.cut, hooks.hang = False, threading.Event()
    started = time.monotonic()
    assert send(kind, hooks.url, timeout=0.3).outcome == outcome
    assert time.monotonic() - started < 3
    hooks.hang.set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_is_down_is_tried_again(kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = send(kind, url)
    assert (found.outcome, found.phase) == ("transient", "connect")


def post(database, name, key, message):
    row = work.Message(key, "alert", name, name, "subject", key, message)
    with database.write() as conn:
        return work.post(conn, [row], NOW)


def test_a_channel_that_hangs_keeps_no_other_waiting(database, hooks):
    hooks.hang = threading.Event()
    with Hooks() as well:
        ways = {"slow": channel("webhook", hooks.url, 4.0), "well": channel("slack", well.url)}
        post(database, "slow", "k1", COMPOSERS["webhook"].compose(group(NOTICE)))
        post(database, "well", "k2", COMPOSERS["slack"].compose(group(NOTICE)))
        args = (database, ways, NOW, 600, random.Random(1))
        slow = threading.Thread(target=deliver_next, args=args, kwargs={"name": "slow"})
        slow.start()
        while not hooks.got:
            time.sleep(0.01)
        assert deliver_next(*args, name="well").outcome == "sent"
        assert deliver_next(*args, name="well") is None
        assert slow.is_alive()
        hooks.hang.set()
        slow.join()
    with database.read() as conn:
        assert {row["state"] for row in work.outbox(conn)} == {"sent"}


def test_a_repeat_after_a_crash_is_the_same_to_the_byte(database, hooks):
    post(database, "w", "k1", COMPOSERS["webhook"].compose(group(NOTICE)))
    ways = {"w": channel("webhook", hooks.url)}
    with database.write() as conn:
        claim = work.claim(conn, "outbox", NOW, 60, channel="w")
    ways["w"].send("w", bytes(claim.row["message"]))  # and the process ends here
    assert deliver_next(database, ways, NOW + 61, 60, random.Random(1), "w").outcome == "sent"
    first, second = hooks.got
    assert first.body == second.body
    keys = [headers["Idempotency-Key"] for headers in hooks.sent]
    assert keys[0] == keys[1]


# --- configuration and command ---------------------------------------------------------------


def tables(**channel):
    return {"channel": [{"name": "x", **channel}]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "slack"}, "url: a channel of kind slack needs it"),
        ({"kind": "pagerduty"}, "secret: a channel of kind pagerduty needs it"),
        ({"kind": "slack", "url": "env:X", "name": "smtp"}, "smtp is mail's own name"),
    ],
)
def test_what_a_channel_lacks_is_named(given, said):
    with pytest.raises(ConfigError) as caught:
        from_tables({"channel": [{"name": "x", **given}]})
    assert said in str(caught.value)


def test_an_address_in_the_clear_is_refused_without_being_shown(monkeypatch):
    from monitor.wiring import outlets

    monkeypatch.setenv("TEST_HOOK", f"http://hooks.example.org/{KEY}")
    settings = from_tables(tables(kind="slack", url="env:TEST_HOOK"))
    with pytest.raises(ConfigError) as caught:
        outlets.channels(settings)
    assert "channel.0.url (x) is neither https nor on this machine" in str(caught.value)
    assert KEY not in str(caught.value)


CONFIG = """
[database]
url = "sqlite:///{folder}/c.db"
[[channel]]
name = "chat"
kind = "slack"
url = "env:TEST_HOOK"
"""


def test_the_command_sends_one_marked_alert_at_once(hooks, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_HOOK", hooks.url)
    path = tmp_path / "crossover.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    done = crossover("--config", path, "alerts", "test", "--channel", "chat")
    assert done.code == 0, done.err
    assert done.out.startswith("chat: sent")
    assert "Test of a channel" in hooks.got[0].body
    hooks.status = 403
    refused = crossover("--config", path, "alerts", "test", "--channel", "chat")
    assert refused.code == 4
    assert "misconfigured" in refused.err
    unknown = crossover("--config", path, "alerts", "test", "--channel", "chta")
    assert unknown.code == 2
    assert "Configured: chat" in unknown.err


def test_apprise_is_asked_for_by_name_where_it_is_missing(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    target = Apprise("chat", f"json://127.0.0.1/{KEY}", 20.0)
    with pytest.raises(ChannelError) as caught:
        target.probe()
    assert "crossover-monitor[apprise]" in str(caught.value)
    found = target.send("", COMPOSERS["apprise"].compose(group(NOTICE)))
    assert found.outcome == "misconfigured"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_apprise_hands_over_to_a_real_service(hooks):
    pytest.importorskip("apprise", reason="needs the package apprise")
    target = Apprise("chat", hooks.url.replace("http://", "json://"), 20.0)
    assert target.send("", COMPOSERS["apprise"].compose(group(NOTICE))).outcome == "sent"
    assert json.loads(hooks.got[0].body)["title"].startswith("Budget support reached 80%")
    hooks.status = 500
    assert target.send("", COMPOSERS["apprise"].compose(group(NOTICE))).outcome == "ambiguous"
    with pytest.raises(ChannelError):
        Apprise("chat", "nonsense-address", 20.0).probe()
    unknown = Apprise("chat", f"nonsense-{KEY}", 20.0).send(
        "", b'{"body": "", "title": "", "type": "info"}'
    )
    assert unknown.outcome == "misconfigured"
    assert KEY not in unknown.text


# --- a real Alertmanager ---------------------------------------------------------------------

_AM = """
route:
  receiver: hook
  group_by: [organisation]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


@pytest.fixture
def manager(hooks, tmp_path):
    """A real Alertmanager that tells `hooks`."""
    binary = needs.alertmanager()
    (tmp_path / "am.yml").write_text(_AM.format(url=hooks.url))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={tmp_path}/am.yml",
            f"--storage.path={tmp_path}/am",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
    )
    try:
        found = Alertmanager("am", f"http://{address}", http.post, 5.0)
        _until(lambda: _ready(found))
        yield found, f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def _ready(channel):
    try:
        return channel.probe() == "ready"
    except ChannelError:
        return False


def _until(holds, seconds=20):
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)


def test_a_real_alertmanager_receives_groups_and_resolves(database, manager, hooks):
    channel_, address = manager
    second = NOTICE._replace(key="budget/v1/other/2026-11", subject='evil "\n{}= name')
    ways, jitter = {"am": channel_}, random.Random(1)

    def tell(*notices):
        for n in notices:
            key = f"{n.key}/{n.edge}"
            post(database, "am", key, alertmanager.compose(group(n, dedup_key=key)))
        while (sent := deliver_next(database, ways, NOW, 600, jitter, "am")) is not None:
            assert sent.outcome == "sent", sent

    tell(NOTICE, second)

    def together():
        told = [json.loads(each.body) for each in hooks.got]
        return [t for t in told if t["status"] == "firing" and len(t["alerts"]) == 2]

    # What began long ago is told at once; the second joins its group a moment later.
    _until(together)
    subjects = {alert["labels"]["subject"] for alert in together()[0]["alerts"]}
    assert subjects == {"support", second.subject}
    with urllib.request.urlopen(f"{address}/api/v2/alerts", timeout=5) as answer:
        held = json.load(answer)
    assert len(held) == 2
    assert all(alert["endsAt"] > "2036" for alert in held)

    tell(NOTICE._replace(edge="resolved", at=NOTICE.at), second._replace(edge="resolved"))

    def resolved():
        told = [json.loads(each.body) for each in hooks.got]
        return [t for t in told if t["status"] == "resolved"]

    _until(resolved)
    assert {alert["status"] for alert in resolved()[0]["alerts"]} == {"resolved"}


def test_an_alertmanager_that_is_away_is_named(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ChannelError) as caught:
        Alertmanager("am", f"http://127.0.0.1:{port}", http.post, 1.0).probe()
    assert "channel am did not answer" in str(caught.value)


def test_the_signature_is_over_the_instant_too():
    assert webhook.signature("s", "1", b"x") != webhook.signature("s", "2", b"x")
