"""The pages behind a mail's links as a browser shows them: narrow and wide, light and dark."""

import re

import pytest

from monitor.storage.engine import Database
from monitor.web.desk import STYLE
from tests.browser import shots
from tests.integration.test_answers_by_link import EVIL, put_alert, served

LONG = "a-subject-whose-name-is-much-longer-than-anyone-would-like-it-to-be " * 2 + EVIL


@pytest.fixture
def pages(sqlite_url):
    database = Database(sqlite_url)
    put_alert(database, subject=LONG)
    with served(database) as service:
        key = f"crossing/v1/{LONG.replace('/', '%2F')}"
        yield {
            "answer": service.ask("GET", service.link("silence", key)).raw,
            "problem": service.ask("POST", service.link("silence", key), {}).raw,
            "refused": service.ask("GET", service.link("snooze", key)[:-9]).raw,
            "report": service.ask("GET", service.link("unsubscribe", LONG)).raw,
        }
    database.close()


def test_nothing_is_cut_off_on_a_telephone_or_a_screen(pages, tmp_path):
    for name, page in pages.items():
        for width in (360, 1200):
            told = shots.told(tmp_path, page, width)
            assert int(told[0]) == width, name
            assert told[3] == "rgb(255, 255, 255)", name


def luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


PAIRS = {
    "light": [
        *(("#1c2430", "#ffffff"), ("#1c2430", "#eef0f3"), ("#4a5361", "#ffffff")),
        *(("#ffffff", "#1f5a99"), ("#5c4200", "#fff2cc"), ("#6b7583", "#ffffff")),
    ],
    "dark": [
        *(("#e7eaee", "#1a2027"), ("#e7eaee", "#11151a"), ("#a6b0bc", "#1a2027")),
        *(("#11151a", "#8fbdf0"), ("#ffe9b0", "#463a12"), ("#7d8896", "#1a2027")),
    ],
}


@pytest.mark.parametrize("mode", PAIRS)
def test_every_pair_of_colours_has_contrast_enough(mode):
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    sheet = {"light": light, "dark": dark}[mode]
    seen = {colour for pair in PAIRS[mode] for colour in pair}
    # Borders and the ring around what has the focus need 3; text 4.5.
    assert set(re.findall(r"#[0-9a-f]{6}", sheet)) - seen <= {"#b85a00"}
    assert [pair for pair in PAIRS[mode] if contrast(*pair) < 4.5] == []
