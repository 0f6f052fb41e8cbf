"""What there is to watch: of each rule's facts, whether any were ever stored."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, text


class There(NamedTuple):
    """What is configured or was ever measured."""

    usage: bool
    """Tokens of any source."""
    bills: bool
    """A stream that reads what is billed."""
    budgets: bool
    deployments: bool
    moved: bool
    """A workload that runs on own GPUs, all or in part."""
    moved_and_compared: bool
    """One that has a deployment too."""
    gpus: bool
    contracts: bool
    """One that has an end."""


_ASKED = {
    "usage": "usage_day",
    "bills": "stream WHERE feeds = 'bill'",
    "budgets": "budget WHERE configured",
    "deployments": "deployment WHERE configured",
    "moved": "workload WHERE configured AND runs_on <> 'api'",
    "moved_and_compared": "workload w JOIN deployment d ON d.workload_id = w.id AND d.configured"
    " WHERE w.configured AND w.runs_on <> 'api'",
    "gpus": "device",
    "contracts": "contract WHERE valid_to IS NOT NULL",
}


def there(conn: Connection) -> There:
    """What there is."""
    found = {
        name: conn.scalar(text(f"SELECT 1 FROM {rows} LIMIT 1")) is not None
        for name, rows in _ASKED.items()
    }
    return There(**found)
