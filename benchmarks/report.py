"""What the weekly report of a large company costs: its time, and the memory of who makes it.

A stored database (tests/large_company.py: workloads by the hundred, three series each, 13 months of
roll-ups, projections, comparisons and scores). A child process imports what the daemon imports and
makes reports the way the daemon does: figures, pictures in their own process, HTML, text, CSV, the
bytes of the mails, posted to the outbox. Floors, measured beside it: the same pictures alone, and
one pass over the roll-ups by the database alone. Then each raw row is split into ten, and all of it
is measured again: roll-ups are what a report reads, so its time must not grow.

    python benchmarks/report.py [--engine sqlite|postgres|both] [--workloads 200] [--days 396]
        [--compared 20] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.write import opened
from monitor.storage.engine import Database

ROOT = Path(__file__).parents[1]
TARGET_SECONDS, TARGET_MB, TARGET_GROWTH = 5.0, 20.0, 1.2


def rss() -> float:
    """MB of this process."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def child(url: str, rounds: int) -> None:
    """Make reports of the last weeks as the daemon does; print what they took as JSON."""
    import monitor.scheduler
    import monitor.web.app
    import monitor.wiring.parts  # noqa: F401 - as the daemon
    from monitor import memory
    from monitor.domain.forecast import project
    from monitor.domain.periods import day_of
    from monitor.domain.usage import DAY
    from monitor.jobs import report
    from monitor.storage import figures
    from tests import large_company, seeded

    memory.hand_back()
    database = Database(url)
    project({seeded.END - n * DAY: 1000 + n for n in range(1, 90)}, "2026-12", seeded.END)
    with database.read() as conn:
        figures.read(conn, "projection.as_of", **figures.period(seeded.END))
    policy = large_company.policy("ann@acme.example", "Bob <bob@acme.example>")
    found: dict[str, Any] = {"rss": [rss()], "seconds": [], "cpu": []}
    for n in range(rounds):
        end = seeded.END - 7 * n * DAY
        start, spent = time.perf_counter(), cpu()
        make(database, report, policy, day_of(end - DAY), end)
        found["seconds"].append(time.perf_counter() - start)
        found["cpu"].append(cpu() - spent)
        found["rss"].append(rss())
    found |= floors(database, report, policy, rounds)
    print(json.dumps(found))


def make(database: Database, report: Any, policy: Any, last: str, end: int) -> None:
    """One report, from its claim to its messages in the outbox."""
    from datetime import date

    from monitor.domain.usage import DAY, HOUR
    from monitor.storage import work

    week = date.fromisoformat(last).strftime("%G-W%V")
    due = end + 7 * HOUR
    row: Any = {"period_start": end - 7 * DAY, "period_end": end, "due_at": due, "added_at": due}
    claim = work.Claim("run", f"finance/weekly/{week}/1", "t", 0, row)
    close = report.weekly(database, claim, due, policy)
    with database.write() as conn:
        assert json.loads(close(conn)["told"])["head"]


def floors(database: Database, report: Any, policy: Any, rounds: int) -> dict[str, Any]:
    """Seconds of the figures alone, of the pictures alone, and of one pass over the roll-ups.

    Each is the best of some rounds: what disturbs a machine only ever adds.
    """
    from sqlalchemy import text

    from reports import raster, weekly
    from tests import seeded

    def best(work: Callable[[], object]) -> float:
        spent = []
        for _ in range(rounds):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
        return min(spent)

    with database.read() as conn:
        facts = report.facts(conn, seeded.WEEK, policy, seeded.DUE)
        specs = {cid: shown.spec for cid, shown in weekly.view(facts).pictures.items()}
        assert not raster.draw(specs).failed
        sql = text("SELECT SUM(estimated_pico / 1000000) FROM usage_day")
        parts = {
            "figures": best(lambda: report.facts(conn, seeded.WEEK, policy, seeded.DUE)),
            "pictures": best(lambda: raster.draw(specs)),
            "pass": best(lambda: conn.scalar(sql)),
        }
        rows = conn.scalar(text("SELECT COUNT(*) FROM usage"))
        days = conn.scalar(text("SELECT COUNT(*) FROM usage_day"))
    return {"parts": parts, "raw": rows, "rolled": days, "drawn": len(specs)}


def measured(database: Database, rounds: int) -> dict[str, Any]:
    """What a fresh process reports of itself."""
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, __file__, "--child", url, "--rounds", str(rounds)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(json.loads(out.stdout))


def show(engine: str, found: dict[str, Any]) -> None:
    """Lines for one database."""
    seconds, parts, memory = found["seconds"], found["parts"], found["rss"]
    middle = statistics.median(seconds)
    floor = parts["pictures"] + parts["pass"]
    print(f"{engine:10} {found['raw']:,} raw rows, {found['rolled']:,} of roll-ups")
    print(
        f"{engine:10} report: {middle:.2f} s, best {min(seconds):.2f}, worst {max(seconds):.2f}"
        f" (target {TARGET_SECONDS:g}); {middle / floor:.2f} x the floor of {floor:.2f};"
        f" figures {parts['figures']:.2f}, {found['drawn']} pictures {parts['pictures']:.2f};"
        f" processor {statistics.median(found['cpu']):.2f} s"
    )
    print(
        f"{engine:10} memory: {memory[0]:.0f} MB before, +{memory[1] - memory[0]:.1f} after one"
        f" report, +{memory[-1] - memory[0]:.1f} after {len(seconds)} (target {TARGET_MB:g})"
    )


def measure(engine: str, options: argparse.Namespace) -> None:
    """Fill a database, measure, split its raw rows, measure again."""
    from tests.large_company import Size, fill, split_hours

    with opened(engine) as database:
        start = time.perf_counter()
        fill(database, Size(options.workloads, options.days, options.compared))
        print(f"{engine:10} filled in {time.perf_counter() - start:.0f} s")
        few = measured(database, options.rounds)
        show(engine, few)
        split_hours(database)
        many = measured(database, options.rounds)
        show(engine, many)
    reports = min(many["seconds"]) / min(few["seconds"])
    figures = many["parts"]["figures"] / few["parts"]["figures"]
    print(
        f"{engine:10} 10 x raw rows, best of {options.rounds}: report {reports:.2f} x the time,"
        f" its figures {figures:.2f} x (target {TARGET_GROWTH})"
    )


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--workloads", type=int, default=200)
    parser.add_argument("--days", type=int, default=396)
    parser.add_argument("--compared", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.rounds)
        return
    for engine in ("sqlite", "postgres"):
        if options.engine in (engine, "both"):
            measure(engine, options)


if __name__ == "__main__":
    main()
