"""Files read piece by piece: whole lines, from where the last import stopped, in little memory.

A plain file is continued where it is still the same file and its bytes before the cursor are
unchanged; else it is read anew, which repeats do no harm to. A compressed file, and a table whose
rows have no id of their own, is read whole whenever it changed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple, TypeVar

import msgspec

from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import Event, Problem
from monitor.ports import Cursor, Part

BLOCK = 1 << 20
LONGEST_LINE = 16 << 20
"""Bytes; a longer line is quarantined unread, so that no file can fill the memory."""
_MOST_EXPANDED = 200
"""Times the size of a compressed file: real logs shrink to a tenth, to a fiftieth at best."""
_SMALL = 256 << 20
"""Bytes that any compressed file may expand to."""
_DIGESTED = 1024
_GZIP = b"\x1f\x8b"
_PACKED = {b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}
_WAITS = "~"
_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""One escape of JSON text: a whole pair of surrogates, a lone one, or any other."""

_Kind = TypeVar("_Kind")


class Lines:
    """How many lines of a file are behind: whoever takes a block counts its lines."""

    def __init__(self, line: int) -> None:
        self.line = line


class Block(NamedTuple):
    """Whole lines of a file."""

    data: bytes
    lines: Lines
    cursor: Cursor
    """To the end of the block, but for its lines, which are counted by who takes it."""
    problems: list[Problem]
    waits: bool = False
    """A last line that has no end yet is left for the next time."""

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """Every line that is not empty, with its number."""
        for line in self.data.splitlines():
            self.lines.line += 1
            if line and not line.isspace():
                yield self.lines.line, line

    def taken(self) -> Cursor:
        """The cursor, once the lines were counted; one without its end goes on the next time."""
        open_end = bool(self.data) and not self.data.endswith(b"\n")
        return self.cursor._replace(line=self.lines.line - open_end)


def blocks(
    path: str,
    form: str,
    cursor: Cursor | None,
    *,
    appends: bool = True,
    whole: bool = False,
    growing: bool = False,
) -> Iterator[Block]:
    """What is new in a file of lines; the last line only where it is a whole document.

    Args:
        path: the file, plain or gzipped.
        form: the format's name: another one reads the file anew.
        cursor: how far it was read before.
        appends: False: a file that changed is read whole.
        whole: True: a last line without its end is given like any other.
        growing: True: but not before the file was the same in two reads.

    Raises:
        InputError: the file cannot be read.
    """
    with _named(path):
        if cursor and is_unchanged(_mark(form, os.stat(path)), cursor):  # noqa: PTH116
            return
    with _named(path), open(path, "rb", buffering=0) as raw:  # noqa: PTH123 - may be no UTF-8
        mark = _mark(form, os.fstat(raw.fileno()))
        packed = _is_packed(path, os.pread(raw.fileno(), 8, 0))
        start = cursor if appends and not packed and _continues(raw, mark, cursor) else None
        if packed:
            yield from _lines(_Bounded(path, raw).read, raw, path, mark, None, whole=True)
            return
        if start:
            raw.seek(start.position)
        waits = growing and not (cursor and cursor[:5] == _waiting(mark)[:5])
        mark = mark._replace(digest="plain")
        for block in _lines(raw.read, raw, path, mark, start, whole=whole and not waits):
            last = block.cursor
            at_end = last.changed_ns != "" and last.position < mark.size
            yield block._replace(cursor=_waiting(last)) if waits and at_end else block


def _is_packed(path: str, first: bytes) -> bool:
    """Whether a file is gzipped.

    Raises:
        InputError: it is packed in another way.
    """
    for sign, name in _PACKED.items():
        if first.startswith(sign):
            raise InputError(
                f"{path} is packed with {name}", "Unpack it; gzip alone is read packed."
            )
    return first.startswith(_GZIP)


def _waiting(cursor: Cursor) -> Cursor:
    """Of a file whose last line has no end yet: it counts as changed until it is read again."""
    return cursor._replace(changed_ns=f"{_WAITS}{cursor.changed_ns}")


def _mark(form: str, info: os.stat_result) -> Cursor:
    """A file as it is now, before anything was read of it."""
    device, inode, changed = map(str, (info.st_dev, info.st_ino, info.st_mtime_ns))
    return Cursor(form, device, inode, changed, info.st_size, 0, 0, "")


def is_unchanged(now: Cursor, before: Cursor | None) -> bool:
    """Whether a file is as it was when it was read to its end."""
    return before is not None and now[:5] == before[:5]


def unreadable(path: str, number: int, line: bytes, cause: str) -> Problem:
    """A line is named by its digest, since what was said in it is nobody's business."""
    shown = f"{len(line)} bytes, SHA-256 {hashlib.sha256(line).hexdigest()[:16]}"
    return Problem(f"{path}, line {number}", clean_name(cause, 300), shown)


def documents(
    path: str, form: str, cursor: Cursor | None, read: Callable[[bytes], Event | None]
) -> Iterator[Part]:
    """Lines of JSON, each by `read`: its request, or None where it tells of none.

    A line for which `read` raises ValueError is a problem, and what stands in it is not kept.
    """
    for block in blocks(path, form, cursor):
        events: list[Event] = []
        problems = list(block.problems)
        rows = 0
        for number, line in block.numbered():
            rows += 1
            try:
                event = read(line)
            except (ValueError, ArithmeticError, RecursionError) as error:
                problems.append(unreadable(path, number, line, str(error)))
            else:
                events += [event] if event else []
        yield Part(rows, events, problems, block.taken(), waits=block.waits)


def lenient(kind: type[_Kind]) -> Callable[[bytes], _Kind]:
    """A decoder of lines as other programs write them.

    Halves of cut characters become the sign for an unreadable one, and `5.0` and `"5"` are counts.
    It raises msgspec.DecodeError for what is still no `kind`.
    """
    strict = msgspec.json.Decoder(kind).decode
    lax = msgspec.json.Decoder(kind, strict=False).decode

    def decode(line: bytes) -> _Kind:
        try:
            return strict(line)
        except msgspec.DecodeError:
            return lax(_without_halves(line))

    return decode


def _without_halves(line: bytes) -> bytes:
    """A line whose lone surrogates, which no text may hold, are replaced."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[2] else found[0], line)


def short_id(name: str) -> str:
    """An id that fits: a long one by its digest."""
    clean = clean_name(name, 10_000)
    return clean if len(clean) <= 200 else hashlib.sha256(clean.encode()).hexdigest()


def _continues(raw: IO[bytes], mark: Cursor, cursor: Cursor | None) -> bool:
    return (
        cursor is not None
        and (mark.form, mark.device, mark.inode) == (cursor.form, cursor.device, cursor.inode)
        and mark.size >= cursor.position > 0
        and _digest(raw, cursor.position) == cursor.digest
    )


def _digest(raw: IO[bytes], position: int) -> str:
    """Of the first bytes and the last ones before a position."""
    length, fd = min(_DIGESTED, position), raw.fileno()
    ends = os.pread(fd, length, 0) + os.pread(fd, length, position - length)
    return hashlib.sha256(ends).hexdigest()


def _lines(
    read: Callable[[int], bytes],
    file: IO[bytes],
    path: str,
    mark: Cursor,
    start: Cursor | None,
    *,
    whole: bool,
) -> Iterator[Block]:
    """Blocks that end where a line ends."""
    plain = bool(mark.digest)
    position, lines = (start.position, Lines(start.line)) if start else (0, Lines(0))
    kept: list[bytes] = []
    waiting, skipping = 0, False
    problems: list[Problem] = []

    def block(data: bytes, end: str) -> Block:
        nonlocal position, problems
        position, data = position + len(data), data if position else data.removeprefix(_BOM)
        digest = _digest(file, position) if plain else ""
        # Until its end is reached the file counts as changed, and is continued or read anew.
        at = position if plain else 0
        found = mark._replace(changed_ns=end, position=at, digest=digest)
        said, problems = problems, []
        return Block(data, lines, found, said)

    while chunk := read(BLOCK):
        cut = chunk.rfind(b"\n") + 1
        if skipping:
            first = chunk.find(b"\n") + 1
            position += first or len(chunk)
            if not first:
                continue
            skipping, chunk, cut = False, chunk[first:], cut - first
            lines.line += 1
        if cut:
            data = b"".join((*kept, chunk[:cut])) if kept else chunk[:cut]
            kept, waiting = [], 0
            yield block(data, "")
        if cut < len(chunk):
            kept.append(chunk[cut:])
            waiting += len(chunk) - cut
        if waiting > LONGEST_LINE:
            problems.append(
                Problem(
                    f"{path}, line {lines.line + 1}",
                    f"the line is longer than {LONGEST_LINE:,} bytes",
                )
            )
            position += waiting
            kept, waiting, skipping = [], 0, True
    rest = b"".join(kept)
    waits = bool(rest) and not (whole or _is_document(rest.removeprefix(_BOM)))
    yield block(b"" if waits else rest, mark.changed_ns)._replace(waits=waits)


def _is_document(rest: bytes) -> bool:
    """Whether a last line without its end is whole, and not one that is still being written."""
    try:
        msgspec.json.decode(rest, type=msgspec.Raw)
        msgspec.json.decode(rest)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return rest.rstrip().endswith(b"}")


class _Bounded:
    """A gzipped file's content, refused where it expands beyond reason."""

    def __init__(self, path: str, raw: IO[bytes]) -> None:
        self._path, self._raw = path, raw
        self._file = gzip.GzipFile(fileobj=raw)
        self._came = 0

    def read(self, count: int) -> bytes:
        data = self._file.read(count)
        self._came += len(data)
        if self._came > _SMALL and self._came > _MOST_EXPANDED * self._raw.tell():
            raise InputError(
                f"{self._path} expands to more than {_MOST_EXPANDED} times its size",
                "Expand it yourself if it is what you think it is.",
            )
        return data


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Every failure names the file, the cause and the remedy."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is cut off or damaged: {error}",
            "What was whole is imported; copy the file again and repeat.",
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "Name another file.") from None


def head(path: str, size: int = BLOCK) -> bytes:
    """The first bytes without a byte order mark, expanded where the file is gzipped.

    Raises:
        InputError: the file cannot be read.
    """
    with _named(path), open(path, "rb") as raw:  # noqa: PTH123
        packed = _is_packed(path, raw.read(8))
        raw.seek(0)
        if packed:
            return gzip.GzipFile(fileobj=raw).read(size).removeprefix(_BOM)
        return raw.read(size).removeprefix(_BOM)
