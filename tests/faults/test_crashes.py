"""Ended at any crash point and started again: one report, one alert, and nothing lost."""

import os
import time
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from monitor.domain.errors import StorageError
from monitor.domain.usage import DAY, HOUR
from monitor.storage import work
from monitor.storage.engine import Database
from tests.conftest import FULL
from tests.factories import DAY0
from tests.fake_openai import Cost, FakeOpenAI, Use, counts
from tests.faults.daemon import CRASHED, POINTS

NOW = DAY0 + 22 * DAY + 9 * HOUR  # Monday 2026-11-23, 09:00 UTC
PATIENCE = 90

CONFIG = """
[database]
url = "{database}"
[http]
port = 0
[collect]
every_minutes = 60
[[source]]
name = "openai"
kind = "openai"
account = "acme"
admin_key = "env:TEST_OPENAI_KEY"
base_url = "{openai}"
bucket = "1d"
backfill_days = 40
[nvml]
mode = "off"
[[workload]]
name = "bot"
project = "proj_*"
[workload.gates]
data = "open"
quality = "good_enough"
team = "able"
licence = "commercial"
[[deployment]]
name = "own"
workload = "bot"
model_updates_usd_per_month = 0
[deployment.migration]
setup_usd = 0
[deployment.cost]
gpus_per_replica = 1
usd_per_gpu_hour = 0.2
people_usd_per_month = 100
services_usd_per_month = 0
[mail]
host = "127.0.0.1"
port = {smtp}
security = "none"
sender = "crossover@example.org"
[report]
to = ["finance@example.org"]
[alerts]
to = ["platform@example.org"]
[daemon]
tick_seconds = 0.1
claim_minutes = 10
"""


@pytest.fixture(scope="module")
def provider():
    truth = [
        Use(
            NOW - NOW % DAY - back * DAY + HOUR,
            counts(text=90_000_000, out_text=9_000_000, requests=90_000),
        )
        for back in range(40)
    ]
    costs = [Cost(use.at - HOUR, Decimal("40.5")) for use in truth]
    with FakeOpenAI(truth, costs) as server:
        yield server


@pytest.fixture
def url(request, engine):
    """Empty where a first start is what is looked at; else as that one leaves it."""
    point = request.node.callspec.params.get("point", "migrate")
    return request.getfixturevalue("empty_url" if point == "migrate" else "migrated_url")


@pytest.fixture
def database(url):
    opened = Database(url)
    yield opened
    opened.close()


@pytest.fixture
def config(tmp_path, url, provider, mail):
    path = tmp_path / "crossover.toml"
    path.write_text(CONFIG.format(database=url, openai=provider.url, smtp=mail.port))
    return path


def settled(database):
    """Everything that was due is done and everything posted is sent."""
    try:
        with database.read() as conn:
            row = conn.execute(
                text(
                    "SELECT (SELECT COUNT(*) FROM run WHERE state = 'due'),"
                    " (SELECT COUNT(*) FROM run WHERE kind = 'weekly' AND state = 'done'),"
                    " (SELECT COUNT(*) FROM outbox WHERE state <> 'sent'),"
                    " (SELECT COUNT(*) FROM outbox WHERE state = 'sent')"
                )
            ).one()
    except (StorageError, DBAPIError) as error:
        if _is_not_migrated(error):
            return False
        raise
    return tuple(row) == (0, 1, 0, 2)


def _is_not_migrated(error):
    said = str(error)
    return any(sign in said for sign in ("no such table", "does not exist", "cannot open"))


def count(database, sql):
    with database.read() as conn:
        return conn.scalar(text(f"SELECT COUNT(*) FROM {sql}"))


def run_until_settled(parent, config, database, now, log, also=lambda: True):
    (pid,) = parent.start({"config": str(config), "now": now, "log": str(log)})
    deadline = time.monotonic() + PATIENCE
    while not (settled(database) and also()):
        if time.monotonic() > deadline:
            parent.ended(0)
            pytest.fail(f"the daemon did not settle:\n{log.read_text()[-6000:]}")
        time.sleep(0.05)
    os.kill(pid, 15)
    assert parent.ended() == [0], log.read_text()[-6000:]


def taken_unmarked(mail, database):
    """The recipients whose message the server had taken when we crashed, before we marked it."""
    mail.settle()
    try:
        with database.read() as conn:
            unmarked = {row["recipient"] for row in work.outbox(conn) if row["state"] != "sent"}
    except (StorageError, DBAPIError) as error:
        if _is_not_migrated(error):
            return set()
        raise
    return {item.recipient for item in mail.received} & unmarked


def assert_one_of_each(mail, database, may_repeat=frozenset()):
    """One report and one alert; a second copy only of what the server took before our mark."""
    by_recipient = {}
    for item in mail.received:
        by_recipient.setdefault(item.recipient, []).append(item.message)
    assert sorted(by_recipient) == ["finance@example.org", "platform@example.org"]
    for messages in by_recipient.values():
        assert len(set(messages)) == 1, "a repeat must be the same bytes"
    repeated = {recipient for recipient, messages in by_recipient.items() if len(messages) > 1}
    assert repeated <= may_repeat, "a repeat of what was marked, or was never taken"
    assert max(map(len, by_recipient.values())) <= 2
    with database.read() as conn:
        tokens = conn.scalar(text("SELECT SUM(tokens) FROM usage_day"))
    assert tokens == 40 * 99_000_000


@pytest.mark.proof
def test_one_report_and_one_alert_arrive_exactly_once(parent, config, database, mail, tmp_path):
    log = tmp_path / "log"
    run_until_settled(parent, config, database, NOW, log)
    reads, streams = count(database, '"fetch"'), count(database, "stream")
    run_until_settled(
        *(parent, config, database, NOW + HOUR, log),
        lambda: count(database, '"fetch"') == reads + streams,
    )
    decided = "run WHERE kind = 'decide' AND state = 'done'"
    assert count(database, decided) == 7
    run_until_settled(
        parent, config, database, NOW + 26 * HOUR, log, lambda: count(database, decided) == 8
    )
    assert_one_of_each(mail, database)


ROUNDS = 20 if FULL else 1
CALLS = {"migrate": 1, "tell": 1, "render": 1}
"""Points that are passed once a start; the others at least twice."""


def each_point():
    """Every point on both engines; at the small count on one of them by turns."""
    for number, point in enumerate(POINTS):
        for engine in ("sqlite", "postgres"):
            if FULL or engine == ("sqlite", "postgres")[number % 2]:
                marks = [pytest.mark.postgres] if engine == "postgres" else []
                yield pytest.param(engine, point, marks=marks)


@pytest.mark.proof
@pytest.mark.parametrize("nth", range(1, ROUNDS + 1))
@pytest.mark.parametrize(("engine", "point"), list(each_point()), indirect=["engine"])
def test_a_crash_at_each_point_loses_nothing(parent, config, database, mail, tmp_path, point, nth):
    log = tmp_path / "log"
    parent.start(
        {
            "config": str(config),
            "now": NOW,
            "log": str(log),
            "point": point,
            "nth": 1 + (nth - 1) % CALLS.get(point, 2),
        }
    )
    (code,) = parent.ended(PATIENCE)
    assert code == CRASHED, f"{point} was not reached: {log.read_text()[-6000:]}"
    may_repeat = taken_unmarked(mail, database)
    run_until_settled(parent, config, database, NOW + HOUR, log)
    assert_one_of_each(mail, database, may_repeat)
    if point == "after the 250":
        assert may_repeat
        assert len(mail.received) == 2 + len(may_repeat)
