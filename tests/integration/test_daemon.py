"""`crossover run` from the outside: health, signals, locks, and what it says when it cannot."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from sqlalchemy import text

from monitor.storage import tokens
from monitor.storage.engine import Database
from tests.cli import ROOT, crossover
from tests.factories import give_up

CONFIG = '[http]\nport = 0\n[nvml]\nmode = "off"\n[daemon]\ntick_seconds = 0.2\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "crossover.toml").write_text(CONFIG)
    return tmp_path


def start(folder, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "monitor", "run"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def health_url(daemon):
    for line in daemon.stderr:
        if "health at " in line:
            return line.split("health at ")[1].strip()
    raise AssertionError("it ended before it served")


def answer(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def stop(daemon, how=signal.SIGTERM):
    began = time.monotonic()
    daemon.send_signal(how)
    err = daemon.communicate(timeout=30)[1]
    return daemon.returncode, time.monotonic() - began, err


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_health_and_stops_gracefully_within_ten_seconds(folder, how):
    daemon = start(folder)
    status, body = answer(health_url(daemon))
    assert (status, body["ok"], body["problems"]) == (200, True, [])
    code, seconds, err = stop(daemon, how)
    assert code == 0
    assert seconds < 10
    last = json.loads(err.strip().splitlines()[-1])
    assert {"at", "level", "logger", "message"} <= set(last)


def test_health_counts_what_was_given_up_and_stays_well(folder):
    assert crossover("db", "upgrade", cwd=folder).code == 0
    give_up(folder)
    daemon = start(folder)
    status, body = answer(health_url(daemon))
    stop(daemon)
    assert (status, body["ok"]) == (200, True)
    assert (body["dead_runs"], body["dead_messages"]) == (1, 1)


def test_it_takes_what_programs_send(folder):
    daemon = start(folder)
    url = health_url(daemon)
    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.write() as conn:
        secret = tokens.create(conn, tokens.TokenSetup("t", "team", ("usage",)), {}, 0)
    names = {"provider": "openai", "model": "gpt-5-mini"}
    body = json.dumps([{"id": "r1", "at": time.time(), "output": 5, **names}]).encode()
    request = urllib.request.Request(
        url.replace("healthz", "v1/usage"), body, {"Authorization": f"Bearer {secret}"}
    )
    request.add_header("Content-Type", "application/json")
    assert answer(request) == (200, {"accepted": 1, "repeated": 0, "refused": []})
    health = answer(url)[1]
    assert (health["intake_requests"], health["intake_waiting"]) == (0, 0)
    code, _, err = stop(daemon)
    assert (code, secret in err) == (0, False)
    with database.read() as conn:
        assert conn.scalar(text("SELECT SUM(output) FROM usage")) == 5
    database.close()


def test_a_second_daemon_on_one_sqlite_file_is_refused_by_name(folder):
    first = start(folder)
    try:
        health_url(first)
        ended = crossover("run", cwd=folder)
        assert ended.code == 3
        assert f"process {first.pid}" in ended.err
        assert "already running" in ended.err
    finally:
        stop(first)


def test_a_taken_port_is_named_with_its_remedy(folder):
    first = start(folder)
    port = health_url(first).rsplit(":", 1)[1].split("/")[0]
    try:
        other = folder / "other"
        other.mkdir()
        (other / "crossover.toml").write_text(CONFIG)
        ended = crossover("run", cwd=other, CROSSOVER_HTTP__PORT=port)
        assert ended.code == 1
        assert f"cannot listen on 127.0.0.1:{port}" in ended.err
        assert "http.port" in ended.err
    finally:
        stop(first)


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ("[databse]\nurl='x'", 2, "databse (line 1): unknown key"),
        ("not toml", 2, "is not TOML"),
        ("[database]\nurl='sqlite:///no/such/folder/x.db'", 3, "cannot open"),
        ("[database]\nurl='mysql://x/y'", 3, "not supported"),
        (
            '[[source]]\nname="o"\nkind="openai"\naccount="a"\nadmin_key="env:NOT_SET"',
            2,
            "environment variable NOT_SET is not set",
        ),
        (
            '[[source]]\nname="o"\nkind="opnai"\naccount="a"\nadmin_key="env:HOME"',
            2,
            "'opnai' is no kind",
        ),
    ],
)
def test_what_it_cannot_start_with_is_one_calm_message(tmp_path, config, code, said):
    (tmp_path / "crossover.toml").write_text(config)
    ended = crossover("run", cwd=tmp_path)
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_schema_newer_than_the_program_is_its_own_error(folder):
    assert crossover("db", "upgrade", cwd=folder).code == 0
    from sqlalchemy import text

    from monitor.storage.engine import Database

    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    ended = crossover("run", cwd=folder)
    assert ended.code == 3
    assert "schema 9999, newer than Crossover" in ended.err
