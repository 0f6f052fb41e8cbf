"""The mails as a browser shows them: wide and narrow, light and dark, nothing cut off."""

import struct

import pytest

from monitor.jobs.report import standalone
from reports import raster, weekly
from tests.browser import shots
from tests.browser.shots import chromium
from tests.unit.test_alert_mail import built as alert_mail
from tests.unit.test_weekly import EVIL
from tests.weekly_facts import breakeven, facts, source, standing, without_history, workload


def full():
    long = "a-workload-whose-name-is-much-longer-than-anyone-would-like-it-to-be"
    return facts(
        demo=True,
        missing=["usage of openai usage to the end of the week"],
        tables={
            "workloads": [workload(), workload(long, "1234567.89", "-345678.90"), workload(EVIL)],
            "breakevens": [breakeven(), breakeven(long, long, "stay"), without_history()],
            "data.sources": [source(), source(long, failures_in_a_row=1, last_error="x" * 90)],
        },
        standings={("support-bot", "own-h100"): standing(assumptions=["a = 1"], zero_lines=["b"])},
    )


@pytest.fixture(scope="module")
def pages():
    """Name -> the page as a browser opens it."""
    return {
        "weekly": standalone(weekly.build(full(), raster.draw)),
        "alert": alert_mail(workload=EVIL).html,
    }


@pytest.fixture
def told(pages, tmp_path):
    """Widths and colours of a page, as the browser computes them."""

    def tell(name, width, *words):
        return shots.told(tmp_path, pages[name], width, *words)

    return tell


@pytest.mark.parametrize("width", [360, 600, 1200])
@pytest.mark.parametrize("name", ["weekly", "alert"])
def test_nothing_is_cut_off(told, name, width):
    assert int(told(name, width)[0]) == width


@pytest.mark.parametrize("name", ["weekly", "alert"])
def test_light_and_dark_have_colours_of_their_own(told, name):
    assert told(name, 600)[2:] == ["rgb(238, 240, 243)", "rgb(255, 255, 255)", "rgb(28, 36, 48)"]
    dark = told(name, 600, "--force-dark-mode")[2:]
    assert dark == ["rgb(17, 21, 26)", "rgb(26, 32, 39)", "rgb(243, 245, 247)"]


@pytest.mark.parametrize("width", [600, 1200])
def test_the_page_is_drawn_with_its_pictures(pages, tmp_path, width):
    page, shot = tmp_path / "page.html", tmp_path / "shot.png"
    page.write_text(pages["weekly"])
    chromium(f"--window-size={width},2600", f"--screenshot={shot}", page.as_uri())
    png = shot.read_bytes()
    assert struct.unpack(">I", png[16:20]) == (width,)
    assert len(png) > 100_000
