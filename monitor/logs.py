"""Logs: text on a terminal, one JSON object a line otherwise. Always on stderr."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One object a line: at, level, logger, message, and whatever the call added."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(level: str = "INFO", *, lines: bool | None = None) -> None:
    """Send logs to stderr; `lines` None: JSON unless stderr is a terminal."""
    handler = logging.StreamHandler()
    as_json = not sys.stderr.isatty() if lines is None else lines
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if as_json else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Their INFO lines tell of every tick and request, and httpx's carry whole URLs.
    for name in ("httpx", "httpcore", "alembic", "uvicorn.access", "stamina"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A tick that finds the last one still at work is no news; /healthz says when one is stuck.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
