"""Files whose names and rows are odd: they are imported, or told of, and stop nothing."""

import os
from pathlib import Path

from sqlalchemy import text

from collectors.formats import Chosen
from collectors.mapping import parse_map
from monitor.config import from_tables
from monitor.jobs.imports import import_files
from monitor.wiring import usage

NOW = 1_793_577_600


def test_a_name_that_is_no_utf_8_is_imported_once_and_a_far_time_is_told_of(database, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")
    with Path(path).open("w") as file:
        file.write("t,i,o\n1793491200,5,1\n99999999999,5,1\nnever,5,1\n")
    files = Chosen([path], "csv", "team", parse_map("at=t,input=i,output=o"))
    first = import_files(database, "logs", files, NOW).total
    assert (first.new, first.quarantined) == (1, 2)
    assert import_files(database, "logs", files, NOW).total.unchanged == 1
    with database.read() as conn:
        assert conn.scalar(text("SELECT path FROM file_cursor")).endswith("caf\\udce9.csv")


def test_a_new_file_in_a_mapped_folder_leaves_the_source_as_it_is(tmp_path):
    logs, alone = tmp_path / "logs", tmp_path / "alone.csv"
    logs.mkdir()
    (logs / "b.csv").write_text("t,i,o\n1793491200,5,1\n")
    alone.write_text("t,i,o\n1793491200,5,1\n")
    named = [str(logs), str(alone)]

    def sources():
        chosen = usage.files(from_tables({}), named, "auto", "at=t,input=i,output=o")
        return {name: len(list(files.paths())) for name, files in chosen}

    assert sources() == {"logs": 1, "alone.csv": 1}
    (logs / "a.csv").write_text("t,i,o\n1793491200,9,1\n")
    assert sources() == {"logs": 2, "alone.csv": 1}
