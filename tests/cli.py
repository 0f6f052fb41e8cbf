"""The command as a user runs it: a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self):
        """Standard output as JSON."""
        return json.loads(self.out)


def crossover(*args, cwd=None, timeout=120, stdin="", **variables):
    """Run `crossover ARGS`; returns what it printed and its exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor", *map(str, args)],
        cwd=cwd or ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        input=stdin,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
