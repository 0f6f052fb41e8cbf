"""Signed links: what was signed comes back, and nothing else is believed."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import links
from monitor.domain.errors import LinkError
from monitor.domain.links import ACTIONS, Link
from monitor.domain.notices import Notice, Said

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_793_491_200
LINK = Link("silence", "crossing/v1/support-bot on own", "ann@example.org", NOW + 3600)
TOKEN = links.sign(SECRET, LINK)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


def cause(token, secret=SECRET, now=NOW):
    with pytest.raises(LinkError) as raised:
        links.read(secret, token, now)
    return raised.value.cause


@given(
    st.builds(
        Link,
        st.sampled_from(ACTIONS),
        st.text(max_size=200),
        st.text(max_size=200),
        st.integers(NOW + 1, NOW + 10**9),
    ),
    st.text(min_size=1, max_size=80).filter(str.isprintable),
)
def test_what_was_signed_is_read_back_and_fits_into_a_path(link, secret):
    token = links.sign(secret, link)
    assert links.read(secret, token, NOW) == link
    assert set(token) <= set(ALPHABET)
    assert token == links.sign(secret, Link(*link))


def test_every_changed_character_is_refused():
    wrong = []
    for place, was in enumerate(TOKEN):
        for other in ALPHABET:
            changed = TOKEN[:place] + other + TOKEN[place + 1 :]
            if other != was and cause(changed) not in ("forged", "unreadable"):
                wrong.append(changed)
    assert wrong == []


def test_every_flipped_bit_is_refused():
    raw = TOKEN.encode()
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert cause(flipped.decode("latin-1")) in ("forged", "unreadable")


@pytest.mark.parametrize(
    "token",
    [TOKEN[:-1], TOKEN + "A", TOKEN + "=", TOKEN.lower(), "", "v1..", "v2." + TOKEN[3:], "a.b.c.d"],
)
def test_a_link_that_was_cut_or_lengthened_is_refused(token):
    assert cause(token) in ("forged", "unreadable")


@pytest.mark.parametrize("token", ["é" * 10 + "..", "v1.\ud800.x", "v1." + "A" * 10_000 + ".x"])
def test_what_is_no_token_at_all_is_refused_without_work(token):
    assert cause(token) == "unreadable"


def test_another_secret_is_forged_and_so_is_none():
    assert cause(TOKEN, secret=SECRET + "0") == "forged"
    assert cause(links.sign("", LINK), secret="") == "forged"


def test_another_action_or_recipient_does_not_fit_the_signature():
    _, _, mac = TOKEN.rpartition(".")
    for other in (LINK._replace(action="unsubscribe"), LINK._replace(recipient="eve@example.org")):
        body = links.sign(SECRET, other).rpartition(".")[0]
        assert cause(f"{body}.{mac}") == "forged"


def test_an_expired_link_says_what_it_was():
    assert links.read(SECRET, TOKEN, LINK.expires - 1) == LINK
    with pytest.raises(LinkError, match="expired") as raised:
        links.read(SECRET, TOKEN, LINK.expires)
    assert raised.value.link == LINK


@pytest.mark.parametrize(
    "words", [["dance", "a", "b", 1], ["silence", "a", "b"], {"a": 1}, "x", ["silence", 1, 2, "y"]]
)
def test_what_our_secret_signed_elsewhere_is_no_link(words):
    body = base64.urlsafe_b64encode(json.dumps(words).encode()).decode().rstrip("=")
    mac = links._mac(SECRET, f"v1.{body}")
    assert cause(f"v1.{body}.{mac}") == "unreadable"


@given(st.text(max_size=400))
def test_any_text_is_answered_by_a_link_error(text):
    assert cause(text) in ("forged", "unreadable")


def test_links_that_differ_in_anything_have_nonces_that_differ():
    others = [
        LINK._replace(action="snooze"),
        LINK._replace(about="x"),
        LINK._replace(recipient="bob@example.org"),
        LINK._replace(expires=NOW + 3601),
    ]
    assert len({link.nonce for link in (LINK, *others)}) == 5


def notice(**changes):
    said = Said("Bot crossed", "It costs less at home.")
    found = Notice("crossing/v1/bot", "firing", "warning", "crossing", "bot", said, NOW, NOW)
    return found._replace(**changes)


def test_a_notice_has_a_link_for_each_answer_and_they_expire():
    found = links.of_notice("https://x.example/", SECRET, notice(), "ann@example.org", 14)
    assert list(found) == ["acknowledge", "snooze", "silence"]
    for action, url in found.items():
        assert url.startswith("https://x.example/act/v1.")
        link = links.read(SECRET, url.rpartition("/")[2], NOW)
        assert link == Link(action, "crossing/v1/bot", "ann@example.org", NOW + 14 * 86_400)


def test_without_an_address_or_a_secret_or_an_open_alert_there_are_no_links():
    assert links.of_notice("", SECRET, notice(), "a@b.example", 14) == {}
    assert links.of_notice("https://x.example", "", notice(), "a@b.example", 14) == {}
    assert links.of_notice("https://x.example", SECRET, notice(edge="resolved"), "a", 14) == {}
    assert links.unsubscribe("", SECRET, "a@b.example", "finance", NOW) == ""
    assert links.unsubscribe_headers("") == {}


def test_unsubscribing_works_for_a_year_and_is_one_click_over_https_only():
    url = links.unsubscribe("https://x.example", SECRET, "a@b.example", "finance", NOW)
    link = links.read(SECRET, url.rpartition("/")[2], NOW + 365 * 86_400)
    assert link[:3] == ("unsubscribe", "finance", "a@b.example")
    assert links.unsubscribe_headers(url) == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    plain = links.unsubscribe_headers(url.replace("https", "http"))
    assert list(plain) == ["List-Unsubscribe"]
