"""The kinds of source that can be configured, imported on first use."""

from __future__ import annotations

from importlib import import_module

from monitor.domain.errors import InputError

REGISTRY = {
    "openai": "collectors.openai:OpenAI",
}


def load(kind: str) -> type:
    """The class behind a configured kind of source.

    Raises:
        InputError: no such kind.
    """
    if kind not in REGISTRY:
        raise InputError(
            f"{kind!r} is no kind of source", f"Use one of: {', '.join(sorted(REGISTRY))}"
        )
    module, _, name = REGISTRY[kind].partition(":")
    found: type = getattr(import_module(module), name)
    return found
