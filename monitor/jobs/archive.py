"""The pages that sources were read from, kept for some time: evidence for a restatement.

A page is a file named by the SHA-256 of what came, compressed; equal answers are one file. The
database says which read each belongs to.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from monitor.domain.errors import InputError, StorageError
from monitor.domain.usage import DAY
from monitor.ports import Page, Recorder
from monitor.storage import collecting
from monitor.storage.collecting import Kept
from monitor.storage.engine import Database

log = logging.getLogger("crossover.archive")

_NAME = re.compile(r"[0-9a-f]{64}")
_LEVEL = 6


class Archive:
    """A folder of pages.

    Args:
        folder: made when the first page comes; nobody else can read it.
        days: how long pages are kept.
        recorder: what hands over the pages that a thread fetches.
    """

    def __init__(self, folder: Path, days: int, recorder: Recorder) -> None:
        self.folder = folder
        self.days = days
        self._recorder = recorder

    @contextmanager
    def recording(self, kept: list[Kept]) -> Iterator[None]:
        """Keep each page that is fetched in the block, and add to the list what was kept.

        A page that cannot be written is told in the log and missing from the list: the numbers
        matter more than their evidence.
        """

        def keep(page: Page) -> None:
            try:
                kept.append(self._put(page))
            except OSError as error:
                log.warning("a page could not be archived in %s: %s", self.folder, error.strerror)

        with self._recorder(keep):
            yield

    def _put(self, page: Page) -> Kept:
        name = hashlib.sha256(page.body).hexdigest()
        path = self._path(name)
        if path.exists():
            # Its age says when it was last wanted.
            os.utime(path)
        else:
            for folder in (self.folder, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whole or not at all, whatever ends this process.
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(gzip.compress(page.body, _LEVEL, mtime=0))
            Path(file.name).replace(path)
        return Kept(page.request, name, len(page.body))

    def body(self, sha256: str) -> bytes:
        """A page as it came.

        Raises:
            InputError: this is no hash of a page, or its page is not kept any more.
            StorageError: the file is not what was kept.
        """
        path = self._path(sha256)
        try:
            body = gzip.decompress(path.read_bytes())
        except FileNotFoundError:
            raise InputError(
                f"no page {sha256} is kept in {self.folder}",
                "`crossover collect pages` lists them; collect.archive_days says how long.",
            ) from None
        except (OSError, EOFError, ValueError) as error:
            raise StorageError(f"{path} cannot be read: {error}", "Restore it.") from None
        if hashlib.sha256(body).hexdigest() != sha256:
            raise StorageError(f"{path} is not the page that was kept", "Restore it.")
        return body

    def has(self, sha256: str) -> bool:
        """Whether the page is still there."""
        return self._path(sha256).exists()

    def prune(self, database: Database, now: int) -> int:
        """Drop what is older than is kept, and files of no read; returns how many files."""
        with database.write() as conn:
            collecting.forget_pages(conn, datetime.fromtimestamp(now - self.days * DAY, UTC))
        # A read that has not ended yet names its pages when it has.
        idle = time.time() - DAY
        old = {path for path in self.folder.glob("*/*") if _age(path, idle)}
        with database.read() as conn:
            named = collecting.named_pages(conn, {p.name.removesuffix(".gz") for p in old})
        gone = [path for path in old if path.name.removesuffix(".gz") not in named]
        for path in gone:
            with suppress(OSError):
                path.unlink()
        return len(gone)

    def _path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise InputError(
                f"{sha256!r} is no hash of a page", "It has 64 characters: 0-9 and a-f."
            )
        return self.folder / sha256[:2] / f"{sha256}.gz"


def _age(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except OSError:
        return False
