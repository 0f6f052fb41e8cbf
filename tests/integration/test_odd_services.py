"""Services that answer badly: every attempt is bounded, means something, and delays nobody else."""

import random
import socket
import threading

import pytest
from sqlalchemy import text

from monitor.domain.usage import HOUR
from monitor.jobs.deliver import deliver_next
from reports.channels.apprise import Apprise
from reports.channels.kinds import COMPOSERS
from tests import odd_service
from tests.hooks import Hooks
from tests.integration.test_channels import KEY, KINDS, NOW, channel, post, send
from tests.odd_service import HEAD, Odd, answering, timed
from tests.unit.test_channel_forms import NOTICE, group

DEADLINE = 10.0
"""Long after any that answers has done so."""
GIVEN_UP = 2.0
"""The deadline of one that does not end by itself: waited for, each time."""
SLACK_SECONDS = 15
"""What a busy machine may add."""
ENDLESS = {odd_service.dripping_body, odd_service.dripping_head, odd_service.stalled}
NO_ANSWER = "no answer"
"""transient where the service knows a repeat, else ambiguous."""
REPEATABLE = {"webhook", "pagerduty", "alertmanager"}

CASES = {
    "50 MB of answer": (odd_service.large, "sent", 200),
    "50 MB of head": (odd_service.large_head, NO_ANSWER, None),
    "a byte a second of answer": (odd_service.dripping_body, "sent", 200),
    "a byte a second of head": (odd_service.dripping_head, NO_ANSWER, None),
    "reset before the request's body": (odd_service.deaf, NO_ANSWER, None),
    "nothing read": (odd_service.stalled, NO_ANSWER, None),
    "cut in the answer's body": (
        answering(HEAD + b"Content-Length: 100\r\n\r\n", b'{"ok": tr'),
        "sent",
        200,
    ),
    "cut before the answer's body": (answering(HEAD + b"Content-Length: 100\r\n\r\n"), "sent", 200),
    "refused, then cut": (
        answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n", b"later"),
        "transient",
        503,
    ),
    "refused for good, then cut": (
        answering(b"HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\n", b"bad field"),
        "permanent",
        422,
    ),
    "more than its length": (
        answering(HEAD + b"Content-Length: 2\r\n\r\nok and so on"),
        "sent",
        200,
    ),
    "a length that is no number": (
        answering(HEAD + b"Content-Length: many\r\n\r\nok"),
        NO_ANSWER,
        None,
    ),
    "two lengths": (
        answering(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
        NO_ANSWER,
        None,
    ),
    "a broken chunk": (
        answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok"),
        "sent",
        200,
    ),
    "no HTTP": (answering(b"220 smtp.example.org ESMTP\r\n"), NO_ANSWER, None),
    "nothing": (answering(), NO_ANSWER, None),
    "204": (answering(b"HTTP/1.1 204 No Content\r\n\r\n"), "sent", 204),
    "an empty body": (answering(HEAD + b"Content-Length: 0\r\n\r\n"), "sent", 200),
    "invalid JSON": (answering(HEAD + b'Content-Length: 9\r\n\r\n{"ok": tr'), "sent", 200),
    "bytes that are no text": (
        answering(HEAD + b"Content-Length: 6\r\n\r\n\xff\x00\x1b[2J"),
        "sent",
        200,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_an_odd_answer_is_bounded_and_means_something(kind, case):
    answer, expected, code = CASES[case]
    if expected == NO_ANSWER:
        expected = "transient" if kind in REPEATABLE else "ambiguous"
    with Odd(answer) as odd:
        deadline = GIVEN_UP if answer in ENDLESS else DEADLINE
        found, seconds = timed(lambda: send(kind, odd.url, deadline))
    assert (found.outcome, found.code) == (expected, code), found
    assert seconds < deadline + SLACK_SECONDS
    assert len(found.text) <= 260
    assert found.text.isprintable()
    assert KEY not in found.text
    assert odd.calls == 1
    # What the system's buffers on both sides hold was written and never read.
    assert odd.sent < 16 * 2**20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(kind, status):
    with Hooks() as here, Hooks() as elsewhere:
        here.status = status
        here.headers = {"Location": elsewhere.url.replace("127.0.0.1", "localhost") + "/taken"}
        found = send(kind, here.url)
        assert (found.outcome, found.code) == ("misconfigured", status)
        assert len(here.got) == 1
        assert elsewhere.got == []
        assert elsewhere.url not in found.text


def test_a_request_that_cannot_be_written_ends_at_the_deadline():
    message = COMPOSERS["slack"].compose(group(NOTICE)) + b" " * 20 * 2**20
    with Odd(odd_service.stalled) as odd:
        found, seconds = timed(lambda: channel("slack", odd.url, GIVEN_UP).send("", message))
    assert found.outcome == "ambiguous"
    assert seconds < GIVEN_UP + SLACK_SECONDS


def states(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT * FROM outbox")).mappings()
        return {row["channel"]: row for row in rows}


def test_odd_services_delay_nobody_and_are_tried_again_or_dead_as_they_answered(database):
    names = {f"{n}": case for n, case in enumerate(CASES)}
    odds = {name: Odd(CASES[case][0]) for name, case in names.items()}
    with Hooks() as well:
        ways = {name: channel("webhook", odd.url, 5.0) for name, odd in odds.items()}
        ways["well"] = channel("webhook", well.url)
        for name in ways:
            post(database, name, f"k{name}", COMPOSERS["webhook"].compose(group(NOTICE)))
        args = (database, ways, NOW, 600)
        for odd in odds.values():
            odd.__enter__()
        threads = [
            threading.Thread(target=deliver_next, args=(*args, random.Random(1), name))
            for name in odds
        ]
        for thread in threads:
            thread.start()
        sent = deliver_next(*args, random.Random(1), "well")
        delayed = not any(thread.is_alive() for thread in threads)
        for thread in threads:
            thread.join()
        for odd in odds.values():
            odd.__exit__()
    assert sent.outcome == "sent"
    assert not delayed, "it left after the last of the others was given up"
    for name, row in states(database).items():
        expected = "sent" if name == "well" else CASES[names[name]][1]
        told = {"sent": "sent", "permanent": "dead"}.get(expected, "pending")
        assert row["state"] == told, (names.get(name), row["last_text"])
        if told == "pending":
            assert NOW < row["next_at"] <= NOW + HOUR
            assert row["attempts"] == 1


# --- Apprise reads answers itself --------------------------------------------------------------


def apprised(url, timeout=DEADLINE):
    pytest.importorskip("apprise", reason="needs the package apprise")
    # Its own patience with a silent service ends after four seconds, if it is not told another.
    target = Apprise("chat", url.replace("http://", "json://") + "?rto=60", timeout)
    return target.send("", COMPOSERS["apprise"].compose(group(NOTICE)))


@pytest.mark.parametrize("case", ["dripping_body", "dripping_head", "stalled"])
def test_apprise_is_ended_at_the_deadline(case):
    with Odd(getattr(odd_service, case)) as odd:
        found, seconds = timed(lambda: apprised(odd.url, 6.0))
    assert found.outcome == "ambiguous"
    assert found.text == "no answer within 6 s"
    assert seconds < 6 + SLACK_SECONDS
    assert odd.calls == 1


def test_what_apprise_reads_stays_out_of_this_process():
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Odd(odd_service.large) as odd:
        found = apprised(odd.url, 60.0)
    assert found.outcome == "sent"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


@pytest.mark.parametrize("case", ["deaf", "204", "no HTTP", "refused, then cut"])
def test_apprise_says_what_it_can(case):
    answer = CASES[case][0] if case in CASES else getattr(odd_service, case)
    with Odd(answer) as odd:
        found = apprised(odd.url, 20.0)
    assert found.outcome == ("sent" if case == "204" else "ambiguous")


def test_apprise_finds_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert apprised(url, 20.0).outcome == "ambiguous"
