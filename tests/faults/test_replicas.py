"""Several daemons that start at once: nothing fails, and each report and alert leaves once."""

import email
import os
import re
import struct
import time
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from email.policy import default

import pytest
from sqlalchemy import text

from monitor.domain.periods import add_months
from monitor.domain.usage import DAY, HOUR
from monitor.storage.engine import Database
from tests.conftest import FULL
from tests.factories import DAY0
from tests.fake_openai import Cost, FakeOpenAI, Use, counts
from tests.faults.conftest import emptied
from tests.faults.test_crashes import CONFIG

# Several look at one database: half as often.
SEVERAL = CONFIG.replace("tick_seconds = 0.1", "tick_seconds = 0.2")
START = DAY0 + 22 * DAY + 9 * HOUR  # Monday 2026-11-23, 09:00 UTC
WEEKS = 53 if FULL else 3
STARTS = {3: 10, 5: 14} if FULL else {3: 1, 5: 1}
"""How many times so many daemons start together: 100 starts in all."""
PATIENCE = 90


@pytest.fixture(scope="module")
def provider():
    """A year and more of usage: high, low for three months, and high again."""
    midnight = START - START % DAY
    truth, costs = [], []
    for day in range(-40, WEEKS * 7 + 1):
        size = 1 if 120 <= day < 210 else 1000
        use = counts(text=90_000 * size, out_text=9_000 * size, requests=90 * size)
        truth.append(Use(midnight + day * DAY + HOUR, use))
        costs.append(Cost(midnight + day * DAY, Decimal("0.0405") * size))
    with FakeOpenAI(truth, costs) as server:
        yield server


@pytest.fixture
def started(parent, provider, mail, tmp_path):
    """start(url, how many) -> a group of daemons whose clock the test steps."""
    groups = []

    def start(url, count):
        groups.append(Group(parent, provider, mail, tmp_path, url, count))
        return groups[-1]

    yield start
    for group in groups:
        group.stop()


class Group:
    """Daemons on one database that began at the same instant."""

    def __init__(self, parent, provider, mail, folder, url, count):
        self.database = Database(url)
        name = f"{count}-{os.urandom(4).hex()}"
        config = folder / f"{name}.toml"
        settings = SEVERAL.format(database=url, openai=provider.url, smtp=mail.port)
        config.write_text(settings)
        self._clock = folder / f"{name}.clock"
        self.step(START)
        self.logs = [folder / f"{name}-{n}.log" for n in range(count)]
        order = {"config": str(config), "clock": str(self._clock)}
        self._parent = parent
        self._pids = parent.start(*[order | {"log": str(log)} for log in self.logs])
        self._exits = None

    def step(self, at):
        """Set the clock of all of them."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(struct.pack("d", float(at)))

    def said(self):
        return [log.read_text() if log.exists() else "" for log in self.logs]

    def wait_for(self, what):
        deadline = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < deadline, "\n".join(said[-3000:] for said in self.said())
            time.sleep(0.05)

    def run_until_done(self, weeks):
        """Wait until every week and day so far is carried out and every message has left."""
        self.wait_for(lambda: self._counts() == (0, 0, weeks, 7 * weeks))

    def _counts(self):
        with self.database.read() as conn:
            row = conn.execute(
                text(
                    "SELECT (SELECT COUNT(*) FROM run WHERE state = 'due'),"
                    " (SELECT COUNT(*) FROM outbox WHERE state <> 'sent')"
                    " + (SELECT COUNT(*) FROM notice WHERE state = 'waiting'),"
                    " (SELECT COUNT(*) FROM run WHERE kind = 'weekly' AND state = 'done'),"
                    " (SELECT COUNT(*) FROM run WHERE kind = 'decide' AND state = 'done')"
                )
            ).one()
        return tuple(row)

    def stop(self):
        """End those that still run; returns every exit status."""
        if self._exits is None:
            for pid in self._pids:
                try:
                    os.kill(pid, 15)
                except ProcessLookupError:
                    continue
            self._exits = self._parent.ended()
            self.database.close()
        return self._exits


def everyone_runs(group):
    return all("the daemon runs on" in said for said in group.said())


def live(group, weeks, mail):
    """Step through the weeks, then compare what arrived with the calendar."""
    for week in range(weeks):
        group.step(START + week * 7 * DAY)
        group.run_until_done(week + 1)
    with group.database.read() as conn:
        posted = conn.execute(text("SELECT message_id, kind, dedup_key FROM outbox")).all()
    arrived = Counter()
    weekly = {id_ for id_, _, key in posted if "/weekly/" in key}
    alerts = [id_ for id_, kind, _ in posted if kind == "alert"]
    weeks_told = []
    for item in mail.received:
        message = email.message_from_bytes(item.message, policy=default)
        arrived[message["Message-ID"]] += 1
        if message["Message-ID"] in weekly:
            body = message.get_body(("plain",)).get_content()
            weeks_told.append(re.search(r"\d{4}-W\d\d", body).group())
    told = [datetime.fromtimestamp(START + (n - 1) * 7 * DAY, UTC) for n in range(weeks)]
    assert sorted(weeks_told) == [f"{day:%G-W%V}" for day in told]
    assert set(arrived.values()) == {1}, "a mail arrived twice"
    assert set(arrived) == {id_ for id_, _, _ in posted}, "a mail was lost, or comes from nowhere"
    months = sorted(key.split("/")[3] for _, _, key in posted if "/monthly/" in key)
    assert months == [add_months("2026-11", n) for n in range(len(months))]
    assert len(months) >= (weeks - 2) // 5
    assert len(posted) == weeks + len(months) + len(alerts)
    assert alerts
    return len(alerts)


@pytest.mark.postgres
@pytest.mark.proof
@pytest.mark.parametrize("count", [3, 5] if FULL else [3])
def test_daemons_that_start_at_once_send_each_report_and_alert_once(
    started, postgres_url, mail, count, record_property
):
    group = started(emptied(postgres_url), count)
    group.wait_for(lambda: everyone_runs(group))
    weeks = WEEKS if count == 3 or FULL else 1
    alerts = live(group, weeks, mail)
    assert group.stop() == [0] * count, group.said()
    record_property("said", f"{count} daemons: {weeks} reports and {alerts} alerts, each once")


@pytest.mark.postgres
@pytest.mark.proof
@pytest.mark.parametrize("count", STARTS)
def test_no_start_on_an_empty_database_fails(started, postgres_url, count, record_property):
    for _ in range(STARTS[count]):
        group = started(emptied(postgres_url), count)
        group.wait_for(lambda group=group: everyone_runs(group))
        assert group.stop() == [0] * count, group.said()
    record_property("said", f"{STARTS[count]} x {count} daemons: 0 failed starts")


@pytest.mark.proof
def test_of_two_daemons_on_one_file_the_second_refuses_and_the_first_works(started, tmp_path, mail):
    group = started(f"sqlite:///{tmp_path}/crossover.db", 2)
    group.wait_for(lambda: sum("the daemon runs on" in said for said in group.said()) == 1)
    refused = [n for n, said in enumerate(group.said()) if "the daemon runs on" not in said]
    group.wait_for(lambda: "is already running" in group.said()[refused[0]])
    assert re.search(
        r"a daemon on \S+ is already running \(process \d+\)", group.said()[refused[0]]
    )
    live(group, WEEKS if FULL else 1, mail)
    assert sorted(group.stop()) == [0, 1]
