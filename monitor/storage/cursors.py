"""How far each imported file was read, so that the next import reads what is new."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from sqlalchemy import Connection

from monitor.ports import Cursor
from monitor.storage import bulk
from monitor.storage.tables import file_cursor

_COLUMNS = ("form", "device", "inode", "changed_ns", "size", "position", "line", "digest")


def cursors(conn: Connection, source_id: int) -> dict[str, Cursor]:
    """The cursor of every file of a source, by its path as `as_text` has it."""
    rows = bulk.select(
        conn,
        f"SELECT path, {', '.join(_COLUMNS)} FROM file_cursor WHERE source_id = ?",
        (source_id,),
    )
    return {path: Cursor(*cursor) for path, *cursor in rows}


def put_cursors(
    conn: Connection, source_id: int, found: Sequence[tuple[str, Cursor]], now: int
) -> None:
    """Remember how far files were read."""
    columns = ("source_id", "path_digest", "path", *_COLUMNS, "seen_at")
    news = ", ".join(f"{name} = excluded.{name}" for name in (*_COLUMNS, "seen_at"))
    bulk.upsert(
        conn,
        file_cursor.name,
        columns,
        f"(source_id, path_digest) DO UPDATE SET {news}",
        [
            (source_id, _digest(path), as_text(path), *cursor, now)
            for path, cursor in dict(found).items()
        ],
    )


def as_text(path: str) -> str:
    """A path as it is stored: bytes that are no UTF-8 are written out."""
    return path.encode(errors="backslashreplace").decode()


def _digest(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()
