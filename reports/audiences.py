"""Who reads a report: which sections they get, and in which order. An audience is data alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from reports.language import Style

Kind = Literal["finance", "engineering", "owner"]

SECTIONS: Mapping[Kind, tuple[str, ...]] = {
    "finance": (
        "spend",
        "movers",
        "budgets",
        "unit_cost",
        "alerts",
        "breakeven",
        "moves",
        "gpus",
        "record",
        "sources",
    ),
    "engineering": (
        "breakeven",
        "moves",
        "gpus",
        "sources",
        "alerts",
        "unit_cost",
        "movers",
        "spend",
        "record",
    ),
    "owner": ("workloads", "breakeven", "moves", "budgets", "alerts", "sources"),
}
"""What each kind reads, in its order; a section that is not named is not made for it."""

TILES: Mapping[Kind, tuple[str, ...]] = {
    "finance": ("to_date", "projection", "budget", "change", "unit_cost"),
    "engineering": ("requests", "unit_cost", "utilisation", "streams"),
    "owner": ("own_to_date", "own_change", "own_requests", "own_unit_cost"),
}
"""The figures at the top; four are shown, as far as each is configured."""

CELLS: Mapping[Kind, Mapping[str, str]] = {
    "finance": {
        "workloads": "workload",
        "breakevens": "breakeven",
        "moves": "moved",
        "budgets": "budget",
    },
    "engineering": {"workloads": "workload", "breakevens": "breakeven", "moves": "moved"},
    "owner": {
        "workloads": "workload",
        "breakevens": "breakeven",
        "moves": "moved",
        "budgets": "budget",
    },
}
"""The tables that are attached, and how a cell of each is named as a figure."""


class Audience(NamedTuple):
    """The readers of one report."""

    name: str = "finance"
    """As run keys, and readers who leave it, name it."""
    kind: Kind = "finance"
    owner: str = ""
    """Of the kind `owner`: the mail address that workloads name."""
    style: Style = Style()

    @property
    def sections(self) -> tuple[str, ...]:
        """What it reads, in its order."""
        return SECTIONS[self.kind]

    @property
    def whole(self) -> bool:
        """Whether it is told of all workloads, and of the sums over them."""
        return self.kind != "owner"


FINANCE = Audience()
