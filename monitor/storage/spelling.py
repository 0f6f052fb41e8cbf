"""The expressions that the engines spell differently, for the views."""

from __future__ import annotations

from collections.abc import Callable

from monitor.domain.usage import TOKEN_CLASSES

COUNTED = "(a.tokens_from IS NULL OR a.tokens_from = t.source_id)"
"""Tokens of account `a` count where stream `t` is of the one source that is named for them."""

TOKENS = " + ".join(f"CASE WHEN u.{name} > 0 THEN u.{name} ELSE 0 END" for name in TOKEN_CLASSES)
"""All tokens of a row `u` of `usage`, each counted once."""

NOT_SET_ASIDE = (
    "NOT EXISTS (SELECT 1 FROM set_aside x WHERE x.stream_id = t.id"
    " AND x.hour = d.bucket_start - d.bucket_start % 3600)"
)
"""Rows `d` of `usage` count where no other view of the same tokens counts instead of `t`."""

_SQLITE = {
    "day": "date({0}, 'unixepoch')",
    "month": "strftime('%Y-%m', {0}, 'unixepoch')",
    "instant": "strftime('%Y-%m-%dT%H:%M:%SZ', {0}, 'unixepoch')",
    "stamp": "strftime('%Y-%m-%dT%H:%M:%SZ', {0})",
    "real": "CAST({0} AS REAL)",
    "number": "CAST(json_extract(NULLIF({0}, ''), '$.{1}') AS REAL)",
    "flag": "json_extract(NULLIF({0}, ''), '$.{1}')",
    "words": "json_extract(NULLIF({0}, ''), '$.{1}')",
    "nth": "[{0}]",
    "each": "json_each(NULLIF({0}, ''), '$.{1}') e",
    "each_key": "json_each(NULLIF({0}, ''), '$.{1}') e",
    "month_start": "CAST(strftime('%s', {0}, 'unixepoch', 'start of month') AS INTEGER)",
    "month_end": "CAST(strftime('%s', {0}, 'unixepoch', 'start of month', '+1 month') AS INTEGER)",
    "micro": "(({0} + CASE WHEN {0} < 0 THEN -500000 ELSE 500000 END) / 1000000)",
}
_POSTGRES = {
    "day": "to_char(to_timestamp({0}) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "month": "to_char(to_timestamp({0}) AT TIME ZONE 'UTC', 'YYYY-MM')",
    "instant": "to_char(to_timestamp({0}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    "stamp": "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    "real": "CAST({0} AS NUMERIC)",
    "number": "CAST(CAST(NULLIF({0}, '') AS json) #>> string_to_array('{1}', '.') AS NUMERIC)",
    "flag": "CASE CAST(NULLIF({0}, '') AS json) #>> string_to_array('{1}', '.')"
    " WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
    "words": "CAST(NULLIF({0}, '') AS json) #>> string_to_array('{1}', '.')",
    "nth": ".{0}",
    "each": "json_array_elements_text(CAST(NULLIF({0}, '') AS json)"
    " #> string_to_array('{1}', '.')) e(value)",
    "each_key": "json_each_text(CAST(NULLIF({0}, '') AS json)"
    " #> string_to_array('{1}', '.')) e(key, value)",
    "month_start": "CAST(EXTRACT(EPOCH FROM date_trunc('month',"
    " to_timestamp({0}) AT TIME ZONE 'UTC')) AS BIGINT)",
    "month_end": "CAST(EXTRACT(EPOCH FROM date_trunc('month',"
    " to_timestamp({0}) AT TIME ZONE 'UTC') + INTERVAL '1 month') AS BIGINT)",
    "micro": "ROUND({0} / 1000000.0)",
}


class Sql:
    """The few expressions that the engines spell differently, and the sums of money.

    Amounts are rounded as whole millionths, before any fraction: SQLite has only binary ones, and
    would round a half another way than PostgreSQL.
    """

    def __init__(self, dialect: str) -> None:
        self._spelled = _SQLITE if dialect == "sqlite" else _POSTGRES

    def __getattr__(self, name: str) -> Callable[..., str]:
        return self._spelled[name].format

    @staticmethod
    def parts(column: str, name: str) -> str:
        """The sum of a pico column as whole millionths and the rest below them."""
        return f"SUM({column} / 1000000) AS {name}_micro, SUM({column} % 1000000) AS {name}_rest"

    def usd(self, name: str) -> str:
        """Dollars of parts that were summed before."""
        return self.parted(f"SUM({name}_micro)", f"SUM({name}_rest)")

    def sum_pico(self, column: str) -> str:
        """Dollars of a pico column, summed without overflow."""
        return self.parted(f"SUM({column} / 1000000)", f"SUM({column} % 1000000)")

    def one(self, column: str) -> str:
        """Dollars of one pico amount."""
        return self.parted(f"{column} / 1000000", f"{column} % 1000000")

    @staticmethod
    def half(column: str, n: int) -> str:
        """Of a pico amount the whole millionths (0), or the rest below them (1)."""
        return f"{column} {'%' if n else '/'} 1000000"

    def parted(self, micro: str, rest: str) -> str:
        """Dollars of whole millionths and the pico-units below them."""
        return f"ROUND(({micro} + {self.micro(rest)}) / 1000000.0, 6)"
