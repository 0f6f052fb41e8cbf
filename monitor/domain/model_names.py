"""The one table of models' names: what a source calls a model, and what price lists call it.

A name is read by its form alone: a provider's prefix, a Bedrock profile or ARN, `model@version` of
Vertex, the path of a model garden, a dated snapshot. Exact names come before forms, and a form is
the whole of a name: one that merely contains a known name is another one. What nobody knows stays
itself, and has no price. Rows keep the name that their source gave; only look-ups read it so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from monitor.domain.aliases import CANONICAL, provider_id

_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:"
    r"(?:foundation-model|inference-profile)/([^/]+)",
    re.ASCII,
)
# us.anthropic.claude-sonnet-5-v1:0: where it may run, who made it, what it is, its revision.
_BEDROCK = re.compile(
    r"(?:(?:us|us-gov|eu|apac|jp|au|ca|sa|me|af|global|regional)\.)?"
    r"(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|"
    r"nvidia|openai|qwen|stability|twelvelabs|writer|zai)\.([a-z0-9][a-z0-9._-]*?)"
    r"(?:-v\d{1,2})?(?::\d{1,2}(?::\d{1,4}k)?)?",
    re.ASCII,
)
_VERTEX = re.compile(r"([^@/]+)@(\d{8}|\d{3}|default|latest)", re.ASCII)
_SNAPSHOT = re.compile(r"(.+?)-(?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d)", re.ASCII)
_TUNED = re.compile(r"(ft:[^:]+)(?::.*)?", re.ASCII)
_GARDEN = re.compile(r"(?:.*/)?(?:publishers/[^/]+/)?models/([^/]+)", re.ASCII)
# How LiteLLM calls Bedrock, which no price depends on; on a region before the name it may.
_ROUTE = re.compile(r"(?:converse|invoke)/([^/]+)", re.ASCII)
_REVISION = re.compile(r"-v\d{1,2}(?::\d{1,2})?$", re.ASCII)
_VERSION = re.compile(
    r"(?:[-@](?:latest|preview|exp|default|\d{3,4}|[01]\d-[0-3]\d|[01]\d-\d{4}))+", re.ASCII
)
# What a router puts before the name of a deployment that is charged at the list price.
_GLOBAL = {"azure": ("global", "global-standard")}


class Known(NamedTuple):
    """A name that stands for another one, exactly; an empty provider: at every provider."""

    provider: str
    name: str
    model: str
    instead: bool = False
    """The name itself says nothing, whatever it looks like: a deployment."""


@dataclass(frozen=True)
class ModelNames:
    """The table: names that are written down, before the forms that every name may have.

    Args:
        known: rows; of two with the same name the later one counts.
    """

    known: Sequence[Known] = ()
    _rows: Mapping[tuple[str, str], Known] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = {(provider_id(k.provider), k.name.lower()): k for k in self.known}
        object.__setattr__(self, "_rows", rows)

    def readings(self, provider: str, model: str) -> Iterator[tuple[str, str]]:
        """(provider, model) as price lists may know them, each once, the most literal first.

        A prefix is taken off where it names the same provider (`azure/gpt-4o` at Azure) or where
        a router put it there (`litellm`).
        """
        seen: set[tuple[str, str]] = set()
        waiting = [(provider_id(provider), model)]
        while waiting:
            reading = waiting.pop(0)
            if reading in seen:
                continue
            seen.add(reading)
            row = self._row(*reading)
            if row is None or not row.instead:
                yield reading
                waiting += [each for each in self._read(*reading) if each[1]]
            if row is not None:
                waiting.insert(0, (reading[0], row.model))

    def _row(self, provider: str, model: str) -> Known | None:
        return self._rows.get((provider, model.lower())) or self._rows.get(("", model.lower()))

    @staticmethod
    def _read(provider: str, model: str) -> Iterator[tuple[str, str]]:
        prefix, slash, rest = model.partition("/")
        if slash and (provider == "litellm" or provider_id(prefix) == provider):
            yield provider_id(prefix), rest
        if found := _GARDEN.fullmatch(model):
            yield provider, found[1]
        if found := _ARN.fullmatch(model):
            yield provider, found[1]
        if found := _ROUTE.fullmatch(model):
            yield provider, found[1]
        if (found := _VERTEX.fullmatch(model)) and found[2].isdigit() and len(found[2]) == 8:
            yield provider, f"{found[1]}-{found[2]}"
        if found and not found[2].isdigit():
            yield provider, found[1]
        *_, place, last = ("", *model.split("/"))[-2:]
        if place in _GLOBAL.get(provider, ()):
            yield provider, last

    def bare(self, provider: str, model: str) -> str:
        """What a model is called behind every form, in lower case: to tell two reports alike.

        No name for a price: a snapshot may cost something else than its successor.
        """
        at, passed = provider_id(provider), [model.strip().lower()]
        while (name := self._nearer(at, passed[-1])) not in passed:
            passed.append(name)
        # Rows that lead round in a circle mean one model: of its names always the same.
        return min(passed[passed.index(name) :])

    def _nearer(self, provider: str, name: str) -> str:
        row = self._row(provider, name)
        return row.model.strip().lower() if row else _shorter(name)


@lru_cache(maxsize=10_000)
def bare(model: str) -> str:
    """A model's name behind every form, in lower case; the same of what it returned.

    `us.anthropic.claude-sonnet-5-20261001-v1:0`, `claude-sonnet-5@20261001` and
    `anthropic/claude-sonnet-5` are `claude-sonnet-5`.
    """
    name, before = model.strip().lower(), ""
    while name != before:
        before = name
        name = _shorter(name)
    return name


def _shorter(name: str) -> str:
    """A lower-case name without one of its forms."""
    return _inside(name).strip()


def _inside(name: str) -> str:
    prefix, slash, rest = name.partition("/")
    if slash and rest and provider_id(prefix) in CANONICAL:
        return rest
    if found := _BEDROCK.fullmatch(name):
        return found[2]
    for form in (_ARN, _GARDEN, _ROUTE, _VERTEX, _SNAPSHOT, _TUNED):
        if found := form.fullmatch(name):
            return found[1]
    return name


def is_named(model: str, written: Iterable[str]) -> bool:
    """Whether a name is the whole of one that is written down, with a version behind it or none.

    For lists that find a name by a part of it: `my-gpt-4` holds `gpt-4` and is another model.
    """
    own = _core(model)
    return any(
        own == name or (own.startswith(name) and _VERSION.fullmatch(own, len(name)))
        for name in map(_core, written)
        if name
    )


def fits(model: str, pattern: str) -> bool:
    """Whether a lower-case pattern such as `gpt-5*` means a model.

    A star stands for a form of the name or a version, never for more of the name.
    """
    name = model.lower()
    if "*" not in pattern:
        return fnmatchcase(name, pattern)
    return fnmatchcase(name, pattern) and is_named(name, [pattern.replace("*", "")])


@lru_cache(maxsize=50_000)
def _core(name: str) -> str:
    return _REVISION.sub("", bare(name)).rstrip("-@.:")


def parse_names(tables: Mapping[str, Any]) -> list[Known]:
    """What a parsed names.toml holds.

    Raises:
        ValueError: a row lacks a key, or one name stands for two models.
    """
    found = [
        Known(provider_id(row["provider"]), name, row["model"])
        for row in tables.get("name", ())
        for name in row["also"]
    ]
    said: dict[tuple[str, str], str] = {}
    for each in found:
        key = (each.provider, each.name.lower())
        if said.setdefault(key, each.model) != each.model:
            raise ValueError(f"{each.name!r} is said to be {said[key]} and {each.model}")
    return found
