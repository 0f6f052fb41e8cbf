"""The formats of files that can be imported, each in a module that is loaded on first use."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from collectors.files import LONGEST_LINE, head, lenient
from collectors.mapping import Mapped
from monitor.domain.errors import InputError
from monitor.ports import Cursor, FileReader

FORMATS = {
    "bedrock-logs": "collectors.bedrock_logs:BedrockLogs",
    "litellm-jsonl": "collectors.litellm_jsonl:LiteLLMJsonl",
    "claude-code": "collectors.claude_code:ClaudeCode",
    "openai-csv": "collectors.openai_csv:OpenAICsv",
    "openrouter-csv": "collectors.openrouter_csv:OpenRouterCsv",
    "csv": "collectors.requestlog:RequestLog",
    "jsonl": "collectors.mapped_jsonl:MappedJsonl",
    "parquet": "collectors.mapped_parquet:MappedParquet",
}
"""In the order in which `auto` asks them."""
MAPPED = ("csv", "jsonl", "parquet")
"""Whose columns a map names."""
AUTO = "auto"

_SUFFIXES = (".jsonl", ".json", ".ndjson", ".log", ".csv", ".parquet")
_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
"""Of which gzip alone is read, and the others are told of."""
_ROTATED = re.compile(r"[.-]\d[\d_.:t-]*$", re.ASCII)
"""What a rotation puts behind a name: a number or a time."""
_HEAD = 64 << 10
_decode = lenient(dict[str, Any])


def load(form: str) -> type:
    """The class that reads a format.

    Raises:
        InputError: no such format.
    """
    if form not in FORMATS:
        raise InputError(
            f"{form!r} is no format of files", f"Use one of: {AUTO}, {', '.join(FORMATS)}"
        )
    module, _, name = FORMATS[form].partition(":")
    found: type = getattr(import_module(module), name)
    return found


def detect(path: str, *, mapped: bool) -> str | None:
    """The format of a file by its first lines; None: it is of none that is known.

    Raises:
        InputError: it cannot be read.
    """
    first = head(path, _HEAD)
    if first.startswith(b"PAR1"):
        return "parquet"
    if first.lstrip().startswith(b"{"):
        # The first lines of a log may be long, and say little: all of them are asked.
        if len(first) >= _HEAD and (form := _by_document(first)):
            return form
        return _by_document(head(path, LONGEST_LINE)) or ("jsonl" if mapped else None)
    columns = _columns(first)
    return _recognised([], columns) or ("csv" if mapped and len(columns) > 1 else None)


def _recognised(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str | None:
    for form in FORMATS:
        if form not in MAPPED and load(form).recognises(documents, columns):  # type: ignore[attr-defined]
            return form
    return None


def _by_document(first: bytes) -> str | None:
    return next(filter(None, (_recognised([line], []) for line in _documents(first))), None)


def _documents(first: bytes) -> Iterator[Mapping[str, Any]]:
    for line in io.BytesIO(first):
        try:
            yield _decode(line)
        except (ValueError, RecursionError):
            continue


def _columns(first: bytes) -> list[str]:
    line = first.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    with suppress(csv.Error):
        return next(csv.reader([line]), [])
    return []


def grouped(named: Sequence[str], *, mapped: bool) -> dict[str, list[str]]:
    """All files by their format; those in folders that are of none are left out.

    One that cannot be read goes with the others, and is told of when its turn comes.

    Raises:
        InputError: a file that was named itself is of none, or none can be read.
    """
    found: dict[str, list[str]] = {}
    unreadable: list[tuple[str, InputError]] = []
    for path in every_file(named):
        try:
            form = detect(path, mapped=mapped)
        except InputError as error:
            unreadable.append((path, error))
            continue
        if form is not None and (mapped or form not in MAPPED):
            found.setdefault(form, []).append(path)
        elif path in named:
            raise _unknown(path)
    if unreadable and not found:
        raise unreadable[0][1]
    if unreadable:
        next(iter(found.values())).extend(path for path, _ in unreadable)
    return found


def every_file(named: Sequence[str]) -> Iterator[str]:
    """Named files, and all that lie in named folders and below them.

    Raises:
        InputError: there is no such file or folder.
    """
    missing = [name for name in named if not os.path.exists(name)]  # noqa: PTH110
    if missing:
        raise InputError(f"there is no {', '.join(missing)}", "Name files or folders.")
    for name in named:
        yield from _inside(name) if os.path.isdir(name) else [name]  # noqa: PTH112


def _unknown(path: str) -> InputError:
    if not head(path, 1):
        return InputError(f"{path} is empty", "Name a file with rows.")
    return InputError(
        f"{path} is of no format that is known by its first lines",
        f"Name it with --format: {', '.join(FORMATS)}; {', '.join(MAPPED)} with --map.",
    )


class Chosen:
    """`ports.Files`: named files, and what lies in named folders.

    Args:
        named: files and folders.
        form: of all of them, or `auto`.
        account: who is billed.
        mapped: which column is what, for formats that need it.
        growing: whether others may be writing to them.
    """

    def __init__(
        self,
        named: Sequence[str],
        form: str,
        account: str,
        mapped: Mapped | None = None,
        *,
        growing: bool = False,
    ) -> None:
        if form != AUTO:
            load(form)
        if form in MAPPED and mapped is None:
            raise InputError(
                f"the format {form} needs a map",
                "Write for example --map at=time,input=prompt,output=completion.",
            )
        self._named, self._form, self._account, self._mapped = named, form, account, mapped
        self._growing = growing
        self._readers: dict[str, FileReader] = {}

    def paths(self) -> Iterator[str]:
        """See `ports.Files`."""
        return every_file(self._named)

    def reader(self, path: str, cursor: Cursor | None) -> FileReader | None:
        """See `ports.Files`."""
        form: str | None = self._form
        if form == AUTO:
            # What it was before is asked first; a file that became another is told by its bytes.
            known = cursor is not None and cursor.form in FORMATS and cursor.position > 0
            form = cursor.form if known and cursor else detect(path, mapped=bool(self._mapped))
        if form is None or (form in MAPPED and self._mapped is None):
            if path not in self._named:
                return None
            raise _unknown(path)
        return self._reader(form)

    def _reader(self, form: str) -> FileReader:
        if form not in self._readers:
            kind = load(form)
            further = (self._mapped,) if form in MAPPED else ()
            how = {"growing": True} if self._growing and form == "csv" else {}
            self._readers[form] = kind(self._account, *further, **how)
        return self._readers[form]


def _inside(folder: str) -> Iterator[str]:
    """Files of a folder and all below it, by name; links to folders are not followed."""
    closed: list[str] = []
    walk = os.walk(folder, onerror=lambda error: closed.append(error.filename))
    for place, folders, names in walk:
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)  # noqa: PTH118
            plain = name.lower()
            for packed in _PACKED:
                plain = plain.removesuffix(packed)
            if _ROTATED.sub("", plain).endswith(_SUFFIXES) and os.path.isfile(path):  # noqa: PTH113
                yield path
    # Given like a file, a folder that may not be entered is told of like one.
    yield from closed
