"""Back-fills, the archive of pages, quarantine and pacing: over a real HTTP API, on both engines."""

import gzip
import json
import os
import re
import signal
import sys
import threading
import time
from concurrent import futures
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from collectors import http
from collectors.http import DEFAULT_LIMITS
from collectors.openai import OpenAI
from monitor.cli import app
from monitor.cli.collect import _side_by_side
from monitor.config import from_tables
from monitor.domain.errors import ConfigError, CrossoverError, InputError, StorageError
from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, HOUR, utc_day
from monitor.jobs import collect, quarantine
from monitor.jobs.archive import Archive
from monitor.jobs.collect import Asked
from monitor.ports import Page
from monitor.scheduler import Daemon
from monitor.storage import collecting, work
from monitor.storage.write import Changes
from monitor.wiring import usage
from monitor.wiring.parts import daemon_parts
from tests.factories import DAY0
from tests.fake_api import failing, normal, tampered
from tests.fake_openai import ADMIN_KEY, Cost, FakeOpenAI, Use, counts
from tests.integration.test_collect import NOW, expected, pace, prepare, stored

TODAY = utc_day(NOW)


@pytest.fixture
def fake():
    uses = [Use(DAY0 + d * DAY + 5, counts(text=100 + d, out_text=9)) for d in range(20)]
    costs = [Cost(DAY0 + d * DAY, Decimal("1.5"), "gpt-5-mini, input") for d in range(20)]
    with FakeOpenAI(uses, costs) as server:
        yield server


@pytest.fixture
def source(fake, opened, database):
    reader = opened(
        OpenAI(
            *("openai", "acme", ADMIN_KEY),
            base_url=fake.url,
            bucket="1d",
            limits=DEFAULT_LIMITS._replace(backoff_s=0.0, attempts=1),
        )
    )
    prepare(database, reader)
    return reader


class Halves:
    """A source whose windows are of `days`, so that few days are many windows."""

    def __init__(self, inner, days=2, keeps_from=0):
        self._inner, self._days, self._keeps_from = inner, days, keeps_from
        self.name, self.account = inner.name, inner.account
        self.asked = []

    def streams(self):
        found = [s for s in self._inner.streams() if s.name == "usage/completions"]
        return [spec._replace(chunk_days=self._days) for spec in found]

    def read(self, stream, start, end, now):
        self.asked.append((start, end))
        first = max(start, min(end, self._keeps_from))
        if first == end:
            return collect.Read(end, end, [], [], 0, {})
        return self._inner.read(stream, first, end, now)


DUE = Asked()


def one(database, source, asked=DUE, now=NOW, **changes):
    return collect.collect_next(
        database, source, pace(**changes), now, asked, stream="usage/completions"
    )


# --- Back-fill ---


def test_a_back_fill_tells_how_far_it_is_and_reads_what_lies_before_what_is_known(
    database, fake, source
):
    few = pace(backfill_days={"openai": 4})
    assert all(not c.error for c in collect.collect_all(database, source, few, NOW))
    assert min(stored(database)[0]) == TODAY - 4 * DAY
    told = []
    asked = Asked(since=DAY0, tell=told.append)
    assert one(database, Halves(source, 5), asked).error == ""
    assert stored(database)[0] == expected(fake)[0]
    assert [(t.through, t.days, t.left) for t in told] == [
        (DAY0 + n * DAY, n, 21 - n) for n in (5, 10, 15, 20, 21)
    ]
    assert all(t.seconds > 0 and not t.first and not t.resumed for t in told)


@pytest.mark.parametrize("cut_off", ["failure", "stop"])
def test_a_back_fill_that_was_cut_off_goes_on_where_it_stopped(database, fake, source, cut_off):
    reader = Halves(source)
    asked = Asked(since=DAY0)
    if cut_off == "failure":
        fake.faults += [None, None, None, failing(400, "no")]
        assert "no" in one(database, reader, asked).error
        now = NOW + 3600
    else:
        stopped = iter([False] * 3 + [True] * 9)
        found = one(database, reader, asked._replace(stopped=lambda: next(stopped)))
        assert found.error == ""
        now = NOW
    assert len(reader.asked) == (4 if cut_off == "failure" else 3)
    assert max(stored(database)[0]) == DAY0 + 5 * DAY
    told = []
    again = Halves(source)
    assert one(database, again, asked._replace(tell=told.append), now=now).error == ""
    assert again.asked[0] == (DAY0 + 6 * DAY, DAY0 + 8 * DAY)
    assert [t.resumed for t in told] == [True] + [False] * (len(told) - 1)
    assert stored(database)[0] == expected(fake)[0]
    # It is over: the same question begins anew, and finds what was restated since.
    fake.truth[0] = fake.truth[0]._replace(counts=counts(text=7))
    assert one(database, Halves(source), asked, now=now).changes == Changes(0, 1, 0)


def test_a_provider_that_keeps_less_is_read_as_far_as_it_goes_and_that_is_said(
    database, fake, source
):
    told = []
    reader = Halves(source, 2, keeps_from=DAY0 + 7 * DAY)
    found = one(database, reader, Asked(since=DAY0, tell=told.append))
    assert found.error == ""
    assert [day_of(t.first) for t in told if t.first] == [day_of(DAY0 + 7 * DAY)]
    assert min(stored(database)[0]) == DAY0 + 7 * DAY


def test_a_claim_is_renewed_with_each_window(database, source, monkeypatch):
    clock = iter(range(0, 10_000, 500))
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    until = []

    def look(_):
        with database.read() as conn:
            until.append(
                conn.scalar(text("SELECT claim_until FROM stream WHERE claim IS NOT NULL"))
            )

    one(database, Halves(source, 7), Asked(since=DAY0, tell=look))
    assert until == [NOW + 600 + 500 * n for n in (1, 2, 3)]


# --- Pages ---


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "pages", 90, http.recorded)


def test_each_page_is_kept_with_its_request_and_a_restatement_can_be_traced(
    database, fake, source, archive
):
    kept = pace(archive=archive, backfill_days={"openai": 3})
    collect.collect_all(database, source, kept, NOW)
    fake.truth[-1] = fake.truth[-1]._replace(counts=counts(text=4321))
    collect.collect_all(database, source, kept, NOW + HOUR)
    with database.read() as conn:
        rows = collecting.pages_of(conn, "openai", "usage/completions", TODAY - DAY)
        assert collecting.pages_of(conn, "openai", "usage/completions", TODAY - 9 * DAY) == []
    first, second = rows
    assert (first["read_at"], second["read_at"]) == (
        datetime.fromtimestamp(NOW, UTC),
        datetime.fromtimestamp(NOW + HOUR, UTC),
    )
    assert first["sha256"] != second["sha256"]
    before, after = (archive.body(row["sha256"]) for row in rows)
    assert (b"4321" in before, b"4321" in after) == (False, True)
    assert json.loads(before) in [json.loads(json.dumps(p, default=str)) for p in fake.pages]
    assert '"path": "organization/usage/completions"' in first["request"]
    with database.read() as conn:
        costs = collecting.pages_of(conn, "openai", "costs")
    assert len({row["sha256"] for row in costs}) == 1, "what did not change is one file"
    everything = b"".join(path.read_bytes() for path in archive.folder.rglob("*.gz"))
    assert ADMIN_KEY not in repr(rows)
    assert ADMIN_KEY.encode() not in everything
    assert not archive.folder.stat().st_mode & 0o077


def test_pages_of_a_read_that_failed_are_kept_with_the_failure(database, fake, source, archive):
    fake.page_buckets = 1
    fake.faults += [None, failing(400, "no more")]
    assert one(database, source, archive=archive).error
    with database.read() as conn:
        (row,) = collecting.pages_of(conn, "openai")
    assert row["status"] == "failed"
    assert archive.body(row["sha256"])


def test_pages_are_dropped_after_their_time_and_not_before(database, fake, source, archive):
    kept = pace(archive=archive, backfill_days={"openai": 3})
    collect.collect_all(database, source, kept, NOW)
    files = set(archive.folder.rglob("*.gz"))
    assert files
    old = time.time() - 3 * DAY
    for path in files:
        os.utime(path, (old, old))
    assert archive.prune(database, NOW + 89 * DAY) == 0
    assert archive.prune(database, NOW + 91 * DAY) == len(files)
    assert not list(archive.folder.rglob("*.gz"))
    with database.read() as conn:
        assert collecting.pages_of(conn, "openai") == []


def test_a_page_that_was_changed_or_is_gone_is_not_passed_off_as_evidence(tmp_path, archive):
    kept = archive._put(Page("{}", b"as it came"))
    path = archive._path(kept.sha256)
    assert archive.body(kept.sha256) == b"as it came"
    path.write_bytes(gzip.compress(b"as somebody wants it"))
    with pytest.raises(StorageError, match="is not the page that was kept"):
        archive.body(kept.sha256)
    path.write_bytes(b"torn")
    with pytest.raises(StorageError, match="cannot be read"):
        archive.body(kept.sha256)
    path.unlink()
    with pytest.raises(InputError, match="no page"):
        archive.body(kept.sha256)
    with pytest.raises(InputError, match="is no hash"):
        archive.body("../../etc/passwd")


def test_an_archive_that_cannot_be_written_stops_no_reading(
    database, fake, source, tmp_path, caplog
):
    (tmp_path / "pages").write_text("a file is in the way")
    broken = Archive(tmp_path / "pages", 90, http.recorded)
    assert one(database, source, archive=broken, backfill_days={"openai": 30}).error == ""
    assert stored(database)[0] == expected(fake)[0]
    assert "could not be archived" in caplog.text


# --- Quarantine ---


def waiting(database):
    with database.read() as conn:
        return collecting.waiting(conn)


def damaged(page):
    page["data"][0]["results"][0]["output_tokens"] = -4


def damaged_anywhere(page):
    next(b["results"][0] for b in page["data"] if b["results"])["output_tokens"] = -4


def quarantined(database, fake, source, days=20):
    """A row of days long closed is in quarantine, as an older version of the reader left it."""
    fake.faults.append(tampered(damaged))
    found = one(database, source, backfill_days={"openai": days})
    assert (found.problems, found.error) == (1, "")
    (row,) = waiting(database)
    return row


def test_a_replay_reads_the_days_again_and_what_can_be_read_leaves_quarantine(
    database, fake, source
):
    row = quarantined(database, fake, source)
    assert stored(database)[0] != expected(fake)[0]
    (done,) = quarantine.replay(database, {"openai": source}, pace(), [row], NOW + 60)
    assert (done.rows, done.left, done.error) == (1, 0, "")
    assert waiting(database) == []
    assert stored(database)[0] == expected(fake)[0]
    asked = [dict(r.query)["start_time"] for r in fake.requests if "completions" in r.path]
    assert int(asked[-1]) == row.day_from


def test_a_row_that_still_cannot_be_read_stays_and_counts_up(database, fake, source):
    row = quarantined(database, fake, source)
    fake.faults.append(tampered(damaged))
    (done,) = quarantine.replay(database, {"openai": source}, pace(), [row], NOW + 60)
    assert (done.rows, done.left, done.error) == (1, 1, "")
    (left,) = waiting(database)
    assert (left.id, left.times) == (row.id, 2)


def test_a_replay_changes_nothing_of_when_the_stream_is_due(database, fake, source):
    row = quarantined(database, fake, source)

    def due():
        with database.read() as conn:
            return conn.execute(
                text("SELECT name, next_at, deep_at FROM stream ORDER BY name")
            ).all()

    before = due()
    quarantine.replay(database, {"openai": source}, pace(), [row], NOW + 60)
    assert due() == before


@pytest.mark.parametrize("still", [True, False])
def test_a_row_from_before_days_were_kept_is_replayed_too(database, fake, source, still):
    quarantined(database, fake, source)
    with database.write() as conn:
        conn.execute(text("UPDATE quarantine SET day_from = NULL, day_to = NULL"))
    if still:
        fake.faults.append(tampered(damaged_anywhere))
    (done,) = quarantine.replay(database, {"openai": source}, pace(), waiting(database), NOW + 60)
    assert (done.rows, done.left, done.error) == (1, int(still), "")
    assert len(waiting(database)) == still


def test_a_replay_says_why_it_cannot_be(database, fake, source):
    row = quarantined(database, fake, source)
    (gone,) = quarantine.replay(database, {}, pace(), [row], NOW)
    assert "is not read by days" in gone.error
    (sent,) = quarantine.replay(
        *(database, {"openai": source}, pace(), [row._replace(stream="requests")], NOW)
    )
    assert "import the file" in sent.error
    with database.write() as conn:
        assert work.claim(conn, "stream", NOW, 600, "openai", stream="usage/completions")
    (busy,) = quarantine.replay(database, {"openai": source}, pace(), [row], NOW)
    assert (busy.left, busy.error) == (1, "somebody is reading it just now")
    fake.faults.append(failing(400, "closed for today"))
    (failed,) = quarantine.replay(database, {"openai": source}, pace(), [row], NOW + 601)
    assert "closed for today" in failed.error


def test_more_than_a_row_of_a_thousand_is_told_by_the_check(database, fake, source):
    assert quarantine.little_is_unread(database, NOW) == "every row could be read"
    quarantined(database, fake, source)
    with pytest.raises(CrossoverError, match=r"openai usage/completions: 1 of 20 rows"):
        quarantine.little_is_unread(database, NOW)
    with database.write() as conn:
        conn.execute(text('UPDATE "fetch" SET rows_read = 1000'))
    assert "a row of a thousand" in quarantine.little_is_unread(database, NOW)
    assert quarantine.little_is_unread(database, NOW + 8 * DAY) == "every row could be read"


# --- Pace ---


def test_pages_are_asked_for_no_faster_than_the_allowance(fake, opened):
    every = 0.05
    fake.page_buckets = 3
    seen = []
    answer = fake.page
    fake.page = lambda request: seen.append(time.monotonic()) or answer(request)
    reader = opened(
        OpenAI(
            *("openai", "acme", ADMIN_KEY),
            base_url=fake.url,
            bucket="1d",
            limits=DEFAULT_LIMITS._replace(every_s=every),
        )
    )
    began = time.monotonic()
    reader.read("usage/completions", DAY0, DAY0 + 12 * DAY, NOW)
    assert len(seen) >= 4
    # A page may arrive late on a busy machine, and the next one then soon after it.
    assert all(at - began > number * every * 0.8 for number, at in enumerate(seen))


def test_the_daemon_reads_other_sources_while_one_does_not_answer(sqlite_url, fake, monkeypatch):
    monkeypatch.setenv("ADMIN_KEY", ADMIN_KEY)
    release = threading.Event()

    def hanging(handler):
        release.wait(60)
        normal(handler)

    with FakeOpenAI([], []) as silent:
        silent.faults += [hanging] * 50
        entry = {"kind": "openai", "admin_key": "env:ADMIN_KEY", "bucket": "1d"}
        servers = {"silent": silent.url, "quick": fake.url}
        items = [
            entry | {"name": name, "account": name, "base_url": url}
            for name, url in servers.items()
        ]
        off = {"nvml": {"mode": "off"}}
        settings = from_tables({"database": {"url": sqlite_url}, "source": items} | off)
        stop = threading.Event()
        parts = daemon_parts(settings)._replace(tick_seconds=0.05)
        daemon = threading.Thread(target=Daemon(parts, clock=lambda: float(NOW)).run, args=(stop,))
        daemon.start()
        try:
            ended = time.monotonic() + 60
            while stored(parts.database)[0] != expected(fake)[0] and time.monotonic() < ended:
                time.sleep(0.05)
            assert stored(parts.database)[0] == expected(fake)[0]
            assert len(silent.requests) == 1, "it still waits for its first answer"
        finally:
            stop.set()
            release.set()
            daemon.join(30)
    assert not daemon.is_alive()


@pytest.fixture
def interruptible():
    """As at a terminal, whoever started the tests: what runs in the background may not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def is_waiting(thread):
    """Whether a thread waits for what it has handed out."""
    frame = sys._current_frames()[thread.ident]
    while frame and frame.f_code is not futures.wait.__code__:
        frame = frame.f_back
    return frame is not None


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_reading_after_its_window_and_keeps_what_was_read():
    stop = threading.Event()

    def read(_):
        while not is_waiting(threading.main_thread()):
            time.sleep(0)  # a person interrupts what has begun
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(30), "nobody told it to end"
        return ["read"]

    assert _side_by_side([SimpleNamespace(name="a")], read, stop) == (["read"], True)


def test_an_allowance_becomes_the_least_time_between_two_requests(monkeypatch):
    monkeypatch.setenv("ADMIN_KEY", ADMIN_KEY)
    entry = {"name": "main", "account": "acme", "admin_key": "env:ADMIN_KEY"}

    def made(**changes):
        item = entry | {"kind": "openai", "requests_per_minute": 30} | changes
        return usage.sources(from_tables({"source": [item]}))["main"]

    found = made()
    assert found._http._limits == DEFAULT_LIMITS._replace(every_s=2.0)
    found.close()
    with pytest.raises(ConfigError, match="sends no requests that could be paced"):
        made(kind="litellm_database")


def test_the_command_reads_sources_side_by_side():
    others, done = threading.Event(), []

    class Named:
        def __init__(self, name):
            self.name = name

    def read(one):
        if one.name == "slow":
            assert others.wait(30), "it was alone"
        else:
            done.append(one.name)
            if len(done) == 2:
                others.set()
        return [one.name]

    found = _side_by_side([Named("slow"), Named("a"), Named("b")], read, threading.Event())
    assert found == (["slow", "a", "b"], False)


# --- The commands ---


@pytest.fixture
def command(tmp_path, fake, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setattr("monitor.logs.configure", lambda *_: None)
    (tmp_path / "crossover.toml").write_text(
        f"""[database]
url = "sqlite:///{tmp_path}/c.db"
[collect]
archive = "{tmp_path}/pages"
[[source]]
name = "main"
kind = "openai"
account = "acme"
admin_key = "env:ADMIN_KEY"
base_url = "{fake.url}"
bucket = "1d"
backfill_days = 1
requests_per_minute = 60000
"""
    )

    def run(*arguments, code=0):
        ended = CliRunner().invoke(app, list(map(str, arguments)))
        assert ended.exit_code == code, ended.output + repr(ended.exception)
        return ended

    return run


def rows_of(ended):
    return json.loads(ended.stdout)


def test_the_commands_back_fill_list_pages_and_replay(command, fake):
    since = day_of(int(time.time()) - 20 * DAY)
    today = utc_day(int(time.time()))
    fake.truth = [Use(today - d * DAY + 5, counts(text=100, out_text=9)) for d in range(1, 21)]
    fake.faults.append(tampered(damaged))
    ended = command("collect", "--since", since, "--format", "json")
    assert sum(row["quarantined"] for row in rows_of(ended)) == 1
    assert re.search(
        r"main usage/completions: through \d{4}-\d\d-\d\d, \d+ of 21 days \(\d+%\),"
        r" [\d.]+ days/s, .* left",
        ended.stderr,
    )
    (row,) = rows_of(command("quarantine", "list", "--format", "json"))
    (shown,) = rows_of(command("quarantine", "show", row["id"]))
    assert '"output_tokens": -4' in shown["payload"]
    (done,) = rows_of(command("quarantine", "replay", row["id"], "--format", "json"))
    assert (done["rows"], done["left"], done["error"]) == (1, 0, "")
    for gone in ("show", "drop", "replay"):
        ended = command("quarantine", gone, row["id"], code=1)
        assert "there is no row" in str(ended.exception)
    asked = ("pages", "list", "--source", "main", "--stream", "usage/completions")
    pages = rows_of(command(*asked, "--day", since, "--format", "json"))
    assert [page["kept"] for page in pages] == ["yes", "yes"]
    assert pages[0]["sha256"] != pages[1]["sha256"]
    assert '"output_tokens": -4' in command("pages", "show", pages[0]["sha256"]).stdout
    assert rows_of(command(*asked, "--day", "2026-01-01", "--format", "json")) == []


def test_a_row_that_is_dropped_is_gone_and_a_future_day_is_refused(command, fake):
    fake.truth = [Use(int(time.time()) - DAY, counts(text=100, out_text=9))]
    fake.faults.append(tampered(damaged))
    command("collect")
    (row,) = rows_of(command("quarantine", "list", "--source", "main", "--format", "json"))
    command("quarantine", "drop", row["id"])
    assert "no row is in quarantine" in command("quarantine", "list").stderr
    assert "no row is in quarantine" in command("quarantine", "replay").stderr
    assert "has not begun" in str(command("collect", "--since", "2999-01-01", code=1).exception)
    assert "is no day" in str(command("collect", "--since", "then", code=1).exception)
