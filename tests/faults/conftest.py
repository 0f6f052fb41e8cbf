"""What tests with real daemons share: the process that forks them, a mail server, empty databases."""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.storage.engine import Database
from tests.fake_openai import ADMIN_KEY
from tests.mailserver import MailServer

ROOT = Path(__file__).parents[2]


class Parent:
    """The warm process that forks daemons."""

    def __init__(self, drawn):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.daemon", str(drawn)],
            cwd=ROOT,
            env={**os.environ, "TEST_OPENAI_KEY": ADMIN_KEY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._pids = []
        self._logs = []

    def start(self, *orders):
        """Start one daemon for each order, all at the same instant; returns their process ids."""
        if self._pids:
            self._end()
        self._logs = [Path(order["log"]) for order in orders]
        self.process.stdin.write(json.dumps(orders).encode() + b"\n")
        self._pids = json.loads(self.process.stdout.readline())
        return self._pids

    def ended(self, patience=120):
        """Wait until all of them have ended; returns their exit statuses in order.

        Those that have not after `patience` seconds write their stacks to their logs and are killed: a failure.
        """
        if not self._says(patience):
            self._end()
            pytest.fail("\n".join(log.read_text()[-6000:] for log in self._logs if log.exists()))
        return self._ends()

    def _says(self, patience):
        return select.select([self.process.stdout], [], [], patience)[0]

    def _ends(self):
        self._pids = []
        return json.loads(self.process.stdout.readline())

    def _end(self):
        for how in (signal.SIGUSR1, signal.SIGKILL):
            for pid in self._pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            if self._says(2):
                break
        self._ends()

    def close(self):
        # Itself, its daemons and what they started: a test may have failed before it knew them.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Where daemons of all workers keep pictures, for this run of the suite alone."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "drawn"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def parent(drawn):
    running = Parent(drawn)
    yield running
    running.close()


@pytest.fixture
def mail():
    with MailServer() as server:
        yield server


@pytest.fixture
def migrated_url(request, engine):
    """A database as the daemon leaves it after its first start."""
    return str(request.getfixturevalue(f"{engine}_url"))


def emptied(url):
    """A PostgreSQL database without anything in it."""
    database = Database(url)
    with database.write() as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
    database.close()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request):
    """The test runs once on each."""
    return request.param


@pytest.fixture
def empty_url(request, engine, tmp_path):
    """An empty database that nobody has migrated."""
    if engine == "sqlite":
        return f"sqlite:///{tmp_path}/crossover.db"
    return emptied(request.getfixturevalue("postgres_url"))
