"""How long a first import of Claude Code's logs takes, and one that finds nothing new.

Generated logs: sessions in project folders, each response written once for each block of its
content, the first lines with partial counts, tool answers between them as most of the bytes. The
same files are read by `ccusage` (npm), which only reports: it keeps all in memory and stores
nothing. Both run on one core, in turn, in fresh processes, and are compared by CPU seconds, which
what else the machine does hardly changes. Where `ccusage` is not named, the floor
is what decoding the lines with usage costs (msgspec). Memory is that of the whole command, which
also reads the configuration, makes the database and prices: for all files, and for a tenth of them.

    python benchmarks/import_jsonl.py [--megabytes 1000] [--ccusage PATH] [--rounds 3] [--spaced]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

START = 1_793_491_200  # 2026-11-01T00:00:00Z
NOW = START + 30 * 86_400
MODELS = ("claude-sonnet-5", "claude-opus-5", "claude-haiku-5")
WORDS = [
    "def",
    "return",
    "self",
    "import",
    "the",
    "value",
    "of",
    "a",
    "list",
    "and",
    "then",
    "if",
    "not",
    "found:",
    "raise",
    "Error(path)\\n",
    "",
]
TARGET_FIRST = 1.0
TARGET_AGAIN = 0.01
TARGET_LITTLE = 0.03
TARGET_MEGABYTES = 100


def prose(rng: random.Random, size: int, pool: str) -> str:
    """Some text that looks like code, cut out of a pool."""
    at = rng.randrange(len(pool) - size)
    return pool[at : at + size]


def session(rng: random.Random, name: str, at: float, pool: str) -> Iterator[dict[str, Any]]:
    """Lines of one session: questions, responses in one to four lines, answers of tools."""
    frame = {
        "parentUuid": None, "isSidechain": False, "userType": "external", "cwd": "/home/a/shop",
        "sessionId": name, "version": "2.1.230", "gitBranch": "main",
    }  # fmt: skip

    def stamp() -> str:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"

    for _ in range(rng.randrange(20, 200)):
        at += rng.uniform(2, 60)
        model = rng.choice(MODELS)
        message, request = (
            f"msg_01{rng.getrandbits(120):030x}",
            f"req_01{rng.getrandbits(120):030x}",
        )
        usage = {
            "input_tokens": rng.randrange(2, 50),
            "cache_creation_input_tokens": rng.randrange(0, 9000),
            "cache_read_input_tokens": rng.randrange(8000, 150_000),
            "output_tokens": 1,
            "service_tier": "standard",
        }
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage["cache_creation_input_tokens"],
            "ephemeral_1h_input_tokens": 0,
        }
        blocks, output = rng.choice((1, 2, 2, 3, 4)), rng.randrange(50, 3000)
        for number in range(blocks):
            usage["output_tokens"] = output if number == blocks - 1 else rng.randrange(1, 50)
            said = prose(rng, rng.randrange(60, 2500), pool)
            tool = {"type": "tool_use", "id": f"toolu_{number}", "name": "Edit"}
            content = tool | {"input": {"text": said}} if number else {"type": "text", "text": said}
            yield frame | {
                "message": {
                    "id": message, "type": "message", "role": "assistant", "model": model,
                    "content": [content], "stop_reason": None, "usage": usage,
                },
                "requestId": request, "type": "assistant", "uuid": f"{rng.getrandbits(128):032x}",
                "timestamp": stamp(),
            }  # fmt: skip
        answer = prose(rng, min(int(rng.paretovariate(1.1) * 700), 60_000), pool)
        yield frame | {
            "type": "user",
            "message": {
                "role": "user",
                "content": [{"tool_use_id": "toolu_1", "type": "tool_result", "content": answer}],
            },
            "uuid": f"{rng.getrandbits(128):032x}", "timestamp": stamp(),
            "toolUseResult": {"stdout": answer[: len(answer) // 2], "stderr": ""},
        }  # fmt: skip


def generate(folder: Path, megabytes: float, *, spaced: bool, seed: int = 11) -> int:
    """Logs of at least that size; returns the bytes."""
    rng = random.Random(seed)
    pool = " ".join(rng.choice(WORDS) for _ in range(60_000))
    separators = (", ", ": ") if spaced else (",", ":")
    size = number = 0
    while size < megabytes * 1_000_000:
        project = folder / "projects" / f"-home-a-project-{number % 20}"
        project.mkdir(parents=True, exist_ok=True)
        path = project / f"{rng.getrandbits(128):032x}.jsonl"
        lines = session(rng, path.stem, START + rng.uniform(0, 25 * 86_400), pool)
        path.write_text("".join(json.dumps(line, separators=separators) + "\n" for line in lines))
        size += path.stat().st_size
        number += 1
    return size


def truth(folder: Path) -> tuple[int, int]:
    """Responses and their tokens, counted plainly: the largest line of each message."""
    largest: dict[str, int] = {}
    for path in (folder / "projects").rglob("*.jsonl"):
        for line in path.read_text().splitlines():
            message = json.loads(line)["message"]
            if "usage" in message:
                total = sum(v for k, v in message["usage"].items() if k.endswith("_tokens"))
                largest[message["id"]] = max(total, largest.get(message["id"], 0))
    return len(largest), sum(largest.values())


CHILD = """
import gc, json, sys, time
from collectors.formats import Chosen
from monitor.jobs.imports import import_files
from monitor.storage.engine import Database
folder, url, now = sys.argv[1], sys.argv[2], int(sys.argv[3])
started = time.process_time()
database = Database(url)
files = Chosen([folder], "claude-code", "logs")
gc.set_threshold(100_000)  # as the command does
found = import_files(database, "logs", files, now)
database.close()
assert not found.errors, found.errors
seconds = time.process_time() - started
print(json.dumps({"seconds": seconds, **found.total._asdict()}))
"""
COMMAND = """
import sys
from monitor.cli import app
app(["import", sys.argv[1], "--output-format", "csv"], standalone_mode=False)
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


class Took(NamedTuple):
    """Seconds of a process from its start to its end."""

    wall: float
    cpu: float


def run_on_one_core(command: list[str], **environment: str) -> tuple[Took, str]:
    """What a process takes that has one core, and what it wrote."""
    pinned = ["taskset", "-c", "0", *command] if shutil.which("taskset") else command
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(
        pinned, check=True, capture_output=True, text=True, env=os.environ | environment
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall, cpu), ended.stdout


def imported(folder: Path, url: str) -> tuple[Took, dict[str, Any]]:
    """A whole process, from its start to its end."""
    command = [sys.executable, "-c", CHILD, str(folder / "projects"), url, str(NOW)]
    seconds, out = run_on_one_core(command)
    return seconds, json.loads(out)


def peak(folder: Path) -> tuple[float, int]:
    """The most megabytes that `crossover import` holds, from its start to its end; all tokens."""
    url = f"sqlite:///{folder}/command.db"
    _, out = run_on_one_core(
        [sys.executable, "-c", COMMAND, str(folder / "projects")], CROSSOVER_DATABASE__URL=url
    )
    return int(out.splitlines()[-1]) / 1024, stored(url)


def reported(ccusage: str, folder: Path) -> tuple[Took, int]:
    """What `ccusage` takes for its report, and the tokens that it counts."""
    seconds, out = run_on_one_core(
        [ccusage, "claude", "daily", "--json", "--offline"],
        CLAUDE_CONFIG_DIR=str(folder), TZ="UTC",
    )  # fmt: skip
    return seconds, int(json.loads(out)["totals"]["totalTokens"])


def floor(folder: Path) -> Took:
    """Seconds of decoding the lines with usage, and of nothing else."""
    code = (
        "import sys, msgspec\nfrom pathlib import Path\n"
        "for p in Path(sys.argv[1]).rglob('*.jsonl'):\n"
        "    for line in p.read_bytes().splitlines():\n"
        "        if b'\"usage\"' in line: msgspec.json.decode(line)\n"
    )
    return run_on_one_core([sys.executable, "-c", code, str(folder / "projects")])[0]


def database_url(folder: Path, number: int) -> str:
    """A new migrated SQLite database."""
    from monitor.storage.engine import Database
    from monitor.storage.migrate import upgrade

    url = f"sqlite:///{folder}/crossover-{number}.db"
    database = Database(url)
    upgrade(database)
    database.close()
    return url


def main() -> int:
    """Print the table; 1 where a target is missed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--megabytes", type=int, default=1000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--ccusage", default=shutil.which("ccusage") or "")
    asked.add_argument("--spaced", action="store_true", help="JSON with spaces between its parts")
    asked.add_argument("--folder", default="", help="where to work; else a temporary folder")
    args = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="crossover-import-", dir=args.folder or None) as name:
        return compare(Path(name), args)


def compare(folder: Path, args: argparse.Namespace) -> int:
    """Generate, import, import again, and let the other program read."""
    size = generate(folder, args.megabytes, spaced=args.spaced)
    made = time.time_ns()
    responses, tokens = truth(folder)
    print(f"{size / 1e6:,.0f} MB, {responses:,} responses, {tokens:,} tokens")
    megabytes, counted = peak(folder)
    assert counted == tokens
    generate(folder / "tenth", args.megabytes / 10, spaced=args.spaced, seed=99)
    tenth, _ = peak(folder / "tenth")
    first, again, little, other = [], [], [], []
    for number in range(args.rounds):
        url = database_url(folder, number)
        took, found = imported(folder, url)
        first.append(took)
        whole = found["seconds"]
        assert found["new"] == responses, (found, responses)
        assert stored(url) == tokens
        _, found = imported(folder, url)
        assert found["new"] == found["changed"] == 0
        again.append(found["seconds"] / whole)
        generate(folder, args.megabytes / 100, spaced=args.spaced, seed=100 + number)
        _, found = imported(folder, url)
        little.append(found["seconds"] / whole)
        for path in (folder / "projects").rglob("*.jsonl"):
            if path.stat().st_mtime_ns > made:
                path.unlink()
        if args.ccusage:
            took, counted = reported(args.ccusage, folder)
            said = "the same" if counted == tokens else "OTHER"
            print(f"round {number + 1}: ccusage counts {said} tokens ({counted:,})")
            other.append(took)
        else:
            other.append(floor(folder))
    name = "ccusage" if args.ccusage else "decoding alone (ccusage is not there)"
    ours, theirs = (
        Took(*map(statistics.median, zip(*took, strict=True))) for took in (first, other)
    )
    share, one = statistics.median(again), statistics.median(little)
    print(
        f"first import, with the start of Python: {ours.wall:.2f} s, {ours.cpu:.2f} s of CPU,"
        f" {size / ours.cpu / 1e6:,.0f} MB/s; {name}: {theirs.wall:.2f} s, {theirs.cpu:.2f} s of"
        f" CPU; CPU {ours.cpu / theirs.cpu:.2f} x (target {TARGET_FIRST:.1f})"
    )
    print(f"nothing new: {share:.2%} of the first import (target {TARGET_AGAIN:.0%})")
    print(f"1% new: {one:.2%} of the first import (target {TARGET_LITTLE:.0%})")
    print(
        f"memory of the command: at most {megabytes:.0f} MB resident (target {TARGET_MEGABYTES}),"
        f" {tenth:.0f} MB for a tenth of the logs"
    )
    held = share <= TARGET_AGAIN and one <= TARGET_LITTLE and megabytes <= TARGET_MEGABYTES
    return 0 if held and (not args.ccusage or ours.cpu <= TARGET_FIRST * theirs.cpu) else 1


def stored(url: str) -> int:
    """All tokens that are counted."""
    from sqlalchemy import text

    from monitor.domain.usage import TOKEN_CLASSES
    from monitor.storage.engine import Database

    database = Database(url)
    with database.read() as conn:
        total = " + ".join(f"COALESCE({name}, 0)" for name in TOKEN_CLASSES)
        found = conn.scalar(text(f"SELECT SUM({total}) FROM usage"))
    database.close()
    return int(found or 0)


if __name__ == "__main__":
    sys.exit(main())
