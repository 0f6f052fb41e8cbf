"""When a certificate ends, read from bytes: as the standard library reads it, and never a guess."""

import ssl
from contextlib import suppress
from datetime import UTC, datetime

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.certificates import ends_at
from monitor.domain.errors import InputError
from tests.mailserver import certificate


def authorities():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return list(zip(context.get_ca_certs(binary_form=True), context.get_ca_certs(), strict=True))


def test_every_public_authority_ends_when_the_standard_library_says_so():
    known = authorities()
    assert len(known) > 100
    for der, told in known:
        assert ends_at(der) == ssl.cert_time_to_seconds(told["notAfter"]), told["subject"]


def test_an_end_beyond_2049_is_read_with_its_century():
    assert ends_at(certificate()) == int(datetime(2120, 1, 1, tzinfo=UTC).timestamp())


def test_what_is_cut_off_or_altered_is_refused():
    der = authorities()[0][0]
    for length in range(len(der)):
        with pytest.raises(InputError, match="cannot be read"):
            ends_at(der[:length])


@given(st.binary(max_size=80))
def test_bytes_that_are_no_certificate_are_refused(noise):
    with pytest.raises(InputError):
        ends_at(noise)


@given(st.integers(0, 400), st.integers(0, 255))
def test_an_altered_byte_gives_an_end_or_is_refused(place, byte):
    der = bytearray(authorities()[0][0])
    der[place] = byte
    with suppress(InputError):
        assert isinstance(ends_at(bytes(der)), int)
