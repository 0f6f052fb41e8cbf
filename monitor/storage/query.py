"""One SELECT over the public views, in a child process with hard limits on time and memory.

The engine is asked to stop first (SQLite's progress handler, PostgreSQL's statement_timeout); a
query that does not heed is ended by this process: on the server by a second connection, then the
child. Whatever happens, nothing of it is left running when `run` returns.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

import monitor
from monitor.domain.errors import QueryError
from monitor.storage import views
from monitor.storage.engine import Database
from monitor.storage.query_child.task import Cause, Task

Cell = str | Decimal | bool | None

MIB = 1024 * 1024
_LONGEST_SQL = 100_000
# Of the time that is given: the engine's own timer, and the moment this process ends the query.
# The rest is for starting and for stopping, so that the whole call keeps to the limit.
_SOFT, _HARD = 0.7, 0.8
_STOP_SECONDS = 2
_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*(\w*)", re.DOTALL)


class Limits(NamedTuple):
    """How much one query may take."""

    rows: int = 10_000
    seconds: float = 5.0
    memory_bytes: int = 512 * MIB
    answer_bytes: int = 64 * MIB


class Result(NamedTuple):
    """The answer; every number is a Decimal, and a float has lost its binary noise."""

    columns: list[str]
    rows: list[list[Cell]]
    truncated: bool


NORMAL = Limits()


def run(
    database: Database,
    sql: str,
    limits: Limits = NORMAL,
    *,
    reader: Database | None = None,
    spent: float = 0,
) -> Result:
    """Answer one SELECT over the public views.

    Args:
        database: at this program's schema.
        sql: one statement.
        limits: rows above the limit are left out; any other limit ends the query.
        reader: the same database as the reader's role sees it; needed on PostgreSQL.
        spent: seconds of the limit that the caller has used already; the query gets what is left,
            and at least half.

    Raises:
        QueryError: the query was refused, was stopped, or is wrong.
    """
    _require_select(sql)
    seconds = max(limits.seconds - spent, limits.seconds / 2)
    task = Task(
        engine="sqlite" if database.path else "postgresql",
        target=_target(database, reader),
        sql=sql,
        max_rows=limits.rows,
        seconds=seconds * _SOFT,
        memory_bytes=limits.memory_bytes,
        answer_bytes=limits.answer_bytes,
    )
    return _parsed(_answered(database, task, seconds * _HARD), limits)


def _require_select(sql: str) -> None:
    found = _FIRST_WORD.match(sql)
    word = found[1].lower() if found else ""
    if word not in ("select", "with", "values"):
        raise QueryError(
            f"{word.upper() or 'the statement'!r} is not a SELECT", "Only one SELECT can be run."
        )
    if "\0" in sql or len(sql) > _LONGEST_SQL:
        raise QueryError(
            f"the statement is longer than {_LONGEST_SQL} characters or holds a NUL",
            "Shorten it.",
        )


def _target(database: Database, reader: Database | None) -> dict[str, Any]:
    if database.path is not None:
        return {"path": str(database.path), "views": views.public_names()}
    if reader is None:
        raise QueryError(
            "database.reader_url is not set, and only the reader's role may run a query",
            "Run `crossover db reader --password env:NAME`, then set database.reader_url and"
            " database.reader_password.",
        )
    _, arguments = reader.writer.dialect.create_connect_args(reader.url)
    plain = {name: value for name, value in arguments.items() if isinstance(value, (str, int))}
    return plain | {"connect_timeout": _STOP_SECONDS}


def _answered(database: Database, task: Task, seconds: float) -> bytes:
    """Everything the child said; whatever it left undone has ended."""
    deadline = time.monotonic() + seconds
    answer = bytearray()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "monitor.storage.query_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        # An interrupt from the keyboard is for this process, which then stops the child in order.
        start_new_session=True,
    ) as child:
        try:
            _converse(child, task, answer, deadline)
        finally:
            try:
                if "end" not in _last(answer) and database.path is None:
                    _stop_on_server(database, answer)
            finally:
                child.kill()
    return bytes(answer)


def _environment() -> dict[str, str]:
    """The child finds the same modules, in an installation and in a checkout."""
    folders = [*filter(None, sys.path), str(Path(monitor.__file__).parents[1])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(folders)}


def _converse(
    child: subprocess.Popen[bytes], task: Task, answer: bytearray, deadline: float
) -> None:
    """Hand over the task and collect lines until the child closes them or time is up."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):
        child.stdin.write(json.dumps(task._asdict()).encode("ascii"))
        child.stdin.close()
    lines = child.stdout.fileno()
    while (left := deadline - time.monotonic()) > 0:
        if select.select([lines], [], [], left)[0]:
            chunk = os.read(lines, MIB)
            if not chunk:
                return
            answer += chunk
    answer += b'\n{"failed": {"cause": "time", "text": ""}}\n'


def _last(answer: bytes | bytearray) -> dict[str, Any]:
    """The verdict, if the last line is one."""
    line = answer.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        verdict = json.loads(line)
    except ValueError:
        return {}
    return verdict if isinstance(verdict, dict) else {}


def _stop_on_server(database: Database, answer: bytearray) -> None:
    """End the child's session over a connection of our own, and see it gone."""
    first = re.match(rb'\{"backend": (\d+)\}\n', answer)
    if first is None:
        return
    stop = "SELECT pg_terminate_backend(pid, :ms) FROM pg_stat_activity WHERE pid = :pid"
    try:
        with database.writer.connect() as conn:
            conn.execute(sa.text(stop), {"pid": int(first[1]), "ms": _STOP_SECONDS * 1000})
    except sa.exc.DBAPIError as error:
        raise QueryError(
            f"the query was stopped, but its session on the server was not: {error.orig}",
            "It ends by itself soon; make the role with `crossover db reader`, which permits this.",
        ) from None


def _parsed(answer: bytes, limits: Limits) -> Result:
    end = _last(answer)
    if "end" not in end:
        # A child that ended without a word was most likely refused the memory to say it.
        failed = end.get("failed", {"cause": "memory", "text": ""})
        raise _error(failed["cause"], failed["text"], limits)
    columns: list[str] = []
    rows: list[list[Cell]] = []
    for line in answer.splitlines()[:-1]:
        value = json.loads(line, parse_int=Decimal, parse_float=Decimal)
        if isinstance(value, list):
            rows.append(value)
        else:
            columns = value.get("columns", columns)
    return Result(columns, rows, bool(end["end"]["truncated"]))


def _error(cause: Cause, text: str, limits: Limits) -> QueryError:
    said = f": {text}" if text else ""
    documented = "docs/database.md lists the public views and their columns."
    messages = {
        "time": (
            f"the query was stopped, because it would not finish within {limits.seconds:g} seconds",
            "Narrow it by day or workload, or raise --timeout.",
        ),
        "memory": (
            f"the query was stopped, because it needs more memory than a query may have{said}",
            "Select fewer columns, group, or narrow it by day or workload.",
        ),
        "size": (
            f"the query was stopped, because its answer is over {limits.answer_bytes // MIB} MiB",
            "Select fewer columns, or lower --max-rows.",
        ),
        "refused": (f"the query was refused{said}", f"Read the public views only: {documented}"),
        "invalid": (f"the query cannot be run{said}", f"Correct it; {documented}"),
        "closed": (
            f"the query could not reach the database{said}",
            "Check that it is there and, on PostgreSQL, database.reader_url and its password.",
        ),
    }
    return QueryError(*messages[cause])
