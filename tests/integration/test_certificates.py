"""Certificates of real servers: read once a day, told before they end, unknown is not an alarm."""

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from collectors import tls
from monitor.config import Settings
from monitor.domain.certificates import ends_at
from monitor.domain.errors import ChannelError, SourceError
from monitor.domain.rulebook import BOOK, LIMITS, Limits
from monitor.domain.usage import DAY, HOUR
from monitor.jobs.certificates import Certificates
from monitor.wiring import parts
from reports.channels.smtp import Smtp
from tests import seeded
from tests.mailserver import PEM, MailServer, Scripted, certificate

ENDS = int(datetime(2120, 1, 1, tzinfo=UTC).timestamp())
TO = "ann@acme.example"


@contextmanager
def https_server():
    """A listener with TLS on this machine that hangs up once the hands are shaken."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(PEM)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as one:
                    one.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def policy(**changes):
    return seeded.policy(TO, **{"rules": {"expiry": BOOK["expiry"]}, **changes})


def standing(database):
    with database.read() as conn:
        rows = conn.execute(text("SELECT subject, period, status, severity FROM alert"))
        return [tuple(row) for row in rows]


def test_a_certificate_that_nobody_vouches_for_is_read_all_the_same():
    with https_server() as port:
        assert ends_at(tls.certificate("gateway", "127.0.0.1", port)) == ENDS


@pytest.mark.parametrize(("kind", "security"), [("starttls", "starttls"), ("implicit", "tls")])
def test_the_mail_servers_certificate_is_read_without_a_login(kind, security):
    with MailServer(tls=kind, login=("reports", "secret")) as server:
        smtp = Smtp(server.host, server.port, security, sender=TO, timeout=3)
        assert ends_at(smtp.certificate()) == ENDS
        # Looking at it is all: mail still goes to no server that nobody vouches for.
        with pytest.raises(ChannelError, match="certificate refused"):
            smtp.probe()


def test_a_server_without_tls_is_named_with_what_to_do():
    with Scripted(b"HTTP/1.1 400 no\r\n") as server, pytest.raises(SourceError) as refused:
        tls.certificate("gateway", server.host, server.port, 2)
    assert f"no certificate from 127.0.0.1:{server.port}" in str(refused.value)
    with MailServer() as server, pytest.raises(ChannelError, match="does not offer STARTTLS"):
        Smtp(server.host, server.port, "starttls", sender=TO).certificate()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SourceError, match="refused"):
        tls.certificate("gateway", "127.0.0.1", port, 2)


def test_an_end_is_told_once_and_once_more_at_last(database):
    with https_server() as port:
        servers = {"gateway": lambda: tls.certificate("gateway", "127.0.0.1", port)}
        for left in (30, 22, 21, 20, 3, 2):
            Certificates(servers, policy()).look(database, ENDS - left * DAY + HOUR)
            if left > 21:
                assert [status for _, _, status, _ in standing(database)] == ["inactive"]
    ((subject, period, status, severity),) = standing(database)
    assert (subject, period) == ("certificate of gateway", "2120-01-01")
    assert (status, severity) == ("firing", "critical")
    with database.read() as conn:
        told = conn.execute(text("SELECT edge, severity FROM notice ORDER BY id")).all()
    assert told == [("firing", "warning"), ("firing", "critical")]


def test_a_server_that_does_not_answer_changes_nothing_and_is_asked_again_by_the_hour(database):
    asked = []

    def silent():
        asked.append(1)
        raise SourceError("gateway", "no certificate")

    read = Certificates({"gateway": silent}, policy())
    now = ENDS - 5 * DAY
    for at in (now, now + 60, now + HOUR - 1, now + HOUR, now + HOUR + 60):
        read.look(database, at)
    assert len(asked) == 2
    assert standing(database) == []


def test_a_certificate_is_read_once_a_day(database):
    asked = []

    def answers():
        asked.append(1)
        return certificate()

    read = Certificates({"gateway": answers}, policy())
    for at in range(ENDS - 5 * DAY, ENDS - 3 * DAY, HOUR // 4):
        read.look(database, at)
    assert len(asked) == 2
    off = Certificates({"gateway": answers}, policy(rules={}))
    off.look(database, ENDS)
    assert len(asked) == 2


def test_it_is_the_configured_servers_that_are_read():
    source = {"kind": "openai", "admin_key": "env:HOME"}
    settings = Settings.model_validate(
        {
            "organisation": {"url": "https://crossover.acme.example/x"},
            "source": [
                {
                    **source,
                    "name": "proxy",
                    "account": "proxy",
                    "base_url": "https://llm.acme.example:8443/v1",
                },
                {
                    **source,
                    "name": "plain",
                    "account": "plain",
                    "base_url": "http://127.0.0.1:9/v1",
                },
                {**source, "name": "public", "account": "public"},
            ],
            "mail": {"host": "mail.acme.example", "port": 587, "sender": TO},
        }
    )
    found = parts.certificates(settings)
    assert set(found._servers) == {
        "crossover.acme.example:443",
        "llm.acme.example:8443",
        "mail.acme.example:587",
    }
    assert parts.certificates(Settings()) is None


def test_days_of_the_rule_count(database):
    with https_server() as port:
        servers = {"gateway": lambda: tls.certificate("gateway", "127.0.0.1", port)}
        limits = LIMITS | {"expiry": Limits(days=60)}
        Certificates(servers, policy(limits=limits)).look(database, ENDS - 50 * DAY)
    assert [row[2] for row in standing(database)] == ["firing"]
