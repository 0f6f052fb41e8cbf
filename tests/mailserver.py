"""A mail server on a port of its own that refuses, breaks off and falls silent when told to.

`MailServer` is a real aiosmtpd; `Scripted` is a socket that says what it is told to, for what no
real server would say.
"""

import asyncio
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import MISSING, SMTP, AuthResult

PEM = Path(__file__).parent / "fixtures" / "smtp" / "localhost.pem"
"""A self-signed certificate for localhost with its key."""

End = Literal["answered", "cut accepted", "cut lost", "silent"]


def trusting() -> ssl.SSLContext:
    """A client's context that trusts the test server's certificate and nothing else."""
    return ssl.create_default_context(cafile=str(PEM))


def certificate() -> bytes:
    """The test server's certificate in DER."""
    context = trusting()
    (found,) = context.get_ca_certs(binary_form=True)
    return found


class Received(NamedTuple):
    """One message as the server took it over, for one recipient."""

    sender: str
    recipient: str
    message: bytes


@dataclass(frozen=True)
class Behaviour:
    """What the server answers instead of accepting; '' accepts."""

    smuggled: str = ""
    """Lines in the clear right behind the go-ahead for STARTTLS."""
    login: str = ""
    mail: str = ""
    rcpt: Mapping[str, str] = field(default_factory=dict)
    """By recipient; the key '*' is for all."""
    data: str = ""
    """To the command DATA."""
    body: str = ""
    """To the message."""
    end: End = "answered"
    """After the message: cut the connection having or not having accepted it, or accept it and
    say nothing."""


class MailServer:
    """Start with `with`; `received` is what it accepted, in order."""

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        tls: Literal["none", "starttls", "implicit"] = "none",
        login: tuple[str, str] | None = None,
        size_limit: int | None = None,
        port: int = 0,
    ):
        self.received: list[Received] = []
        self.behaviour = Behaviour()
        self._listener = socket.create_server((self.host, port))
        # asyncio does this itself only for listeners that it opens; without it a mail takes 40 ms.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self._listener.getsockname()[1]
        self._controller = _Controller(self, self._listener, tls, login, size_limit)

    def behave(self, **changes):
        """Behave so from now on; what is not named is accepted."""
        self.behaviour = Behaviour(**changes)

    def settle(self, patience=10):
        """Wait until every client has left: what one that crashed had handed over is received."""
        deadline = time.monotonic() + patience
        while self._controller.busy():
            assert time.monotonic() < deadline, "a session does not end"
            time.sleep(0.01)

    def __enter__(self):
        self._controller.start()
        return self

    def __exit__(self, *exc):
        self._controller.stop()


class _Controller(Controller):
    def __init__(self, server, listener, tls, login, size_limit):
        context = None
        if tls != "none":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(PEM)
        super().__init__(
            _Handler(server, login),
            hostname=server.host,
            port=server.port,
            ready_timeout=30,
            ssl_context=context if tls == "implicit" else None,
            server_hostname="mail.test",
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            # aiosmtpd knows only of STARTTLS here, not of TLS from the start.
            auth_require_tls=tls == "starttls",
            auth_exclude_mechanism=["LOGIN", "PLAIN"] if login is None else [],
            authenticator=_authenticator(login),
            data_size_limit=size_limit,
        )
        self._listener = listener
        self._sessions = []

    def _create_server(self):
        return self.loop.create_server(
            self._factory_invoker, sock=self._listener, ssl=self.ssl_context
        )

    def factory(self):
        session = _Session(self.handler, loop=self.loop, **self.SMTP_kwargs)
        self._sessions.append(session)
        return session

    def busy(self):
        """Whether a session has not ended."""
        return any(s._handler_coroutine and not s._handler_coroutine.done() for s in self._sessions)

    def stop(self, no_assert=False):
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(30)
        super().stop(no_assert)

    async def _hang_up(self):
        """End every session before the loop does, so that no transport is left open."""
        self.server.close()
        # A connection that was just accepted is no session yet, but has a task.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                # A session whose connection was lost in its handshake is told of it by nobody.
                task.cancel()
            await asyncio.wait(others)
        for session in self._sessions:
            if session.transport is not None:
                session.transport.abort()
        await asyncio.sleep(0)


class _Session(SMTP):
    async def push(self, status):
        smuggled = self.event_handler.server.behaviour.smuggled
        if smuggled and status == "220 Ready to start TLS":
            status = f"{status}\r\n{smuggled}"
        await super().push(status)

    async def smtp_DATA(self, arg):
        refusal = self.event_handler.server.behaviour.data
        if refusal:
            await self.push(refusal)
        else:
            await super().smtp_DATA(arg)


class _Handler:
    def __init__(self, server, login):
        self.server = server
        self._login = login

    async def handle_AUTH(self, server, session, envelope, args):
        return self.server.behaviour.login or MISSING

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if not self.server.behaviour.mail:
            envelope.mail_from = address
        return self.server.behaviour.mail or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        rcpt = self.server.behaviour.rcpt
        refusal = rcpt.get(address) or rcpt.get("*")
        if not refusal:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        behaviour = self.server.behaviour
        if behaviour.body:
            return behaviour.body
        if behaviour.end != "cut lost":
            self.server.received += [
                Received(envelope.mail_from, recipient, envelope.content)
                for recipient in envelope.rcpt_tos
            ]
        if behaviour.end.startswith("cut"):
            server.transport.abort()
        if behaviour.end != "answered":
            await asyncio.Event().wait()
        return "250 2.0.0 accepted"


def _authenticator(login):
    def check(server, session, envelope, mechanism, data):
        given = (data.login.decode(), data.password.decode())
        # A careless server repeats what it was given.
        refusal = f"535 5.7.8 {given[0]} with password {given[1]} is not known here"
        return AuthResult(success=given == login, handled=False, message=refusal)

    return check


class Scripted:
    """A server for one connection: says something, hears a line, and so on, then hangs up.

    Each item of `says` is sent as it is; `drip` is then repeated `every` so many seconds until the
    client has had enough.
    """

    host = "127.0.0.1"

    def __init__(self, *says: bytes, drip: bytes = b"", every: float = 0):
        self._says = says
        self._drip = drip
        self._every = every
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        # Some scripts make the client hang up in the middle of a word, and some clients never come.
        with suppress(OSError):
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as hears:
                for said in self._says:
                    connection.sendall(said)
                    hears.readline()
                while self._drip:
                    connection.sendall(self._drip)
                    select.select([connection], [], [], self._every)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
