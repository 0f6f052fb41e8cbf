"""docs/database.md is complete, and its queries give the same on both engines."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.domain.money import to_cents
from monitor.storage import query, views
from monitor.storage.engine import Database
from tests.integration.reading import as_reader, seeded

DOCS = (Path(__file__).parents[2] / "docs" / "database.md").read_text("utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```", DOCS, re.DOTALL)
SECTIONS = dict(re.findall(r"^### (v_\w+)\n(.*?)(?=^##)", DOCS, re.DOTALL | re.MULTILINE))

Side = tuple[Database, Database | None]


@pytest.fixture(scope="module")
def sqlite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with seeded(request, "sqlite", tmp_path_factory.mktemp("docs")) as owner:
        yield owner, None


@pytest.fixture(scope="module")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with (
        seeded(request, "postgres", tmp_path_factory.mktemp("docs")) as owner,
        as_reader(owner) as reader,
    ):
        yield owner, reader


def rows(side: Side, sql: str) -> tuple[list[str], list[list[object]]]:
    """Columns and rows, numbers rounded to cents: the engines round the last place apart."""
    result = query.run(side[0], sql, reader=side[1])
    rounded = [[to_cents(v) if isinstance(v, Decimal) else v for v in row] for row in result.rows]
    return result.columns, rounded


def test_every_view_has_a_section_and_no_other_thing_has() -> None:
    assert sorted(SECTIONS) == sorted(views.public_names())


@pytest.mark.parametrize("view", views.public_names())
def test_every_column_of_a_view_is_documented_and_nothing_else(sqlite: Side, view: str) -> None:
    columns, _ = rows(sqlite, f"SELECT * FROM {view} LIMIT 1")
    first_cells = re.findall(r"^\| (`.*?) \|", SECTIONS[view], re.MULTILINE)
    documented = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(documented) == sorted(columns)


@pytest.mark.parametrize("view", views.public_names())
def test_every_section_has_a_query_of_its_view(view: str) -> None:
    assert re.search(rf"```sql\n[^`]*FROM {view}\b", SECTIONS[view])


@pytest.mark.proof
@pytest.mark.postgres
@pytest.mark.parametrize("sql", EXAMPLES)
def test_an_example_gives_the_same_rows_on_both_engines(
    sqlite: Side, postgres: Side, sql: str
) -> None:
    on_sqlite = rows(sqlite, sql)
    assert on_sqlite[1]
    assert on_sqlite == rows(postgres, sql)


@pytest.mark.postgres
@pytest.mark.parametrize("view", views.public_names())
def test_a_view_gives_the_same_rows_on_both_engines(
    sqlite: Side, postgres: Side, view: str
) -> None:
    def unordered(side: Side) -> list[str]:
        return sorted(map(repr, rows(side, f"SELECT * FROM {view}")[1]))

    assert unordered(sqlite)
    assert unordered(sqlite) == unordered(postgres)
