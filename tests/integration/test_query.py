"""`crossover query` against people who mean well and people who do not, on both engines."""

import hashlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.domain.errors import QueryError
from monitor.storage import query
from monitor.storage.engine import Database
from monitor.storage.query import Limits, Result
from tests.integration.reading import as_reader, seeded

POSTGRES = pytest.mark.postgres
Ask = Callable[..., Result]
SHORT = Limits(seconds=1)
FOR_EVER = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"


Side = tuple[Database, Database | None]


@pytest.fixture(scope="module")
def sqlite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with seeded(request, "sqlite", tmp_path_factory.mktemp("query")) as owner:
        yield owner, None


@pytest.fixture(scope="module")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    with (
        seeded(request, "postgres", tmp_path_factory.mktemp("query")) as owner,
        as_reader(owner) as reader,
    ):
        yield owner, reader


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=POSTGRES)])
def side(request: pytest.FixtureRequest) -> Side:
    """The owner's and the reader's door to one filled database, which no query can change."""
    found: Side = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database(side: Side) -> Database:
    return side[0]


@pytest.fixture
def reader(side: Side) -> Database | None:
    return side[1]


@pytest.fixture
def ask(database: Database, reader: Database | None) -> Ask:
    """Asks as the reader, and checks each time that no process or session is left."""

    def asked(sql: str, limits: Limits = query.NORMAL) -> Result:
        started = time.monotonic()
        try:
            return query.run(database, sql, limits, reader=reader)
        except QueryError:
            assert time.monotonic() - started < max(5, limits.seconds)
            assert sessions(database, reader) == []
            raise
        finally:
            assert children() == []

    return asked


def children(of: int | None = None) -> list[int]:
    """Processes whose parent is this one, also those that ended and were not waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(parent) == (of or os.getpid()) and (b"query_child" in command or not command):
            found.append(int(stat.parent.name))
    return found


def sessions(database: Database, reader: Database | None) -> list[str]:
    """What the reader's role has running on the server."""
    if reader is None:
        return []
    with database.read() as conn:
        running = sa.text("SELECT query FROM pg_stat_activity WHERE usename = :role")
        return list(conn.scalars(running, {"role": reader.url.username}))


def engine(*cases: str, on: str) -> list[object]:
    """Attacks that one engine alone knows."""
    marks = [POSTGRES] if on == "postgres" else []
    return [pytest.param(on, case, marks=marks, id=f"{on}: {case[:60]}") for case in cases]


def both(*cases: str) -> list[object]:
    return [*engine(*cases, on="sqlite"), *engine(*cases, on="postgres")]


def attacks(*cases: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("side", "sql"), list(cases), indirect=["side"])


# --- what people ask ------------------------------------------------------------------------


def test_an_answer_has_the_same_exact_numbers_on_both_engines(ask: Ask) -> None:
    result = ask(
        "SELECT workload, requests, estimated_usd, estimated_usd * 3, NULL, 0.1 + 0.2"
        " FROM v_workload_cost WHERE workload = 'support-bot'"
    )
    assert result.columns[:3] == ["workload", "requests", "estimated_usd"]
    [[workload, requests, usd, tripled, nothing, sum_]] = result.rows
    assert (workload, requests, usd) == ("support-bot", 80, Decimal("15.0002"))
    assert (tripled, nothing, sum_) == (Decimal("45.0006"), None, Decimal("0.3"))
    assert not result.truncated


def test_rows_above_the_limit_are_left_out_and_said(ask: Ask) -> None:
    whole = ask("SELECT day FROM v_usage_daily ORDER BY day")
    part = ask("SELECT day FROM v_usage_daily ORDER BY day", Limits(rows=3))
    assert part.rows == whole.rows[:3]
    assert part.truncated
    exact = Limits(rows=len(whole.rows))
    assert not ask("SELECT day FROM v_usage_daily", exact).truncated


def test_an_endless_answer_is_cut_at_the_limit_of_rows(ask: Ask) -> None:
    endless = FOR_EVER.replace("COUNT(*)", "n")
    result = ask(endless, Limits(rows=2))
    assert result.rows == [[Decimal(1)], [Decimal(2)]]
    assert result.truncated


def test_an_answer_without_rows_still_has_columns(ask: Ask) -> None:
    result = ask("SELECT day, usd FROM v_spend_daily WHERE day < '2000'")
    assert result == Result(["day", "usd"], [], truncated=False)


@attacks(
    *both(
        "-- a comment; with a semicolon\nSELECT 1",
        "/* DELETE */ SELECT 1;",
        "VALUES (1)",
        "with a as (select 1 as n) select n from a",
        "SELECT COUNT(*) - COUNT(*) + 1 FROM V_RATE, v_usage_daily",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r WHERE n > 1) SELECT n FROM r",
        "SELECT COUNT(*) FROM (SELECT day FROM v_spend_daily LIMIT 1) v_spend_daily",
    ),
    *engine("SELECT COUNT(*) FROM json_each('[7]')", on="sqlite"),
    *engine("(SELECT 1)", "SELECT 1 WHERE 'a' LIKE '%a'", on="postgres"),
)
def test_every_form_of_one_select_is_answered(ask: Ask, sql: str) -> None:
    assert ask(sql).rows == [[Decimal(1)]]


@attacks(
    *engine("SELECT 9e999, x'00ff', CAST(x'ff41' AS TEXT), 1e17, -0.0, 'é'", on="sqlite"),
    *engine(
        "SELECT 'Infinity'::float8, '\\x00ff'::bytea, U&'\\FFFD' || 'A', 1e17::float8, -0.0, 'é'",
        on="postgres",
    ),
)
def test_values_that_json_or_utf8_do_not_know_come_through(ask: Ask, sql: str) -> None:
    [[infinite, raw, broken, large, zero, text]] = ask(sql).rows
    assert str(infinite).lower() in ("inf", "infinity")
    assert (raw, broken, large, text) == ("\\x00ff", "\ufffdA", Decimal(10**17), "é")
    assert zero == 0


@POSTGRES
def test_types_that_only_postgres_has_are_text_or_numbers(postgres_url: str) -> None:
    database = Database(postgres_url)
    with as_reader(database) as reader:
        sql = "SELECT true, date '2026-11-01', 'NaN'::numeric, ARRAY[1, 2], 1e200::numeric, 0.10::float8"
        [row] = query.run(database, sql, reader=reader).rows
    database.close()
    assert row == [True, "2026-11-01", "NaN", "{1,2}", Decimal("1e200"), Decimal("0.1")]


# --- what runs for ever ---------------------------------------------------------------------


@attacks(
    *both(
        FOR_EVER,
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20000)"
        " SELECT COUNT(*) FROM r a, r b, r c",
        "SELECT COUNT(*) FROM v_usage_daily a, v_usage_daily b, v_usage_daily c, v_usage_daily d,"
        " v_usage_daily e, v_usage_daily f, v_usage_daily g",
    ),
    *engine(
        # One step of the engine each, so that only the end of the process stops them.
        "SELECT instr(zeroblob(15000000), zeroblob(7000000) || 'x')",
        "SELECT printf('%.*c', 1000000000, 'x')",
        on="sqlite",
    ),
    *engine(
        "SELECT pg_sleep(600)",
        "SELECT COUNT(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(600)",
        "SELECT set_config('client_connection_check_interval', '0', false), pg_sleep(600)",
        on="postgres",
    ),
)
def test_a_query_that_runs_for_ever_is_stopped(ask: Ask, sql: str) -> None:
    with pytest.raises(QueryError, match=r"not finish within 1 seconds\. Narrow it") as stopped:
        ask(sql, SHORT)
    assert stopped.value.exit_code == 5


@pytest.mark.proof
@attacks(*both(FOR_EVER), *engine("SELECT pg_sleep(600)", on="postgres"))
def test_the_default_limit_ends_a_query_within_five_seconds(ask: Ask, sql: str) -> None:
    with pytest.raises(QueryError, match="not finish within 5 seconds"):
        ask(sql)


def test_time_that_the_caller_has_used_is_taken_off_but_half_is_left(
    database: Database, reader: Database | None
) -> None:
    started = time.monotonic()
    with pytest.raises(QueryError, match="not finish within 4 seconds"):
        query.run(database, FOR_EVER, Limits(seconds=4), reader=reader, spent=60)
    assert 1 < time.monotonic() - started < 4


@POSTGRES
def test_a_server_that_does_not_heed_its_timer_is_ended_over_a_second_connection(
    postgres_url: str,
) -> None:
    database = Database(postgres_url)
    with as_reader(database) as reader:
        assert reader is not None
        with database.write() as conn:
            # The role's own settings come first in a session; the query's timer must win anyway.
            conn.exec_driver_sql(f"ALTER ROLE {reader.url.username} SET statement_timeout = 0")
            conn.exec_driver_sql(
                "CREATE FUNCTION stubborn() RETURNS void LANGUAGE plpgsql AS $$ BEGIN LOOP BEGIN"
                " PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;"
                " END $$"
            )
        with pytest.raises(QueryError, match="not finish within 1 seconds"):
            query.run(database, "SELECT stubborn()", SHORT, reader=reader)
        assert sessions(database, reader) == []
    database.close()


# --- what takes without end -----------------------------------------------------------------


@attacks(
    *engine(
        "WITH RECURSIVE r(n, x) AS (SELECT 1, zeroblob(1000) UNION ALL SELECT n + 1, zeroblob(1000)"
        " FROM r) SELECT COUNT(*) FROM (SELECT * FROM r ORDER BY x)",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 3000000)"
        " SELECT length(group_concat(n)) FROM r",
        "SELECT length(zeroblob(1000000000))",
        "SELECT length(replace(hex(zeroblob(1000000)), '0', hex(zeroblob(1000000))))",
        "SELECT length(randomblob(1000000000))",
        on="sqlite",
    ),
    *engine(
        "SELECT repeat('x', 1000000) FROM generate_series(1, 1000000)",
        "SELECT repeat('x', 2000000000)",
        "SELECT string_agg(repeat('x', 1000000), '') FROM generate_series(1, 150)",
        on="postgres",
    ),
)
@pytest.mark.proof
def test_a_query_that_allocates_without_end_is_stopped(ask: Ask, sql: str) -> None:
    with pytest.raises(QueryError, match=r"needs more memory than a query may have.*Select fewer"):
        # The time limit must not come first where the machine is busy.
        ask(sql, Limits(seconds=20, memory_bytes=256 * query.MIB))


@attacks(
    *engine(
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
        " SELECT hex(zeroblob(1000000)) FROM r",
        on="sqlite",
    ),
    *engine("SELECT repeat('x', 1000000) FROM generate_series(1, 100)", on="postgres"),
)
def test_an_answer_that_is_too_large_is_stopped(ask: Ask, sql: str) -> None:
    with pytest.raises(QueryError, match="its answer is over 64 MiB"):
        ask(sql)


# --- what would do more than read -----------------------------------------------------------

NOT_A_SELECT = (
    "DELETE FROM usage",
    "UPDATE account SET name = 'x'",
    "INSERT INTO account (name) VALUES ('x')",
    "CREATE TABLE t (a int)",
    "CREATE TEMP TABLE t (a int)",
    "CREATE VIEW v_mine AS SELECT 1",
    "DROP VIEW v_rate",
    "ATTACH 'elsewhere.db' AS e",
    "PRAGMA query_only = OFF",
    "VACUUM INTO 'elsewhere.db'",
    "BEGIN",
    "SET statement_timeout = 0",
    "RESET ROLE",
    "COPY (SELECT 1) TO PROGRAM 'touch elsewhere.db'",
    "EXPLAIN ANALYZE DELETE FROM usage",
    "/* SELECT */ DELETE FROM usage",
    "-- SELECT\nDELETE FROM usage",
    "",
)


@attacks(*both(*NOT_A_SELECT))
def test_what_is_not_a_select_is_refused(ask: Ask, sql: str) -> None:
    with pytest.raises(QueryError, match=r"is not a SELECT\. Only one SELECT can be run"):
        ask(sql)


@attacks(
    *both(
        "SELECT 1; DELETE FROM usage",
        "SELECT 1; COMMIT; DELETE FROM usage",
        "WITH gone AS (DELETE FROM usage RETURNING 1) SELECT * FROM gone",
        "WITH a AS (SELECT 1) DELETE FROM usage",
        "WITH a AS (SELECT 1) INSERT INTO account (name) SELECT 'x' FROM a",
        "SELECT * INTO t FROM v_rate",
    ),
    *engine(
        "SELECT load_extension('libm.so.6')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT writefile('elsewhere.db', 'x')",
        "SELECT * FROM pragma_query_only",
        "SELECT * FROM pragma_journal_mode('delete')",
        on="sqlite",
    ),
    *engine(
        "SELECT * FROM v_spend_daily FOR UPDATE",
        "SELECT query_to_xml('DELETE FROM dirty', true, true, '')",
        "SELECT query_to_xml('CREATE TEMP TABLE t (a int)', true, true, '')",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT nextval('account_id_seq')",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_create(0)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock_shared(1, 2)",
        "SELECT pg_notify('crossover', 'x')",
        "SELECT pg_logical_emit_message(false, 'x', 'y')",
        "SELECT pg_reload_conf()",
        "SELECT set_config('temp_file_limit', '-1', false)",
        "SELECT set_config('log_statement', 'none', false)",
        on="postgres",
    ),
)
def test_a_select_that_would_do_more_than_read_is_refused(
    ask: Ask, database: Database, sql: str
) -> None:
    before = content(database)
    with pytest.raises(QueryError, match=r"the query (was refused|cannot be run): .*database.md"):
        ask(sql)
    assert content(database) == before


@attacks(
    *both(
        "SELECT digest FROM access_token",
        "SELECT COUNT(*) FROM access_token",
        "SELECT 1 FROM v_rate WHERE EXISTS (SELECT 1 FROM access_token WHERE digest LIKE '0%')",
        "SELECT message FROM outbox",
        "SELECT * FROM spend_parts",
        "SELECT u.tokens FROM v_usage_daily v, usage_day u",
        "WITH v_usage_daily AS (SELECT digest FROM access_token) SELECT * FROM v_usage_daily",
        "WITH v_usage_daily AS (SELECT tokens FROM usage_day) SELECT * FROM v_usage_daily",
        "WITH estimated AS (SELECT tokens FROM usage_day) SELECT * FROM estimated",
        "WITH a AS (WITH v_rate AS (SELECT name FROM account) SELECT * FROM v_rate) SELECT * FROM a",
    ),
    *engine(
        "SELECT * FROM sqlite_master",
        "SELECT COUNT(*) FROM sqlite_schema",
        "SELECT COUNT(*) FROM sqlite_temp_master",
        "SELECT COUNT(*) FROM dbstat",
        "SELECT COUNT(*) FROM pragma_table_list",
        "SELECT name FROM pragma_table_info('access_token')",
        "SELECT rowid FROM v_rate",
        "WITH 'v_rate' AS (SELECT digest FROM access_token) SELECT * FROM v_rate",
        "WITH [v_rate] AS MATERIALIZED (SELECT digest FROM access_token) SELECT * FROM v_rate",
        "WITH access_token AS (SELECT 1) SELECT * FROM main.access_token",
        on="sqlite",
    ),
    *engine(
        "SELECT query_to_xml('SELECT digest FROM access_token', true, true, '')",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT set_config('role', 'none', false),"
        " query_to_xml('SELECT digest FROM access_token', true, true, '')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT current_setting('data_directory')",
        on="postgres",
    ),
)
def test_what_is_not_public_cannot_be_read(ask: Ask, sql: str) -> None:
    with pytest.raises(QueryError, match=r"the query (was refused|cannot be run): .*database.md"):
        ask(sql)


def content(database: Database) -> object:
    """Changes whenever anything in the database does, or a file appears beside it."""
    if database.path is not None:
        files = sorted(f.name for f in database.path.parent.iterdir() if "-" not in f.name)
        with database.read() as conn:
            dump = "".join(conn.connection.driver_connection.iterdump())  # type: ignore[union-attr]
        return files, hashlib.sha256(dump.encode()).hexdigest()
    with database.read() as conn:
        counts = "SELECT COUNT(*) FROM dirty UNION ALL SELECT COUNT(*) FROM pg_class"
        large = " UNION ALL SELECT COUNT(*) FROM pg_largeobject_metadata"
        locks = " UNION ALL SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'"
        return list(conn.scalars(sa.text(counts + large + locks)))


# --- the reader's role ----------------------------------------------------------------------


@POSTGRES
def test_postgres_without_a_readers_role_says_how_to_make_one(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(QueryError, match=r"reader_url is not set.*crossover db reader"):
        query.run(database, "SELECT 1")
    database.close()


@POSTGRES
def test_a_role_that_may_do_more_than_read_the_views_is_refused(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(QueryError, match="the role postgres may do more than read the views"):
        query.run(database, "SELECT 1", reader=database)
    with as_reader(database) as reader:
        assert reader is not None
        with database.write() as conn:
            conn.exec_driver_sql(f"GRANT SELECT ON meta TO {reader.url.username}")
        with pytest.raises(QueryError, match="may do more than read the views"):
            query.run(database, "SELECT 1", reader=reader)
    database.close()


@POSTGRES
def test_a_server_that_is_not_there_is_said_in_one_sentence(postgres_url: str) -> None:
    database = Database(postgres_url)
    away = Database("postgresql://reader@127.0.0.1:1/crossover")
    with pytest.raises(QueryError, match=r"could not reach the database: .*Check that it is there"):
        query.run(database, "SELECT 1", reader=away)
    database.close()
    away.close()


# --- when the asker goes away ---------------------------------------------------------------

ASKER = """
import signal, sys
# A test runner in the background hands SIGINT down as ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from monitor.storage.engine import Database
from monitor.storage.query import Limits, run
database = Database(sys.argv[1])
reader = Database(sys.argv[2]) if len(sys.argv) > 2 else None
run(database, sys.argv[3] if reader else "{for_ever}", Limits(seconds=float("{seconds}")), reader=reader)
"""


def asker(seconds: float, *arguments: str) -> subprocess.Popen[bytes]:
    code = ASKER.format(for_ever=FOR_EVER, seconds=seconds)
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=root, stderr=subprocess.DEVNULL
    )


def ended(pid: int, within: float) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], within)[0])
    finally:
        os.close(watched)


def wait_until(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        os.sched_yield()
    return found


def test_a_child_whose_parent_was_killed_ends_by_itself(sqlite_url: str) -> None:
    with asker(1, sqlite_url) as parent:
        [child] = wait_until(lambda: children(parent.pid))  # type: ignore[misc]
        parent.kill()
    assert ended(child, within=5)


@POSTGRES
def test_an_interrupt_ends_the_query_on_the_server_too(postgres_url: str) -> None:
    database = Database(postgres_url)
    with as_reader(database) as reader:
        assert reader is not None
        urls = [db.url.render_as_string(hide_password=False) for db in (database, reader)]
        with asker(600, *urls, "SELECT pg_sleep(600)") as parent:
            wait_until(lambda: "FETCH" in "".join(sessions(database, reader)))
            parent.send_signal(signal.SIGINT)
            try:
                assert parent.wait(timeout=20) != 0
            finally:
                parent.kill()
        assert sessions(database, reader) == []
    database.close()
