"""How long a user's request takes: network and queue on every call, and the model's own time."""

from __future__ import annotations

from monitor.domain.costs import Number


def request_seconds(calls: Number, network: Number, queue: Number, inference: Number) -> Number:
    """Seconds of one request that needs `calls` calls of the model.

    Args:
        calls: model calls of one user request, such as the steps of an agent.
        network: seconds on the way, there and back, of one call.
        queue: seconds that one call waits.
        inference: seconds of computing, of all calls together.
    """
    return calls * (network + queue) + inference
