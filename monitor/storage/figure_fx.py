"""The figures of a second currency: the rate in force on the last day that a report tells."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.storage.figure_spec import Spec

_IN_FORCE = "FROM v_fx WHERE currency = :currency AND day < :as_of ORDER BY day DESC LIMIT 1"

FX: Mapping[str, Spec] = {
    "fx.usd": Spec(
        "rate",
        "US dollars for one unit of a currency, by the newest dated rate; unknown without one.",
        f"SELECT usd {_IN_FORCE}",
    ),
    "fx.day": Spec("day", "The day from which that rate holds.", f"SELECT day {_IN_FORCE}"),
}
