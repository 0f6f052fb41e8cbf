"""The real daemon with a clock and a crash point of the test's choosing.

Run as a program it is a warm, threadless parent: it reads orders from stdin, a JSON list a line,
forks a child for each that runs the daemon, lets them begin at the same instant, and answers with
their process ids and, when the last has ended, with their exit statuses.
The product has no hooks: a crash point ends the process before or after the n-th call of one of
its functions.
"""

import faulthandler
import functools
import hashlib
import importlib
import json
import mmap
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path

CRASHED = 17
ENDING = {signal.SIGTERM}
"""Waits from the fork until the daemon can hear it: a test may end one that it just started."""

POINTS = {
    "migrate": ("monitor.storage.views.create", "before"),
    "collect before store": ("monitor.jobs.collect.store", "before"),
    "collect after store": ("monitor.jobs.collect.store", "after"),
    "roll-up": ("monitor.storage.rollup.refresh", "after"),
    "plan": ("monitor.storage.work.plan", "after"),
    "decide": ("monitor.jobs.decide.raise_signals", "after"),
    "tell": ("monitor.jobs.notify.composed", "after"),
    "render": ("monitor.jobs.editions.addressed", "after"),
    "claim": ("reports.channels.smtp.Smtp.send", "before"),
    "before RCPT": ("smtplib.SMTP.rcpt", "before"),
    "after RCPT": ("smtplib.SMTP.rcpt", "after"),
    "before the 250": ("reports.channels.smtp._stuffed", "after"),
    "after the 250": ("reports.channels.smtp.Smtp.send", "after"),
    "mark": ("monitor.jobs.deliver._mark", "after"),
}


def _owner(target):
    """The object that holds the attribute, and its name."""
    path = target.split(".")
    for cut in range(len(path) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(path[:cut]))
        except ModuleNotFoundError:
            continue
        for name in path[cut:-1]:
            owner = getattr(owner, name)
        return owner, path[-1]
    raise LookupError(target)


def arm(point, nth):
    """End this process at the n-th call of the point's function."""
    target, when = POINTS[point]
    owner, name = _owner(target)
    real = getattr(owner, name)
    calls = 0

    @functools.wraps(real)
    def crashing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == nth and when == "before":
            os._exit(CRASHED)
        result = real(*args, **kwargs)
        if calls == nth:
            os._exit(CRASHED)
        return result

    setattr(owner, name, crashing)


class SteppedClock:
    """Epoch seconds that a test writes into a file, running on from there as time does."""

    def __init__(self, path):
        shown = os.open(path, os.O_RDONLY)
        self._shown = mmap.mmap(shown, 8, access=mmap.ACCESS_READ)
        os.close(shown)
        self._lock = threading.Lock()
        self._base = self._since = 0.0

    def __call__(self):
        (base,) = struct.unpack("d", self._shown[:8])
        with self._lock:
            if base != self._base:
                self._base, self._since = base, time.monotonic()
            return self._base + time.monotonic() - self._since


def draw_once(folder):
    """Keep the pictures of each definition in a folder that daemons share.

    The process that draws them takes as long as all else that a daemon does, and these tests let
    hundreds draw the same ones.
    """
    from reports import raster

    real = raster._run

    def drawn(stdin, form, timeout):
        kept = Path(folder) / hashlib.sha256(form.encode() + stdin).hexdigest()
        if not kept.exists():
            lines, ended = real(stdin, form, timeout)
            if any(b'"error"' in line for line in lines) or len(lines) != len(json.loads(stdin)):
                return lines, ended
            new = kept.with_suffix(f".{os.getpid()}")
            new.write_bytes(b"\n".join(lines))
            new.replace(kept)
        return kept.read_bytes().split(b"\n"), ""

    raster._run = drawn


def run(config, now=0, point=None, nth=1, clock=None):
    """What `crossover run` does, with a clock that starts at `now`, or that a test steps."""
    from monitor import logs
    from monitor.config import load
    from monitor.scheduler import Daemon
    from monitor.storage.engine import daemon_lock
    from monitor.storage.migrate import upgrade
    from monitor.wiring.parts import daemon_parts

    if point:
        arm(point, nth)
    logs.configure("INFO", lines=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    started = time.monotonic()
    parts = daemon_parts(load(Path(config)))
    with daemon_lock(parts.database):
        upgrade(parts.database)
        running = SteppedClock(clock) if clock else lambda: now + time.monotonic() - started
        Daemon(parts, clock=running).run(stop)


def _warm():
    """Import everything once; a fork then costs milliseconds."""
    ours = ("monitor.wiring.parts", "monitor.scheduler", "collectors.openai")
    others = ("alembic.command", "psycopg", "httpcore", "h11", "anyio", "numpy.random", "numpy.ma")
    for name in ours + others:
        importlib.import_module(name)
    from collectors.genai_rates import GenaiRates

    GenaiRates().lookup("openai", "gpt-5.1", 1_793_491_200, "")


def _child(order, go):
    """Wait for the word, run the daemon, end."""
    os.dup2(os.open(order.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.register(signal.SIGUSR1)
    os.read(go, 1)
    try:
        run(**order)
    except BaseException:  # noqa: BLE001 - the child must end here, whatever it was
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main():
    _warm()
    draw_once(sys.argv[1])
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    for line in sys.stdin:
        go, word = os.pipe()
        pids = []
        for order in json.loads(line):
            pid = os.fork()
            if pid == 0:
                os.close(word)
                _child(order, go)
            pids.append(pid)
        os.close(go)
        os.close(word)
        print(json.dumps(pids), flush=True)
        ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(ends), flush=True)


if __name__ == "__main__":
    main()
