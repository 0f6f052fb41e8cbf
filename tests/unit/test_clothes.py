"""An organisation's colour is always readable, and its logo always shown at a fitting size."""

import re
import struct
import zlib

import pytest

from monitor.domain.errors import InputError
from reports import alert, weekly
from reports.clothes import CARD, DARK_CARD, look, read_logo
from reports.language import Style
from reports.raster import Drawn
from tests.mail_checker import contrast, problems
from tests.unit.test_alert_mail import group, notice
from tests.weekly_facts import facts


def png(width, height):
    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "colour", ["#ffffff", "#000000", "#ffff00", "#ff0000", "#00ff7f", "#777777", "#1f5a99"]
)
def test_a_colour_is_darkened_or_lightened_until_it_can_be_read(colour):
    found = look(colour)
    assert contrast(found.accent, CARD) >= 4.5
    assert contrast(found.dark_accent, DARK_CARD) >= 4.5


def test_a_colour_that_can_be_read_stays_as_it_is():
    assert look("#1f5a99").accent == "#1f5a99"
    assert look("#8fbdf0").dark_accent == "#8fbdf0"
    assert look("#ffd700").accent != "#ffd700"


def test_a_logo_keeps_its_shape_and_fits_its_place():
    assert read_logo(png(400, 40), "x")[1:] == (200, 20)
    assert read_logo(png(40, 80), "x")[1:] == (20, 40)
    assert read_logo(png(30, 10), "x")[1:] == (30, 10)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"x" * 200_001, png(0, 5)])
def test_what_is_no_logo_for_a_mail_is_refused(data):
    with pytest.raises(InputError, match="logo"):
        read_logo(data, "logo.png")


def dressed():
    return Style(look=look("#ffd700", read_logo(png(80, 40), "x")))


def test_both_kinds_of_mail_wear_the_colour_and_the_logo():
    audience = facts().audience._replace(style=dressed())
    report = weekly.build(
        facts(audience=audience), lambda specs: Drawn({}, dict.fromkeys(specs, "no"))
    )
    told = alert.build(group(notice()), dressed())
    for mail in (report, told):
        assert [image.cid for image in mail.images] == ["logo"]
        (shown,) = re.findall(r'<img[^>]*"cid:logo"[^>]*>', mail.html)
        assert {'width="80"', 'height="40"', 'alt="Acme"'} <= set(shown.split())
        assert look("#ffd700").accent in mail.html
        assert look("#ffd700").dark_accent in mail.html
        assert problems(mail.html) == []


def test_without_a_logo_the_page_names_the_program():
    told = alert.build(group(notice()))
    assert not told.images
    assert ">Crossover</td>" in told.html
