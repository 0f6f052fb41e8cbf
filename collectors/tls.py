"""The certificate that a server shows, as bytes: read, not judged.

Whether it is to be trusted is for the connections that carry something. This one carries nothing,
and an expired or private certificate has a date too.
"""

from __future__ import annotations

import socket
import ssl

from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name

TIMEOUT_S = 10.0


def certificate(name: str, host: str, port: int, timeout: float = TIMEOUT_S) -> bytes:
    """The certificate of a server that begins with TLS, in DER.

    Args:
        name: what the server is called in an error.
        host: its name, which it is asked for too.
        port: usually 443.
        timeout: seconds for each step.

    Raises:
        SourceError: it could not be read.
    """
    try:
        with (
            socket.create_connection((host, port), timeout) as plain,
            unjudging().wrap_socket(plain, server_hostname=host) as secured,
        ):
            found = secured.getpeercert(binary_form=True)
    except (OSError, ValueError) as error:
        cause = clean_name(str(getattr(error, "strerror", None) or error)) or type(error).__name__
        raise SourceError(
            name,
            f"no certificate from {host}:{port}: {cause}",
            "Check host and port; behind a proxy it cannot be read.",
        ) from None
    assert found is not None
    return found


def unjudging() -> ssl.SSLContext:
    """A context that takes any certificate: for looking at one, never for sending anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
