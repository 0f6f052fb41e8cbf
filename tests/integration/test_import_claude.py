"""Claude Code's logs give the exact total, whatever repeats stand in them and however they come."""

import gzip
import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from collectors.claude_code import ClaudeCode
from collectors.formats import Chosen
from monitor.domain.usage import TOKEN_CLASSES
from monitor.jobs.imports import import_files
from monitor.storage.engine import Database
from tests import trap_logs
from tests.conftest import FULL

NOW = trap_logs.START + 40 * 86_400
SEEDS = range(40 if FULL else 2)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def on_sqlite(sqlite_url):
    opened = Database(sqlite_url)
    yield opened
    opened.close()


def write(folder, traps, names=None):
    for name in names or traps.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(traps.files[name]) + b"\n")


def joined(traps):
    return b"".join(line + b"\n" for lines in traps.files.values() for line in lines)


def run(database, *paths, form="claude-code"):
    result = import_files(
        database, "claude-code", Chosen([str(p) for p in paths], form, "team"), NOW
    )
    assert not result.errors
    return result.total


def sums(database, table="usage"):
    """Tokens, requests, and cache writes for an hour."""
    total = " + ".join(f"COALESCE(SUM({name}), 0)" for name in TOKEN_CLASSES)
    with database.read() as conn:
        row = conn.execute(
            text(f"SELECT {total}, SUM(requests), COALESCE(SUM(cache_write_long), 0) FROM {table}")
        ).one()
    return tuple(int(value) for value in row)


@pytest.mark.proof
@pytest.mark.parametrize("spaced", [False, True], ids=["compact", "spaced"])
@pytest.mark.parametrize("seed", SEEDS)
def test_logs_with_all_five_traps_give_the_exact_total(database, tmp_path, seed, spaced):
    traps = trap_logs.generate(seed, spaced=spaced)
    write(tmp_path, traps)
    total = run(database, tmp_path, form="auto")
    expected = (traps.tokens, traps.responses, traps.long)
    assert sums(database) == sums(database, "request_log") == expected
    assert total.quarantined == traps.broken
    again = run(database, tmp_path)
    assert (again.files, again.rows, again.new) == (0, 0, 0)
    assert sums(database) == expected


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
def test_the_total_is_exact_in_any_order_of_files_and_runs(database, tmp_path, seed):
    traps = trap_logs.generate(1000 + seed, spaced=seed % 2 == 1)
    rng = random.Random(seed)
    names = rng.sample(sorted(traps.files), len(traps.files))
    while names:
        part = [names.pop() for _ in range(min(len(names), rng.randrange(1, 4)))]
        write(tmp_path, traps, part)
        run(database, *(tmp_path / name for name in part))
    assert sums(database) == sums(database, "request_log")
    assert sums(database) == (traps.tokens, traps.responses, traps.long)


@pytest.mark.proof
@pytest.mark.parametrize("seed", SEEDS)
def test_the_total_is_exact_while_files_grow_line_by_line(database, tmp_path, seed):
    traps = trap_logs.generate(2000 + seed, spaced=False, responses=20, files=3)
    rng = random.Random(seed)
    whole = {name: b"\n".join(lines) + b"\n" for name, lines in traps.files.items()}
    cuts = {name: sorted(rng.sample(range(len(data)), 3)) for name, data in whole.items()}
    for step in range(4):
        for name, data in whole.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            end = cuts[name][step] if step < 3 else len(data)
            with path.open("ab") as file:
                file.write(data[path.stat().st_size : end])
        run(database, tmp_path)
    assert sums(database) == sums(database, "request_log")
    assert sums(database) == (traps.tokens, traps.responses, traps.long)


def test_a_file_that_grew_is_read_from_where_it_was_left_and_a_cut_line_waits(database, tmp_path):
    traps = trap_logs.generate(7, spaced=False, responses=30, files=3)
    lines = next(iter(traps.files.values()))
    path = tmp_path / "a.jsonl"
    half = len(lines) // 2
    path.write_bytes(b"\n".join(lines[:half]) + b"\n" + lines[half][:30])
    first = run(database, path)
    with path.open("ab") as file:
        file.write(lines[half][30:] + b"\n" + b"\n".join(lines[half + 1 :]) + b"\n")
    second = run(database, path)
    grown = sums(database)
    (tmp_path / "new").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "new").rename(path)
    whole = run(database, path)
    # Another file with the same lines is read anew, and nothing is counted twice.
    assert whole.rows == first.rows + second.rows
    assert (whole.new, whole.changed) == (0, 0)
    assert sums(database) == grown


@pytest.mark.parametrize("how", ["truncated", "replaced", "rotated"])
def test_a_file_that_is_another_one_now_is_read_anew(on_sqlite, tmp_path, how):
    one, two = (trap_logs.generate(seed, spaced=False, responses=12, files=3) for seed in (1, 2))
    path, before = tmp_path / "log.jsonl", joined(one)
    after = joined(two)
    path.write_bytes(before)
    run(on_sqlite, path)
    if how == "rotated":
        path.rename(tmp_path / "log.1.jsonl")
    if how == "replaced":
        (tmp_path / "new").write_bytes(after)
        (tmp_path / "new").rename(path)
    else:
        path.write_bytes(after)
    run(on_sqlite, tmp_path)
    assert sums(on_sqlite)[:2] == (one.tokens + two.tokens, one.responses + two.responses)


def test_a_gzipped_log_counts_like_the_plain_one(on_sqlite, tmp_path):
    traps = trap_logs.generate(3, spaced=False)
    for name, lines in traps.files.items():
        path = tmp_path / (name.replace("/", "_") + ".gz")
        path.write_bytes(gzip.compress(b"\n".join(lines)))
    run(on_sqlite, tmp_path, form="auto")
    assert sums(on_sqlite)[:2] == (traps.tokens, traps.responses)


def test_nothing_that_was_said_is_kept(on_sqlite, tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(
        b'{"type":"assistant","sessionId":"s","message":{"content":"SECRET","usage":{"input_tokens":"SECRET"}}}\n'
        b'{"SECRET "usage" "assistant"}\n{"cut SECRET\n'
    )
    assert run(on_sqlite, path).quarantined == 3
    with on_sqlite.read() as conn:
        rows = conn.execute(text("SELECT place, reason, payload FROM quarantine")).all()
    assert len(rows) == 3
    assert "SECRET" not in repr(rows)


def test_what_each_response_was_is_kept(tmp_path):
    traps = trap_logs.generate(5, spaced=True, responses=8, files=3)
    write(tmp_path, traps)
    events = [
        event
        for path in Chosen([str(tmp_path)], "claude-code", "team").paths()
        for part in ClaudeCode("team").parts(path, None)
        for event in part.events
    ]
    assert {event.dims[:4] for event in events} == {
        ("team", "anthropic", "claude-sonnet-5", "shop")
    }


def test_a_file_of_broken_lines_is_counted_and_does_not_fill_the_quarantine(on_sqlite, tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text("".join(f"broken {n}\n" for n in range(30_000)))
    assert run(on_sqlite, path).quarantined == 30_000
    with on_sqlite.read() as conn:
        rows = conn.execute(text("SELECT place, count FROM quarantine ORDER BY id")).all()
    assert sum(row.count for row in rows) == 30_000
    assert len(rows) <= 601
    assert rows[0].place == f"{path}, line 1"


def copies_of_one():
    """Lines of one response that agree in their total, but neither in time nor in what it is of."""
    for hour, long, folder, out in (
        ("01T09:00:10", 0, "shop", 7),
        ("01T23:59:59", 60, "shop", 7),
        ("02T00:00:01", 60, "fork", 7),
        ("01T00:30:00", None, "shop", 3),
    ):
        lives = {"ephemeral_5m_input_tokens": 90 - (long or 0), "ephemeral_1h_input_tokens": long}
        usage = {"cache_creation_input_tokens": 90, "output_tokens": out, "cache_creation": lives}
        yield json.dumps(
            {
                "type": "assistant",
                "timestamp": f"2026-11-{hour}Z",
                "requestId": "r",
                "cwd": f"/home/x/{folder}",
                "message": {"id": "m", "model": "claude", "usage": usage},
            }
        )


def test_copies_that_differ_in_time_and_split_give_the_same_in_any_order(database, tmp_path):
    found = set()
    path = tmp_path / "log.jsonl"
    tables = ("request_log", "usage")
    for number, order in enumerate(itertools.permutations(copies_of_one())):
        # All at once, each in a run of its own, or the first two together.
        for cuts in ((4,), (1, 2, 3, 4), (2, 4)):
            source = f"{number} {cuts}"
            for end in cuts:
                path.write_text("\n".join(order[:end]) + "\n")
                assert not import_files(
                    database, source, Chosen([str(path)], "claude-code", "team"), NOW
                ).errors
            with database.read() as conn:
                found.add(
                    tuple(
                        tuple(row)
                        for table, at in zip(tables, ("at", "bucket_start"), strict=True)
                        for row in conn.execute(
                            text(
                                f"SELECT {at}, project, cache_write, cache_write_long, output,"
                                f" requests FROM {table} JOIN series s ON s.id = series_id"
                                " JOIN stream t ON t.id = s.stream_id JOIN source o"
                                " ON o.id = t.source_id WHERE o.name = :n"
                            ),
                            {"n": source},
                        )
                    )
                )
    ((request, hour),) = found
    first = trap_logs.START + 1800
    assert request == (first, "shop", 30, 60, 7, 1)
    assert hour == (first - 1800, *request[1:])


def test_those_that_import_the_same_logs_at_once_count_once(database, tmp_path):
    before, traps = (trap_logs.generate(n, spaced=False, responses=40, files=3) for n in (12, 11))
    write(tmp_path / "before", before)
    # So that account and series are there: making them would let the others wait already.
    run(database, tmp_path / "before")
    write(tmp_path / "logs", traps)
    start = Barrier(4)

    def one(_):
        start.wait()
        run(database, tmp_path / "logs")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    assert sums(database) == sums(database, "request_log")
    assert sums(database)[:2] == (before.tokens + traps.tokens, 80)
