"""Every way in which a mail server can refuse, break off or fall silent, and what we make of it."""

import base64
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import time

import pytest

from monitor.domain.errors import ChannelError
from monitor.ports import Delivery
from reports.channels.smtp import REPLY_CAP, Smtp, remedy, verdict
from tests.mailserver import MailServer, Received, Scripted, trusting

SENDER = "Crossover <reports@crossover.example>"
ANN = "ann@finance.example"
MESSAGE = b"Subject: 41.2k\r\n\r\nForecast\r\n.\r\n..dots\r\n"
SECRET = "s3cret-pass"


def channel(server, security="none", **changes):
    return Smtp(
        **{
            "host": "localhost",
            "port": server.port,
            "security": security,
            "sender": SENDER,
            "timeout": 5,
            "ssl_context": trusting,
        }
        | changes
    )


@pytest.fixture(scope="module")
def running():
    with MailServer(size_limit=100_000) as server:
        yield server


@pytest.fixture
def server(running):
    running.received.clear()
    running.behave()
    return running


FAULTS = [
    # what the server does, what we say, how many copies it holds
    ({}, ("sent", "done", 250), 1),
    ({"rcpt": {ANN: "550 5.1.1 no such user"}}, ("permanent", "rcpt", 550), 0),
    ({"rcpt": {ANN: "450 4.2.0 greylisted"}}, ("transient", "rcpt", 450), 0),
    ({"rcpt": {"*": "550 5.7.1 relaying denied"}}, ("permanent", "rcpt", 550), 0),
    ({"rcpt": {"*": "530 5.7.0 log in first"}}, ("misconfigured", "rcpt", 530), 0),
    ({"mail": "421 4.3.2 closing"}, ("transient", "mail", 421), 0),
    ({"mail": "550 5.7.1 not your address"}, ("misconfigured", "mail", 550), 0),
    ({"mail": "552 5.3.4 too large"}, ("permanent", "mail", 552), 0),
    ({"data": "451 4.3.0 try later"}, ("transient", "data", 451), 0),
    ({"data": "554 5.6.0 no"}, ("permanent", "data", 554), 0),
    ({"data": "250 what?"}, ("transient", "data", None), 0),
    ({"body": "451 4.3.0 try later"}, ("transient", "body", 451), 0),
    ({"body": "554 5.7.1 looks like spam"}, ("permanent", "body", 554), 0),
    ({"body": "354 go on"}, ("ambiguous", "body", None), 0),
    ({"end": "cut accepted"}, ("ambiguous", "body", None), 1),
    ({"end": "cut lost"}, ("ambiguous", "body", None), 0),
    ({"end": "silent"}, ("ambiguous", "body", None), 1),
]


@pytest.mark.parametrize(("fault", "expected", "copies"), FAULTS, ids=lambda v: str(v)[:40])
def test_each_fault_is_told_by_outcome_phase_and_code(server, fault, expected, copies):
    server.behave(**fault)
    # Silence is the one fault that has to be waited out.
    patience = {"timeout": 0.4} if "silent" in fault.values() else {}
    delivery = channel(server, **patience).send(ANN, MESSAGE)
    assert delivery[:3] == expected
    assert delivery.text
    assert len(server.received) == copies


def test_one_refused_recipient_leaves_the_others_alone(server):
    server.behave(rcpt={"bob@finance.example": "550 5.1.1 no such user"})
    smtp = channel(server)
    outcomes = [smtp.send(to, MESSAGE).outcome for to in (ANN, "bob@finance.example")]
    assert outcomes == ["sent", "permanent"]
    assert [received.recipient for received in server.received] == [ANN]


def test_the_server_receives_the_exact_bytes_and_a_repeat_is_identical(server):
    smtp = channel(server)
    deliveries = [smtp.send(f"Ann <{ANN}>", MESSAGE) for _ in range(2)]
    assert deliveries == [Delivery("sent", "done", 250, "2.0.0 accepted")] * 2
    assert server.received == [Received("reports@crossover.example", ANN, MESSAGE)] * 2


def test_bare_line_ends_become_crlf_so_that_no_line_is_taken_for_the_end(server):
    assert channel(server).send(ANN, b"Subject: x\n\na\n.\nb\r.\rc").outcome == "sent"
    assert server.received[0].message == b"Subject: x\r\n\r\na\r\n.\r\nb\r\n.\r\nc\r\n"


def test_a_message_above_the_server_s_limit_is_refused_before_it_is_sent(server):
    delivery = channel(server).send(ANN, b"x" * 70 + b"\r\n" * 100_000)
    assert delivery[:3] == ("permanent", "mail", 552)


@pytest.mark.parametrize(
    "recipient", ["", "änn@finance.example", "ann@x.example\r\nRCPT TO:<b@c.d>"]
)
def test_a_recipient_that_smtp_cannot_carry_is_permanent_with_the_reason(server, recipient):
    delivery = channel(server).send(recipient, MESSAGE)
    assert delivery[:3] == ("permanent", "rcpt", None)
    assert "is not an address in ASCII" in delivery.text
    assert "\n" not in delivery.text


def test_a_server_that_is_down_is_tried_again_later():
    with MailServer() as gone:
        smtp = channel(gone)
    assert smtp.send(ANN, MESSAGE) == Delivery("transient", "connect", None, "Connection refused")
    with pytest.raises(ChannelError, match=r"Connection refused\. Check host and port"):
        smtp.probe()


def test_a_host_without_an_address_is_tried_again_later():
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert verdict("connect", unknown) == ("transient", None)
    assert remedy("connect", unknown) == "Check the host name"


def test_a_connection_that_breaks_in_the_login_has_a_remedy_too():
    assert "try again later" in remedy("login", smtplib.SMTPServerDisconnected("closed"))


@pytest.mark.parametrize(("tls", "security"), [("starttls", "starttls"), ("implicit", "tls")])
class TestTlsAndLogin:
    @pytest.fixture
    def secured(self, tls):
        with MailServer(tls=tls, login=("reports", SECRET)) as server:
            yield server

    def login(self, server, security, **changes):
        return channel(server, security, **{"username": "reports", "password": SECRET} | changes)

    def test_a_message_goes_out_over_tls_with_the_right_login(self, secured, security):
        smtp = self.login(secured, security)
        assert smtp.send(ANN, MESSAGE).outcome == "sent"
        assert [received.message for received in secured.received] == [MESSAGE]
        assert smtp.probe() == f"localhost:{secured.port}: TLSv1.3, login accepted"

    def test_a_wrong_password_is_a_setting_and_is_repeated_nowhere(self, secured, security):
        smtp = self.login(secured, security, password="wr0ng-pass")
        delivery = smtp.send(ANN, MESSAGE)
        assert delivery == Delivery(
            "misconfigured", "login", 535, "5.7.8 *** with password *** is not known here"
        )
        with pytest.raises(ChannelError, match=r"Check user name and \(app\) password") as error:
            smtp.probe()
        assert "wr0ng-pass" not in str(error.value)

    def test_a_login_refused_for_now_is_tried_again_later(self, secured, security):
        secured.behave(login="454 4.7.0 Temporary failure")
        smtp = self.login(secured, security)
        assert smtp.send(ANN, MESSAGE)[:3] == ("transient", "login", 454)
        with pytest.raises(ChannelError, match="try again later"):
            smtp.probe()

    def test_a_missing_login_is_a_setting(self, secured, security):
        smtp = channel(secured, security)
        assert smtp.send(ANN, MESSAGE)[:3] == ("misconfigured", "mail", 530)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, secured, security):
        smtp = self.login(secured, security, ssl_context=ssl.create_default_context)
        delivery = smtp.send(ANN, MESSAGE)
        assert delivery[:3] == ("misconfigured", "tls", None)
        assert delivery.text.startswith("certificate refused: self-signed certificate")
        with pytest.raises(ChannelError, match="SSL_CERT_FILE"):
            smtp.probe()
        assert not secured.received

    def test_a_certificate_for_another_name_is_refused(self, secured, security):
        smtp = self.login(secured, security, host="127.0.0.1")
        delivery = smtp.send(ANN, MESSAGE)
        assert delivery[:3] == ("misconfigured", "tls", None)
        assert "127.0.0.1" in delivery.text


def test_starttls_does_not_go_on_in_the_clear(server):
    smtp = channel(server, "starttls", username="reports", password=SECRET)
    assert smtp.send(ANN, MESSAGE) == Delivery(
        "misconfigured", "tls", None, "the server does not offer STARTTLS"
    )
    with pytest.raises(ChannelError, match="Use port 587 for starttls, or 465 with security tls"):
        smtp.probe()
    assert not server.received


def test_what_was_said_in_the_clear_is_not_read_as_said_under_tls():
    with MailServer(tls="starttls") as server:
        server.behave(smuggled="250-mail.evil\r\n250 AUTH PLAIN")
        delivery = channel(server, "starttls").send(ANN, MESSAGE)
    assert delivery == Delivery("sent", "done", 250, "2.0.0 accepted")


def test_tls_to_a_port_in_the_clear_says_so(server):
    smtp = channel(server, "tls")
    assert smtp.send(ANN, MESSAGE)[:3] == ("misconfigured", "tls", None)
    with pytest.raises(ChannelError, match="does not begin with TLS"):
        smtp.probe()


def test_a_port_that_begins_with_tls_is_named_as_the_likely_cause():
    with MailServer(tls="implicit") as server:
        smtp = channel(server, "starttls", timeout=0.4)
        with pytest.raises(ChannelError, match="begins with TLS"):
            smtp.probe()
        assert smtp.send(ANN, MESSAGE)[:3] == ("transient", "connect", None)


def test_a_login_that_the_server_does_not_know_is_a_setting(server):
    smtp = channel(server, username="reports", password=SECRET)
    assert smtp.send(ANN, MESSAGE)[:3] == ("misconfigured", "login", None)


def test_a_probe_sends_nothing(server):
    assert channel(server).probe() == f"localhost:{server.port}: not encrypted, no login"
    assert not server.received


EHLO = b"250 mail.test\r\n"
SCRIPTS = [
    ([b"554 5.3.2 not here\r\n"], "none", ("misconfigured", "connect", 554)),
    ([b"421 4.3.2 busy\r\n"], "none", ("transient", "connect", 421)),
    ([b"hello\r\n"], "none", ("transient", "connect", None)),
    ([b"\xff\x00\r\n"], "none", ("transient", "connect", None)),
    ([b"220 " + b"x" * 9000 + b"\r\n"], "none", ("transient", "connect", None)),
    ([b"220-x\r\n" * REPLY_CAP], "none", ("transient", "connect", None)),
    ([b"220 hi\r\n", b"502 5.5.1 what?\r\n"], "none", ("misconfigured", "connect", 502)),
    (
        [b"220 hi\r\n", b"250-x\r\n250 STARTTLS\r\n", b"454 4.7.0 later\r\n"],
        "starttls",
        ("transient", "tls", 454),
    ),
    (
        [b"220 hi\r\n", b"250-x\r\n250 STARTTLS\r\n", b"501 5.5.4 no\r\n"],
        "starttls",
        ("misconfigured", "tls", 501),
    ),
    (
        [b"220 hi\r\n", b"250-x\r\n250 AUTH CRAM-MD5\r\n", b"334 a\r\n"],
        "login",
        ("transient", "login", None),
    ),
    (
        [b"220 hi\r\n", b"250-x\r\n250 AUTH GSSAPI\r\n"],
        "login",
        ("misconfigured", "login", None),
    ),
]


@pytest.mark.parametrize(("says", "security", "expected"), SCRIPTS)
def test_a_strange_server_raises_nothing(says, security, expected):
    login = {"username": "reports", "password": SECRET} if security == "login" else {}
    with Scripted(*says) as server:
        smtp = channel(server, "none" if login else security, **login)
        assert smtp.send(ANN, MESSAGE)[:3] == expected


@pytest.mark.parametrize(
    ("says", "security", "phase"),
    [
        ([], "none", "connect"),
        ([], "tls", "tls"),
        ([b"220 hi\r\n"], "none", "connect"),
        ([b"220 hi\r\n", EHLO], "none", "mail"),
        ([b"220 hi\r\n", EHLO, b"250 ok\r\n"], "none", "rcpt"),
        ([b"220 hi\r\n", EHLO, b"250 ok\r\n", b"250 ok\r\n"], "none", "data"),
    ],
)
def test_a_connection_that_breaks_before_the_message_is_safe_to_try_again(says, security, phase):
    with Scripted(*says) as server:
        assert channel(server, security).send(ANN, MESSAGE)[:3] == ("transient", phase, None)


def test_a_break_while_the_message_is_on_its_way_is_safe_to_try_again():
    says = [b"220 hi\r\n", EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]
    with Scripted(*says) as server:
        # Far more than the buffers of a socket hold, so the closing dot never leaves.
        delivery = channel(server).send(ANN, (b"x" * 998 + b"\r\n") * 20_000)
    assert delivery[:3] == ("transient", "data", None)


def test_a_goodbye_that_is_not_answered_does_not_undo_the_delivery():
    says = [b"220 hi\r\n", EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]
    lines = MESSAGE.count(b"\n")
    with Scripted(*says, *[b""] * lines, b"250 mine\r\n") as server:
        assert channel(server).send(ANN, MESSAGE) == Delivery("sent", "done", 250, "mine")


def test_an_attempt_ends_in_time_however_slowly_the_server_speaks():
    with Scripted(b"220", drip=b"-", every=0.02) as server:
        began = time.monotonic()
        delivery = channel(server, timeout=0.1).send(ANN, MESSAGE)
        assert time.monotonic() - began < 5
    assert delivery[:3] == ("transient", "connect", None)


def test_the_login_is_in_no_text_however_the_server_repeats_it():
    plain = base64.b64encode(f"\0reports\0{SECRET}".encode())
    encoded = base64.b64encode(SECRET.encode())
    echo = b"535 " + b" ".join([plain, encoded, SECRET.encode()]) + b"\r\n"
    with Scripted(b"220 hi\r\n", b"250-x\r\n250 AUTH PLAIN\r\n", echo) as server:
        delivery = channel(server, username="reports", password=SECRET).send(ANN, MESSAGE)
    assert delivery == Delivery("misconfigured", "login", 535, "*** *** ***")


def test_an_answer_is_kept_as_one_short_printable_line(server):
    server.behave(rcpt={"*": "550-5.1.1 no\x1b[31m\r\n550 \u202euser " + "x" * 500})
    text = channel(server).send(ANN, MESSAGE).text
    assert text.startswith("5.1.1 no [31m user xxx")
    assert len(text) <= 200


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"security": "ssl"}, "unknown security"),
        ({"sender": "reports"}, "sender is not a mail address"),
        ({"username": "reports"}, "needs a user name and a password"),
        ({"password": SECRET}, "needs a user name and a password"),
        ({"security": "tls", "username": "ü", "password": SECRET}, "not ASCII"),
        ({"username": "reports", "password": SECRET}, "in the clear"),
    ],
)
def test_settings_that_cannot_work_or_leak_the_password_are_refused(changes, cause):
    settings = {"host": "mail.example.org", "port": 25, "security": "none", "sender": SENDER}
    with pytest.raises(ChannelError, match=cause) as error:
        Smtp(**settings | changes)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_login_in_the_clear_may_stay_on_this_machine(host):
    assert Smtp(host, 25, "none", sender=SENDER, username="a", password="b").name == "smtp"


def test_a_broken_connection_means_something_else_in_each_phase():
    broken = smtplib.SMTPServerDisconnected("closed")
    phases = ("connect", "tls", "login", "mail", "rcpt", "data", "body")
    assert [verdict(phase, broken)[0] for phase in phases] == ["transient"] * 6 + ["ambiguous"]


RENDER = """
import sys
from datetime import UTC, datetime
from reports.render import Attachment, Image, inline, message
html = inline(
    "<html><head><style>p{color:#111} td{margin:0} @media print{p{color:#000}}</style></head>"
    "<body><p>12</p><img src='cid:a'><img src='cid:b'></body></html>"
)
sys.stdout.buffer.write(message(
    sender="Crossover <r@crossover.example>", recipient="ann@finance.example", subject="Größe",
    text="12", html=html, date=datetime(2026, 11, 23, tzinfo=UTC), dedup_key="w/2026-W47/1",
    domain="crossover.example", images=[Image("a", b"1", "a"), Image("b", b"2", "b")],
    attachments=[Attachment("a.csv", "text/csv", b"a")], headers={"X-B": "1", "X-A": "2"},
))
"""


def test_two_processes_render_the_same_bytes():
    def rendered(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(
            [sys.executable, "-c", RENDER], env=environment, capture_output=True, check=True
        ).stdout

    assert rendered("1") == rendered("2")
    assert rendered("1").startswith(b"From: Crossover <r@crossover.example>\r\n")
