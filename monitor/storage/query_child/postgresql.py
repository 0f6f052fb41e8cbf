"""A query on PostgreSQL: as the reader's role, one statement, in a read-only transaction.

Privileges are the boundary, because a statement may change settings and its own role; the rest
keeps an honest mistake short. The statement is sent by the extended protocol, which takes one
only, as a cursor, which takes nothing but a SELECT; all rows come with one FETCH, so that the
statement's timer, once started, cannot be changed by the statement. Nothing is ever committed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing

import psycopg
from psycopg import pq

from monitor.storage.query_child.task import Answer, Cause, Failed, Task

_SESSION = {"application_name": "crossover query", "client_encoding": "utf8"}
_CAUSES: dict[str, Cause] = {
    "57014": "time",
    "57P01": "time",
    "53200": "memory",
    "53400": "memory",
    "54000": "memory",
    "42501": "refused",
    "25006": "refused",
    "53300": "closed",
}
_NUMBERS = {20, 21, 23, 26, 700, 701, 1700}
_BOOLEAN = 16
_JSON_NUMBER = re.compile(rb"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")

_POWERS = b"""
SELECT session_user FROM pg_roles r WHERE r.rolname = session_user AND (
  r.rolsuper OR EXISTS (
    SELECT 1 FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')))"""


def run(task: Task, answer: Answer) -> None:
    """Answer the query, or raise Failed."""
    try:
        # Closed, not left as a `with` block of the driver's, which would commit.
        with closing(psycopg.connect(**(task.target | _SESSION), autocommit=True)) as conn:
            answer.backend(conn.info.backend_pid)
            _query(conn.pgconn, task, answer)
    except psycopg.errors.OutOfMemory:
        raise Failed("memory") from None
    except psycopg.OperationalError as error:
        text = str(error).strip().split("\n", maxsplit=1)[0]
        raise Failed("memory" if "memory" in text else "closed", text) from None


def _query(server: pq.abc.PGconn, task: Task, answer: Answer) -> None:
    if powers := _done(server.exec_(_POWERS)).get_value(0, 0):
        raise Failed("refused", f"the role {powers.decode()} may do more than read the views")
    for command in (
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        f"SET LOCAL statement_timeout = {max(1, int(task.seconds * 1000))}",
        "SET LOCAL client_connection_check_interval = 500",
        "SET LOCAL extra_float_digits = 0",
    ):
        _done(server.exec_(command.encode()))
    _done(server.exec_params(f"DECLARE answer NO SCROLL CURSOR FOR {task.sql}".encode(), None))
    result = _done(server.exec_(f"FETCH FORWARD {task.max_rows + 1} FROM answer".encode()))
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    answer.rows(names, _json_rows(result), task.max_rows)


def _done(result: pq.abc.PGresult) -> pq.abc.PGresult:
    if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
        return result
    field = result.error_field
    state = (field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    text = (field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message or b"").decode()
    if not state:
        # The driver's own: it could not hold the answer, or the server ended the session.
        raise Failed("memory" if "memory" in text else "closed", text.strip())
    raise Failed(_CAUSES.get(state, "invalid"), text)


def _json_rows(result: pq.abc.PGresult) -> Iterator[list[str]]:
    types = [result.ftype(column) for column in range(result.nfields)]
    for row in range(result.ntuples):
        yield [_json_cell(result.get_value(row, i), kind) for i, kind in enumerate(types)]


def _json_cell(value: bytes | None, kind: int) -> str:
    if value is None:
        return "null"
    if kind == _BOOLEAN:
        return "true" if value == b"t" else "false"
    if kind in _NUMBERS and _JSON_NUMBER.fullmatch(value):
        return value.decode()
    return json.dumps(value.decode("utf-8", "replace"))
