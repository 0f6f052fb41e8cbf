"""Requests in Parquet files, columns named by a map. Needs the extra `parquet` (pyarrow)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from collectors.files import is_unchanged
from collectors.mapping import Mapped, Rows, as_text
from monitor.domain.errors import InputError
from monitor.domain.usage import Event, Problem
from monitor.ports import Cursor, Part

_ROWS = 5_000


class MappedParquet:
    """`ports.FileReader` for Parquet files: read whole whenever they changed.

    Args:
        account: who is billed where the map names no account.
        mapped: which column is what.
    """

    form = "parquet"
    copies = False

    def __init__(self, account: str, mapped: Mapped) -> None:
        self._account, self._map = account, mapped

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to import
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            raise InputError(
                f"{path} is a Parquet file, and pyarrow is not installed",
                "Install crossover-monitor[parquet].",
            ) from None
        try:
            info = os.stat(path)  # noqa: PTH116 - may be no UTF-8
            device, inode = str(info.st_dev), str(info.st_ino)
            size = info.st_size
            mark = Cursor(self.form, device, inode, str(info.st_mtime_ns), size, 0, 0, "")
            if is_unchanged(mark, cursor):
                return
            with parquet.ParquetFile(path) as file:
                yield from self._parts(pa, file, path, mark)
        except pa.ArrowException as error:
            raise InputError(
                f"{path} is no Parquet file that can be read: {error}", "Write it again."
            ) from None
        except OSError as error:
            cause = error.strerror or str(error)
            raise InputError(f"cannot read {path}: {cause}", "Name another file.") from None

    def _parts(self, pa: Any, file: Any, path: str, mark: Cursor) -> Iterator[Part]:
        columns = list(dict.fromkeys(self._map.columns.values()))
        known = file.schema_arrow.names
        if absent := [name for name in columns if name not in known]:
            raise InputError(
                f"{path} has no column {', '.join(absent)}",
                f"Its columns are {', '.join(known)}; name them in --map.",
            )
        if twice := [name for name in columns if known.count(name) > 1]:
            raise InputError(
                f"{path} has the column {twice[0]} more than once", "Rename one of them."
            )
        rows, number = Rows(self._account, self._map), 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
            found = [
                self._item(rows, row, f"{path}, row {number + at}")
                for at, row in enumerate(_plain(pa, batch), 1)
            ]
            number += len(found)
            events = [item for item in found if isinstance(item, Event)]
            problems = [item for item in found if isinstance(item, Problem)]
            yield Part(len(found), events, problems, mark._replace(changed_ns=""))
        yield Part(0, [], [], mark._replace(position=mark.size, line=number))

    @staticmethod
    def _item(rows: Rows, row: Mapping[str, object], place: str) -> Event | Problem:
        return rows.event({name: as_text(value) for name, value in row.items()}, place)


def _plain(pa: Any, batch: Any) -> Iterator[Mapping[str, object]]:
    """Rows; Python has no nanoseconds, and a request needs none."""
    columns = [
        column.cast(pa.timestamp("us", column.type.tz), safe=False)
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns"
        else column
        for column in batch.columns
    ]
    cells = zip(*(column.to_pylist() for column in columns), strict=True)
    return (dict(zip(batch.schema.names, row, strict=True)) for row in cells)
