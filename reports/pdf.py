"""A report as PDF, on A4 with page numbers, made in a child process that fetches nothing.

`python -m reports.pdf` reads HTML from stdin and writes the PDF to stdout. The layout's memory is
never the daemon's, and a page that takes too long ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from monitor.domain.errors import CrossoverError, InputError

TIMEOUT_SECONDS = 60
MOST_BYTES = 4_000_000
"""Of HTML: a report has a fiftieth of it."""
_PATH = str(Path(__file__).parents[1])
_FONTS = Path(__file__).with_name("pdf-fonts.conf")
_NO_LIBRARY = 3
"""How the child ends where the layout engine's library is missing."""

STYLE = """
@page {
  size: A4; margin: 16mm 14mm 18mm;
  @bottom-left { content: "Crossover"; font: 8pt 'Open Sans', sans-serif; color: #5b6572; }
  @bottom-right {
    content: counter(page) " / " counter(pages); font: 8pt 'Open Sans', sans-serif; color: #5b6572;
  }
}
body, .page { background: #ffffff !important; background-color: #ffffff !important; }
.page, .page table { font-family: 'Open Sans', sans-serif !important; }
.card { max-width: none !important; width: 100% !important; }
tr, img { break-inside: avoid; }
.card > tbody > tr, .page > tbody > tr { break-inside: auto; }
h1, h2, h3 { break-after: avoid; }
"""


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("weasyprint") is not None


def require() -> None:
    """Raises InputError where the extra is missing."""
    if not available():
        raise InputError(
            "a PDF needs the extra `pdf`", "Install it: pip install 'crossover-monitor[pdf]'."
        )


def make(html: str, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """The PDF of a page that holds all of its pictures.

    Raises:
        InputError: the extra or a system library is missing, and which.
        CrossoverError: it could not be laid out, or not in time.
    """
    require()
    page = html.encode()
    if len(page) > MOST_BYTES:
        raise CrossoverError(f"a page of {len(page):,} bytes is too large for a PDF", _INSTEAD)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "reports.pdf"],
            input=page,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"PATH": os.defpath, "PYTHONPATH": _PATH, "FONTCONFIG_FILE": str(_FONTS)},
        )
    except subprocess.TimeoutExpired:
        raise CrossoverError(f"the PDF took more than {timeout:g} seconds", _INSTEAD) from None
    except OSError as error:
        raise CrossoverError(f"no process could be started: {error.strerror}", _INSTEAD) from None
    if done.returncode == _NO_LIBRARY:
        raise InputError(
            f"a PDF needs the system library Pango: {_last(done.stderr)}",
            "Install it: apt-get install libpango-1.0-0 libpangoft2-1.0-0 (or pango elsewhere).",
        )
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        raise CrossoverError(f"the PDF could not be laid out: {_last(done.stderr)}", _INSTEAD)
    return done.stdout


_INSTEAD = "Use the HTML instead."


def _last(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it ended without a word"


def main() -> None:
    """The child: lay out what stdin holds."""
    try:
        from weasyprint import CSS, HTML  # noqa: PLC0415 - the parent must not carry it
        from weasyprint.urls import FatalURLFetchingError, URLFetcher  # noqa: PLC0415
    except OSError as error:
        sys.stderr.write(f"{error}".splitlines()[0] + "\n")
        sys.exit(_NO_LIBRARY)

    class Nothing(URLFetcher):  # type: ignore[misc]
        """Opens what the page itself holds and ends at anything else."""

        def fetch(self, url: str, headers: dict[str, str] | None = None) -> object:
            if not url.lower().startswith("data:"):
                raise FatalURLFetchingError(f"the page asks for {url[:80]}")
            return super().fetch(url, headers)

    page = sys.stdin.buffer.read().decode()
    document = HTML(string=page, url_fetcher=Nothing(), base_url=None, media_type="print")
    made = document.write_pdf(
        stylesheets=[CSS(string=STYLE)], pdf_identifier=b"crossover", presentational_hints=True
    )
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
