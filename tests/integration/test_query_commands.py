"""`crossover query`, `crossover export` and `crossover db` as people call them."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import Result
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import InputError, QueryError
from monitor.storage import views
from monitor.storage.engine import Database
from monitor.storage.migrate import head
from tests.integration.reading import as_reader
from tests.integration.seeded import fill

ROOT = Path(__file__).parents[2]
SPEND = "SELECT month, account, usd, unconverted_amount FROM v_spend_monthly ORDER BY account"


class Command(NamedTuple):
    """`crossover` with a configuration of its own."""

    config: Path

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(self.config), *words])


@pytest.fixture
def crossover(database: Database, tmp_path: Path) -> Iterator[Command]:
    """On a filled database of each engine; on PostgreSQL with the reader's role."""
    with database.write() as conn:
        fill(conn)
    with as_reader(database) as reader:
        doors = {"url": database} | ({"reader_url": reader} if reader else {})
        yield configured(tmp_path, **{name: plainly(door) for name, door in doors.items()})


def configured(folder: Path, **urls: str) -> Command:
    lines = (f'{name} = "{url}"\n' for name, url in urls.items())
    config = folder / "crossover.toml"
    config.write_text(f"[database]\n{''.join(lines)}")
    return Command(config)


def plainly(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def test_a_table_shows_whole_figures_however_many_columns_there_are(crossover: Command) -> None:
    shown = crossover("query", "SELECT * FROM v_usage_daily ORDER BY day, tokens").stdout
    header, first, *rest = shown.splitlines()
    assert header.split()[:4] == ["day", "account", "source", "stream"]
    assert "unpriced_tokens" in header
    assert "llama-3.3-70b" in first
    assert "41000" in first
    assert "NULL" in first
    assert "gpt-5-mini-2025-08-07" in rest[-1]
    assert "…" not in shown
    assert len(rest) == 15


def test_json_and_csv_have_the_same_exact_figures(crossover: Command) -> None:
    as_json = crossover("query", SPEND, "--format", "json")
    assert json.loads(as_json.stdout)[0] == {
        "month": "2026-11",
        "account": "acme",
        "usd": 19.0002,
        "unconverted_amount": None,
    }
    assert '"usd": 19.0002,' in as_json.stdout
    as_csv = crossover("query", SPEND, "--format", "csv").stdout
    assert list(csv.reader(io.StringIO(as_csv)))[:3] == [
        ["month", "account", "usd", "unconverted_amount"],
        ["2026-11", "acme", "19.0002", ""],
        ["2026-11", "europe", "23.2", "5"],
    ]


def test_what_is_left_out_is_said_on_stderr(crossover: Command) -> None:
    result = crossover("query", SPEND, "--max-rows", "1", "--format", "csv")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == (
        "Only the first 1 rows are shown: narrow the query, or raise --max-rows.\n"
    )
    assert crossover("query", SPEND).stderr == ""


def test_a_name_that_looks_like_a_formula_or_moves_the_cursor_is_harmless(
    crossover: Command,
) -> None:
    sql = "SELECT '=1+1' AS evil, -1 AS debt, '[red]\x1b[2J' AS markup"
    assert crossover("query", sql, "--format", "csv").stdout.splitlines()[1].startswith("'=1+1,-1,")
    table = crossover("query", sql).stdout
    assert "[red]" in table
    assert "\x1b" not in table


def test_time_is_given_in_seconds(crossover: Command) -> None:
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT MAX(n) FROM r"
    result = crossover("query", endless, "--timeout", "0.7")
    assert isinstance(result.exception, QueryError)
    assert "within 0.7 seconds" in str(result.exception)


def test_a_refused_query_is_one_calm_message_and_exit_code_5(crossover: Command) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "monitor",
            "--config",
            crossover.config,
            "query",
            "DELETE FROM bill",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (5, "")
    assert ended.stderr == "Error: 'DELETE' is not a SELECT\nOnly one SELECT can be run.\n"


# --- export ---------------------------------------------------------------------------------


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_view_can_be_exported(crossover: Command) -> None:
    for view in views.public_names():
        assert rows(crossover("export", "csv", view).stdout), view


def test_days_are_selected_with_an_exclusive_end(crossover: Command) -> None:
    days = ("--from", "2026-11-02", "--to", "2026-11-04")
    part = rows(crossover("export", "csv", "v_workload_daily", *days).stdout)
    assert {row["day"] for row in part} == {"2026-11-02", "2026-11-03"}
    hours = rows(crossover("export", "csv", "v_gpu_hourly", "--to", "2026-11-02").stdout)
    assert [row["hour"] for row in hours] == ["2026-11-01T00:00:00Z", "2026-11-01T01:00:00Z"]
    assert not rows(crossover("export", "csv", "v_gpu_hourly", "--from", "2026-11-02").stdout)


def test_months_are_taken_whole(crossover: Command) -> None:
    def months(*days: str) -> set[str]:
        return {
            r["month"] for r in rows(crossover("export", "csv", "v_workload_cost", *days).stdout)
        }

    assert months("--from", "2026-11-15", "--to", "2026-12-01") == {"2026-11"}
    assert months("--from", "2026-11", "--to", "2026-12") == {"2026-11"}
    assert months("--to", "2026-11-30") == set()


def test_a_file_appears_when_it_is_complete(crossover: Command, tmp_path: Path) -> None:
    output = tmp_path / "spend.csv"
    result = crossover("export", "csv", "v_spend_daily", "--output", str(output))
    assert result.stdout == ""
    assert result.stderr == f"Written: {output}\n"
    written = output.read_text()
    assert written == crossover("export", "csv", "v_spend_daily").stdout
    failed = crossover("export", "csv", "v_nothing", "--output", str(output))
    assert isinstance(failed.exception, InputError)
    assert output.read_text() == written
    assert not list(tmp_path.glob(".*part"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no view is named"),
        (("v_nothing",), "there is no view 'v_nothing'"),
        (("access_token",), "there is no view 'access_token'"),
        (("v_data_quality", "--from", "2026-11-01"), "has no time to select by"),
        (("v_rate", "--output", "/nowhere/x.csv"), "cannot be written: No such file"),
    ],
)
def test_an_export_that_cannot_be_says_why(
    crossover: Command, words: tuple[str, ...], said: str
) -> None:
    result = crossover("export", "csv", *words)
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_the_views_are_listed(crossover: Command) -> None:
    assert crossover("export", "csv", "--list").stdout.split() == views.public_names()


# --- db -------------------------------------------------------------------------------------


def test_an_upgrade_makes_a_database_and_says_from_where_to_where(tmp_path: Path) -> None:
    crossover = configured(tmp_path, url=f"sqlite:///{tmp_path}/new.db")
    assert crossover("db", "upgrade").stdout.endswith(f"new.db: schema none -> {head()}\n")
    assert crossover("db", "upgrade").stdout.endswith(f"is at schema {head()} already\n")


def test_a_check_ends_with_1_when_something_is_wrong(
    crossover: Command, database: Database
) -> None:
    well = crossover("db", "check", "--format", "json")
    assert well.exit_code == 0
    assert {item["result"] for item in json.loads(well.stdout)} == {"ok"}
    with database.write() as conn:
        conn.exec_driver_sql("DELETE FROM rate")
    wrong = crossover("db", "check")
    assert wrong.exit_code == 1
    assert "WRONG" in wrong.stdout


def test_sizes_are_figures(crossover: Command) -> None:
    sizes = {
        row["table"]: int(row["bytes"])
        for row in rows(crossover("db", "size", "--format", "csv").stdout)
    }
    assert sizes["outbox"] > 0


def test_a_backup_is_a_database(sqlite_url: str, tmp_path: Path) -> None:
    crossover = configured(tmp_path, url=sqlite_url)
    copy = tmp_path / "copy.db"
    result = crossover("db", "backup", str(copy))
    assert result.stdout == f"{copy}: {copy.stat().st_size} bytes, checked\n"
    restored = configured(tmp_path, url=f"sqlite:///{copy}")
    assert restored("db", "check").exit_code == 0


def test_sqlite_needs_no_reader(sqlite_url: str, tmp_path: Path) -> None:
    result = configured(tmp_path, url=sqlite_url)("db", "reader")
    assert result.exit_code == 0
    assert "needs no reader's role" in result.stdout


@pytest.mark.postgres
def test_a_reader_is_made_from_a_named_secret_that_is_never_printed(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres_url)
    with as_reader(database) as existing:
        assert existing is not None
        role = str(existing.url.username)
        monkeypatch.setenv("READER_PASSWORD", "hunter-22")
        crossover = configured(tmp_path, url=postgres_url, reader_url=plainly(existing))
        result = crossover("db", "reader", "--name", role, "--password", "env:READER_PASSWORD")
        assert result.stdout == f"The role {role} may log in and read the public views\n"
        assert result.stderr == ""
        assert "hunter" not in result.output
        assert crossover("query", "SELECT 1 AS one").stdout.split() == ["one", "1"]
    database.close()


@pytest.mark.postgres
def test_a_password_that_is_written_instead_of_named_is_refused_unseen(
    postgres_url: str, tmp_path: Path
) -> None:
    crossover = configured(tmp_path, url=postgres_url)
    result = crossover("db", "reader", "--password", "hunter-22")
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == (
        "--password names a secret and is not the secret. Write env:NAME or file:PATH."
    )
