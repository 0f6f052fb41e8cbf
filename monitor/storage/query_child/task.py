"""What the child is asked, how it limits itself, and how it answers."""

from __future__ import annotations

import json
import math
import resource
import signal
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple

Engine = Literal["sqlite", "postgresql"]
Cause = Literal["time", "memory", "size", "refused", "invalid", "closed"]


class Task(NamedTuple):
    """One query and its limits."""

    engine: Engine
    target: dict[str, Any]
    """SQLite: `path` and the public `views`; PostgreSQL: the driver's connection arguments."""
    sql: str
    max_rows: int
    seconds: float
    """After which the engine itself should stop the query."""
    memory_bytes: int
    """Of this process's address space."""
    answer_bytes: int


class Failed(Exception):
    """The query was refused or stopped, or is wrong; `text` is the engine's own sentence."""

    def __init__(self, cause: Cause, text: str = "") -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text


def confine(task: Task) -> None:
    """Limits that the kernel keeps, whatever the engine is doing and even without a parent."""
    seconds = math.ceil(task.seconds) + 1
    resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Answer:
    """The lines that go back, at most `most` bytes of rows."""

    def __init__(self, out: BinaryIO, most: int) -> None:
        self._out = out
        self._left = most

    def backend(self, pid: int) -> None:
        """Which process of the server works for this child: told before the query starts."""
        self._line({"backend": pid})
        self._out.flush()

    def rows(self, columns: Sequence[str], rows: Iterable[Sequence[str]], most: int) -> None:
        """At most `most` rows, each a sequence of JSON values as text; then the end."""
        self._line({"columns": list(columns)})
        truncated = False
        for number, row in enumerate(rows):
            if truncated := number == most:
                break
            line = f"[{','.join(row)}]\n".encode("ascii")
            self._left -= len(line)
            if self._left < 0:
                raise Failed("size")
            self._out.write(line)
        self._line({"end": {"truncated": truncated}})
        self._out.flush()

    def failed(self, failed: Failed) -> None:
        """The last line of a query that has no answer."""
        self._line({"failed": {"cause": failed.cause, "text": failed.text}})
        self._out.flush()

    def _line(self, value: object) -> None:
        self._out.write(json.dumps(value).encode("ascii") + b"\n")
