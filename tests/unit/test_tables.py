"""Tables on a terminal: words fold, figures stay whole."""

import pytest

from monitor.cli.common import Format, show

ROW = {
    "workload": "a name of several words",
    "asof": "2026-11-25",
    "q10": "36259367476",
    "q50": "$37,413,440.62",
    "q90": "-38845705722",
    "at": "2026-11-25T06:00:00Z",
    "flags": "",
}


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_no_width_breaks_a_figure(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    show([ROW, ROW | {"q10": None}], Format.TABLE)
    printed = capsys.readouterr().out
    assert [name for name in ("asof", "q10", "q50", "q90", "at") if ROW[name] not in printed] == []
    assert "several" in printed


def test_nothing_prints_nothing(capsys):
    show([], Format.TABLE)
    assert capsys.readouterr().out == ""
