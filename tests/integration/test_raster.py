"""Drawing in a child process: the same bytes anywhere, in time, or a reason why not."""

import os
import struct
import subprocess
import sys
import zlib

import pytest

from reports import charts, raster
from reports.raster import NotDrawn
from tests.unit.test_charts import spending, volumes
from tests.weekly_facts import scenario

SPECS = {"spend": charts.spend(spending()), "cost": charts.cost(scenario(), volumes())}


@pytest.fixture(scope="module")
def pictures():
    return raster.draw(SPECS)


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
    assert list(pictures) == ["spend", "cost"]
    assert {size(png)[0] for png in pictures.values()} == {raster.SCALE * charts.WIDTH}
    assert all(len(set(pixels(png))) > 50 for png in pictures.values())


def test_the_same_definition_gives_the_same_bytes_in_another_process(pictures):
    assert raster.draw(SPECS) == pictures


def test_fonts_of_the_system_change_nothing_and_ours_is_brought_along():
    def drawn(font):
        spec = charts.spend(spending())
        spec["config"]["font"] = font
        return raster.draw({"a": spec})["a"]

    ours, missing = drawn(charts.FONT), drawn("No Such Font")
    assert len(set(pixels(ours))) > len(set(pixels(missing)))
    # Debian's own font, which is there, is not seen.
    assert drawn("DejaVu Sans") == missing


def test_nothing_to_draw_starts_no_process():
    assert raster.draw({}) == {}


def test_a_definition_that_cannot_be_drawn_says_why():
    with pytest.raises(NotDrawn) as failed:
        raster.draw({"bad": {"mark": "no such mark"}})
    assert str(failed.value)


def test_a_picture_that_takes_too_long_is_given_up():
    with pytest.raises(NotDrawn, match=r"they took more than 0\.01 seconds"):
        raster.draw(SPECS, timeout=0.01)


def test_the_daemon_never_loads_the_renderer():
    program = "import sys, reports.weekly, reports.raster; assert 'vl_convert' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ})
