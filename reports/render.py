"""Messages as bytes: the same arguments give the same bytes, in any process.

Nothing is drawn at random and no clock is read: MIME boundaries, Message-ID and Content-IDs are
hashes of what the message is about, and Date is given. A stored message can therefore be rendered
again and compared, and a repeat of one carries the same Message-ID.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, Policy
from html import escape
from typing import NamedTuple, Self

import css_inline
from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined

from monitor.domain import address
from monitor.domain.errors import InputError
from monitor.domain.names import NAME_CAP, clean_name
from reports.language import Style, say, use

# CRLF line ends, and no line longer than the 76 characters that RFC 2045 allows in a body.
_POLICY = SMTP.clone(max_line_length=76)

# What may stand in a Content-ID, a header's name and a domain: nothing that ends or splits them.
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# A file's name becomes plain enough for every mail program, disk and header.
_FILE_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_FILE_CAP = 60

# A line of a message holds at most 998 characters, its name included.
_HEADER_CAP = 900

# What RFC 3834 says about mail that no person wrote, and Exchange's own word for it, without the
# values that would also suppress reports of failed delivery.
_AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "OOF, AutoReply"}


class Image(NamedTuple):
    """A picture that the HTML shows as `<img src="cid:NAME">`."""

    cid: str
    """The NAME: letters, digits, dot, dash, underscore; unique in its message."""
    png: bytes
    alt: str
    """What the picture says, in words with its number."""


class Attachment(NamedTuple):
    """A file beside the message."""

    filename: str
    """Whatever is no ASCII letter, digit, dot, dash or underscore becomes a dash."""
    media_type: str
    """Such as `text/csv`; text is UTF-8."""
    data: bytes


def environment(loader: BaseLoader | None = None) -> Environment:
    """Templates from reports/templates: everything escaped, a missing value is an error.

    Escaping knows no exception by file name: a template of plain text says
    `{% autoescape false %}` itself.
    """
    return Environment(
        loader=loader or PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def inline(html: str) -> str:
    """Styles moved to the elements; `@media` rules stay in the head, for dark mode."""
    inlined = css_inline.inline(html, keep_at_rules=True, load_remote_stylesheets=False)
    return _STYLE.sub(_tight, inlined)


_STYLE = re.compile(r' style="([^"]*)"')


def _tight(style: re.Match[str]) -> str:
    """A style without the spaces that nobody reads: a tenth of a long report."""
    said = style[1].replace(": ", ":").replace("; ", ";").replace(", ", ",").rstrip("; ")
    return f' style="{said}"'


_LEAVE = "<!--leave-->"
"""Stands in the foot of every page, where the link of one reader may."""


def with_leave(text: str, html: str, url: str, style: Style) -> tuple[str, str]:
    """Both bodies with the link by which one reader leaves the report; '' adds none."""
    if not url:
        return text, html
    with use(style):
        said = say("To get this report no more")
    link = (
        f'<p style="margin:0 0 8px;font-size:12px;line-height:17px"><a class="quiet"'
        f' href="{escape(url)}" style="color:#5b6572">{escape(said)}</a></p>'
    )
    return f"{text.rstrip()}\n\n{said}:\n{url}\n", html.replace(_LEAVE, link, 1)


def message(
    *,
    sender: str,
    recipient: str,
    subject: str,
    text: str,
    html: str,
    date: datetime,
    dedup_key: str,
    domain: str,
    images: Sequence[Image] = (),
    attachments: Sequence[Attachment] = (),
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """One message to one recipient, 7-bit clean, with CRLF line ends.

    Args:
        sender: an address, with or without a display name.
        recipient: as `sender`.
        subject: free text; controls become blanks.
        text: the plain twin.
        html: the document, styles inlined.
        date: the aware instant that the message speaks of.
        dedup_key: what must be sent once; with the recipient's address it makes the Message-ID.
        domain: ours, for Message-ID and Content-IDs.
        images: each must be shown by `html`.
        attachments: in this order.
        headers: further ones, such as `List-Unsubscribe`.

    Raises:
        InputError: an address or a further header cannot be used.
    """
    to = _address(recipient)
    seed = hashlib.sha256(f"{dedup_key}\0{to.addr_spec}".encode()).hexdigest()[:32]
    ours = _token(domain, "the domain of our Message-IDs")
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = _address(sender)
    mail["To"] = to
    mail["Subject"] = _Words("Subject", subject)
    mail["Date"] = _utc(date)
    mail["Message-ID"] = f"<{seed}@{ours}>"
    _add_headers(mail, {**_AUTOMATIC, **(headers or {})})
    _add_bodies(mail, text, html, images, f"{seed[:16]}@{ours}")
    for attachment in attachments:
        _attach(mail, attachment)
    _set_boundaries(mail, seed)
    return mail.as_bytes()


class _Words(str):
    """Free text as a header on one line, or in encoded words if it must be.

    EmailMessage takes it as it is. Its own headers decode what looks like an encoded word (and the
    line ends inside), encode a long URL so that nobody can follow it, and lose blanks in folding.
    """

    __slots__ = ("name",)
    name: str
    defects = ()

    def __new__(cls, name: str, text: str, cap: int = NAME_CAP) -> Self:
        words = super().__new__(cls, clean_name(text, cap))
        words.name = name
        return words

    def fold(self, *, policy: Policy) -> str:
        """The header with its line ends, as email.policy asks for it."""
        text = str(self)
        if not text.isascii() or "=?" in text:
            text = Header(text, "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {text}{policy.linesep}"


def _add_headers(mail: EmailMessage, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _token(name, "a header") in mail or name.lower().startswith("content-"):
            raise InputError(f"header {name} is set by Crossover itself", "Remove it")
        mail[name] = _Words(name, value, _HEADER_CAP)


def _add_bodies(
    mail: EmailMessage, text: str, html: str, images: Sequence[Image], suffix: str
) -> None:
    """The plain twin, and the HTML with its images, whose Content-IDs become world-unique."""
    content_ids = [f"{_token(image.cid, 'an image')}.{suffix}" for image in images]
    for image, content_id in zip(images, content_ids, strict=True):
        shown = f'"cid:{image.cid}"'
        if shown not in html:
            raise InputError(f"image {image.cid} is not shown by the HTML", f"Add src={shown}")
        html = html.replace(shown, f'"cid:{content_id}"')
    mail.set_content(text, cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    *_, page = mail.iter_parts()
    for image, content_id in zip(images, content_ids, strict=True):
        described = [_Words("Content-Description", image.alt)]
        page.add_related(image.png, "image", "png", cid=f"<{content_id}>", headers=described)


def _attach(mail: EmailMessage, attachment: Attachment) -> None:
    main, _, sub = attachment.media_type.partition("/")
    mail.add_attachment(
        attachment.data,
        maintype=main,
        subtype=sub,
        filename=clean_file_name(attachment.filename),
        params={"charset": "utf-8"} if main == "text" else None,
    )


def clean_file_name(name: str) -> str:
    """What a file beside a message is called."""
    return _FILE_UNSAFE.sub("-", name)[:_FILE_CAP]


def _set_boundaries(mail: EmailMessage, seed: str) -> None:
    """Boundaries that the message's own bodies cannot contain: `=_` is in no encoded line."""
    for number, part in enumerate(mail.walk()):
        if part.is_multipart():
            part.set_boundary(f"=_{seed}_{number}")


def _address(text: str) -> Address:
    name, bare = address.split(text)
    if not bare:
        raise InputError(
            f"{clean_name(text)!r} is not a mail address",
            "Write it as name@example.org or Name <name@example.org>, the address in ASCII",
        )
    # EmailMessage would decode what looks like an encoded word here too.
    return Address(clean_name(name).replace("=?", "= ?"), addr_spec=bare)


def _utc(date: datetime) -> datetime:
    if date.tzinfo is None:
        raise ValueError(f"{date} has no time zone")
    return date.astimezone(UTC)


def _token(text: str, what: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise InputError(
            f"{what} cannot be named {clean_name(text)!r}",
            "Use letters, digits, dots, dashes and underscores",
        )
    return text
