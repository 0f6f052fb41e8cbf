"""The outbox: never lost, one envelope a recipient, repeated only as the same bytes."""

import random
from datetime import UTC, datetime

import pytest

from monitor.domain.usage import DAY
from monitor.jobs.deliver import deliver_next
from monitor.jobs.mail import Envelope, addressed
from monitor.storage import work
from reports.channels.smtp import Smtp
from reports.model import Rendered
from tests.factories import DAY0
from tests.mailserver import MailServer

NOW = DAY0 + 5 * DAY
FROM = "crossover@example.org"


@pytest.fixture
def server():
    with MailServer() as running:
        yield running


def post(database, recipients=("a@example.org",), kind="report", key="report/x/1"):
    rendered = Rendered("Stay: everything is well", "text", "<p>html</p>")
    envelope = Envelope(FROM, "example.org", recipients)
    messages = addressed(rendered, envelope, kind, key, datetime.fromtimestamp(NOW, UTC))
    with database.write() as conn:
        return work.post(conn, messages, NOW)


def channel(server, **changes):
    return Smtp("127.0.0.1", server.port, "none", sender=FROM, timeout=10, **changes)


def send(database, smtp, now=NOW):
    """Send all that is due; returns the outcomes in order."""
    found = []
    while (d := deliver_next(database, {"smtp": smtp}, now, 600, random.Random(1))) is not None:
        found.append(d.outcome)
    return found


def states(database):
    with database.read() as conn:
        return {row["recipient"]: row["state"] for row in work.outbox(conn)}


def test_a_message_leaves_once_as_the_stored_bytes(database, server):
    assert post(database) == 1
    assert post(database) == 0
    assert send(database, channel(server)) == ["sent"]
    assert send(database, channel(server)) == []
    assert len(server.received) == 1
    assert states(database) == {"a@example.org": "sent"}


def test_one_of_two_recipients_refused_concerns_only_that_one(database, server):
    server.behave(rcpt={"b@example.org": "550 5.1.1 no such user"})
    post(database, ["a@example.org", "b@example.org"])
    assert sorted(send(database, channel(server))) == ["permanent", "sent"]
    assert states(database) == {"a@example.org": "sent", "b@example.org": "dead"}
    server.behave(rcpt={})
    with database.write() as conn:
        dead = work.outbox(conn, "dead")[0]["id"]
        assert work.set_outbox(conn, dead, "pending", NOW)
    assert send(database, channel(server)) == ["sent"]
    assert len(server.received) == 2


def test_a_refused_login_stops_the_queue_and_kills_nothing(database):
    with MailServer(login=("me", "right")) as server:
        post(database, [f"r{n}@example.org" for n in range(5)])
        wrong = channel(server, username="me", password="wrong")
        assert send(database, wrong) == ["misconfigured"]
        assert set(states(database).values()) == {"pending"}
        right = channel(server, username="me", password="right")
        assert send(database, right) == []
        assert send(database, right, NOW + 16 * 60) == ["sent"] * 5


def test_without_a_channel_messages_wait(database, server):
    post(database)
    assert deliver_next(database, {}, NOW, 600, random.Random(1)).outcome == "misconfigured"
    assert states(database) == {"a@example.org": "pending"}


def test_a_server_that_is_down_is_tried_again_and_given_up_after_the_limit(database):
    with MailServer() as server:
        port = server.port
    post(database, kind="alert", key="alert/x/1")
    down = Smtp("127.0.0.1", port, "none", sender=FROM, timeout=1)
    assert send(database, down) == ["transient"]
    assert send(database, down) == []
    assert send(database, down, NOW + 3700) == ["transient"]
    assert states(database) == {"a@example.org": "pending"}
    assert send(database, down, NOW + 2 * DAY) == ["transient"]
    assert states(database) == {"a@example.org": "dead"}


def test_a_claim_that_expired_is_taken_over_and_the_slow_worker_cannot_overwrite(database, server):
    from monitor.domain.errors import DatabaseBusy

    post(database)
    with database.write() as conn:
        slow = work.claim(conn, "outbox", NOW, 60)
    assert send(database, channel(server)) == []
    assert send(database, channel(server), NOW + 61) == ["sent"]
    with pytest.raises(DatabaseBusy, match="another worker took it"), database.write() as conn:
        work.finish(conn, slow, state="dead")
    assert states(database) == {"a@example.org": "sent"}


def test_a_sent_message_can_be_neither_dropped_nor_sent_again(database, server):
    post(database)
    send(database, channel(server))
    with database.write() as conn:
        sent = work.outbox(conn)[0]["id"]
        assert not work.set_outbox(conn, sent, "pending", NOW)
        assert not work.set_outbox(conn, sent, "dropped", NOW)
        assert not work.set_outbox(conn, sent + 99, "dropped", NOW)
