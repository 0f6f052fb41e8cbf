"""What the HTTP client decides without a network: addresses, keys, waits, words and redaction."""

import logging
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.http import Http, basic
from collectors.http.scrub import Scrub
from collectors.http.waits import LONGEST_WAIT_S, retry_after
from collectors.registry import REGISTRY, load
from monitor.domain.errors import InputError, SourceError

NOW = 1_793_491_200.0
KEY = "sk-admin-CANARY1secret"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "86400"}, LONGEST_WAIT_S),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": formatdate(NOW + 40, usegmt=True)}, 40),
        ({"retry-after": formatdate(NOW - 40, usegmt=True)}, 0),
        ({"retry-after": formatdate(NOW + 40)}, 40),
        ({"retry-after": "Sun, 01 Nov 2026 01:00:40 +0100"}, 40),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_a_wait_is_read_in_all_its_forms_and_clamped(headers, seconds):
    assert retry_after(headers, NOW) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_wait_header_can_break_the_reading_of_it(milliseconds, text):
    wait = retry_after({"retry-after-ms": milliseconds, "retry-after": text}, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.test/v1",
        "http://127.0.0.1.evil.test/v1",
        "http://10.0.0.1/v1",
        "http://[::ffff:a00:1]/v1",
    ],
)
def test_plain_http_is_refused_outside_this_machine(base_url):
    with pytest.raises(SourceError, match="plain http") as refused:
        Http("openai-main", base_url, {})
    assert refused.value.permanent
    assert "Use https" in refused.value.remedy


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.test/v1",
        "ftp://api.test",
        "https://",
        "https://[bad",
        "https://api.test:port/",
        "https://a b/",
        "https://a..b/",
        f"https://{'a' * 64}.test/",
    ],
)
def test_an_address_without_a_host_is_refused(base_url):
    with pytest.raises(SourceError, match="not an https address"):
        Http("openai-main", base_url, {})


def test_credentials_in_an_address_are_refused_and_not_repeated():
    with pytest.raises(SourceError, match="without a user") as refused:
        Http("openai-main", f"https://me:{KEY}@api.test/v1", {})
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "base_url", ["http://localhost:1/v1", "http://127.9.9.9", "http://[::1]:1"]
)
def test_plain_http_is_allowed_to_this_machine(base_url):
    Http("openai-main", base_url, {}).close()


@pytest.mark.parametrize("key", ["", f"{KEY}\n", f"{KEY} twice", "schlüssel", f"a{KEY}\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(SourceError, match="authorization") as refused:
        Http("openai-main", "https://api.test/v1", {"authorization": f"Bearer {key}"})
    assert refused.value.permanent
    assert KEY not in str(refused.value)


def test_the_client_shows_its_address_and_no_secret():
    client = Http("openai-main", "https://api.test/v1", {"authorization": f"Bearer {KEY}"})
    client.close()
    assert repr(client) == "Http('openai-main', 'https://api.test/v1', [redacted])"


def test_a_pair_is_redacted_encoded_whole_and_its_password_alone(caplog):
    caplog.set_level(logging.DEBUG, logger="httpx")
    pair = f"pk-lf-public:{KEY}"
    header = basic(pair)
    client = Http("langfuse-main", "https://api.test/v1", {"authorization": header})
    for said in (header, f"refused {pair} twice", KEY, "pk-lf-public is unknown"):
        logging.getLogger("httpx").info(said)
    client.close()
    assert header.split()[1] == "cGstbGYtcHVibGljOnNrLWFkbWluLUNBTkFSWTFzZWNyZXQ="
    assert caplog.messages == [
        "Basic [redacted]",
        "refused [redacted] twice",
        "[redacted]",
        "pk-lf-public is unknown",
    ]


def test_a_pair_without_a_password_hides_no_more_than_itself(caplog):
    caplog.set_level(logging.DEBUG, logger="httpx")
    client = Http("langfuse-main", "https://api.test/v1", {"authorization": basic("alone:")})
    logging.getLogger("httpx").info("alone: a word, and others")
    client.close()
    assert caplog.messages == ["[redacted] a word, and others"]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "httpcore.connection"])
def test_what_the_libraries_log_is_redacted_until_the_client_is_closed(caplog, name):
    caplog.set_level(logging.DEBUG, logger=name)
    logger = logging.getLogger(name)
    before = list(logger.filters)
    client = Http("openai-main", "https://api.test/v1", {"authorization": f"Bearer {KEY}"})
    logger.debug("sent %s and %d more", [f"Bearer {KEY}"], 3)
    client.close()
    assert caplog.messages == ["sent ['Bearer [redacted]'] and 3 more"]
    assert logger.filters == before


def test_the_registry_loads_a_class_of_its_own_for_every_kind():
    found = [load(kind) for kind in REGISTRY]
    assert len(set(found)) == len(REGISTRY)
    asked = {"streams", "read", "probe", "close"}
    assert [each.__name__ for each in found if not asked <= set(dir(each))] == []


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'opnai' is no kind of source") as refused:
        load("opnai")
    assert "openai" in refused.value.remedy


@pytest.mark.parametrize(
    ("key", "left"), [("key", b'{"api_key_id": "k1"}'), ("k" * 8, b'{"api_key_id": "k1"}')]
)
def test_a_short_key_changes_no_answer_that_merely_holds_its_letters(key, left):
    assert Scrub([f"Bearer {key}"]).body(left) == left
    long = b'{"said": "kkkkkkkk"}'
    assert (Scrub([f"Bearer {key}"]).body(long) == long) is (key == "key")
