"""Request logs come in once, whole, and priced."""

import csv

import pytest

from tests import needs
from tests.cli import crossover

AZURE = "at=TIMESTAMP,input=ContextTokens,output=GeneratedTokens,provider=:openai,model=:gpt-4o"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "crossover.toml").write_text("")
    return tmp_path


def imported(folder, file, mapping=AZURE, **options):
    ended = crossover(
        "import", file, "--format", "csv", "--map", mapping, "--output-format", "json", cwd=folder,
        **options,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (row,) = ended.rows
    return row


def query(folder, sql):
    ended = crossover("query", sql, "--format", "json", cwd=folder)
    assert ended.code == 0, ended.err
    return ended.rows


@pytest.mark.proof
def test_the_two_azure_traces_come_in_whole_and_only_once(folder):
    sums = [0, 0, 0]
    for name in ("code", "conv"):
        path = needs.shared(f"data/azure_llm_2023_{name}.csv")
        with path.open() as file:
            rows = list(csv.DictReader(file))
        mine = [
            len(rows),
            *(sum(int(r[c]) for r in rows) for c in ("ContextTokens", "GeneratedTokens")),
        ]
        sums = [a + b for a, b in zip(sums, mine, strict=True)]
        first = imported(folder, path)
        assert (first["rows"], first["new"], first["quarantined"]) == (mine[0], mine[0], 0)
        again = imported(folder, path)
        assert (again["new"], again["changed"]) == (0, 0)
    assert sums[0] == 28_185
    (stored,) = query(
        folder,
        "SELECT SUM(requests) AS requests, SUM(uncached_input) AS input, SUM(output) AS output,"
        " SUM(estimated_usd) AS usd, SUM(unpriced_tokens) AS unpriced FROM v_usage_daily",
    )
    assert [int(stored[k]) for k in ("requests", "input", "output")] == sums
    assert stored["unpriced"] == 0
    # gpt-4o: $2.50 and $10 per million.
    assert round(float(stored["usd"]), 6) == round((sums[1] * 2.5 + sums[2] * 10) / 1e6, 6)


def test_an_hour_of_history_is_not_enough_to_project(folder):
    path = folder / "log.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-20 10:00:00,100,10\n")
    imported(folder, path)
    from monitor.domain.forecast import NotEnough, project
    from monitor.domain.usage import DAY
    from monitor.storage import demand
    from monitor.storage.engine import Database

    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.read() as conn:
        total = demand.workloads(conn)[0]
        as_of = 1_795_219_200  # 2026-11-21
        daily = demand.daily(conn, total, "tokens", as_of, [])
        assert daily == {as_of - DAY: 110}
        found = project(daily, "2026-11", as_of)
    database.close()
    assert isinstance(found, NotEnough)
    assert (found.history_days, found.month_to_date) == (1, 110)


def test_bad_rows_are_counted_and_the_others_stored(folder):
    path = folder / "log.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2026-11-20 10:00:00,100,10\n2026-11-20 10:00:01,-1,10\nnever,1,1\n2026-11-20 10:00:02,5\n"
    )
    row = imported(folder, path)
    assert (row["rows"], row["new"], row["quarantined"]) == (4, 1, 3)
    assert query(folder, "SELECT quarantined_rows FROM v_data_quality") == [{"quarantined_rows": 3}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("TIMESTAMP,GeneratedTokens\n1,2\n", "has no column ContextTokens"),
        (
            "TIMESTAMP,ContextTokens,ContextTokens,GeneratedTokens\n1,2,3,4\n",
            "has the column ContextTokens more than once",
        ),
    ],
)
def test_an_unusable_file_is_exit_2_with_its_remedy(folder, text, said):
    path = folder / "log.csv"
    path.write_text(text)
    ended = crossover("import", path, "--map", AZURE, cwd=folder)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err
