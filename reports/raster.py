"""Pictures from their definitions, in a child process: 105 MB that the daemon never carries.

`python -m reports.raster` reads a JSON object name -> Vega-Lite from stdin and writes name -> PNG
(base64) to stdout. It needs no network, and system fonts are out of its sight: the same definition
gives the same bytes on any machine.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VEGA_LITE = "6.4"
SCALE = 2
"""Pixels to a CSS pixel: sharp on the screens that people have."""

TIMEOUT_SECONDS = 60
_ROOT = Path(__file__).parents[1]
_NO_FONTS = Path(__file__).with_name("no-system-fonts.conf")


class NotDrawn(Exception):
    """The pictures could not be drawn; a report goes out without them, and says so."""


def draw(
    specs: Mapping[str, Mapping[str, Any]], timeout: float = TIMEOUT_SECONDS
) -> dict[str, bytes]:
    """All pictures of a report as PNG, by name.

    Raises:
        NotDrawn: one of them could not be drawn, or not in time.
    """
    if not specs:
        return {}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "reports.raster"],
            input=json.dumps(specs).encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "FONTCONFIG_FILE": str(_NO_FONTS)},
        )
    except subprocess.TimeoutExpired:
        raise NotDrawn(f"they took more than {timeout:g} seconds") from None
    except OSError as error:
        raise NotDrawn(f"no process could be started: {error.strerror}") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotDrawn(last[0] if last else f"the process ended with {done.returncode}")
    return {name: base64.b64decode(png) for name, png in json.loads(done.stdout).items()}


def main() -> None:
    """The child: draw what stdin defines."""
    import vl_convert  # noqa: PLC0415 - the parent must not carry it

    specs = json.load(sys.stdin)
    pictures = {
        name: vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=SCALE)
        for name, spec in specs.items()
    }
    json.dump({name: base64.b64encode(png).decode() for name, png in pictures.items()}, sys.stdout)


if __name__ == "__main__":
    main()
