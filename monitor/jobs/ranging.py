"""Ranges and flips of an assessment, with the volume's range as it was projected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.domain import flips, ranges
from monitor.domain.breakeven import Assessment
from monitor.domain.volumes import Volume

SEED = 0
"""One for all: the same inputs give the same bytes, on every day and machine."""


def document(found: Assessment, projected: Sequence[Volume] = ()) -> dict[str, Any]:
    """The ranges and flips of an assessment, as JSON.

    `projected` holds the requests of the assessed month and those after it; without any, the
    default spread stands in.

    Raises:
        InputError: a number of the scenario is too large for floats.
    """
    unsure = ranges.Uncertainty(projected=tuple(projected))
    told = ranges.simulate(found.scenario, unsure, SEED, found=found)
    turns = [flips.to_json(flip) for flip in flips.flips(found, unsure)]
    return {"ranges": ranges.to_json(told), "flips": turns}
