"""The mails as a browser shows them: wide and narrow, light and dark, nothing cut off."""

import html
import re
import shutil
import struct
import subprocess
import tempfile

import pytest

from monitor.jobs.report import standalone
from reports import raster, weekly
from tests import needs
from tests.unit.test_alert_mail import built as alert_mail
from tests.unit.test_weekly import EVIL
from tests.weekly_facts import breakeven, facts, source, standing, without_history, workload

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS += ["--hide-scrollbars"]

# A frame can be narrower than any window; the page around it tells what is inside.
FRAME = """<iframe width="{width}" height="900" frameborder="0" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = frames[0].document, of = (name) => getComputedStyle(page.querySelector(name));
  document.title = [
    page.documentElement.scrollWidth,
    of("body").backgroundColor, of(".card").backgroundColor, of("h1").color,
  ].join("|");
}};
</script>"""


def chromium(*words):
    """One run with a profile of its own."""
    profile = tempfile.mkdtemp(prefix="crossover-chromium-")
    try:
        command = [needs.chromium(), *FLAGS, f"--user-data-dir={profile}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    finally:
        shutil.rmtree(profile, ignore_errors=True)


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
        page = tmp_path / "page.html"
        page.write_text(FRAME.format(width=width, page=html.escape(pages[name])))
        shown = chromium("--dump-dom", *words, page.as_uri()).stdout
        return re.search(r"<title>([^<]*)", shown)[1].split("|")

    return tell


@pytest.mark.parametrize("width", [360, 600, 1200])
@pytest.mark.parametrize("name", ["weekly", "alert"])
def test_nothing_is_cut_off(told, name, width):
    assert int(told(name, width)[0]) == width


@pytest.mark.parametrize("name", ["weekly", "alert"])
def test_light_and_dark_have_colours_of_their_own(told, name):
    assert told(name, 600)[1:] == ["rgb(238, 240, 243)", "rgb(255, 255, 255)", "rgb(28, 36, 48)"]
    dark = told(name, 600, "--force-dark-mode")[1:]
    assert dark == ["rgb(17, 21, 26)", "rgb(26, 32, 39)", "rgb(243, 245, 247)"]


@pytest.mark.parametrize("width", [600, 1200])
def test_the_page_is_drawn_with_its_pictures(pages, tmp_path, width):
    page, shot = tmp_path / "page.html", tmp_path / "shot.png"
    page.write_text(pages["weekly"])
    chromium(f"--window-size={width},2600", f"--screenshot={shot}", page.as_uri())
    png = shot.read_bytes()
    assert struct.unpack(">I", png[16:20]) == (width,)
    assert len(png) > 100_000
