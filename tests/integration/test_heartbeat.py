"""The sign of life: a real daemon, a real address outside."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from collectors.http import post
from monitor.config import from_tables
from monitor.domain.errors import ChannelError, SourceError
from monitor.jobs.heartbeat import Heartbeat
from monitor.scheduler import Daemon
from monitor.wiring.parts import daemon_parts
from tests.cli import ROOT, crossover
from tests.hooks import Hooks, Request

PATH = "/ping/5ec2e7-key"
T = 1_793_491_200


@pytest.fixture
def hooks():
    with Hooks() as found:
        yield found


def beating(hooks, every=60):
    return Heartbeat(hooks.url + PATH, every, post)


def test_it_tells_its_start_then_good_rounds_at_most_so_often(hooks):
    heart = beating(hooks)
    for seconds in (0, 30, 59, 60, 90, 120):
        heart.beat([], T + seconds)
    paths = [request.path for request in hooks.got]
    assert paths == [f"{PATH}/start", PATH, PATH, PATH]
    assert {request.method for request in hooks.got} == {"GET"}


def test_before_the_first_round_has_ended_only_the_start_is_told(hooks):
    heart = beating(hooks)
    for seconds in range(0, 600, 30):
        heart.beat(None, T + seconds)
    assert [request.path for request in hooks.got] == [f"{PATH}/start"]


def test_one_bad_round_is_silent_and_two_are_told_by_name_and_recovery_at_once(hooks):
    heart = beating(hooks)
    heart.beat([], T)
    heart.beat(["plan fails"], T + 60)
    assert len(hooks.got) == 2
    for seconds in range(90, 180, 30):
        heart.beat(["plan fails", "send fails"], T + seconds)
    assert hooks.got[2:] == [
        Request("POST", f"{PATH}/fail", "plan fails\nsend fails"),
        Request("POST", f"{PATH}/fail", "plan fails\nsend fails"),
    ]
    heart.beat([], T + 181)
    assert hooks.got[4:] == [Request("GET", PATH, "")]


def test_a_clock_that_went_back_makes_nothing_wait(hooks):
    heart = beating(hooks)
    heart.beat([], T)
    heart.beat([], T - 7200)
    assert len(hooks.got) == 3


def test_a_query_stays_behind_the_path(hooks):
    Heartbeat(f"{hooks.url}{PATH}/?create=1", 60, post).beat([], T)
    assert [r.path for r in hooks.got] == [f"{PATH}/start?create=1", f"{PATH}?create=1"]


def test_what_is_not_answered_well_is_an_error_without_the_address_and_is_tried_again(hooks):
    heart = beating(hooks)
    heart.beat([], T)
    hooks.status = 404
    with pytest.raises(ChannelError, match="answered with 404") as raised:
        heart.beat([], T + 60)
    assert "5ec2e7" not in str(raised.value)
    hooks.status = 200
    heart.beat([], T + 61)
    assert len(hooks.got) == 4


def test_an_address_where_nobody_answers_is_an_error_without_the_address():
    heart = Heartbeat("http://127.0.0.1:9/5ec2e7-key", 60, post)
    with pytest.raises(ChannelError, match="was not answered") as raised:
        heart.beat([], T)
    assert "5ec2e7" not in str(raised.value)
    assert raised.value.__cause__ is None


@contextmanager
def running(database_url, hooks, every=0):
    settings = from_tables({"database": {"url": database_url}, "nvml": {"mode": "off"}})
    state = {"fails": False}
    parts = daemon_parts(settings)
    real = parts.prices

    def prices(stored):
        if state["fails"]:
            raise SourceError("openai", "the key sk-secret is refused")
        return real(stored)

    heart = beating(hooks, every)
    daemon = Daemon(parts._replace(prices=prices, heartbeat=heart, tick_seconds=0.1))
    stop = threading.Event()
    thread = threading.Thread(target=daemon.run, args=(stop,))
    thread.start()
    try:
        yield daemon, state
    finally:
        stop.set()
        thread.join(20)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_daemon_calls_while_all_is_well_and_no_more_while_a_job_fails(database_url, hooks):
    with running(database_url, hooks) as (daemon, state):
        wait_for(lambda: len(hooks.got) > 3)
        assert {r.path for r in hooks.got} == {f"{PATH}/start", PATH}
        state["fails"] = True
        wait_for(lambda: "plan" in daemon.health()["errors"])
        time.sleep(0.2)
        seen = len(hooks.got)
        wait_for(lambda: len(hooks.got) > seen + 2)
        assert set(hooks.got[seen:]) == {Request("POST", f"{PATH}/fail", "plan fails")}
        state["fails"] = False
        wait_for(lambda: hooks.got[-1].path == PATH)
        assert daemon.health()["errors"] == {}


def test_a_heartbeat_that_fails_shows_in_health_and_stops_nothing(database_url, hooks):
    hooks.status = 500
    with running(database_url, hooks) as (daemon, _):
        seen = []
        wait_for(lambda: seen.append(daemon.health()) or "heartbeat" in seen[-1]["errors"])
        assert seen[-1]["ok"] is True
        assert "answered with 500" in seen[-1]["errors"]["heartbeat"]
        assert "5ec2e7" not in str(seen)
        hooks.status = 200
        wait_for(lambda: hooks.got[-1].path == PATH and not daemon.health()["errors"])


def test_a_database_that_cannot_be_written_is_no_good_round(sqlite_url, hooks, monkeypatch):
    from monitor.storage import work

    def full(conn, now):
        raise OSError(28, "No space left on device")

    with running(sqlite_url, hooks) as _:
        wait_for(lambda: len(hooks.got) > 2)
        monkeypatch.setattr(work, "sign_of_life", full)
        wait_for(lambda: hooks.got[-1].path == f"{PATH}/fail")
        assert hooks.got[-1].body == "the database cannot be written"


def test_health_counts_alerts_and_notices(database):
    from tests.integration.test_answers_by_link import put_alert

    put_alert(database)
    put_alert(database, subject="other")
    put_alert(database, subject="third", status="resolved")
    settings = from_tables(
        {
            "database": {"url": database.url.render_as_string(hide_password=False)},
            "nvml": {"mode": "off"},
            "alerts": {
                "maintenance": [
                    {
                        "start": "2026-11-01T00:00:00Z",
                        "end": "2026-11-02T00:00:00Z",
                        "why": "racks",
                        "subject": "oth*",
                    }
                ]
            },
        }
    )
    daemon = Daemon(daemon_parts(settings), clock=lambda: T + 60)
    health = daemon.health()
    daemon.close()
    assert (health["alerts_firing"], health["alerts_silenced"]) == (2, 1)
    assert health["notices_waiting"] == 0


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://127.0.0.1/x", "x", "http://[", "https://", ""]
)
def test_an_address_that_would_send_its_key_in_the_clear_is_not_called(url):
    with pytest.raises(OSError, match="neither https nor on this machine"):
        post(url, None, {}, 1)


def test_a_post_is_one_attempt_that_follows_nothing_and_ends_in_time(hooks):
    hooks.status = 302
    assert post(hooks.url + "/a", b"x", {"X-A": "b"}, 5)[:2] == (302, "OK")
    assert hooks.got == [Request("POST", "/a", "x")]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(OSError, match="not in time"):
            post(f"http://127.0.0.1:{silent.getsockname()[1]}/", None, {}, 0.3)
        assert time.monotonic() - began < 5


def test_crossover_run_calls_the_address_of_a_variable_and_prints_it_nowhere(hooks, tmp_path):
    (tmp_path / "crossover.toml").write_text(
        '[http]\nport = 0\n[nvml]\nmode = "off"\n[daemon]\ntick_seconds = 0.1\n'
        '[heartbeat]\nurl = "env:PING"\nevery_minutes = 0.001\n'
    )
    daemon = subprocess.Popen(
        [sys.executable, "-m", "monitor", "run", "--log-level", "DEBUG"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PING": hooks.url + PATH},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: len(hooks.got) > 3)
        hooks.status = 503
        seen = len(hooks.got)
        wait_for(lambda: len(hooks.got) > seen + 1)
    finally:
        daemon.terminate()
        err = daemon.communicate(timeout=30)[1]
    assert daemon.returncode == 0
    assert "the heartbeat was answered with 503" in err
    assert "5ec2e7" not in err
    shown = crossover("config", "show", cwd=tmp_path, PING=hooks.url + PATH)
    assert "5ec2e7" not in shown.out + shown.err


def test_check_reads_the_address_and_does_not_call_it(hooks, tmp_path):
    (tmp_path / "crossover.toml").write_text(
        '[nvml]\nmode = "off"\n[heartbeat]\nurl = "env:PING"\nevery_minutes = 5\n'
    )
    good = crossover("check", cwd=tmp_path, PING=hooks.url + PATH)
    assert (good.code, "calls it every 5 minutes" in good.out + good.err) == (0, True)
    assert hooks.got == []
    for wrong, said in (("http://example.org/5ec2e7", "use https"), ("", "PING")):
        bad = crossover("check", cwd=tmp_path, PING=wrong)
        assert (bad.code, said in bad.out + bad.err) == (1, True)
        assert "5ec2e7" not in bad.out + bad.err
