"""The daemon's hours: not before it caught up, once each, and never in the way of what is known."""

import pytest
from sqlalchemy import text

from monitor.config import Settings
from monitor.domain.errors import CrossoverError
from monitor.domain.rulebook import BOOK
from monitor.domain.usage import HOUR
from monitor.jobs import watching
from monitor.scheduler import Daemon
from monitor.storage import watching_fleet, work
from monitor.wiring import parts
from tests import seeded

T = seeded.END + 12 * HOUR
TO = "ann@acme.example"


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def daemon(database):
    """One with no source, and a run that was given up before it started."""
    url = database.url.render_as_string(hide_password=False)
    settings = Settings.model_validate(
        {
            "database": {"url": url},
            "alerts": {"to": [TO]},
            "mail": {"host": "127.0.0.1", "sender": TO},
        }
    )
    found = Daemon(parts.daemon_parts(settings), clock=Clock(T))
    found.prepare()
    with database.write() as conn:
        work.plan(conn, [work.Planned("report/x", "weekly", 0, 0, 0, "dead")], T)
    yield found
    found.close()


def told(database):
    with database.read() as conn:
        return conn.scalars(text("SELECT subject FROM outbox WHERE kind = 'alert'")).all()


def test_no_hour_is_looked_at_before_the_daemon_caught_up(daemon, database):
    for minutes, messages in ((0, 0), (14, 0), (15, 1), (16, 1), (75, 1)):
        daemon._clock.now = T + minutes * 60
        daemon.plan()
        assert len(told(database)) == messages, minutes
    assert told(database) == ["1 run was given up"]


def test_what_cannot_be_looked_at_keeps_nothing_else_back(daemon, database, monkeypatch):
    def broken(_conn, _hour):
        raise ValueError("no such column")

    monkeypatch.setattr(watching_fleet, "reporting", broken)
    daemon.plan()
    daemon._clock.now = T + HOUR
    with pytest.raises(CrossoverError, match="measurements were not watched this hour: no such"):
        daemon.plan()
    assert told(database) == ["1 run was given up"]
    monkeypatch.undo()
    daemon._clock.now += 60
    daemon.plan()
    assert daemon._watched == daemon._clock.now // HOUR


def test_the_same_hour_by_two_daemons_is_one_observation(database):
    with database.write() as conn:
        work.plan(conn, [work.Planned("report/x", "weekly", 0, 0, 0, "dead")], T)
    policy = seeded.policy(TO, rules={"internal": BOOK["internal"]}, live_sources=[])
    for second in (0, 30, 1800):
        watching.hourly(database, T + second, policy, 6 * HOUR)
    with database.read() as conn:
        assert conn.scalar(text("SELECT COUNT(*) FROM notice")) == 1
