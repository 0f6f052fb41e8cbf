"""Kinds of source that are served by something else than recorded HTTP answers.

`tests/contract/kinds/KIND.py` has `served(request)`, a context manager over a `Served`: a real
database, a folder of files, a vendor's library. `request` is pytest's, for fixtures such as
`tmp_path` and `postgres_server`. A kind without such a module is served from
`tests/fixtures/KIND/recorded.json`. `test_sources.py` then asks the same of all.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from monitor.ports import Pull

KEY = "sk-CANARY0key00000000000000000000000"
"""A secret that must be found nowhere; whatever else a kind calls its key holds the word CANARY."""


class Served(Protocol):
    """One day of a source of which the truth is known."""

    start: int
    """The UTC day that is read, epoch seconds of its midnight."""
    now: int
    truth: Mapping[str, Mapping[str, Any]]
    """By stream: tokens and requests, or an amount as text by currency."""

    def source(self) -> Pull:
        """The source over what is served, as configured with a canary as its secret."""

    def refuse(self) -> None:
        """From now on credentials are refused, by an answer that quotes the canary."""

    def was_used(self) -> bool:
        """Whether the canary reached the far side: what was not sent cannot leak."""


def own(kind: str):
    """The module that serves a kind; None: it is served from its recorded answers."""
    name = f"{__name__}.{kind}"
    return import_module(name) if find_spec(name) else None
