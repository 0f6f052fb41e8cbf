"""Opening a database: nothing is lost between writers, and a failure says what to do."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.domain.errors import DatabaseBusy, DatabaseUnavailable
from monitor.storage.engine import Database, daemon_lock
from monitor.storage.tables import access_token

CANARY = "pass-canary-word"
COUNT = sa.text("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'n'")
SET = sa.text("UPDATE meta SET value = CAST(:n AS TEXT) WHERE key = 'n'")
ORPHAN = "INSERT INTO stream (source_id, name, feeds) VALUES (99, 'x', 'usage')"


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    """A database with a counter at 0."""
    database = Database(sqlite_url)
    with database.write() as conn:
        conn.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('n', '0')")
    yield database
    database.close()


def address(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def count_up(database: Database, times: int) -> None:
    for _ in range(times):
        with database.write() as conn:
            conn.execute(SET, {"n": conn.scalar(COUNT) + 1})


def count_up_in_threads(url: str, together: Barrier, times: int) -> None:
    database = Database(url)
    together.wait(60)
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(count_up, database, times) for _ in range(2)]:
            done.result()
    database.close()


def test_no_update_is_lost_between_processes_and_threads_that_read_and_then_write(
    sqlite: Database,
) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (address(sqlite), context.Barrier(3), 50)
    workers = [context.Process(target=count_up_in_threads, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with sqlite.read() as conn:
        assert conn.scalar(COUNT) == 3 * 2 * 50


def test_who_only_reads_in_a_writing_transaction_already_keeps_other_writers_out(
    sqlite: Database,
) -> None:
    other = Database(address(sqlite))
    with other.writer.connect() as conn:
        # The only connection of the pool: `write` below gets the same one.
        conn.connection.cursor().execute("PRAGMA busy_timeout = 0")
    with sqlite.write() as conn:
        assert conn.scalar(COUNT) == 0
        with pytest.raises(DatabaseBusy, match=r"being written by another.*Wait"), other.write():
            pass
    with other.write() as conn:
        assert conn.scalar(COUNT) == 0
    other.close()


def test_a_row_that_refers_to_nothing_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign key"), database.write() as conn:
        conn.exec_driver_sql(ORPHAN)


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO meta (key) VALUES ('x')", "DELETE FROM meta", "CREATE TABLE x (y INTEGER)"],
)
def test_a_reader_cannot_write(database: Database, statement: str) -> None:
    refused = pytest.raises(sa.exc.DBAPIError, match=r"readonly|read-only")
    with refused, database.read() as conn:
        conn.exec_driver_sql(statement)
    with database.write() as conn:
        conn.exec_driver_sql(statement)


def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    values = sa.text("SELECT value FROM meta WHERE key = 'x'")
    # The file's first writer turns on what lets readers and a writer work side by side.
    with database.write() as conn:
        conn.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('x', 'before')")
    with database.read() as reader:
        assert reader.scalar(values) == "before"
        with database.write() as conn:
            conn.exec_driver_sql("UPDATE meta SET value = 'after' WHERE key = 'x'")
        assert reader.scalar(values) == "before"
    with database.read() as reader:
        assert reader.scalar(values) == "after"


def add_twice(conn: sa.Connection) -> None:
    for _ in range(2):
        conn.exec_driver_sql("INSERT INTO meta (key) VALUES ('x')")


def test_what_raises_is_rolled_back(database: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.write() as conn:
        add_twice(conn)
    with database.read() as conn:
        assert conn.scalar(sa.text("SELECT COUNT(*) FROM meta WHERE key = 'x'")) == 0


# --- instants -------------------------------------------------------------------------------


def add_token(database: Database, created_at: datetime) -> None:
    row = {"name": "t", "digest": "d", "scopes": "", "created_at": created_at}
    with database.write() as conn:
        conn.execute(access_token.insert(), row)


def test_an_instant_comes_back_in_utc_whatever_zone_it_was_said_in(database: Database) -> None:
    add_token(database, datetime(2026, 11, 1, 1, 30, tzinfo=timezone(timedelta(hours=-4))))
    at_half_past_five = sa.select(access_token.c.last_used_at).where(
        access_token.c.created_at == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    )
    with database.read() as conn:
        if database.dialect == "postgresql":
            conn.exec_driver_sql("SET LOCAL TIME ZONE 'America/New_York'")
        found = conn.scalars(sa.select(access_token.c.created_at)).one()
        assert found.isoformat() == "2026-11-01T05:30:00+00:00"
        assert conn.execute(at_half_past_five).all() == [(None,)]


def test_an_instant_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="has no time zone"):
        add_token(database, datetime(2026, 11, 1, 1, 30))
    with database.read() as conn:
        assert conn.execute(sa.select(access_token)).all() == []


# --- what cannot be opened ------------------------------------------------------------------


Way = Callable[[Database], AbstractContextManager[sa.Connection]]


def refusal(url: str, password: str = "") -> DatabaseUnavailable:
    """The error of reading and of writing, which is the same."""
    errors = []
    for way in (Database.read, Database.write):
        with pytest.raises(DatabaseUnavailable) as caught:
            connect(url, password, way)
        assert caught.value.remedy
        assert CANARY not in "".join(traceback.format_exception(caught.value))
        assert CANARY not in repr(caught.value)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    return errors[0]


def connect(url: str, password: str, way: Way) -> None:
    database = Database(url, password)
    try:
        with way(database) as conn:
            conn.execute(sa.text("SELECT 1 FROM meta"))
    finally:
        database.close()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    error = refusal(f"sqlite:///{tmp_path}/missing/crossover.db")
    assert f"{tmp_path}/missing/crossover.db: unable to open database file" in error.message
    assert error.remedy == f"Make {tmp_path}/missing a folder that exists and can be written to."


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert "unable to open database file" in refusal(f"sqlite:///{tmp_path}").message


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "crossover.db"
    path.write_text("a report, and longer than the header of a database\n" * 99)
    error = refusal(f"sqlite:///{path}")
    assert error.message == f"sqlite:///{path} cannot be read: file is not a database"
    assert error.remedy == "Name another file in database.url, or restore a backup."
    assert path.read_text().startswith("a report")


@pytest.mark.parametrize("apart", [True, False])
def test_a_port_where_no_server_listens_is_refused_without_the_password(apart: bool) -> None:
    # Port 1 belongs to a service that nobody runs any more.
    given = "" if apart else f":{CANARY}"
    error = refusal(f"postgresql://reader{given}@127.0.0.1:1/x", CANARY if apart else "")
    assert "127.0.0.1:1/x" in error.message
    assert "refused" in error.message
    assert error.remedy == (
        "Check database.url, that the server runs, and that it lets this user in."
    )


@pytest.mark.postgres
@pytest.mark.parametrize("wrong", [{"database": "nowhere"}, {"username": "nobody"}])
def test_a_database_or_user_that_does_not_exist_is_named(
    postgres_server: str, wrong: dict[str, Any]
) -> None:
    url = sa.make_url(postgres_server).set(**wrong).render_as_string(hide_password=False)
    error = refusal(url, CANARY)
    [name] = wrong.values()
    assert f'"{name}" does not exist' in error.message


@contextmanager
def guarded(server: str, role: str, password: str) -> Iterator[None]:
    """A role that the server asks for its password, which it asks nobody else."""
    admin = Database(server)
    with admin.write() as conn:
        conn.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = Path(str(conn.scalar(sa.text("SHOW hba_file"))))
    before = rules.read_bytes()
    rules.write_bytes(f"local all {role} scram-sha-256\n".encode() + before)
    try:
        with admin.write() as conn:
            conn.exec_driver_sql("SELECT pg_reload_conf()")
        yield
    finally:
        rules.write_bytes(before)
        with admin.write() as conn:
            conn.exec_driver_sql("SELECT pg_reload_conf()")
            conn.exec_driver_sql(f"DROP ROLE {role}")
        admin.close()


def asked_for_a_password(url: str) -> bool:
    try:
        sa.create_engine(url, poolclass=sa.NullPool).connect().close()
    except sa.exc.OperationalError:
        return True
    return False


@pytest.mark.postgres
def test_a_wrong_password_is_refused_and_not_shown(postgres_url: str) -> None:
    role = f"guarded_{os.urandom(4).hex()}"
    url = sa.make_url(postgres_url).set(username=role).render_as_string(hide_password=False)
    with guarded(postgres_url, role, "the-right-one"):
        # The server reads its rules anew some time after it was told to.
        assert any(asked_for_a_password(url) for _ in range(10_000))
        error = refusal(url, CANARY)
        assert f'password authentication failed for user "{role}"' in error.message
        opened = Database(url, "the-right-one")
        with opened.read() as conn:
            assert conn.scalar(sa.text("SELECT current_user")) == role
        opened.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql://u:{CANARY}@h:port/x", "is not a database URL"),
        (f"{CANARY} of nothing", "is not a database URL"),
        # An @ that is not escaped: its end would be shown as a host.
        (f"postgresql://u:a@{CANARY}@h/x", "is not a database URL"),
        (f"postgresql://u@h/x?password={CANARY}", "has a password among its options"),
        (f"postgresql://u@h/x?sslpassword={CANARY}", "has a password among its options"),
        (f"mysql://u:{CANARY}@h/x", "names 'mysql', which is not supported"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_cannot_be_used_says_why_without_the_password(url: str, message: str) -> None:
    assert f"database.url {message}" in refusal(url).message


def test_the_url_that_is_shown_has_no_password() -> None:
    for database in (
        Database(f"postgresql://u:{CANARY}@h/x"),
        Database("postgresql://u@h/x", CANARY),
    ):
        assert database.shown == "postgresql://u:***@h/x"
        assert database.url.password == CANARY


@pytest.mark.postgres
def test_a_connection_that_the_server_ends_is_said_so_and_the_next_one_is_new(
    postgres_url: str,
) -> None:
    database, other = Database(postgres_url), Database(postgres_url)
    lost = pytest.raises(DatabaseUnavailable, match=r"cannot use the database .*Check")
    with lost, database.write() as conn:
        pid = conn.scalar(sa.text("SELECT pg_backend_pid()"))
        with other.write() as admin:
            assert admin.scalar(sa.text("SELECT pg_terminate_backend(:p, 30000)"), {"p": pid})
        conn.exec_driver_sql("DELETE FROM meta")
    with database.write() as conn:
        assert conn.scalar(sa.text("SELECT pg_backend_pid()")) != pid
    database.close()
    other.close()


def test_threads_wait_for_the_one_connection_that_writes(sqlite: Database) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite.write() as conn:
            inside.set()
            assert leave.wait(30)
            conn.execute(SET, {"n": 7})

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(hold)
        assert inside.wait(30)
        second = threads.submit(count_up, sqlite, 1)
        leave.set()
        first.result(30)
        second.result(30)
    with sqlite.read() as conn:
        assert conn.scalar(COUNT) == 8


# --- one daemon to a file -------------------------------------------------------------------

DAEMON = """
import sys
from monitor.storage.engine import Database, daemon_lock
with daemon_lock(Database(sys.argv[1])):
    print("holds it", flush=True)
    sys.stdin.read()
"""


@contextmanager
def daemon(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the daemon's lock."""
    command = [sys.executable, "-c", DAEMON, url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds it\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_daemon_on_the_same_file_is_told_which_process_has_it(sqlite: Database) -> None:
    with daemon(address(sqlite)) as first:
        with pytest.raises(DatabaseBusy) as caught, daemon_lock(sqlite):
            pass
        assert caught.value.message == (
            f"a daemon on {sqlite.path} is already running (process {first.pid})"
        )
        assert "Stop it first" in caught.value.remedy


def test_a_daemon_that_has_just_taken_the_lock_is_waited_for_until_it_says_who_it_is(
    sqlite: Database,
) -> None:
    with Path(f"{sqlite.path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        named = threading.Timer(0.2, lambda: print("process 4711", file=lock, flush=True))
        named.start()
        with pytest.raises(DatabaseBusy, match=r"already running \(process 4711\)"):
            daemon_lock(sqlite).__enter__()
        named.join()


def test_a_killed_daemon_leaves_the_lock_free(sqlite: Database) -> None:
    with daemon(address(sqlite)) as first:
        first.kill()
        assert first.wait(30) == -signal.SIGKILL
        with daemon_lock(sqlite):
            lock = Path(f"{sqlite.path}.lock")
            assert lock.read_text() == f"process {os.getpid()}"


def test_another_name_of_the_file_is_the_same_file(sqlite: Database, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(str(sqlite.path))
    linked = Database(f"sqlite:///{tmp_path}/link.db")
    with daemon_lock(sqlite), pytest.raises(DatabaseBusy), daemon_lock(linked):
        pass


@pytest.mark.postgres
def test_any_number_of_daemons_runs_on_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url)
    with daemon(postgres_url), daemon_lock(database):
        pass
    database.close()


def test_the_lock_of_a_folder_that_is_missing_names_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/crossover.db")
    refused = pytest.raises(DatabaseUnavailable, match=r"missing/crossover.db.lock: .*folder exist")
    with refused, daemon_lock(database):
        pass
