"""What tests with real daemons share: the process that forks them, a mail server, empty databases."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.storage.engine import Database
from tests.fake_openai import ADMIN_KEY
from tests.mailserver import MailServer

ROOT = Path(__file__).parents[2]


class Parent:
    """The warm process that forks daemons."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.daemon"],
            cwd=ROOT,
            env={**os.environ, "TEST_OPENAI_KEY": ADMIN_KEY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *orders):
        """Start one daemon for each order, all at the same instant; returns their process ids."""
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ended(self):
        """Wait until all of them have ended; returns their exit statuses in order."""
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def parent():
    running = Parent()
    yield running
    running.close()


@pytest.fixture
def mail():
    with MailServer() as server:
        yield server


def emptied(url):
    """A PostgreSQL database without anything in it."""
    database = Database(url)
    with database.write() as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
    database.close()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request, tmp_path):
    """An empty database that nobody has migrated."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/crossover.db"
    return emptied(request.getfixturevalue("postgres_url"))
