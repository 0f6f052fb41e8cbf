"""Forms as browsers and mailbox providers send them, and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web.guard import fields

URLENCODED = "application/x-www-form-urlencoded"


def part(name, value):
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        (URLENCODED, b"why=a+b%21&duration=1d", {"why": "a b!", "duration": "1d"}),
        (URLENCODED + "; charset=utf-8", "why=é".encode(), {"why": "é"}),
        (URLENCODED.upper(), b"why=", {"why": ""}),
        (URLENCODED, b"a=first&a=second", {"a": "first"}),
        (URLENCODED, b"&".join(b"a=%d" % n for n in range(21)), {}),
        ("multipart/form-data; boundary=b", part("why", "x") + b"--b--", {"why": "x"}),
        (
            'multipart/form-data; boundary="b"',
            part("a", "1") + part("a", "2") + part("c", "3") + b"--b--\r\n",
            {"a": "1", "c": "3"},
        ),
        ("multipart/form-data", part("why", "x"), {}),
        ("application/json", b'{"why": "x"}', {}),
        ("", b"why=x", {}),
    ],
)
def test_the_fields_of_a_form_are_read_and_of_nothing_else(kind, body, found):
    assert fields(kind, body) == found


@given(
    st.sampled_from([URLENCODED, "multipart/form-data; boundary=b", "multipart/form-data; x*0=y"])
    | st.text(st.characters(max_codepoint=255), max_size=60),
    st.binary(max_size=400) | st.binary(max_size=99).map(lambda b: part("a", "1") + b + b"--b--"),
)
def test_any_body_is_read_without_an_error(kind, body):
    found = fields(kind, body)
    assert all(isinstance(text, str) for pair in found.items() for text in pair)
