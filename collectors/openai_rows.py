"""Pages of OpenAI's usage and costs: pure functions from bytes to rows.

The API counts cached, written, audio and image tokens into `input_tokens`; the rows made here hold
them as disjoint classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import msgspec

from collectors.window import Row, decoded, each, fit, pico_of, utc
from monitor.domain.names import clean_name
from monitor.domain.usage import MAX_COUNT, BillRow, Dimensions, Problem, Quantities, UsageRow

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
_Epoch = Annotated[int, msgspec.Meta(ge=0, lt=10**10)]


class Bucket(msgspec.Struct):
    """All groups of one stretch of time."""

    start_time: _Epoch
    end_time: _Epoch
    results: list[Any]


class Page(msgspec.Struct):
    """Some buckets, and where the next ones are."""

    data: list[Bucket]
    has_more: bool
    next_page: str | None = None


class _Usage(msgspec.Struct):
    """Dimensions are null unless asked for, and where usage is attributed to none."""

    input_tokens: _Count
    num_model_requests: _Count | None = None
    model: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    user_id: str | None = None
    service_tier: str | None = None
    batch: bool | None = None


class _Completions(_Usage, kw_only=True):
    output_tokens: _Count
    input_uncached_tokens: _Count | None = None
    input_cached_tokens: _Count | None = None
    input_cache_write_tokens: _Count | None = None
    input_cache_write_30m_tokens: _Count | None = None
    input_cache_write_12h_tokens: _Count | None = None
    input_text_tokens: _Count | None = None
    input_audio_tokens: _Count | None = None
    input_image_tokens: _Count | None = None
    input_cached_text_tokens: _Count | None = None
    input_cached_audio_tokens: _Count | None = None
    input_cached_image_tokens: _Count | None = None
    output_text_tokens: _Count | None = None
    output_audio_tokens: _Count | None = None
    output_image_tokens: _Count | None = None


class _Amount(msgspec.Struct):
    value: Decimal
    currency: str


class _Costs(msgspec.Struct):
    amount: _Amount
    line_item: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None


def parse(
    stream: str, page: bytes, seconds: int, *, account: str = "", place: str = "page 1"
) -> tuple[list[Row], list[Problem]]:
    """The rows of one page, and the results on it that could not be read.

    Args:
        stream: the endpoint below `/organization/`.
        page: the answer as it came.
        seconds: the width of buckets that was asked for.
        account: who is billed.
        place: how problems name the page.

    Raises:
        ValueError: these bytes are no page.
    """
    return rows_of(stream, page_of(page).data, seconds, account, place)


def page_of(body: bytes) -> Page:
    """An answer as a page; raises ValueError where it is none."""
    return decoded(body, Page, "usage or costs")


def rows_of(
    stream: str, buckets: Iterable[Bucket], seconds: int, account: str, place: str
) -> tuple[list[Row], list[Problem]]:
    """The rows of some buckets, and the results in them that could not be read; see `parse`."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for bucket in buckets:
        reader = partial(
            _READERS[stream], start=bucket.start_time, seconds=seconds, account=account
        )
        found = each(bucket.results, reader, f"{place}, bucket {utc(bucket.start_time)}")
        rows += found[0]
        problems += found[1]
    return rows, problems


class Elsewhere(Exception):
    """The results are of another endpoint: counted here too, they would count twice."""


def require_own(stream: str, page: Page) -> None:
    """Raises Elsewhere unless each result says that it is of this endpoint.

    A gateway that knows an endpoint by its beginning may answer with what it has of another one.
    """
    own = f"organization.{stream.replace('/', '.')}.result"
    for bucket in page.data:
        for result in bucket.results:
            said = result.get("object") if isinstance(result, dict) else own
            if said != own:
                raise Elsewhere(f"it answers with {clean_name(str(said))}")


def _completions_row(result: object, start: int, seconds: int, account: str) -> UsageRow:
    found = fit(result, _Completions)
    return UsageRow(_dimensions(found, account), start, seconds, _quantities(found))


def _input_row(result: object, start: int, seconds: int, account: str) -> UsageRow:
    found = fit(result, _Usage)
    quantities = Quantities(uncached_input=found.input_tokens, requests=found.num_model_requests)
    return UsageRow(_dimensions(found, account), start, seconds, quantities)


def _dimensions(found: _Usage, account: str) -> Dimensions:
    return Dimensions(
        account=account,
        provider="openai",
        model=clean_name(found.model or ""),
        project=clean_name(found.project_id or ""),
        api_key=clean_name(found.api_key_id or ""),
        actor=clean_name(found.user_id or ""),
        tier=clean_name(found.service_tier or ""),
        batch="" if found.batch is None else str(found.batch).lower(),
    )


def _quantities(found: _Completions) -> Quantities:
    """The disjoint classes, by the identities of the API.

    input = uncached + cached + cache writes; uncached, cached and output = text + audio + image.
    Older answers lack some parts: text is what the others leave of a total, and input that no
    field calls cached or written counts as uncached.

    Raises:
        ValueError: the numbers contradict each other.
    """
    cached = found.input_cached_tokens
    cached_parts = (
        found.input_cached_text_tokens,
        found.input_cached_audio_tokens,
        found.input_cached_image_tokens,
    )
    if cached is None and cached_parts != (None, None, None):
        cached = sum(part or 0 for part in cached_parts)
    write, write_long = _cache_writes(found)
    given = found.input_uncached_tokens
    if given is not None:
        # One part that is not told is what the others leave of the total.
        rest = found.input_tokens - given - (cached or 0) - (write or 0) - (write_long or 0)
        if rest > 0 and cached is None and (write, write_long) != (None, None):
            cached = rest
        elif rest > 0 and cached is not None and (write, write_long) == (None, None):
            write = rest
    uncached = found.input_tokens - (cached or 0) - (write or 0) - (write_long or 0)
    if uncached < 0 or given not in {None, uncached}:
        raise ValueError("uncached, cached and written input do not add up to input_tokens")
    return Quantities(
        uncached_input=_text(
            "uncached input",
            uncached,
            found.input_text_tokens,
            found.input_audio_tokens,
            found.input_image_tokens,
        ),
        cache_read=_text("cached input", cached, *cached_parts),
        cache_write=write,
        cache_write_long=write_long,
        output=_text(
            "output",
            found.output_tokens,
            found.output_text_tokens,
            found.output_audio_tokens,
            found.output_image_tokens,
        ),
        audio_input=found.input_audio_tokens,
        audio_cache_read=found.input_cached_audio_tokens,
        audio_output=found.output_audio_tokens,
        image_input=found.input_image_tokens,
        image_cache_read=found.input_cached_image_tokens,
        image_output=found.output_image_tokens,
        requests=found.num_model_requests,
    )


def _text(
    what: str, total: int | None, text: int | None, audio: int | None, image: int | None
) -> int | None:
    """The text in a total; None of an unknown one."""
    if total is None:
        return None
    rest = total - (audio or 0) - (image or 0)
    if rest < 0 or text not in {None, rest}:
        raise ValueError(f"text, audio and image do not add up to the {what} of {total}")
    return rest


def _cache_writes(found: _Completions) -> tuple[int | None, int | None]:
    """Tokens written for 30 minutes and for 12 hours; a total without a split counts as short.

    The short retention is the default, and a wrong guess is visible: the bill is larger.
    """
    total = found.input_cache_write_tokens
    short, long = found.input_cache_write_30m_tokens, found.input_cache_write_12h_tokens
    if total is None:
        return short, long
    if short is None:
        short = total - (long or 0)
    elif long is None:
        long = total - short
    if min(short, long or 0) < 0 or short + (long or 0) != total:
        raise ValueError(f"cache writes of 30 minutes and 12 hours do not add up to {total}")
    return short, long


def _bill_row(result: object, start: int, seconds: int, account: str) -> BillRow:
    """A cost; its model is what stands before the first comma of `<model>, <component>`."""
    del seconds
    found = fit(result, _Costs)
    model, comma, _ = (found.line_item or "").partition(", ")
    return BillRow(
        dims=Dimensions(
            account=account,
            provider="openai",
            model=clean_name(model) if comma else "",
            project=clean_name(found.project_id or ""),
            api_key=clean_name(found.api_key_id or ""),
        ),
        day=start,
        line_item=clean_name(found.line_item or ""),
        amount_pico=_pico(found.amount),
        currency="USD",
    )


def _pico(amount: _Amount) -> int:
    if amount.currency.upper() != "USD":
        raise ValueError(f"currency {amount.currency!r}: OpenAI documents costs in dollars")
    return pico_of(amount.value, "dollars")


_READERS: Mapping[str, Callable[..., Row]] = {
    "usage/completions": _completions_row,
    "usage/decisions": _completions_row,
    "usage/embeddings": _input_row,
    "usage/moderations": _input_row,
    "costs": _bill_row,
}
