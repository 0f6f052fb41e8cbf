"""Messages: what mail programs will read, and what nobody can smuggle into them."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import DictLoader, UndefinedError

from monitor.domain import address
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from reports import render
from reports.render import Attachment, Image

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


def message(**changes):
    """A small weekly report; every argument can be changed."""
    arguments = {
        "sender": "Crossover, Inc. <reports@crossover.example>",
        "recipient": "ann@finance.example",
        "subject": "On track: Nov forecast 41.2k",
        "text": "41.2k of 45k.\n",
        "html": '<p>41.2k of 45k.</p><img src="cid:trend" alt="41.2k">',
        "date": MONDAY,
        "dedup_key": "finance/weekly/2026-W47/1",
        "domain": "crossover.example",
        "images": [Image("trend", PNG, "Forecast 41.2k")],
    }
    return render.message(**arguments | changes)


def parsed(**changes):
    return message_from_bytes(message(**changes), policy=default)


def text_of(mail):
    """The plain twin, with the line ends of a file."""
    return mail.get_body(("plain",)).get_content().replace("\r\n", "\n")


def plain(subject):
    """A message of text and HTML alone."""
    return message(subject=subject, html="<p>x</p>", images=())


def test_the_same_arguments_give_the_same_bytes():
    csv = [Attachment("usage.csv", "text/csv", b"model,tokens\r\nm-1,7\r\n")]
    assert message(attachments=csv) == message(attachments=csv)


def test_the_message_id_follows_from_dedup_key_and_address_alone():
    sent = parsed()["Message-ID"]
    assert re.fullmatch(r"<[0-9a-f]{32}@crossover\.example>", sent)
    assert parsed(text="other", subject="other", recipient="Ann <ann@finance.example>")[
        "Message-ID"
    ] == (sent)
    assert parsed(dedup_key="finance/weekly/2026-W47/2")["Message-ID"] != sent
    assert parsed(recipient="bob@finance.example")["Message-ID"] != sent


def test_a_report_is_alternative_text_and_related_html_with_its_image():
    mail = parsed(attachments=[Attachment("usage.csv", "text/csv", b"a,b\n")])
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ]


def test_without_images_and_attachments_it_is_just_the_two_twins():
    mail = message_from_bytes(plain("x"), policy=default)
    types = [part.get_content_type() for part in mail.walk()]
    assert types == ["multipart/alternative", "text/plain", "text/html"]


def test_text_html_image_and_attachment_come_back_as_they_went_in():
    data = b"model;usd\r\n" + "größe;1\r\n".encode()
    text = "Zwölf Dollar\n.\nFrom here on = 12 €\n" + "x" * 2000 + " \n"
    mail = parsed(
        text=text,
        html='<p>Zwölf €</p><img src="cid:trend" alt="12">',
        attachments=[Attachment("usage.csv", "text/csv", data)],
    )
    page, image = [p for p in mail.walk() if p.get_content_type() in ("text/html", "image/png")]
    assert text_of(mail) == text
    assert "<p>Zwölf €</p>" in page.get_content()
    assert image.get_content() == PNG
    assert image.get_content_disposition() == "inline"
    attachment = next(mail.iter_attachments())
    assert attachment.get_payload(decode=True) == data
    assert attachment.get_filename() == "usage.csv"


def test_a_file_name_becomes_plain():
    mail = parsed(attachments=[Attachment("../Größe 2026/W47.csv", "text/csv", b"")])
    assert next(mail.iter_attachments()).get_filename() == "..-Gr-e-2026-W47.csv"


def test_the_html_shows_the_image_by_a_content_id_of_this_message_alone():
    def content_id(**changes):
        mail = parsed(**changes)
        image = next(p for p in mail.walk() if p.get_content_type() == "image/png")
        bare = image["Content-ID"].strip("<>")
        assert f'src="cid:{bare}"' in mail.get_body(("html",)).get_content()
        return bare

    assert content_id() == content_id()
    assert content_id() != content_id(dedup_key="finance/weekly/2026-W48/1")
    assert content_id().endswith("@crossover.example")


def test_an_image_that_the_html_does_not_show_is_refused():
    with pytest.raises(InputError, match="image trend is not shown"):
        message(html="<p>no picture</p>")


def test_the_date_is_the_given_instant_in_utc_and_never_a_naive_one():
    berlin = MONDAY.astimezone(timezone(timedelta(hours=1)))
    assert parsed(date=berlin)["Date"] == "Mon, 23 Nov 2026 07:00:00 +0000"
    with pytest.raises(ValueError, match="no time zone"):
        message(date=datetime(2026, 11, 23, 7, 0))


def test_no_absence_notice_answers_it_but_failed_delivery_is_reported():
    mail = parsed()
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "OOF, AutoReply"


def test_a_long_unsubscribe_address_stays_one_address():
    link = f"<https://crossover.example/leave?token={'a' * 400}>"
    raw = message(headers={"List-Unsubscribe": link, "Organization": "Müller & Söhne"})
    assert f"\r\nList-Unsubscribe: {link}\r\n".encode() in raw
    assert message_from_bytes(raw, policy=default)["Organization"] == "Müller & Söhne"


@pytest.mark.parametrize("name", ["Subject", "message-id", "Content-Type", "X Y", "X:", "X\r\nBcc"])
def test_a_further_header_cannot_replace_or_split_ours(name):
    with pytest.raises(InputError):
        message(headers={name: "x"})


EVIL = [
    "m-9\r\nBcc: all@victim.example",
    "m-9\nBcc: all@victim.example",
    "m-9\rBcc: all@victim.example",
    "m-9\r\n\r\n<h1>another body</h1>",
    "m-9\u2028Bcc: all@victim.example",
    "m-9\u2029\x85\x0b\x0c\x1c\x1d\x1eBcc: all@victim.example",
    "m-9\x00\x1b[31mBcc",
    "m-9 \u202eexe.troper\u202c\u200b",
    "=?utf-8?q?m-9=0D=0ABcc:_all@victim.example?=",
    "=?utf-8?b?bS05DQpCY2M6IGFsbEB2aWN0aW0uZXhhbXBsZQ==?= ü",
    "==?utf-8?q?=3D=3Futf-8=3Fq=3Fa=0D=0ABcc=3A_x=3F=3D?=?",
    "m-9" * 2000,
    "--=_boundary--",
    "",
]


@pytest.mark.parametrize("evil", EVIL)
def test_an_evil_name_neither_adds_a_header_nor_changes_the_structure(evil):
    def shape(name):
        display = re.sub(r"[<>\r\n]", "", name)
        raw = message(
            subject=f"Alert: {name}",
            sender=f"{display} <reports@crossover.example>",
            images=[Image("trend", PNG, name)],
            attachments=[Attachment(f"{name}.csv", "text/csv", b"")],
            headers={"X-Model": name},
        )
        assert raw.isascii()
        assert all(character not in raw for character in (b"\0", b"\x1b"))
        mail = message_from_bytes(raw, policy=default)
        return [(part.get_content_type(), part.keys(), part.defects) for part in mail.walk()]

    assert shape(evil) == shape("m-9")


@pytest.mark.parametrize("evil", EVIL)
def test_an_evil_text_stays_in_its_part(evil):
    mail = parsed(text=evil, html=f'{evil}<img src="cid:trend">')
    assert [p.get_content_type() for p in mail.walk()] == [
        p.get_content_type() for p in parsed().walk()
    ]
    lines = re.split(r"\r\n|\r|\n", evil)
    assert text_of(mail).rstrip("\n").split("\n") == lines


@given(st.text(max_size=120))
def test_any_subject_is_read_back_as_its_clean_words(subject):
    mail = message_from_bytes(plain(subject), policy=default)
    assert mail["Subject"] == clean_name(subject)
    assert mail.keys() == message_from_bytes(plain("x"), policy=default).keys()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_travels_in_short_seven_bit_lines(text):
    raw = message(text=text, html=f'{text}<img src="cid:trend">', subject="s")
    assert raw.isascii()
    assert raw.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 76
    back = text_of(message_from_bytes(raw, policy=default))
    assert back.rstrip("\n") == re.sub(r"\r\n|\r", "\n", text).rstrip("\n")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ann",
        "ann@",
        "@finance.example",
        "ann@finance.example, bob@finance.example",
        "Ann <ann@finance.example>, Bob <bob@finance.example>",
        "ann@finance.example\r\nBcc: x@y.example",
        "Ann <ann@finance.example\r\n>",
        "Ann\r\nBcc: <ann@finance.example>",
        "änn@finance.example",
        "ann@büro.example",
        "a..b@finance.example",
        "<script>@finance.example",
    ],
)
def test_what_is_not_one_plain_address_is_refused(bad):
    assert address.split(bad)[1] == ""
    with pytest.raises(InputError, match="is not a mail address"):
        message(recipient=bad)


def test_an_address_may_carry_a_name_with_a_comma():
    assert address.split("Crossover, Inc. <r@c.example>") == ("Crossover, Inc.", "r@c.example")
    assert address.split('"Crossover, Inc." <r@c.example>') == ("Crossover, Inc.", "r@c.example")
    assert parsed()["From"].addresses[0].display_name == "Crossover, Inc."


@pytest.mark.parametrize("domain", ["", "a b", "x>\r\nBcc: y", "büro.example"])
def test_a_domain_that_would_break_the_message_id_is_refused(domain):
    with pytest.raises(InputError, match="domain"):
        message(domain=domain)


def test_styles_are_inlined_and_the_dark_mode_rule_survives():
    html = render.inline(
        "<html><head><style>p { color: #111 }"
        " @media (prefers-color-scheme: dark) { p { color: #eee } }</style></head>"
        "<body><p>41.2k</p></body></html>"
    )
    assert '<p style="color:#111">41.2k</p>' in html
    assert "@media (prefers-color-scheme: dark)" in html


@pytest.mark.parametrize("name", ["report.html", "report.html.j2", "report.txt", "report"])
def test_every_template_escapes_whatever_its_name(name):
    template = render.environment(DictLoader({name: "{{ model }}"})).get_template(name)
    assert template.render(model="<b>&") == "&lt;b&gt;&amp;"


def test_a_missing_value_in_a_template_is_an_error_and_not_a_blank():
    template = render.environment(DictLoader({"a": "total {{ total }}"})).get_template("a")
    with pytest.raises(UndefinedError, match="total"):
        template.render()
