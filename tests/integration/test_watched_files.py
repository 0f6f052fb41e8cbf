"""Watched folders: read on their own, by cursor, and a broken file stops no other."""

import gzip
import os

import pytest
from sqlalchemy import text

from collectors.formats import Chosen
from collectors.mapping import parse_map
from monitor.config import from_tables
from monitor.domain.errors import ConfigError, InputError
from monitor.domain.usage import DAY
from monitor.jobs.imports import import_due, import_files
from monitor.scheduler import Daemon
from monitor.storage import setup
from monitor.storage.engine import Database
from monitor.wiring import parts, rows, usage
from tests import trap_logs
from tests.cli import crossover

NOW = trap_logs.START + 40 * 86_400


def configured(folder, url, **more):
    return {
        "database": {"url": url},
        "watch": [{"name": "agents", "path": str(folder), "account": "team", **more}],
    }


def write(folder, traps):
    for name, lines in traps.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(lines) + b"\n")


def requests(database):
    with database.read() as conn:
        return conn.scalar(text("SELECT COALESCE(SUM(requests), 0) FROM usage"))


def test_a_watched_folder_is_read_when_it_is_due_and_a_broken_file_stops_no_other(
    database_url, tmp_path
):
    logs = tmp_path / "logs"
    traps = trap_logs.generate(4, spaced=False, responses=20, files=3)
    write(logs, traps)
    (logs / "broken.jsonl.gz").write_bytes(gzip.compress(b'{"sessionId": 1}\n' * 9999)[:-20])
    (logs / "unreadable.json").write_text("{}")
    settings = from_tables(configured(logs, database_url))
    database = Database(database_url)
    with database.write() as conn:
        setup.apply(conn, rows.setup(settings))
    (watched,) = usage.watched(settings)
    result = import_due(database, watched, 60, NOW)
    assert requests(database) == traps.responses
    assert (result.total.failed, result.total.skipped) == (1, 1)
    assert "broken.jsonl.gz is cut off or damaged" in str(result.errors[0])
    assert import_due(database, watched, 60, NOW + 1) is None
    again = import_due(database, watched, 60, NOW + watched.every)
    assert (again.total.new, again.total.changed) == (0, 0)
    with database.read() as conn:
        told = conn.execute(text('SELECT status, error FROM "fetch" ORDER BY id')).all()
        account = conn.scalar(
            text("SELECT a.name FROM account a JOIN source s ON s.id = a.tokens_from")
        )
    assert [row.status for row in told] == ["failed", "failed"]
    assert "broken.jsonl.gz" in told[0].error
    assert account == "team"
    database.close()


def test_the_daemon_imports_and_tells_its_health(sqlite_url, tmp_path):
    traps = trap_logs.generate(6, spaced=True, responses=10, files=3)
    write(tmp_path / "logs", traps)
    settings = from_tables(
        configured(tmp_path / "logs", sqlite_url) | {"nvml": {"mode": "off"}, "prices": {}}
    )
    daemon = Daemon(parts.daemon_parts(settings), clock=lambda: NOW)
    daemon.prepare()
    jobs = daemon._jobs()
    daemon._isolated("import agents", jobs["import agents"][0])
    assert requests(daemon.parts.database) == traps.responses
    assert daemon.health()["errors"] == {}
    daemon.close()


def test_a_watched_folder_that_is_not_there_is_told_and_tried_again(sqlite_url, tmp_path):
    settings = from_tables(configured(tmp_path / "absent", sqlite_url))
    database = Database(sqlite_url)
    with database.write() as conn:
        setup.apply(conn, rows.setup(settings))
    (watched,) = usage.watched(settings)
    assert "there is no" in str(import_due(database, watched, 60, NOW).errors[0])
    assert import_due(database, watched, 60, NOW + watched.every).total.failed == 1
    database.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"watch": [{"name": "a", "account": "x"}]}, "path"),
        (
            {
                "watch": [{"name": "a", "path": "p", "account": "x"}],
                "source": [{"name": "a", "kind": "openai", "account": "y", "admin_key": "env:K"}],
            },
            "is that of a source",
        ),
        (
            {
                "watch": [{"name": "a", "path": "p", "account": "x"}],
                "source": [{"name": "b", "kind": "openai", "account": "x", "admin_key": "env:K"}],
            },
            "the sources b, a all report it",
        ),
    ],
)
def test_what_is_configured_wrongly_is_named(more, said):
    with pytest.raises(ConfigError, match=said):
        from_tables(more)


def test_the_command_reads_folders_and_saved_maps_and_says_what_failed(tmp_path):
    (tmp_path / "crossover.toml").write_text(
        '[import.mapping]\nours = "at=t,input=i,output=o,model=:m"\n'
    )
    traps = trap_logs.generate(9, spaced=False, responses=10, files=3)
    write(tmp_path / "logs", traps)
    (tmp_path / "logs" / "x.jsonl.gz").write_bytes(gzip.compress(b'{"sessionId": 1}\n' * 9999)[:-9])
    (tmp_path / "logs" / "half.jsonl").write_text('{"sessionId": 1}\n{"sess')
    ended = crossover("import", tmp_path / "logs", "--output-format", "json", cwd=tmp_path)
    assert ended.code == 2
    (row,) = ended.rows
    assert (row["source"], row["failed"], row["waiting"]) == ("claude-code", 1, 1)
    assert row["new"] == traps.responses
    assert "x.jsonl.gz is cut off or damaged" in ended.err
    table = tmp_path / "t.csv"
    table.write_text("t,i,o\n1793491200,1,2\n")
    ended = crossover(
        "import", table, "--map", "ours", "--output-format", "json", cwd=tmp_path
    )  # fmt: skip
    assert [(row["source"], row["new"]) for row in ended.rows] == [("t.csv", 1)]


def test_a_map_that_is_not_saved_is_named_with_those_that_are():
    settings = from_tables({"import": {"mapping": {"ours": "at=t,input=i,output=o"}}})
    with pytest.raises(InputError, match=r"there is no map 'theirs'.*Use one of ours"):
        usage.files(settings, ["x.csv"], "csv", "theirs")


HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,"
    "project_id\n"
)


def costs(path, *rows):
    """An export of costs: of each row its day, dollars, line item and project."""
    start = trap_logs.START
    path.write_text(
        HEADER
        + "".join(
            f"{start + day * DAY},{start + (day + 1) * DAY},x,y,{usd},usd,{item},{project}\n"
            for day, usd, item, project in rows
        )
    )
    return path


def billed(database, path, account="acme", now=NOW):
    """Import it; all that is stored, by day, project and line item, and what was refused."""
    result = import_files(database, "openai-csv", Chosen([str(path)], "auto", account), now)
    assert not result.errors
    with database.read() as conn:
        rows = conn.execute(
            text(
                "SELECT day, a.name, project, line_item, amount_pico FROM bill"
                " JOIN series s ON s.id = series_id JOIN account a ON a.id = account_id"
                " ORDER BY 1, 2, 3, 4"
            )
        )
        return [
            ((day - trap_logs.START) // DAY, *names, pico / 10**12) for day, *names, pico in rows
        ], result.total.quarantined


def test_costs_of_projects_and_accounts_stand_beside_each_other(database_url, tmp_path):
    path, database = tmp_path / "c.csv", Database(database_url)
    billed(database, costs(path, (0, "1", "a", "p"), (1, "2", "a", "p"), (1, "3", "b", "p")))
    billed(database, costs(path, (1, "4", "a", "q")))
    billed(database, costs(path, (1, "5", "a", "q")), "other")
    # A corrected file of one project replaces what there was of it, and nothing else.
    rows, refused = billed(database, costs(path, (1, "2.5", "a", "p")))
    assert (rows, refused) == (
        [
            (0, "acme", "p", "a", 1.0),
            (1, "acme", "p", "a", 2.5),
            (1, "acme", "q", "a", 4.0),
            (1, "other", "q", "a", 5.0),
        ],
        0,
    )
    with database.read() as conn:
        paid = conn.execute(text("SELECT account, SUM(usd) FROM v_spend_daily GROUP BY 1")).all()
    assert dict(map(tuple, paid)) == {"acme": 7.5, "other": 5.0}
    database.close()


def test_another_grouping_of_costs_replaces_a_day_and_a_part_of_it_is_refused(sqlite_url, tmp_path):
    path, database = tmp_path / "c.csv", Database(sqlite_url)
    billed(database, costs(path, (0, "7", "a", "")))
    rows, refused = billed(database, costs(path, (0, "3", "a", "p")))
    assert (rows, refused) == ([(0, "acme", "", "a", 7.0)], 1)
    rows, refused = billed(database, costs(path, (0, "3", "a", "p"), (0, "4", "a", "q")))
    grouped = [(0, "acme", "p", "a", 3.0), (0, "acme", "q", "a", 4.0)]
    assert (rows, refused) == (grouped, 0)
    assert billed(database, costs(path, (0, "4", "a", "")))[0] == grouped
    assert billed(database, costs(path, (0, "", "", "")))[0] == grouped
    assert billed(database, costs(path, (0, "7", "a", "")))[0] == [(0, "acme", "", "a", 7.0)]
    # What is yet to come has a mistyped date.
    assert billed(database, costs(path, (50, "1", "a", "")))[1] == 1
    database.close()


def test_a_cost_whose_project_was_cut_is_replaced(sqlite_url, tmp_path):
    path, database = tmp_path / "c.csv", Database(sqlite_url)
    costs(path, (0, "1", "a", "p"), (1, "2", "a", "proj_12"))
    whole = path.read_text()
    for cut in (9, 3):
        path.write_text(whole[:-cut])
        billed(database, path)
    path.write_text(whole)
    assert billed(database, path)[0] == [
        (0, "acme", "p", "a", 1.0),
        (1, "acme", "proj_12", "a", 2.0),
    ]
    database.close()


def test_an_import_closes_no_day_that_is_not_over(sqlite_url, tmp_path):
    table, bill, database = tmp_path / "t.csv", tmp_path / "c.csv", Database(sqlite_url)
    today = trap_logs.START + 5 * DAY

    def closed(now):
        import_files(database, "log", chosen, now)
        billed(database, bill, now=now)
        with database.read() as conn:
            return conn.execute(
                text(
                    "SELECT s.name, closed_through FROM watermark w JOIN stream s"
                    " ON s.id = stream_id WHERE closed_through IS NOT NULL ORDER BY 1, 2"
                )
            ).all()

    chosen = Chosen([str(table)], "csv", "team", parse_map("at=t,input=i,output=o"))
    table.write_text(f"t,i,o\n{today - 5},1,2\n{today + 5},1,2\n")
    costs(bill, (4, "1", "a", ""), (5, "1", "a", ""))
    assert closed(today + 3600) == [("costs", today), ("events", today)]
    # Nothing new in any file, but the day is over.
    assert closed(today + DAY)[-1] == ("events", today + DAY)
    database.close()


def test_what_could_not_be_read_is_read_again_on_request_alone(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "crossover.toml").write_text(
        f'[[watch]]\nname = "agents"\npath = "{logs}"\naccount = "team"\n'
        'mapping = "at=t,input=i,output=o"\nformat = "csv"\n'
    )
    path = logs / "log, line 1.csv"
    (logs / "other.csv").write_text("t,i,o\n1793491200,no,2\n")

    def written(row):
        # As if an update had taught how to read it: nothing tells that the file has changed.
        path.write_text(f"t,i,o\n1793491200,1,2\n{row}\n")
        os.utime(path, ns=(1, 1))

    def imported(*more):
        ended = crossover(
            "import", path, "--source", "agents", "--map", "at=t,input=i,output=o", "--format",
            "csv", "--account", "team", "--output-format", "json", *more, cwd=tmp_path,
        )  # fmt: skip
        (row,) = ended.rows
        return row["unchanged"], row["new"], row["quarantined"]

    def in_quarantine():
        return [
            row["id"]
            for row in crossover("quarantine", "list", "--format", "json", cwd=tmp_path).rows
        ]

    written("1793491200,bad,2")
    assert imported() == (0, 1, 1)
    written("1793491200,300,2")
    assert imported() == (1, 0, 0)
    assert imported("--again") == (0, 1, 0)
    assert in_quarantine() == []
    written("1793491200,xxx,2")
    assert imported("--again") == (0, 0, 1)
    written("1793491200,301,2")
    # A watched file is read by the replay itself, and what it stumbles over stays.
    ended = crossover("quarantine", "replay", "--format", "json", cwd=tmp_path)
    assert [(row["rows"], row["left"], row["error"]) for row in ended.rows] == [(1, 0, "")]
    assert len(in_quarantine()) == 1
    (tmp_path / "crossover.toml").write_text("")
    ended = crossover("quarantine", "replay", "--format", "json", cwd=tmp_path)
    assert ended.code == 4
    assert f"crossover import --again {logs / 'other.csv'}" in ended.rows[0]["error"]


@pytest.mark.parametrize(
    ("form", "head", "whole", "cuts"),
    [
        ("csv", "t,i,o\n1793491200,1,20\n", '1793491200,1,"20"\n1793491201,1,250', (15, 16, 18)),
        ("openrouter-csv",
         "date,model,requests,prompt_tokens,completion_tokens,workspace_id\n",
         "2026-11-01,m,3,100,50,team_12", (27, 29, 30)),
        ("openai-csv", "start_time,end_time,model,input_tokens,output_tokens,project_id\n",
         "1793491200,1793491260,m,100,50,proj_12", (34, 36, 37)),
    ],
)  # fmt: skip
def test_a_last_row_that_was_cut_is_replaced_when_its_file_goes_on(
    sqlite_url, tmp_path, form, head, whole, cuts
):
    database, path = Database(sqlite_url), tmp_path / "t.csv"
    mapped = parse_map("at=t,input=i,output=o") if form == "csv" else None
    files = Chosen([str(path)], form, "team", mapped)

    def stored(source, *texts):
        for said in texts:
            path.write_text(head + said)
            assert not import_files(database, source, files, NOW).errors
        with database.read() as conn:
            return conn.execute(
                text(
                    "SELECT bucket_start, project, model, uncached_input, output, requests"
                    " FROM usage u JOIN series s ON s.id = u.series_id JOIN stream t"
                    " ON t.id = s.stream_id JOIN source o ON o.id = t.source_id WHERE o.name = :n"
                ),
                {"n": source},
            ).all()

    once = stored("once", whole + "\n")
    # A file without a final end is whole all the same.
    assert stored("without", whole) == once
    for cut in cuts:
        assert stored(f"cut {cut}", whole[:cut], whole, whole + "\n") == once
    assert stored("many", *(whole[:cut] for cut in cuts), whole) == once
    database.close()


def test_exported_costs_replace_the_bill_of_each_day_that_a_file_has(database_url, tmp_path):
    header = (
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item\n"
    )
    start = trap_logs.START

    def export(name, *rows):
        path = tmp_path / name
        path.write_text(
            header
            + "".join(
                f"{start + day * DAY},{start + (day + 1) * DAY},x,y,{usd},usd,{item}\n"
                for day, usd, item in rows
            )
        )
        return path

    database = Database(database_url)

    def imported(path):
        files = Chosen([str(path)], "auto", "acme")
        assert not import_files(database, "openai-csv", files, NOW).errors

    imported(export("a.csv", (0, "1.25", "a"), (1, "2", "a"), (1, "0.5", "b"), (3, "9", "a")))
    imported(export("b.csv", (1, "2.75", "a"), (2, "4", "a")))
    with database.read() as conn:
        rows = conn.execute(
            text("SELECT day, line_item, amount_pico FROM bill ORDER BY day, line_item")
        ).all()
    assert [((day - start) // DAY, item, pico / 10**12) for day, item, pico in rows] == [
        (0, "a", 1.25),
        (1, "a", 2.75),
        (2, "a", 4.0),
        (3, "a", 9.0),
    ]
    # Days without spend are known as well, and take back what was there.
    imported(export("c.csv", (2, "", ""), (3, "8", "a"), (4, "", ""), (5, "1", "a")))
    with database.read() as conn:
        kept = conn.execute(text("SELECT day, amount_pico FROM bill ORDER BY day")).all()
        closed = conn.scalar(
            text(
                "SELECT closed_through FROM watermark JOIN stream ON stream.id = stream_id"
                " WHERE stream.name = 'costs'"
            )
        )
    assert [((day - start) // DAY, pico // 10**12) for day, pico in kept] == [
        (0, 1),
        (1, 2),
        (3, 8),
        (5, 1),
    ]
    assert closed == start + 6 * DAY
    database.close()
