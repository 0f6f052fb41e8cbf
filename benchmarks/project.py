"""What one projection costs: its time, and the memory that projecting adds to the daemon.

Time: series of different length, each month that may be asked for; the median and the worst of
all calls. Memory: a child process that imports what the daemon imports, then projects; beside it a
child that imports numpy alone, because the daemon needs numpy for nothing else. The targets are
20 ms and 60 MB.

    python benchmarks/project.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import numpy as np

from monitor.domain.forecast import project, span_total
from monitor.domain.periods import add_months, month_of
from monitor.domain.usage import DAY

AS_OF = 1_795_046_400  # 2026-11-19T00:00:00Z
LENGTHS = (20, 60, 200, 700, 4_000)
TARGET_MS, TARGET_MB = 20, 60

RSS = """
def rss():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
"""
DAEMON = f"""{RSS}
import monitor.scheduler, monitor.wiring.parts, monitor.web.app
before = rss()
import numpy as np
from monitor.domain.forecast import project
days = {{{AS_OF} - i * 86400: 1000 + i * 37 % 101 for i in range(1, 1200)}}
for _ in range(200):
    project(days, "2026-12", {AS_OF})
print(before, rss())
"""
NUMPY = f"""{RSS}
before = rss()
import numpy
print(before, rss())
"""


def history(days: int) -> dict[int, int]:
    """Noisy daily totals that end at AS_OF."""
    noise = np.random.default_rng(days).lognormal(12, 0.4, days)
    return {AS_OF - (days - i) * DAY: round(x) for i, x in enumerate(noise)}


def timed(rounds: int) -> None:
    """Milliseconds of single calls."""
    for length in LENGTHS:
        daily, spent = history(length), []
        project(daily, month_of(AS_OF), AS_OF)
        for round_ in range(rounds * 4):
            month = add_months(month_of(AS_OF), round_ % 4)
            start = time.perf_counter()
            project(daily, month, AS_OF)
            spent.append(1000 * (time.perf_counter() - start))
        middle, worst = statistics.median(spent), max(spent)
        print(
            f"project, {length:>5} days: {middle:6.2f} ms, worst {worst:6.2f} (target {TARGET_MS})"
        )
    totals = np.array(list(history(700).values()), dtype=np.float64)
    start = time.perf_counter()
    for _ in range(rounds * 10):
        span_total(totals, 61, 92)
    print(f"span_total, 700 days: {100 * (time.perf_counter() - start) / rounds:6.2f} ms")


def measured(script: str) -> tuple[float, float]:
    """MB before and after, in a child process."""
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    before, after = map(float, out.stdout.split())
    return before, after


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    timed(parser.parse_args().rounds)
    if not sys.platform.startswith("linux"):
        print("memory is read from /proc: Linux only")
        return
    daemon, projecting = measured(DAEMON)
    bare, numpy = measured(NUMPY)
    more = projecting - daemon + numpy - bare
    print(
        f"memory: daemon {daemon:.0f} MB, projecting +{projecting - daemon:.1f} MB, of the"
        f" former numpy {numpy - bare:.0f} MB: {more:.0f} MB in all (target {TARGET_MB})"
    )


if __name__ == "__main__":
    main()
