"""What OpenRouter's activity page exports as CSV: one row a request, or one a model and day.

Rows of requests have an id of their own; a row of a day gets one from its model, endpoint and day,
so that a later export of the same day, which has grown, replaces it. The credits that were charged
are read through the API, which has whole days: an export can be filtered, and a part is no bill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from collectors.files import short_id
from collectors.tables import Row, Table, further_groups, tables
from monitor.domain.names import clean_name
from monitor.domain.usage import MAX_COUNT, Dimensions, Event, Problem, Quantities
from monitor.ports import Cursor, Part

_REQUESTS = {"generation_id", "created_at", "tokens_prompt", "tokens_completion"}
_DAY_NAMES = ("date", "model", "endpoint_id", "provider_name", "workspace_id")
_DAYS = {"date", "model", "requests", "prompt_tokens", "completion_tokens"}


class OpenRouterCsv:
    """`ports.FileReader` for the activity page's exports.

    Args:
        account: who is billed.
    """

    form = "openrouter-csv"
    copies = False

    def __init__(self, account: str) -> None:
        self._account = account

    @staticmethod
    def recognises(documents: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
        """Whether the first line is of this format."""
        del documents
        return set(columns) >= _REQUESTS or set(columns) >= _DAYS

    def parts(self, path: str, cursor: Cursor | None) -> Iterator[Part]:
        """See `ports.FileReader`."""
        for table in tables(path, self.form, cursor):
            yield self._part(table, path)

    def _part(self, table: Table, path: str) -> Part:
        events: list[Event] = []
        problems = list(table.problems)
        read = self._request if "generation_id" in table.columns else self._day
        for line, row in table.rows:
            try:
                events.append(read(row))
            except (ValueError, ArithmeticError) as error:
                problems.append(
                    Problem(f"{path}, line {line}", clean_name(str(error), 300), _shown(row))
                )
        cut: list[Event] = []
        if table.cut is not None:
            with suppress(ValueError, ArithmeticError):
                cut = [read(table.cut)]
        return Part(len(table.rows), events, problems, table.cursor, cut=cut)

    def _request(self, row: Row) -> Event:
        if not (name := row.get("generation_id")):
            raise ValueError("generation_id is missing")
        # The provider's own counts are what is billed.
        native = "native_" if row.get("native_tokens_prompt") else ""
        native = native if row.get("native_tokens_completion") else ""
        prompt, output = (_needed(row, f"{native}tokens_{of}") for of in ("prompt", "completion"))
        cached, reasoning = (
            _count(
                row, f"{native}tokens_{of}" if row.get(f"{native}tokens_{of}") else f"tokens_{of}"
            )
            for of in ("cached", "reasoning")
        )
        quantities = Quantities(
            # Answers replayed from a cache may count more cached tokens than prompt tokens.
            uncached_input=max(0, prompt - (cached or 0)),
            cache_read=cached,
            output=output,
            reasoning=reasoning,
            requests=1,
        )
        dims = self._dims(row.get("model_permaslug") or row.get("model"), row.get("api_key_name"))
        return Event(short_id(name), _at(row.get("created_at")), dims, quantities)

    def _day(self, row: Row) -> Event:
        cached = _count(row, "cached_tokens")
        quantities = Quantities(
            uncached_input=max(0, _needed(row, "prompt_tokens") - (cached or 0)),
            cache_read=cached,
            output=_needed(row, "completion_tokens"),
            reasoning=_count(row, "reasoning_tokens"),
            requests=_needed(row, "requests"),
        )
        at = _at(row.get("date"))
        dims = self._dims(row.get("model"), None)._replace(
            project=clean_name(row.get("workspace_id") or "")
        )
        key = "\0".join(
            (
                *(str(at), *dims, row.get("endpoint_id") or "", row.get("provider_name") or ""),
                *further_groups(row, _DAY_NAMES),
            )
        )
        name = f"openrouter-csv-{hashlib.sha256(key.encode()).hexdigest()[:40]}"
        return Event(name, at, dims, quantities)

    def _dims(self, model: str | None, key: str | None) -> Dimensions:
        return Dimensions(
            account=self._account,
            provider="openrouter",
            model=clean_name(model or ""),
            api_key=clean_name(key or ""),
        )


def _needed(row: Row, name: str) -> int:
    if (count := _count(row, name)) is None:
        raise ValueError(f"{name} is missing")
    return count


def _count(row: Row, name: str) -> int | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    number = Decimal(text)
    if number != number.to_integral_value() or not 0 <= number <= MAX_COUNT:
        raise ValueError(f"{name} = {clean_name(text, 60)!r} is not a count")
    return int(number)


def _at(text: str | None) -> int:
    """A time without a zone is UTC."""
    if not text:
        raise ValueError("the time is missing")
    at = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _shown(row: Row) -> str:
    kept = ("generation_id", "created_at", "date", "model", "model_permaslug")
    return clean_name(repr({name: row[name] for name in kept if name in row}), 500)
