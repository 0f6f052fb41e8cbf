"""Migrations: they arrive at the tables in code, whole or not at all, however many start."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import urandom
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from monitor.domain.errors import DatabaseBusy, SchemaAhead, SchemaBehind, StorageError
from monitor.storage import migrate, reader, views
from monitor.storage.engine import Database
from monitor.storage.tables import metadata
from tests.conftest import FULL
from tests.factories import make_stream
from tests.integration.reading import drop_role
from tests.integration.seeded import fill

ROUNDS = 30 if FULL else 5


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """The URL of a database without a table."""
    name = f"e{urandom(6).hex()}"
    admin = Database(server)
    with admin.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            yield admin.url.set(database=name).render_as_string(hide_password=False)
        finally:
            conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@contextmanager
def empty_database(request: pytest.FixtureRequest, engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{folder}/{urandom(6).hex()}.db"
        return
    with postgres_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> str:
    """The test runs once on each engine."""
    return str(request.param)


@pytest.fixture
def empty(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Iterator[Database]:
    """A database without a table."""
    with empty_database(request, engine, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def other(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Iterator[Database]:
    """Another database without a table."""
    with empty_database(request, engine, tmp_path) as url:
        database = Database(url)
        yield database
        database.close()


def names(database: Database) -> set[str]:
    """Every table and view there is."""
    with database.read() as conn:
        found = sa.inspect(conn)
        return {*found.get_table_names(), *found.get_view_names()}


def row_counts(database: Database) -> dict[str, int]:
    with database.read() as conn:
        return {
            name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }


def downgrade(conn: sa.Connection, revision: str) -> None:
    views.drop(conn)
    command.downgrade(migrate.alembic_config(conn), revision)


# --- the tables in code ---------------------------------------------------------------------


def differences(conn: sa.Connection, wanted: sa.MetaData) -> Any:
    """What Alembic would change to arrive at the tables in code."""
    options = {
        "compare_server_default": _default_differs,
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    }
    return compare_metadata(MigrationContext.configure(conn, opts=options), wanted)


def _default_differs(*compared: Any) -> bool | None:
    # Alembic takes SQLite's ('') for a value unlike ''; None leaves all others to it.
    _context, _inspected, _column, found, _wanted, rendered = compared
    return False if (found, rendered) == ("('')", "") else None


def reflected(conn: sa.Connection) -> dict[tuple[str, str], object]:
    """(table, aspect) -> what the database itself says; sorted where order means nothing."""
    found = sa.inspect(conn)
    aspects: dict[str, Callable[[str], object]] = {
        "columns": lambda name: [
            (c["name"], str(c["type"]), c["nullable"], c["default"])
            for c in found.get_columns(name)
        ],
        "primary key": found.get_pk_constraint,
        "unique": found.get_unique_constraints,
        "foreign keys": found.get_foreign_keys,
        "checks": found.get_check_constraints,
        "indexes": found.get_indexes,
        "options": found.get_table_options,
        "partitions": lambda name: partition_key(conn, name),
    }
    return {
        (name, aspect): sorted(map(str, told)) if isinstance(told, list) else told
        for name in found.get_table_names()
        if name != "alembic_version"
        for aspect, told in ((aspect, ask(name)) for aspect, ask in aspects.items())
    }


def partition_key(conn: sa.Connection, table: str) -> object:
    if conn.dialect.name == "sqlite":
        return None
    return conn.scalar(sa.text("SELECT pg_get_partkeydef(to_regclass(:t))"), {"t": f'"{table}"'})


def changed() -> sa.MetaData:
    """The tables in code, with what Alembic overlooks by default changed in one of them."""
    copy = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(copy)
    workload = copy.tables["workload"]
    [check] = [c for c in workload.constraints if isinstance(c, sa.CheckConstraint)]
    workload.constraints.remove(check)
    workload.append_constraint(sa.CheckConstraint("runs_on <> ''", name="renamed"))
    workload.c.runs_on.server_default = sa.DefaultClause("hybrid")
    workload.c.configured.nullable = True
    return copy


def test_an_empty_database_arrives_at_the_tables_in_code(empty: Database, other: Database) -> None:
    assert migrate.upgrade(empty) == (None, migrate.head())
    with other.write() as conn:
        metadata.create_all(conn)
    with empty.read() as conn, other.read() as made:
        assert differences(conn, metadata) == []
        assert reflected(conn) == reflected(made)
        assert {table for table, _ in reflected(conn)} == set(metadata.tables)
    assert names(empty) == {
        *metadata.tables,
        *views.definitions(empty.dialect),
        "alembic_version",
    }


def test_the_comparisons_see_a_check_a_default_and_a_column_that_may_be_empty(
    empty: Database, other: Database
) -> None:
    migrate.upgrade(empty)
    with other.write() as conn:
        changed().create_all(conn)
    with empty.read() as conn, other.read() as made:
        kinds = {
            kind[0]
            for found in differences(conn, changed())
            for kind in (found if isinstance(found, list) else [found])
        }
        assert kinds == {"add_constraint", "remove_constraint", "modify_default", "modify_nullable"}
        before, after = reflected(conn), reflected(made)
    assert {place for place in before if before[place] != after[place]} == {
        ("workload", "columns"),
        ("workload", "checks"),
    }


def test_a_second_upgrade_changes_nothing(empty: Database) -> None:
    migrate.upgrade(empty)
    assert migrate.upgrade(empty) == (migrate.head(), migrate.head())
    migrate.require_current(empty)


def test_the_way_down_leaves_nothing_and_the_way_up_is_open_again(empty: Database) -> None:
    migrate.upgrade(empty)
    with empty.write() as conn:
        fill(conn)
        conn.exec_driver_sql("CREATE TABLE of_somebody_else (x INTEGER)")
        conn.exec_driver_sql("INSERT INTO of_somebody_else VALUES (7)")
    assert row_counts(empty)["usage"] > 0
    with migrate._migrating(empty) as conn:
        downgrade(conn, "base")
    assert names(empty) == {"of_somebody_else", "alembic_version"}
    assert migrate.upgrade(empty) == (None, migrate.head())
    assert set(row_counts(empty).values()) == {0}
    with empty.read() as conn:
        assert conn.scalar(sa.text("SELECT x FROM of_somebody_else")) == 7


# --- schemas of other programs --------------------------------------------------------------


def test_a_database_of_a_newer_program_is_refused_and_left_as_it_is(database: Database) -> None:
    with database.write() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = names(database)
    for refuse in (migrate.upgrade, migrate.require_current):
        with pytest.raises(SchemaAhead) as caught:
            refuse(database)
        assert caught.value.message.startswith("the database is at schema 9999, newer than Cross")
        assert caught.value.remedy == (
            "Run the newer Crossover, or restore a backup made before its upgrade."
        )
    assert names(database) == before


def test_an_empty_database_is_behind(empty: Database) -> None:
    if empty.path is not None:
        empty.path.touch()
    with pytest.raises(SchemaBehind) as caught:
        migrate.require_current(empty)
    assert caught.value.message == (
        f"{empty.shown} is at schema none, this program needs {migrate.head()}"
    )
    assert caught.value.remedy == "Run `crossover db upgrade`."


def test_files_of_revisions_are_called_after_them():
    known = [
        step.revision
        for step in ScriptDirectory.from_config(migrate.alembic_config()).walk_revisions()
    ]
    assert migrate.revisions() == known[::-1]


# --- a further revision ---------------------------------------------------------------------

REVISION = '''"""a further revision"""

import sqlalchemy as sa
from alembic import op

revision = "further"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))
    {step}


def downgrade() -> None:
    {back}
    op.drop_table("extra")
'''
FAILS = 'raise RuntimeError("the middle of a migration")'
# `batch_alter_table` builds the table anew on SQLite: its rows and references must come along.
REBUILDS = """with op.batch_alter_table("source", recreate="auto") as batch:
        batch.alter_column("kind", type_=sa.String(80), existing_nullable=False)"""
REBUILDS_BACK = REBUILDS.replace("80", "40")
ORPHANS = 'op.execute("DELETE FROM source")'


class Further:
    """The migrations and one more, whose text the test chooses."""

    def __init__(self, folder: Path, at: str) -> None:
        self.script = folder / "versions" / "further.py"
        self.at = at

    def write(self, step: str, back: str = "pass") -> None:
        self.script.write_text(REVISION.format(head=self.at, step=step, back=back))


@pytest.fixture
def further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Further:
    """A program whose folder of migrations is the test's own."""
    at = migrate.head()
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.scripts_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(migrate, "scripts_folder", lambda: folder)
    return Further(folder, at)


def test_a_migration_that_fails_leaves_an_empty_database_empty(
    empty: Database, further: Further
) -> None:
    further.write(FAILS)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the middle of a migration"):
            migrate.upgrade(empty)
        assert names(empty) == set()
    further.write("pass")
    assert migrate.upgrade(empty) == (None, "further")
    assert "extra" in names(empty)


def test_a_migration_that_fails_leaves_a_filled_database_as_it_was(
    database: Database, further: Further
) -> None:
    with database.write() as conn:
        fill(conn)
    before = names(database), row_counts(database)
    further.write(FAILS)
    with pytest.raises(RuntimeError, match="the middle of a migration"):
        migrate.upgrade(database)
    assert (names(database), row_counts(database)) == before
    with database.read() as conn:
        assert migrate.revision(conn) == further.at
    further.write("pass")
    assert migrate.upgrade(database) == (further.at, "further")
    assert row_counts(database) == before[1]


def test_a_table_that_is_built_anew_keeps_its_rows_and_what_refers_to_them(
    database: Database, further: Further
) -> None:
    with database.write() as conn:
        fill(conn)
    before = row_counts(database)
    further.write(REBUILDS, REBUILDS_BACK)
    migrate.upgrade(database)
    with migrate._migrating(database) as conn:
        assert width_of_kind(conn) == 80
        downgrade(conn, further.at)
        assert width_of_kind(conn) == 40
    migrate.upgrade(database)
    assert row_counts(database) == before
    with pytest.raises(sa.exc.IntegrityError), database.write() as conn:
        conn.exec_driver_sql("INSERT INTO stream (source_id, name, feeds) VALUES (99, 'x', 'bill')")


def width_of_kind(conn: sa.Connection) -> int:
    [kind] = [c["type"] for c in sa.inspect(conn).get_columns("source") if c["name"] == "kind"]
    assert isinstance(kind, sa.String)
    assert kind.length is not None
    return kind.length


def test_a_migration_that_would_leave_rows_without_what_they_refer_to_changes_nothing(
    database: Database, further: Further
) -> None:
    with database.write() as conn:
        make_stream(conn)
    before = names(database), row_counts(database)
    further.write(ORPHANS)
    with pytest.raises((StorageError, sa.exc.IntegrityError)) as caught:
        migrate.upgrade(database)
    assert "stream" in str(caught.value)
    assert (names(database), row_counts(database)) == before


@pytest.mark.postgres
def test_who_may_read_the_views_may_still_after_an_upgrade(
    postgres_url: str, further: Further
) -> None:
    database = Database(postgres_url)
    role = f"reader_{urandom(4).hex()}"
    reader.make(database, role)
    further.write("pass")
    assert migrate.upgrade(database) == (further.at, "further")
    may_read = sa.text("SELECT has_table_privilege(:r, :t, 'SELECT')")
    with database.read() as conn:
        for name in views.public_names():
            assert conn.scalar(may_read, {"r": role, "t": name}), name
        assert not conn.scalar(may_read, {"r": role, "t": "extra"})
    drop_role(database, role)
    database.close()


# --- several programs, and programs that end ------------------------------------------------

STARTER = """
import sys
from monitor.storage.engine import Database
from monitor.storage.migrate import upgrade
print("ready", flush=True)
for line in sys.stdin:
    database = Database(line.strip())
    try:
        print("at", upgrade(database)[1], flush=True)
    except Exception as error:
        print(repr(error), flush=True)
    database.close()
"""
ENDS = """
import os, sys
from monitor.storage import migrate, views
from monitor.storage.engine import Database
create = views.create
def ends(conn):
    if sys.argv[2] == "after":
        create(conn)
    os._exit(17)
views.create = ends
migrate.upgrade(Database(sys.argv[1]))
"""


def address(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


@contextmanager
def starters(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that migrate each database they are told of."""
    command = [sys.executable, "-c", STARTER]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            for _ in range(count)
        ]
        assert [answer(process) for process in processes] == ["ready"] * count
        yield processes


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], url: str) -> None:
    assert process.stdin is not None
    process.stdin.write(url + "\n")
    process.stdin.flush()


@pytest.mark.proof
def test_three_programs_that_start_at_once_on_an_empty_database_all_succeed(
    request: pytest.FixtureRequest,
    engine: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    answers = []
    with starters(3) as processes:
        for _ in range(ROUNDS):
            with empty_database(request, engine, tmp_path) as url:
                for process in processes:
                    tell(process, url)
                answers += [answer(process) for process in processes]
    record_property("said", f"{engine}: {len(answers)} concurrent upgrades in {ROUNDS} rounds")
    assert answers == [f"at {migrate.head()}"] * 3 * ROUNDS


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_program_that_ends_in_the_middle_of_a_migration_leaves_nothing_behind(
    empty: Database, when: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDS, address(empty), when], check=False, timeout=60
    )
    assert ended.returncode == 17
    assert names(empty) == set()
    assert migrate.upgrade(empty) == (None, migrate.head())
    migrate.require_current(empty)


def test_a_program_that_waits_too_long_for_another_one_says_so(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Database(address(empty))
    monkeypatch.setattr(migrate, "_LOCK_WAIT_SECONDS", 0)
    busy = pytest.raises(DatabaseBusy, match=r"migrat.*process \d+")
    with migrate._locked(empty), busy:
        migrate.upgrade(second)
    assert migrate.upgrade(second) == (None, migrate.head())
    second.close()
