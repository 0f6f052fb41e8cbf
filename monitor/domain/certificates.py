"""When a certificate ends: read from its bytes, whatever the certificate is worth."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from monitor.domain.errors import InputError

_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


def ends_at(der: bytes) -> int:
    """UTC epoch seconds of a certificate's notAfter (X.509 in DER, RFC 5280 section 4.1.2.5).

    Raises:
        InputError: the bytes are no certificate.
    """
    try:
        _, certificate = _first(der, _SEQUENCE)
        _, fields = _first(certificate, _SEQUENCE)
        if fields[:1] == bytes([_VERSION]):
            fields, _ = _first(fields, _VERSION)
        # Serial number, algorithm and issuer stand before the validity.
        for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):
            fields, _ = _first(fields, tag)
        _, validity = _first(fields, _SEQUENCE)
        after, _ = _first(validity, validity[0])
        _, written = _first(after, after[0])
        return _instant(after[0], written.decode("ascii"))
    except (IndexError, ValueError) as error:
        raise InputError(
            "the server's certificate cannot be read", "Look at it with `openssl s_client`."
        ) from error


def _first(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """What follows the first element, and what it holds."""
    if der[0] != tag:
        raise ValueError("another element was expected")
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    end = start + length
    if end > len(der):
        raise ValueError("it ends too early")
    return der[end:], der[start:end]


def _instant(tag: int, written: str) -> int:
    if tag == _UTC_TIME and re.fullmatch(r"\d{12}Z", written):
        # Two digits of a year: 1950 to 2049.
        written = ("19" if written >= "50" else "20") + written
    elif tag != _GENERALIZED_TIME or not re.fullmatch(r"\d{14}Z", written):
        raise ValueError("no instant")
    return int(datetime.strptime(written, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())
