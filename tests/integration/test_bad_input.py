"""What goes wrong at a user's: each time a message with thing, cause and remedy, and nothing lost."""

import json
import shutil
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from sqlalchemy import text

from monitor.domain.usage import DAY, utc_day
from monitor.storage.engine import Database
from tests.cli import ROOT, crossover
from tests.factories import give_up
from tests.fake_api import answering, failing, tampered
from tests.fake_openai import (
    ADMIN_KEY,
    PROJECT_KEY,
    Cost,
    FakeOpenAI,
    Use,
    counts,
)
from tests.mailserver import PEM, MailServer

PASSWORD = "CANARY-mail-password"
WRONG_KEY = "sk-admin-CANARY0wrong"
TWO_DAYS_AGO = utc_day(int(time.time())) - 2 * DAY
TEN_DOLLARS = 40_000_000
"""Tokens of gpt-5-mini, uncached, at $0.25 per million."""


def used(**changes):
    return Use(TWO_DAYS_AGO + 5, counts(text=TEN_DOLLARS))._replace(**changes)


@pytest.fixture
def fake():
    with FakeOpenAI([used()], [Cost(TWO_DAYS_AGO, Decimal("10.50"))]) as server:
        yield server


@pytest.fixture
def folder(tmp_path, sqlite_url):
    """A migrated, empty database and room for a configuration."""
    return tmp_path


def source(fake):
    return (
        '[[source]]\nname = "openai"\nkind = "openai"\naccount = "acme"\nbackfill_days = 4\n'
        f'admin_key = "env:ADMIN_KEY"\nbase_url = "{fake.url}"\n'
    )


def mail(server, **changes):
    keys = {
        "host": "localhost",
        "port": server.port,
        "security": "starttls",
        "username": "reports",
        "password": "env:MAIL_PASSWORD",
        "timeout_seconds": 5,
    }
    return "[mail]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in (keys | changes).items())


def run(folder, command, *tables, nvml="off", form="json", **variables):
    """A command beside this configuration; whatever it prints, it prints no secret."""
    (folder / "crossover.toml").write_text(f'[nvml]\nmode = "{nvml}"\n' + "".join(tables))
    secrets = {"ADMIN_KEY": ADMIN_KEY, "MAIL_PASSWORD": PASSWORD} | variables
    ended = crossover(command, "--format", form, cwd=folder, SSL_CERT_FILE=str(PEM), **secrets)
    for secret in (secrets["ADMIN_KEY"], secrets["MAIL_PASSWORD"], "CANARY"):
        assert secret not in ended.out + ended.err
    assert "Traceback" not in ended.err
    return ended


def check(folder, *tables, **options):
    """The exit status and the lines by what was tried."""
    ended = run(folder, "check", *tables, **options)
    return ended.code, {row.pop("what"): row for row in ended.rows}


def failing_line(answer, what, *others):
    """The line that fails, alone or before others, with a remedy."""
    code, lines = answer
    failing = [name for name, line in lines.items() if line["state"] == "fails"]
    assert failing == [what, *others]
    assert code == 1
    assert lines[what]["remedy"]
    return lines[what]


# --- crossover check ---


def test_when_all_is_well_every_line_says_so_and_the_exit_status_is_0(folder, fake):
    with MailServer(tls="starttls", login=("reports", PASSWORD)) as server:
        code, lines = check(folder, source(fake), mail(server))
    assert code == 0
    assert {name: line["state"] for name, line in lines.items()} == {
        "database": "well",
        "source openai": "well",
        "bill against estimate": "well",
        "double counts": "well",
        "unread rows": "well",
        "work": "well",
        "prices": "well",
        "mail": "well",
        "GPUs (NVML)": "off",
    }
    assert lines["source openai"]["seen"].endswith(" tokens of completions on " + _day(1))
    assert lines["mail"]["seen"].endswith("login accepted")


def _day(ago):
    return time.strftime("%Y-%m-%d", time.gmtime(TWO_DAYS_AGO + (2 - ago) * DAY))


@pytest.mark.parametrize(("key", "status"), [(WRONG_KEY, "401"), (PROJECT_KEY, "403")])
def test_a_wrong_key_and_an_ordinary_one_are_told_which_key_is_needed(folder, fake, key, status):
    line = failing_line(check(folder, source(fake), ADMIN_KEY=key), "source openai")
    assert f"HTTP {status}" in line["seen"]
    assert "Admin key" in line["seen"] + line["remedy"]


def test_the_table_for_people_has_the_remedies_too(folder, fake):
    ended = run(folder, "check", source(fake), form="table", ADMIN_KEY=WRONG_KEY, COLUMNS="400")
    assert ended.code == 1
    assert "fails" in ended.out
    assert "needs an Admin key" in ended.out


def test_a_mail_server_that_is_not_there_is_named_with_its_port(folder):
    with MailServer() as server:
        pass
    line = failing_line(check(folder, mail(server)), "mail")
    assert f"localhost:{server.port}: connect: " in line["seen"]
    assert "Check host and port" in line["remedy"]


def test_a_wrong_mail_login_is_a_failed_check(folder):
    with MailServer(tls="starttls", login=("reports", "another")) as server:
        line = failing_line(check(folder, mail(server)), "mail")
    assert f"localhost:{server.port}: login: " in line["seen"]
    assert "is not known here" in line["seen"]
    assert "Check user name" in line["remedy"]


def test_a_mail_server_without_starttls_is_not_spoken_to_in_the_clear(folder):
    with MailServer() as server:
        line = failing_line(check(folder, mail(server)), "mail")
    assert "tls: the server does not offer STARTTLS" in line["seen"]
    assert "465" in line["remedy"]


def test_a_database_that_will_be_made_is_well(folder):
    code, lines = check(folder, '[database]\nurl = "sqlite:///new.db"\n')
    assert (code, lines["database"]["state"]) == (0, "well")
    assert "will be made at the first start" in lines["database"]["seen"]
    assert not (folder / "new.db").exists()


def test_a_folder_that_is_not_there_is_named(folder):
    line = failing_line(check(folder, '[database]\nurl = "sqlite:///no/such.db"\n'), "database")
    assert f"there is no {folder / 'no'}" in line["seen"]


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(folder):
    other = folder / "letter.txt"
    other.write_text("Dear CFO, " * 100)
    tables = '[database]\nurl = "sqlite:///letter.txt"\n'
    line = failing_line(check(folder, tables), "database", "work", "prices")
    assert "file is not a database" in line["seen"]
    assert other.read_text() == "Dear CFO, " * 100


def test_a_schema_newer_than_the_program_fails_the_check(folder):
    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    line = failing_line(check(folder), "database", "work", "prices")
    assert "schema 9999, newer than Crossover" in line["seen"]


@pytest.fixture
def no_driver(tmp_path_factory):
    """A folder that the loader searches first, with a driver library that cannot be loaded."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "libnvidia-ml.so.1").touch()
    return {"LD_LIBRARY_PATH": str(folder)}


def test_gpus_that_are_required_and_absent_fail(folder, no_driver):
    line = failing_line(check(folder, nvml="required", **no_driver), "GPUs (NVML)")
    assert "LibraryNotFound" in line["seen"]
    assert "Install NVIDIA's driver" in line["remedy"]


def test_gpus_that_may_be_absent_show_as_off(folder, no_driver):
    code, lines = check(folder, nvml="auto", **no_driver)
    assert (code, lines["GPUs (NVML)"]["state"]) == (0, "off")
    assert "LibraryNotFound" in lines["GPUs (NVML)"]["seen"]


@pytest.mark.parametrize(
    ("billed", "state", "said"),
    [
        ("11.20", "well", "acme: billed $11.20, estimated $10.00"),
        ("1000", "fails", "a unit error: cents where dollars are expected"),
        ("20", "fails", "a double count?"),
    ],
)
def test_cents_where_dollars_are_expected_are_noticed_beside_the_estimate(
    folder, fake, billed, state, said
):
    fake.costs[0] = fake.costs[0]._replace(value=Decimal(billed))
    assert run(folder, "collect", source(fake)).code == 0
    code, lines = check(folder, source(fake))
    line = lines["bill against estimate"]
    assert (code, line["state"]) == (int(state == "fails"), state)
    assert said in line["seen"]
    assert bool(line["remedy"]) == (state == "fails")


@pytest.mark.parametrize(
    ("code", "tables", "said", "remedy"),
    [
        (2, "[mail\n", "crossover.toml is not TOML", "Correct that line"),
        (2, '[mail]\nhots = "x"\n', "mail.hots (line 4): unknown key", "crossover init"),
        (
            2,
            '[mail]\nusername = "u"\npassword = "CANARY"\n',
            "a secret is named, not written",
            "init",
        ),
        (
            1,
            '[mail]\nhost = "x"\nusername = "u"\npassword = "env:NOT_SET"\n',
            "mail.password: the environment variable NOT_SET is not set",
            "Set NOT_SET",
        ),
        (
            1,
            '[mail]\nhost = "x"\nusername = "u"\npassword = "file:/none"\n',
            "mail.password: the file /none cannot be read",
            "readable by Crossover",
        ),
    ],
)
def test_a_configuration_that_cannot_be_used_names_place_cause_and_remedy(
    folder, code, tables, said, remedy
):
    ended = run(folder, "check", tables)
    told = ended.err + ended.out
    assert ended.code == code
    assert said in told
    assert remedy in told


def test_work_that_was_given_up_fails_the_check_and_the_first_is_named(folder):
    give_up(folder)
    line = failing_line(check(folder), "work")
    assert "dead runs: 1, dead messages: 1" in line["seen"]
    assert "decide/2026-11-08: KeyError: 'bot'" in line["seen"]
    assert "outbox list --dead" in line["remedy"]
    assert "v_runs" in line["remedy"]


# --- arguments ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", "projection.usd.q50", "--week", "9999-W52"], "'9999-W52' lies outside"),
        (["explain", "projection.usd.q50", "--week", "0001-W01"], "'0001-W01' lies outside"),
        (["report", "weekly", "--week", "0001-W01"], "'0001-W01' lies outside"),
        (["report", "weekly", "--week", "last"], "'last' is not an ISO week"),
        (["outbox", "retry", "9" * 21], "invalid value for 'message'"),
        (["outbox", "drop", "0"], "invalid value for 'message'"),
        (["outbox", "list", "--state", "bogus"], "'pending', 'sent', 'dead', 'dropped'"),
        (["run", "--log-level", "BOGUS"], "'debug', 'info', 'warning', 'error'"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused_in_a_sentence(folder, words, said):
    ended = crossover(*words, cwd=folder)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert said.lower() in " ".join(ended.err.split()).lower()


def test_messages_are_listed_by_state(folder):
    give_up(folder)
    listed = [
        len(crossover("outbox", "list", "--state", state, "--format", "json", cwd=folder).rows)
        for state in ("dead", "sent")
    ]
    assert listed == [1, 0]


def test_what_nobody_foresaw_is_one_line_and_a_traceback_only_on_demand(folder):
    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.write() as conn:
        conn.execute(text("DROP VIEW v_messages"))
    database.close()
    ended = crossover("outbox", "list", cwd=folder)
    first, second = ended.err.splitlines()
    assert ended.code == 1
    assert first.startswith("Error: unexpected failure: ")
    assert "no such table: v_messages" in first
    assert second == "Run again with CROSSOVER_DEBUG=1 for the traceback."
    again = crossover("outbox", "list", cwd=folder, CROSSOVER_DEBUG="1")
    assert again.code == 1
    assert "Traceback" in again.err


# --- crossover collect ---


def stored(folder):
    """Every fact, and the error that each stream shows."""
    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.read() as conn:
        facts = [
            conn.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all()
            for table in ("usage", "bill", "usage_day", "watermark")
        ]
        errors = conn.execute(
            text("SELECT last_error FROM v_data_quality WHERE last_error <> ''")
        ).scalars()
        told = errors.all()
    database.close()
    # When a stream was last read may change, how far it is closed may not.
    facts[-1] = [row[:2] for row in facts[-1]]
    return facts, told


@pytest.fixture(scope="module")
def collected(tmp_path_factory, sqlite_template):
    """A database after a good collection."""
    folder = tmp_path_factory.mktemp("collected")
    shutil.copy(sqlite_template, folder / "crossover.db")
    with FakeOpenAI([used()], [Cost(TWO_DAYS_AGO, Decimal("10.50"))]) as server:
        assert run(folder, "collect", source(server)).code == 0
    return folder / "crossover.db"


def cursor(page):
    page.update(has_more=True, next_page="page_x")


AGAIN = answering(200, b'{"data": [], "has_more": true, "next_page": "page_x"}')


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        ([answering(200, b'{"data": [')] * 2, "page 1: not a page of usage or costs"),
        (
            [answering(200, b"<html>Please log in</html>")] * 2,
            "page 1: not a page of usage or costs",
        ),
        ([tampered(cursor), AGAIN], "page 2: its cursor was already followed"),
        ([tampered(lambda page: page.update(has_more=True))], "more follows and gives no cursor"),
        ([failing(401, "Incorrect API key provided")], "needs an Admin key"),
    ],
)
def test_an_answer_that_cannot_be_used_fails_its_stream_and_loses_nothing(
    folder, fake, collected, faults, cause
):
    shutil.copy(collected, folder / "crossover.db")
    before, none = stored(folder)
    fake.faults += faults
    ended = run(folder, "collect", source(fake))
    assert (ended.code, none) == (4, [])
    (told,) = [row["error"] for row in ended.rows if row["error"]]
    assert told.startswith("source openai: ")
    assert cause in told
    assert stored(folder) == (before, [told])
    assert run(folder, "collect", source(fake)).code == 0
    assert stored(folder) == (before, [])


def test_an_ordinary_key_fails_every_stream_and_loses_nothing(folder, fake, collected):
    shutil.copy(collected, folder / "crossover.db")
    before, _ = stored(folder)
    ended = run(folder, "collect", source(fake), ADMIN_KEY=PROJECT_KEY)
    assert ended.code == 4
    assert all("needs an Admin key" in row["error"] for row in ended.rows)
    assert stored(folder)[0] == before


def query(folder, sql):
    ended = crossover("query", sql, "--format", "json", cwd=folder)
    assert ended.code == 0, ended.err
    return ended.rows


def test_counts_that_cannot_be_are_kept_apart_and_the_rest_counts(folder, fake):
    fake.truth += [
        used(model=f"m-{n}", counts=counts(text=5) | {"output_tokens": n}) for n in (-4, 10**16)
    ]
    ended = run(folder, "collect", source(fake))
    assert ended.code == 0
    assert sum(row["quarantined"] for row in ended.rows) == 2
    assert query(folder, "SELECT SUM(tokens) AS t FROM v_usage_daily") == [{"t": TEN_DOLLARS}]


def test_an_unknown_model_with_a_hostile_name_is_one_clean_line_and_unpriced(folder, fake):
    fake.truth.append(
        used(model='x\r\nBcc: all@example.org\n<script>alert("1")</script>', counts=counts(text=7))
    )
    assert run(folder, "collect", source(fake)).code == 0
    assert query(
        folder,
        "SELECT model, tokens, unpriced_tokens, estimated_usd FROM v_usage_daily WHERE tokens = 7",
    ) == [
        {
            "model": 'x Bcc: all@example.org <script>alert("1")</script>',
            "tokens": 7,
            "unpriced_tokens": 7,
            "estimated_usd": 0,
        }
    ]


# --- crossover import ---


def test_a_log_that_was_cut_off_brings_its_whole_rows_and_later_the_rest(folder):
    whole = "time,in,out\n" + "".join(f"2026-11-20 10:00:0{n},100,10\n" for n in range(5))
    log = folder / "log.csv"
    mapping = "at=time,input=in,output=out,provider=:openai,model=:gpt-4o"
    found = []
    for cut in (whole[:-6], whole, whole):
        log.write_text(cut)
        ended = crossover("import", log, "--map", mapping, "--output-format", "json", cwd=folder)
        assert ended.code == 0, ended.err
        found += [(row["rows"], row["new"], row["quarantined"]) for row in ended.rows]
    assert found == [(5, 4, 1), (5, 1, 0), (5, 0, 0)]
    assert query(folder, "SELECT SUM(tokens) AS t FROM v_usage_daily") == [{"t": 5 * 110}]


# --- the first steps ---


def test_collecting_without_a_source_says_what_is_missing(folder):
    ended = run(folder, "collect")
    assert (ended.code, ended.rows) == (0, [])
    assert "no source is configured" in ended.err


def test_retries_are_not_named_on_a_terminal_but_warnings_are():
    said = (
        "import logging; from monitor import cli; cli.root('', False)\n"
        "for name in ('stamina', 'crossover.decide'): logging.getLogger(name).warning(name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "crossover.decide\n"
