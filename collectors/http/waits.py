"""How long a refused request waits, and whether it is worth repeating."""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 900.0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that an answer asks to wait, 0 to 900; None where it names none.

    `retry-after-ms` counts before `Retry-After`, which is in seconds or an HTTP date.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    text = headers.get("retry-after", "")
    seconds = _number(text) if milliseconds is None else milliseconds / 1000
    if seconds is None:
        seconds = _until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT_S)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(http_date: str, now: float) -> float | None:
    try:
        return calendar.timegm(parsedate_to_datetime(http_date).utctimetuple()) - now
    except (ValueError, OverflowError):
        return None


def passes(status: int) -> bool:
    """Whether an error of this status goes away without anybody changing something."""
    return status in {408, 429} or status >= 500


def worth_repeating(status: int, headers: Mapping[str, str]) -> bool:
    """Whether to try again at once; the server's own word (`x-should-retry`) counts first."""
    word = headers.get("x-should-retry")
    return word == "true" if word in {"true", "false"} else passes(status)
