"""Pictures from their definitions, in a child process: 105 MB that the daemon never carries.

`python -m reports.raster png` reads a JSON object name -> Vega-Lite from stdin and writes a line
for each, as soon as it is drawn: what is drawn stays drawn if a later one fails, hangs or ends the
process. It needs no network; of fonts it sees ours and not the system's: the same definition gives
the same picture on any machine.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.sax.saxutils import escape

VEGA_LITE = "6.4"
SCALE = 2
"""Pixels to a CSS pixel: sharp on the screens that people have."""

TIMEOUT_SECONDS = 60
_ROOT = Path(__file__).parents[1]
_NO_FONTS = Path(__file__).with_name("no-system-fonts.conf")
FONT_FOLDER = Path(__file__).with_name("fonts")
"""Also for a page that shows SVG: it names the font, and holds no copy of it."""

Form = Literal["png", "svg"]
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Drawn(NamedTuple):
    """The pictures of a report; a report goes out without those that failed, and says so."""

    pictures: Mapping[str, bytes]
    """PNG, or SVG in UTF-8, by name."""
    failed: Mapping[str, str]
    """Why the others could not be drawn, by name."""


def draw(
    specs: Mapping[str, Mapping[str, Any]], form: Form = "png", timeout: float = TIMEOUT_SECONDS
) -> Drawn:
    """All pictures of a report, in one child process; each that fails is named with its reason."""
    if not specs:
        return Drawn({}, {})
    lines, ended = _run(json.dumps(specs).encode(), form, timeout)
    found = {each["name"]: each for each in map(json.loads, lines)}
    pictures = {
        name: base64.b64decode(each["picture"]) for name, each in found.items() if "picture" in each
    }
    failed = {
        name: found[name]["error"] if name in found else ended
        for name in specs
        if name not in pictures
    }
    return Drawn(pictures, failed)


def _run(stdin: bytes, form: Form, timeout: float) -> tuple[list[bytes], str]:
    """The whole lines that the child wrote, and why there are no more."""
    try:
        done = subprocess.run(  # noqa: S603 - our own module, and one of two words
            [sys.executable, "-P", "-m", "reports.raster", form],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "FONTCONFIG_FILE": str(_NO_FONTS)},
        )
    except subprocess.TimeoutExpired as expired:
        return _whole(expired.stdout or b""), f"they took more than {timeout:g} seconds"
    except OSError as error:
        return [], f"no process could be started: {error.strerror}"
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    ended = last[0] if last else f"the process ended with {done.returncode}"
    return _whole(done.stdout), ended


def _whole(written: bytes) -> list[bytes]:
    """Without a last line that was cut off."""
    return written.split(b"\n")[:-1]


def main() -> None:
    """The child: draw what stdin defines."""
    import vl_convert  # noqa: PLC0415 - the parent must not carry it

    vl_convert.register_font_directory(str(FONT_FOLDER))
    form = sys.argv[1]
    for name, spec in json.load(sys.stdin).items():
        try:
            said = spec.pop("description", "")
            # No address is allowed: a definition holds its data.
            drawn = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
            svg = framed(drawn, spec.get("usermeta", {}).get("border"), said)
            if form == "png":
                picture = packed(vl_convert.svg_to_png(svg, scale=SCALE))
            else:
                picture = svg.encode()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next picture is drawn
            line = {"name": name, "error": _reason(error)}
        else:
            line = {"name": name, "picture": base64.b64encode(picture).decode()}
        print(json.dumps(line), flush=True)  # noqa: T201


def _reason(error: Exception) -> str:
    """The renderer's own words, without the places in its scripts."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in said if not line.startswith("at ")]
    return " ".join(kept)[:300] or type(error).__name__


def framed(svg: str, border: str | None, said: str) -> str:
    """With its border, and what it says for who cannot see it."""
    head, close, body = svg.partition(">")
    if said:
        body = f"<title>{escape(_NOT_XML.sub('', said))}</title>{body}"
        head += ' role="img"'
    if border:
        size = re.search(r'width="([\d.]+)" height="([\d.]+)"', head)
        assert size, "a picture has a size"
        width, height = (float(each) - 1 for each in size.groups())
        frame = f'<rect x="0.5" y="0.5" width="{width:g}" height="{height:g}"'
        body = body.replace("</svg>", f'{frame} fill="none" stroke="{border}"/></svg>')
    return f"{head}{close}{body}"


def packed(png: bytes) -> bytes:
    """The same picture in about a quarter of the bytes: the renderer packs for speed."""
    kept, data, at = [png[:8]], b"", 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if kind == b"IDAT":
            data += png[at + 8 : end - 4]
        elif kind == b"IEND":
            again = b"IDAT" + zlib.compress(zlib.decompress(data), 9)
            kept += [struct.pack(">I", len(again) - 4), again]
            kept += [struct.pack(">I", zlib.crc32(again)), png[at:end]]
        else:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


if __name__ == "__main__":
    main()
