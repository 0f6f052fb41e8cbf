"""Mail over SMTP: one envelope for each recipient, driven step by step.

smtplib's own `sendmail` hides which step failed, and the step decides: when the connection breaks
before the message was handed over it is safe to send again, after that the answer is unknown.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, get_args

from monitor.domain import address
from monitor.domain.errors import ChannelError
from monitor.domain.names import clean_name
from monitor.ports import Delivery, Outcome

Security = Literal["starttls", "tls", "none"]

# An attempt lasts at most this many timeouts, beside finding the host's address and the goodbye: a
# claim on a message must outlive it.
PATIENCE = 4

# Seconds to wait for the answer to QUIT: the message's fate is known by then.
GOODBYE = 1.0

# Bytes of answers in one connection: a whole dialogue takes about 1 kB.
REPLY_CAP = 64 * 1024

# Everything that the far side can make smtplib raise; its exceptions are OSErrors, and an answer
# that it cannot decode is a ValueError.
_FAILURES = (OSError, ValueError)

_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)

# "Authentication required", "mechanism too weak", "credentials invalid", "encryption required".
_LOGIN_CODES = (530, 534, 535, 538)

_ASK_OPERATOR = "Ask the server's operator, or try again later"
_CHECK_PORT = "Check the port and any firewall; one that begins with TLS (465) needs security tls"

# The first line that fits phase and failure holds.
_REMEDIES: tuple[tuple[str, type[Exception], str], ...] = (
    ("connect", socket.gaierror, "Check the host name"),
    ("connect", ConnectionRefusedError, "Check host and port, and that the server runs"),
    ("connect", smtplib.SMTPResponseException, _ASK_OPERATOR),
    ("connect", OSError, _CHECK_PORT),
    (
        "tls",
        ssl.SSLCertVerificationError,
        "Use the name in the certificate as host, or set SSL_CERT_FILE to its authority's file",
    ),
    ("tls", smtplib.SMTPNotSupportedError, "Use port 587 for starttls, or 465 with security tls"),
    ("tls", ssl.SSLError, "A port that does not begin with TLS (587) needs security starttls"),
    ("login", smtplib.SMTPAuthenticationError, "Check user name and (app) password"),
    ("login", smtplib.SMTPNotSupportedError, "Use port 587 or 465, or remove the login"),
)


class Smtp:
    """One mail server and one sender; every call opens a connection of its own.

    Args:
        host: the server's name, which its certificate must name too.
        port: usually 587 for starttls, 465 for tls, 25 for none.
        security: "none" only without a login, or to this machine.
        sender: the envelope's sender; a display name is ignored.
        username: with `password`, the login; both empty: none.
        password: see `username`; never in a text that this class returns or raises.
        timeout: seconds for each answer; the answer to the message itself may take all that is
            left of PATIENCE x timeout, because giving up there may deliver twice.
        helo: the name to greet with; empty: the sender's domain.
        ssl_context: makes the context for one connection.

    Raises:
        ChannelError: these settings cannot be used together.
    """

    name = "smtp"

    def __init__(
        self,
        host: str,
        port: int,
        security: Security,
        *,
        sender: str,
        username: str = "",
        password: str = "",
        timeout: float = 30.0,
        helo: str = "",
        ssl_context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._host, self._port, self._security = host, port, security
        _, self._sender = address.split(sender)
        self._username, self._password = username, password
        self._timeout = timeout
        self._helo = helo or self._sender.rpartition("@")[2]
        self._ssl_context = ssl_context
        self._check()

    def send(self, recipient: str, message: bytes) -> Delivery:
        """Hand over the exact bytes (CRLF line ends, 7 bit) and wait for the server's word."""
        _, bare = address.split(recipient)
        if not bare:
            text = f"{recipient!r} is not an address in ASCII like name@example.org"
            return Delivery("permanent", "rcpt", None, clean_name(text))
        client = self._client()
        try:
            self._open(client)
            code, text = self._hand_over(client, bare, message)
        except _FAILURES as failure:
            outcome, answered = verdict(client.phase, failure)
            return Delivery(outcome, client.phase, answered, self._text(failure))
        finally:
            client.leave()
        return Delivery("sent", "done", code, self._clean(text))

    def probe(self) -> str:
        """Connect, secure, log in and leave; says how that went.

        Raises:
            ChannelError: a message could not be sent now; the remedy fits the step that failed.
        """
        client = self._client()
        try:
            self._open(client)
            _expect(2, client.noop())
        except _FAILURES as failure:
            cause = f"mail server {self._place}: {client.phase}: {self._text(failure).rstrip('.')}"
            raise ChannelError(cause, remedy(client.phase, failure)) from None
        else:
            login = "login accepted" if self._username else "no login"
            return f"{self._place}: {client.encryption()}, {login}"
        finally:
            client.leave()

    def certificate(self) -> bytes:
        """The server's certificate in DER, read and not judged; without a login.

        Raises:
            ChannelError: it could not be read.
        """
        client = self._client()
        try:
            self._begin(client, _unjudging)
            assert isinstance(client.sock, ssl.SSLSocket)
            found = client.sock.getpeercert(binary_form=True)
        except _FAILURES as failure:
            cause = f"mail server {self._place}: {client.phase}: {self._text(failure).rstrip('.')}"
            raise ChannelError(cause, remedy(client.phase, failure)) from None
        finally:
            client.leave()
        assert found is not None
        return found

    @property
    def _place(self) -> str:
        return f"{self._host}:{self._port}"

    def _check(self) -> None:
        login = self._username + self._password
        open_login = self._security == "none" and login and not _is_loopback(self._host)
        known = " or ".join(get_args(Security))
        for wrong, cause, advice in (
            (self._security not in get_args(Security), "unknown security", f"Choose {known}"),
            (
                not self._sender,
                "the sender is not a mail address",
                "Write it as name@example.org, in ASCII",
            ),
            (
                bool(self._username) != bool(self._password),
                "a login needs a user name and a password",
                "Set both, or none",
            ),
            (not login.isascii(), "the login is not ASCII", "Have one made of ASCII characters"),
            (
                open_login,
                "the password would cross the network in the clear",
                "Use security starttls or tls, or remove the login",
            ),
        ):
            if wrong:
                raise ChannelError(f"mail server {self._place}: {cause}", advice)

    def _client(self) -> _Client:
        return _Client(self._helo, self._timeout)

    def _open(self, client: _Client) -> None:
        """From nothing to a session in which mail can be sent."""
        self._begin(client, self._ssl_context)
        if self._username:
            client.phase = "login"
            client.login(self._username, self._password)

    def _begin(self, client: _Client, context: Callable[[], ssl.SSLContext]) -> None:
        """From nothing to a session under TLS, where there is to be one."""
        client.sock = socket.create_connection((self._host, self._port), self._timeout)
        if self._security == "tls":
            client.secure(context(), self._host)
            client.phase = "connect"
        _expect(2, client.getreply())
        _expect(2, client.ehlo())
        if self._security == "starttls":
            client.phase = "tls"
            if not client.has_extn("starttls"):
                raise smtplib.SMTPNotSupportedError("the server does not offer STARTTLS")
            _expect(2, client.docmd("STARTTLS"))
            client.secure(context(), self._host)
            _expect(2, client.ehlo())

    def _hand_over(self, client: _Client, recipient: str, message: bytes) -> tuple[int, str]:
        """The envelope and the message; returns the answer that accepted it."""
        client.phase = "mail"
        size = [f"size={len(message)}"] if client.has_extn("size") else []
        _expect(2, client.mail(self._sender, size))
        client.phase = "rcpt"
        _expect(2, client.rcpt(recipient))
        client.phase = "data"
        _expect(3, client.docmd("DATA"))
        # While this breaks off the closing dot is still here, so the server cannot have accepted.
        client.send(_stuffed(message))
        client.phase = "body"
        return _expect(2, client.getreply())

    def _text(self, failure: Exception) -> str:
        """A failure in words: the server's, if it answered."""
        if isinstance(failure, smtplib.SMTPResponseException):
            error = failure.smtp_error
            return self._clean(error if isinstance(error, str) else _decoded(error))
        return clean_name(_cause(failure))

    def _clean(self, answer: str) -> str:
        """An answer as one printable line without the login, plain or as AUTH encodes it."""
        user, password = self._username, self._password
        if user:
            for secret in (f"\0{user}\0{password}", password, user):
                encoded = base64.b64encode(secret.encode()).decode()
                answer = answer.replace(encoded, "***").replace(secret, "***")
        return clean_name(answer)


class _Client(smtplib.SMTP):
    """smtplib's commands and answers; knows the step it is in and when the attempt ends."""

    def __init__(self, helo: str, timeout: float) -> None:
        super().__init__(local_hostname=helo, timeout=timeout)
        self.phase = "connect"
        self._ends = time.monotonic() + PATIENCE * timeout

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Put TLS over the connection; what was sent before it is forgotten unread."""
        self.phase = "tls"
        assert self.sock is not None
        self.sock.settimeout(self.wait())
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self.file = None

    def encryption(self) -> str:
        """The version of TLS in use, in words."""
        version = self.sock.version() if isinstance(self.sock, ssl.SSLSocket) else None
        return version or "not encrypted"

    def wait(self) -> float:
        """Seconds that the next operation may take; raises TimeoutError when none are left."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left if self.phase == "body" else min(left, self.timeout)

    def send(self, s: Any) -> None:
        """Send within the time that is left."""
        if self.sock:
            self.sock.settimeout(self.wait())
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """One answer; an endless one breaks the connection."""
        if self.file is None:
            self.file = io.BufferedReader(_Answers(self))
        try:
            return super().getreply()
        except smtplib.SMTPResponseException:
            # smtplib invents a 500 for an overlong line: no server said so.
            raise smtplib.SMTPServerDisconnected("the answer is too long") from None

    def leave(self) -> None:
        """Say goodbye if the connection still stands, and close it."""
        self.phase = "done"
        self._ends = time.monotonic() + GOODBYE
        with suppress(*_FAILURES):
            self.quit()
        self.close()


class _Answers(io.RawIOBase):
    """What the server sends, within the client's time and below REPLY_CAP bytes."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._left = REPLY_CAP

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        sock = self._client.sock
        assert sock is not None
        sock.settimeout(self._client.wait())
        count = sock.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise OSError("the answer is too long")
        return count


def verdict(phase: str, failure: Exception) -> tuple[Outcome, int | None]:
    """What a failure in a phase means for the message, with the server's code if it refused.

    What concerns every message and not this one is `misconfigured`: a 5xx before the envelope, a
    missing login, a refused sender, a certificate.
    """
    code = _refusal(failure)
    if code is None:
        if _is_setting(phase, failure):
            return "misconfigured", None
        return ("ambiguous" if phase == "body" else "transient"), None
    if code < 500:
        return "transient", code
    return ("misconfigured" if _concerns_all(phase, code) else "permanent"), code


def _refusal(failure: Exception) -> int | None:
    """The 4xx or 5xx that the server answered; anything else says nothing about the message."""
    if isinstance(failure, smtplib.SMTPResponseException) and 400 <= failure.smtp_code < 600:
        return failure.smtp_code
    return None


def _concerns_all(phase: str, code: int) -> bool:
    # At MAIL the server knows only the sender, and the size (552).
    refused_sender = phase == "mail" and code != 552
    return phase in ("connect", "tls", "login") or code in _LOGIN_CODES or refused_sender


def _is_setting(phase: str, failure: Exception) -> bool:
    """Whether an attempt failed without a refusal for a reason that only a change can mend."""
    if isinstance(failure, ssl.SSLError):
        return not isinstance(failure, _HUNG_UP)
    if isinstance(failure, smtplib.SMTPNotSupportedError):
        return True
    # smtplib raises its bare class when the server offers no kind of login that it knows.
    return phase == "login" and type(failure) is smtplib.SMTPException


def remedy(phase: str, failure: Exception) -> str:
    """What to do about a failure in a phase."""
    code = _refusal(failure)
    if code is not None and code < 500:
        return _ASK_OPERATOR
    for where, kind, advice in _REMEDIES:
        if where == phase and isinstance(failure, kind):
            return advice
    return _ASK_OPERATOR


def _cause(failure: Exception) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"certificate refused: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return f"no TLS: {failure.reason}"
    if isinstance(failure, ValueError):
        return "the server's answer cannot be read"
    return str(getattr(failure, "strerror", None) or failure)


def _expect(kind: int, reply: tuple[int, bytes]) -> tuple[int, str]:
    """An answer of the kind (2: done, 3: go on); raises SMTPResponseException for another."""
    code, text = reply
    if code // 100 != kind:
        raise smtplib.SMTPResponseException(code, text)
    return code, _decoded(text)


def _decoded(answer: bytes) -> str:
    return answer.decode("utf-8", "replace")


def _stuffed(message: bytes) -> bytes:
    """A message as DATA carries it: CRLF line ends, leading dots doubled, the closing dot."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    ended = lines if lines.endswith(b"\r\n") else lines + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", ended) + b".\r\n"


def _unjudging() -> ssl.SSLContext:
    """A context that takes any certificate: for looking at one, never for a login or a message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
