"""Pages as Chromium shows them, and the pictures of them that docs/pictures keeps."""

import html
import io
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from tests import needs

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
FLAGS += ["--hide-scrollbars"]

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WIDTHS = (360, 600, 1200)
SCHEMES = {"light": (), "dark": ("--force-dark-mode",)}
NARROWEST = 500
"""Pixels: a window is no narrower."""

# A frame can be narrower than any window; the page around it tells what is inside.
FRAME = """<body style="margin:0"><iframe width="{width}" height="{height}" frameborder="0"
style="display:block" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = frames[0].document, of = (name) => getComputedStyle(page.querySelector(name));
  document.title = [
    page.documentElement.scrollWidth, page.documentElement.scrollHeight,
    of("body").backgroundColor, of(".card, main").backgroundColor, of("h1").color,
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


def framed(folder, page, width, height=900):
    """The address of a page that shows `page` in a frame."""
    around = folder / "page.html"
    around.write_text(FRAME.format(width=width, height=height, page=html.escape(page)))
    return around.as_uri()


def told(folder, page, width, *words):
    """Width, height and colours of a page, as the browser computes them."""
    shown = chromium("--dump-dom", *words, framed(folder, page, width)).stdout
    return html.unescape(re.search(r"<title>([^<]*)", shown)[1]).split("|")


def shot(folder, page, width, *words):
    """The whole page as a small PNG."""
    height = int(told(folder, page, width)[1])
    drawn = folder / "shot.png"
    window = f"--window-size={max(width, NARROWEST)},{height}"
    chromium(window, f"--screenshot={drawn}", *words, framed(folder, page, width, height))
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").crop((0, 0, width, height)).quantize(128, dither=0)
    packed = io.BytesIO()
    few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def keep(name, page):
    """Write the pictures of a page at each width, light and dark, below docs/pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            for scheme, words in SCHEMES.items():
                drawn = shot(Path(folder), page, width, *words)
                (PICTURES / f"{name}-{width}-{scheme}.png").write_bytes(drawn)
