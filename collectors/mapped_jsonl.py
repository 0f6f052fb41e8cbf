"""Requests as JSON lines, fields named by a map; a dot in a name goes into an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collectors.files import Block, blocks, lenient, unreadable
from collectors.mapping import Mapped, Rows, as_text
from monitor.domain.usage import Event
from monitor.ports import Cursor, Part

_decode = lenient(dict[str, Any])


class MappedJsonl:
    """`ports.FileReader` for JSON lines.

    Args:
        account: who is billed where the map names no account.
        mapped: which field is what. Where it names an id, only new lines are read; without one a
            file that changed is read whole, because equal lines are told apart by counting them.
    """

    form = "jsonl"
    copies = False

    def __init__(self, account: str, mapped: Mapped) -> None:
        self._account, self._map = account, mapped

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        rows = Rows(self._account, self._map)
        for block in blocks(path, self.form, cursor, appends="id" in self._map.columns):
            yield self._part(block, rows, path)

    def _part(self, block: Block, rows: Rows, path: str) -> Part:
        events: list[Event] = []
        problems = list(block.problems)
        count = 0
        for number, line in block.numbered():
            count += 1
            try:
                found = _decode(line)
                values = {name: as_text(_at(found, name)) for name in self._map.columns.values()}
                item = rows.event(values, f"{path}, line {number}")
            except (ValueError, RecursionError) as error:
                problems.append(unreadable(path, number, line, str(error)))
                continue
            if isinstance(item, Event):
                events.append(item)
            else:
                problems.append(item)
        return Part(count, events, problems, block.taken(), waits=block.waits)


def _at(found: Mapping[str, Any], name: str) -> object:
    """A field by its whole name, else by its parts; None where it is not there."""
    if name in found:
        return found[name]
    value: object = found
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
