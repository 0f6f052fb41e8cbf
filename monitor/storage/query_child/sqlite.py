"""A query on SQLite: read-only, and of nothing but the public views.

A view's name in SQLite's authorizer proves nothing: a common table expression of the same name
looks alike there. So a query must first compile in a database that holds only the public views,
as empty tables. What compiles there names no table; it then runs on the file under an authorizer
that lets through only what the views themselves read.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from monitor.storage.query_child.task import Answer, Cause, Failed, Task

# The longest text or blob that an expression may build; bounds printf(), replace(), zeroblob().
_LONGEST_VALUE = 16 * 1024 * 1024
_STEPS_BETWEEN_CHECKS = 10_000
_JSON_TABLES = ("json_each('[]')", "json_tree('[]')")
_DENIED_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
_CAUSES: dict[str, Cause] = {
    "SQLITE_INTERRUPT": "time",
    "SQLITE_NOMEM": "memory",
    "SQLITE_TOOBIG": "memory",
    "SQLITE_CANTOPEN": "closed",
}


class _Reads(NamedTuple):
    """What a statement may read."""

    columns: set[tuple[str, str]]
    """(table, column)."""
    hidden: set[str]
    """Tables of which not even the rows may be counted."""

    def permit(self, table: str, column: str) -> bool:
        """Counting reads no column; a name that is no table's is one of the statement's own."""
        if column:
            return (table, column) in self.columns
        return not (table.lower() in self.hidden or table.lower().startswith("sqlite_"))


def run(task: Task, answer: Answer) -> None:
    """Answer the query, or raise Failed."""
    deadline = time.monotonic() + task.seconds
    gate = _Gate()
    try:
        with closing(_open(Path(task.target["path"]))) as conn:
            world = _public_world(conn, task.target["views"])
            reads = _reads_of(conn, task.target["views"])
            gate.guard(world, reads)
            world.execute(f"EXPLAIN {task.sql}")
            gate.guard(conn, reads)
            conn.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_CHECKS)
            cursor = conn.execute(task.sql)
            columns = [column[0] for column in cursor.description]
            answer.rows(columns, (_json_row(row) for row in cursor), task.max_rows)
    except (sqlite3.Error, sqlite3.Warning) as error:
        name = getattr(error, "sqlite_errorname", "")
        cause: Cause = "refused" if gate.refused else _CAUSES.get(name, "invalid")
        raise Failed(cause, gate.refused or str(error)) from None


class _Gate:
    """An authorizer that permits named reads, and remembers what it refused first."""

    def __init__(self) -> None:
        self.refused = ""
        self._reads = _Reads(set(), set())

    def guard(self, conn: sqlite3.Connection, reads: _Reads) -> None:
        """From now on the connection reads nothing else."""
        self._reads = reads
        conn.set_authorizer(self._judge)

    def _judge(self, action: int, first: str | None, second: str | None, *_place: object) -> int:
        subject, detail = first or "", second or ""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and self._reads.permit(subject, detail):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and detail.lower() not in _DENIED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        self.refused = self.refused or _said(action, subject, detail)
        return sqlite3.SQLITE_DENY


def _said(action: int, subject: str, detail: str) -> str:
    if action == sqlite3.SQLITE_READ:
        return f"{subject}{detail and '.'}{detail} is not public"
    if action == sqlite3.SQLITE_FUNCTION:
        return f"the function {detail} is not permitted"
    return "it would do more than read"


def _open(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    _limit(conn)
    conn.execute("PRAGMA query_only = ON")
    # What a sort spills stays in memory, which is limited, instead of filling a disk.
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return conn


def _limit(conn: sqlite3.Connection) -> None:
    conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    conn.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    # The first use of a table of this kind declares it, which an authorizer would refuse.
    conn.execute(f"SELECT 1 FROM {', '.join(_JSON_TABLES)}")


def _reads_of(conn: sqlite3.Connection, views: Sequence[str]) -> _Reads:
    """What the views themselves read, and with them the functions that unfold JSON."""
    columns: set[tuple[str, str]] = set()

    def note(action: int, table: str | None, column: str | None, *_place: object) -> int:
        if action == sqlite3.SQLITE_READ:
            columns.add((str(table), str(column)))
        return sqlite3.SQLITE_OK

    tables = conn.execute(
        "SELECT name FROM sqlite_master UNION SELECT name FROM pragma_module_list"
    )
    names = {str(row[0]).lower() for row in tables}
    conn.set_authorizer(note)
    for source in (*views, *_JSON_TABLES):
        conn.execute(f"EXPLAIN SELECT * FROM {source}")
    return _Reads(columns, names - {table for table, _ in columns})


def _public_world(conn: sqlite3.Connection, views: Sequence[str]) -> sqlite3.Connection:
    """A database in which there is nothing but the public views."""
    world = sqlite3.connect(":memory:", isolation_level=None)
    _limit(world)
    for view in views:
        columns = [f'"{row[1]}"' for row in conn.execute(f"PRAGMA table_info({view})")]
        world.execute(f"CREATE TABLE {view} ({', '.join(columns)})")
    return world


def _json_row(row: Iterable[object]) -> list[str]:
    return [_json_cell(value) for value in row]


def _json_cell(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        # All digits that a float is sure of: the noise of adding binary fractions lies beyond.
        return format(value, ".15g")
    if isinstance(value, (float, bytes)):
        return json.dumps(str(value) if isinstance(value, float) else f"\\x{value.hex()}")
    return json.dumps(value)
