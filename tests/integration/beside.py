"""Work on a connection of its own, at the same time as the test's."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

from sqlalchemy import text

from monitor.storage.engine import Database

Work = Callable[[Database], Any]


def beside(database: Database, work: Work) -> "Future[Any]":
    """Start `work` and go on once it waits for a lock of this test, or has ended.

    SQLite does not show who waits, and lets one writer in at a time whoever it is.
    """
    with_own = ThreadPoolExecutor(1)
    future = with_own.submit(_run, _address(database), work)
    with_own.shutdown(wait=False)
    while database.dialect == "postgresql" and not (future.done() or _somebody_waits(database)):
        pass
    return future


def together(database: Database, works: Iterable[Work]) -> None:
    """Run all at once; raises what the first of them raised."""
    works = list(works)
    with ThreadPoolExecutor(len(works)) as threads:
        list(threads.map(partial(_run, _address(database)), works))


def _run(url: str, work: Work) -> Any:
    with closing(Database(url)) as own:
        return work(own)


def _address(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def _somebody_waits(database: Database) -> bool:
    with database.read() as conn:
        return bool(conn.scalar(text("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")))
