"""Drawing in a child process: the same bytes anywhere, in time, or a reason why not."""

import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from reports import charts, heatmap, marks, raster
from reports.themes import DARK
from tests.unit.test_charts import EVIL, PICTURES, load, spending, stack

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "g", "path", "rect", "line", "text", "tspan", "defs", "clipPath", "circle"}


@pytest.fixture(scope="module")
def pictures():
    drawn = raster.draw(PICTURES)
    assert drawn.failed == {}
    return drawn.pictures


@pytest.fixture(scope="module")
def svgs():
    evil = {
        "evil-spend": charts.spend(
            spending(stacks=[stack(each, n + 1) for n, each in enumerate(EVIL[:5])]), DARK
        ),
        "evil-load": heatmap.utilisation(load(*((each, [1]) for each in EVIL)))
        | {"description": "".join(EVIL)},
    }
    drawn = raster.draw(PICTURES | evil, "svg")
    assert drawn.failed == {}
    return {name: ET.fromstring(svg) for name, svg in drawn.pictures.items()}


def size(png):
    return struct.unpack(">II", png[16:24])


def pixels(png):
    """Every byte of the picture's rows, unpacked."""
    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(data)


def test_every_picture_is_twice_as_wide_as_it_is_shown(pictures):
    assert list(pictures) == list(PICTURES)
    assert {size(png)[0] for png in pictures.values()} == {raster.SCALE * marks.WIDTH}
    assert all(len(set(pixels(png))) > 50 for png in pictures.values())


def test_the_pictures_of_a_mail_are_small(pictures):
    assert all(len(png) < 80_000 for png in pictures.values())


def test_the_same_definition_gives_the_same_bytes_in_another_process(pictures):
    assert raster.draw(PICTURES).pictures == pictures


def test_packing_changes_no_pixel():
    import vl_convert

    png = vl_convert.svg_to_png(
        '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><circle r="20"/></svg>'
    )
    again = raster.packed(png)
    assert pixels(again) == pixels(png)
    assert again[:33] == png[:33]
    assert again.endswith(png[-12:])


def test_fonts_of_the_system_change_nothing_and_ours_is_used():
    def drawn(font):
        spec = charts.spend(spending())
        spec["config"]["font"] = font
        return raster.draw({"a": spec}).pictures["a"]

    ours, missing = drawn(marks.FONTS), drawn("No Such Font")
    assert ours != missing
    # Debian's own font, which is there, is not seen.
    assert drawn("DejaVu Sans") == missing


def test_without_our_font_a_picture_would_look_otherwise(tmp_path, pictures):
    shutil.copytree(Path(raster.__file__).parent, tmp_path / "reports")
    shutil.rmtree(tmp_path / "reports" / "fonts")
    (tmp_path / "reports" / "fonts").mkdir()
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom reports import raster\n"
        "raster._ROOT = Path(sys.argv[1])\n"
        "drawn = raster.draw(json.load(sys.stdin))\n"
        "sys.stdout.buffer.write(drawn.pictures['cost'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        input=json.dumps({"cost": PICTURES["cost"]}).encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"\x89PNG")
    assert done.stdout != pictures["cost"]


def test_a_picture_for_a_page_holds_no_script_and_asks_for_nothing(svgs):
    for name, root in svgs.items():
        for node in root.iter():
            assert node.tag.removeprefix(SVG) in DRAWN, name
            for key, value in node.attrib.items():
                # A strict page allows no styles in attributes either.
                assert key != "style"
                assert "href" not in key
                assert not key.startswith("on")
                assert "url(" not in value.replace("url(#", "")
                assert "://" not in value


def test_a_picture_for_a_page_names_our_font_and_keeps_its_words_as_text(svgs):
    for root in svgs.values():
        texts = [node for node in root.iter(f"{SVG}text") if node.text]
        assert texts
        assert {node.get("font-family") for node in texts} == {marks.FONTS}
    said = [node.text for node in svgs["spend"].iter(f"{SVG}text")]
    assert "November to the 3rd: $150.50" in said


def test_names_from_outside_stay_words(svgs):
    said = [node.text for node in svgs["evil-load"].iter(f"{SVG}text")]
    assert marks.label("datum.value ? 1 : 0") in said
    assert marks.label(EVIL[6]) in said
    title = svgs["evil-load"].find(f"{SVG}title").text
    assert "</svg><script>alert(1)</script>" in title


def test_a_picture_is_opaque_and_has_its_border(svgs):
    for name, root in svgs.items():
        first, *_ = root.iter(f"{SVG}rect")
        assert (first.get("width"), first.get("fill")) == (
            str(marks.WIDTH),
            DARK.background if name == "evil-spend" else "#ffffff",
        )
        frame = root[-1]
        assert frame.tag == f"{SVG}rect"
        assert frame.get("stroke") == DARK.border
        assert float(frame.get("width")) == marks.WIDTH - 1


def test_nothing_to_draw_starts_no_process():
    assert raster.draw({}) == ({}, {})


def test_one_that_cannot_be_drawn_says_why_and_loses_no_other():
    bad = {"bad": {"mark": "no such mark"}, "good": PICTURES["cost"], "worse": {}}
    drawn = raster.draw(bad)
    assert list(drawn.pictures) == ["good"]
    assert list(drawn.failed) == ["bad", "worse"]
    assert all(drawn.failed.values())


def test_a_definition_that_asks_for_data_from_an_address_is_refused():
    spec = {"data": {"url": "http://127.0.0.1:9/a.csv"}, "mark": "bar", "encoding": {}}
    assert "not allowed" in raster.draw({"a": spec}).failed["a"]


def test_what_was_drawn_before_the_process_ended_stays_drawn(monkeypatch, tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("")
    (tmp_path / "reports" / "raster.py").write_text(
        "import json, sys\n"
        "names = list(json.load(sys.stdin))\n"
        "print(json.dumps({'name': names[0], 'picture': 'QUJD'}), flush=True)\n"
        "print('{\"name\": \"b', end='', flush=True)\n"
        "sys.exit('out of memory')\n"
    )
    monkeypatch.setattr(raster, "_ROOT", tmp_path)
    assert raster.draw({"a": {}, "b": {}}) == ({"a": b"ABC"}, {"b": "out of memory"})


def test_a_picture_that_takes_too_long_is_given_up_and_those_before_are_kept(monkeypatch, tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "__init__.py").write_text("")
    (tmp_path / "reports" / "raster.py").write_text(
        "import json, sys, time\n"
        "print(json.dumps({'name': 'a', 'picture': 'QUJD'}), flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(raster, "_ROOT", tmp_path)
    drawn = raster.draw({"a": {}, "b": {}}, timeout=5)
    assert drawn == ({"a": b"ABC"}, {"b": "they took more than 5 seconds"})


def test_the_daemon_never_loads_the_renderer():
    program = "import sys, reports.weekly, reports.raster; assert 'vl_convert' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
