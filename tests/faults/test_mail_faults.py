"""A thousand mails through a server that fails at random: each ends as its faults explain."""

import random
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes
from typing import NamedTuple

import pytest
from sqlalchemy import text

from monitor.domain.usage import HOUR
from monitor.jobs.deliver import deliver_next
from monitor.jobs.mail import Envelope, addressed
from monitor.storage import work
from reports.channels.smtp import Smtp
from reports.model import Rendered
from tests.conftest import FULL
from tests.factories import DAY0
from tests.mailserver import MailServer

MAILS = 1000 if FULL else 50
FROM = "crossover@example.org"
WAIT_SECONDS = 2
"""For each word of the server: a busy machine is not silence."""
MOST_FAULTS = 4


class Fault(NamedTuple):
    """What the server does to one attempt, and what then follows for the message."""

    behaviour: dict
    follows: str
    """`again`: it is sent again; `dead`: it is not; `held`: the queue waits, it is sent again."""
    taken: bool = False
    """Whether the server took the message although the client cannot know."""


MATRIX = {
    "one recipient 550": Fault({"rcpt": {"*": "550 5.1.1 no such user"}}, "dead"),
    "one recipient 450": Fault({"rcpt": {"*": "450 4.2.0 greylisted"}}, "again"),
    "MAIL 421": Fault({"mail": "421 4.3.2 closing"}, "again"),
    "MAIL 550": Fault({"mail": "550 5.7.1 not your address"}, "held"),
    "DATA 451": Fault({"data": "451 4.3.0 try later"}, "again"),
    "DATA 554": Fault({"data": "554 5.6.0 no"}, "dead"),
    "message 451": Fault({"body": "451 4.3.0 try later"}, "again"),
    "message 554": Fault({"body": "554 5.7.1 looks like spam"}, "dead"),
    "cut, taken": Fault({"end": "cut accepted"}, "again", taken=True),
    "cut, not taken": Fault({"end": "cut lost"}, "again"),
    "silent, taken": Fault({"end": "silent"}, "again", taken=True),
    "down": Fault({}, "again"),
}
WEIGHTS = {"silent, taken": 0.1, "MAIL 550": 0.3, "one recipient 550": 0.3}
"""Silence has to be waited out; what concerns all holds the whole queue."""


class Faulty:
    """A channel over a real server that draws a fault for each attempt and remembers it."""

    name = "smtp"

    def __init__(self, server, chance):
        self._server, self._chance = server, chance
        self._up = self._channel(server.port)
        with MailServer() as gone:
            self._down = self._channel(gone.port)
        self.history = {}

    def _channel(self, port):
        return Smtp("127.0.0.1", port, "none", sender=FROM, timeout=WAIT_SECONDS)

    def send(self, recipient, message):
        past = self.history.setdefault(recipient, [])
        name = None
        if len(past) < MOST_FAULTS and self._chance.random() < 0.5:
            weights = [WEIGHTS.get(fault, 1) for fault in MATRIX]
            name = self._chance.choices(list(MATRIX), weights)[0]
        past.append(name)
        self._server.behave(**(MATRIX[name].behaviour if name else {}))
        return (self._down if name == "down" else self._up).send(recipient, message)


@pytest.fixture
def server():
    with MailServer() as running:
        yield running


def post(database, count, now):
    rendered = Rendered("Stay: everything is well", "text\n.\n..dots", "<p>html</p>")
    recipients = [f"r{n}@example.org" for n in range(count)]
    envelope = Envelope(FROM, "example.org", recipients)
    messages = addressed(
        rendered, envelope, "report", "report/x/1", datetime.fromtimestamp(now, UTC)
    )
    with database.write() as conn:
        assert work.post(conn, messages, now) == count
    return {message.recipient: message for message in messages}


def send_all(database, channel, now):
    """Send what is due, then let time pass to the next retry, until nothing is pending."""
    jitter = random.Random(1)
    end = now + 72 * HOUR
    while now < end:
        while deliver_next(database, {"smtp": channel}, now, 600, jitter):
            pass
        with database.read() as conn:
            soonest = conn.scalar(text("SELECT MIN(next_at) FROM outbox WHERE state = 'pending'"))
        if soonest is None:
            return now
        now = max(soonest, now + 1)
    raise AssertionError("something is still pending after three days")


@pytest.mark.proof
def test_every_mail_is_delivered_or_dead_as_its_faults_explain(database, server, record_property):
    began = DAY0
    channel = Faulty(server, random.Random(20261126))
    posted = post(database, MAILS, began)
    send_all(database, channel, began)
    copies = {}
    for item in server.received:
        copies.setdefault(item.recipient, []).append(item.message)
    with database.read() as conn:
        rows = {row["recipient"]: row for row in work.outbox(conn)}
    tally, unexplained = Counter(), []
    for recipient, message in posted.items():
        met = [MATRIX[name] for name in channel.history[recipient] if name]
        got, row = copies.get(recipient, []), rows[recipient]
        dead = bool(met) and met[-1].follows == "dead"
        taken = sum(fault.taken for fault in met)
        explained = (
            row["state"] == ("dead" if dead else "sent")
            and len(got) == taken + (not dead)
            and set(got) <= {message.message}
            and {message_from_bytes(copy)["Message-ID"] for copy in got} <= {message.message_id}
            and (not dead or 500 <= row["last_code"] < 600)
        )
        if not explained:
            unexplained.append((recipient, channel.history[recipient], row["state"], len(got)))
        tally.update(channel.history[recipient])
        tally["dead" if dead else "delivered"] += 1
        tally["repeats"] += max(len(got) - 1, 0)
    assert unexplained == []
    assert {recipient for recipient, row in rows.items() if row["state"] == "dead"}
    assert set(MATRIX) <= set(tally) or not FULL
    record_property(
        "said",
        f"{MAILS:,} mails: {tally['delivered']:,} delivered, {tally['dead']} dead after a permanent"
        f" refusal, {tally['repeats']} repeats after an ambiguous one, 0 unexplained",
    )
