"""Rates that the price list has wrong or cannot say, each with its source and the day we read it.

A row stays until the list says the same by itself; a test compares the two. Rows are added, never
edited: a price that ends gets its end, and the next price a row of its own.
"""

from __future__ import annotations

from datetime import datetime

from monitor.domain.dated_rates import DatedRates, Window
from monitor.domain.pricing import Rates, usd_per_million


def _utc(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def _deepseek(read: str, miss: str, output: str) -> Rates:
    return usd_per_million(cache_read=read, uncached_input=miss, output=output)


_CHECKED = _utc("2026-11-20T00:00")
_DEEPSEEK = "api-docs.deepseek.com/quick_start/pricing"
_BEDROCK = "aws.amazon.com/bedrock/pricing"

# DeepSeek bills by the hour since this instant, at weekends off-peak since the second, and serves
# V4.1 Flash under the old name since the third. The list knows dates only, so it begins eight
# hours late; it knows no weekdays; and its peak rows reach back to the beginning of time.
_PEAK_BILLING = _utc("2026-08-16T16:00")
_QUIET_WEEKENDS = _utc("2026-08-23T00:00")
_V41_FLASH = _utc("2026-09-10T00:00")
_PEAK_HOURS = frozenset({1, 2, 3, 6, 7, 8, 9})
_DAILY = Window(_PEAK_HOURS, frozenset(range(7)))
_WEEKDAYS = Window(_PEAK_HOURS, frozenset(range(5)))

_V4_FLASH_PEAK = _deepseek("0.014", "0.44", "1.32")
_V41_FLASH_OFF = _deepseek("0.003", "0.15", "0.6")
_V41_FLASH_PEAK = _deepseek("0.006", "0.3", "1.2")
_V4_PRO_PEAK = _deepseek("0.044", "1.32", "3.96")

# Model, rates, from, until, hours.
_DEEPSEEK_ROWS: tuple[tuple[str, Rates, int, int | None, Window | None], ...] = (
    ("deepseek-flash", _V41_FLASH_OFF, 0, None, None),
    ("deepseek-flash", _V41_FLASH_PEAK, 0, None, _WEEKDAYS),
    ("deepseek-v4-flash*", _deepseek("0.0028", "0.14", "0.28"), 0, _PEAK_BILLING, None),
    ("deepseek-v4-flash*", _deepseek("0.007", "0.22", "0.66"), _PEAK_BILLING, _V41_FLASH, None),
    ("deepseek-v4-flash*", _V4_FLASH_PEAK, _PEAK_BILLING, _QUIET_WEEKENDS, _DAILY),
    ("deepseek-v4-flash*", _V4_FLASH_PEAK, _QUIET_WEEKENDS, _V41_FLASH, _WEEKDAYS),
    ("deepseek-v4-flash*", _V41_FLASH_OFF, _V41_FLASH, None, None),
    ("deepseek-v4-flash*", _V41_FLASH_PEAK, _V41_FLASH, None, _WEEKDAYS),
    ("deepseek-v4-pro*", _deepseek("0.003625", "0.435", "0.87"), 0, _PEAK_BILLING, None),
    ("deepseek-v4-pro*", _deepseek("0.022", "0.66", "1.98"), _PEAK_BILLING, None, None),
    ("deepseek-v4-pro*", _V4_PRO_PEAK, _PEAK_BILLING, _QUIET_WEEKENDS, _DAILY),
    ("deepseek-v4-pro*", _V4_PRO_PEAK, _QUIET_WEEKENDS, None, _WEEKDAYS),
)

CORRECTIONS: tuple[DatedRates, ...] = (
    *(
        DatedRates("deepseek", model, rates, _DEEPSEEK, _CHECKED, start, until, window)
        for model, rates, start, until, window in _DEEPSEEK_ROWS
    ),
    # The list has no cache rates here; other tools derive them by ratio and get the write wrong.
    DatedRates(
        "aws",
        "*claude-3-haiku*",
        usd_per_million(uncached_input="0.25", cache_read="0.03", cache_write="0.3", output="1.25"),
        _BEDROCK,
        _CHECKED,
    ),
)
