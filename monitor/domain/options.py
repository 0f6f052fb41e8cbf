"""Stay, but change this: what a better API bill would cost, from the workload's own facts.

The saving of a move is measured against the bill after these changes too, because they need no
GPU. An option without its fact is listed with the question that would answer it, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from monitor.domain import costs
from monitor.domain.scenario import ONE, ZERO, Api, NotNegative, Scenario, Share

BATCH_PRICE = Fraction(1, 2)
"""List prices of batch processing are half the standard ones (OpenAI, Anthropic, Google)."""
CACHED_PRICE = Fraction(1, 2)
"""List prices of cached input are 10 to 50% of fresh input: the smallest discount is assumed."""


@dataclass(frozen=True, kw_only=True)
class OtherPrice:
    """A smaller or other model, or a host of open weights; `share` of the requests fits it."""

    name: str
    input_usd_per_million: NotNegative
    output_usd_per_million: NotNegative
    share: Share = ONE
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class OptionFacts:
    """What is known of the workload; an absent fact leaves its option open."""

    repeated_prefix_share: Share | None = None
    """Of the uncached input tokens that repeats and could be read from the provider's cache."""
    cached_price_share: Share | None = None
    """Price of cached over fresh input."""
    repeated_request_share: Share | None = None
    """Of the requests that were answered before."""
    batch_share: Share | None = None
    """Of the requests that may wait for hours."""
    batch_price_share: Share = BATCH_PRICE
    contract_discount: Share | None = None
    smaller_model: OtherPrice | None = None
    managed_host: OtherPrice | None = None


class Option(NamedTuple):
    """One change; `saves` in dollars a month, None while its fact is unknown."""

    id: str
    name: str
    saves: Fraction | None
    assumption: str
    source: str


BARS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "capability.frontier": ("the task needs the frontier", ("managed_host", "smaller_model")),
    "capability.quality": ("the open model is not good enough", ("managed_host",)),
    "licence.research": ("its weights are for research only", ("managed_host",)),
    "latency.worth": ("its answers cannot wait for hours", ("batch",)),
}
"""What a gate's finding says against options: the reason, and which are no way out."""


def barred(findings: Iterable[str]) -> dict[str, str]:
    """The options that the findings' ids rule out, each with the first reason."""
    found: dict[str, str] = {}
    for finding in findings:
        why, names = BARS.get(finding, ("", ()))
        for name in names:
            found.setdefault(name, why)
    return found


def open_to(facts: OptionFacts, bars: Mapping[str, str]) -> OptionFacts:
    """The facts without those of barred options, so that no bill counts on them."""
    return replace(
        facts,
        batch_share=None if "batch" in bars else facts.batch_share,
        smaller_model=None if "smaller_model" in bars else facts.smaller_model,
        managed_host=None if "managed_host" in bars else facts.managed_host,
    )


class _Bill(NamedTuple):
    """The scenario with its changes, and what part of the metered price is left."""

    scenario: Scenario
    factor: Fraction = ONE


def options(
    scenario: Scenario, facts: OptionFacts, bars: Mapping[str, str] | None = None
) -> list[Option]:
    """Every option with its own saving, the largest first, those barred or without a fact last."""
    bars = bars or {}
    whole = _usd(_Bill(scenario))
    found = [
        Option(
            name,
            _NAMES[name],
            None if bill is None else whole - _usd(bill),
            f"no option: {bars[name]}" if name in bars else assumption,
            source,
        )
        for name, bill, assumption, source in _each(scenario, open_to(facts, bars))
    ]
    return sorted(found, key=lambda o: (o.saves is None, -(o.saves or ZERO), o.id))


def optimised(scenario: Scenario, facts: OptionFacts) -> Fraction:
    """The API bill with all known changes together; of other prices the cheaper one."""
    bills = [_all(_Bill(scenario), facts)]
    bills += [
        _all(_Bill(_at(scenario, other)), facts)
        for other in (facts.smaller_model, facts.managed_host)
        if other
    ]
    return min(map(_usd, [_Bill(scenario), *bills]))


_NAMES = {
    "prompt_caching": "prompt caching",
    "response_caching": "response caching",
    "batch": "batch processing",
    "smaller_model": "a smaller or other priced model",
    "managed_host": "a managed host of open weights",
    "contract": "an enterprise contract",
}


def _each(scenario: Scenario, facts: OptionFacts) -> Iterator[tuple[str, _Bill | None, str, str]]:
    """Id, the bill with it alone, what is assumed, where from."""
    bill, measured = _Bill(scenario), "the workload's own facts"
    known = facts.repeated_prefix_share is not None
    price = _cached_price(scenario, facts)
    yield (
        "prompt_caching",
        _prompts(bill, facts) if known else None,
        f"cached input costs {_percent(price)} of fresh input"
        if known
        else "needs: repeated_prefix_share",
        "scenario or list prices of providers",
    )
    repeated = facts.repeated_request_share
    yield (
        "response_caching",
        None if repeated is None else _responses(bill, facts),
        "needs: repeated_request_share"
        if repeated is None
        else f"{_percent(repeated)} of the requests were answered before",
        measured,
    )
    known = facts.batch_share is not None
    yield (
        "batch",
        _batch(bill, facts) if known else None,
        f"batch costs {_percent(facts.batch_price_share)} of the standard price"
        if known
        else "needs: batch_share",
        "list prices of OpenAI, Anthropic and Google",
    )
    for name, other in (
        ("smaller_model", facts.smaller_model),
        ("managed_host", facts.managed_host),
    ):
        yield (
            name,
            _Bill(_at(scenario, other)) if other else None,
            f"{other.name} takes {_percent(other.share)} of the requests, quality to be shown"
            if other
            else f"needs: {name} with its prices",
            (other.source if other else None) or measured,
        )
    discount = facts.contract_discount
    yield (
        "contract",
        None if discount is None else _contract(bill, facts),
        "needs: contract_discount" if discount is None else f"{_percent(discount)} off the list",
        measured,
    )


def _all(bill: _Bill, facts: OptionFacts) -> _Bill:
    for change in (_prompts, _responses, _batch, _contract):
        bill = change(bill, facts)
    return bill


def _prompts(bill: _Bill, facts: OptionFacts) -> _Bill:
    """Part of the input at the cached price; never dearer than now."""
    scenario, share = bill.scenario, facts.repeated_prefix_share or ZERO
    fresh = scenario.workload.input_tokens
    if not share or not fresh:
        return bill
    price = scenario.api.input_usd_per_million * min(ONE, _cached_price(scenario, facts))
    # Tokens that are cached already keep their own price: the mean of both input prices is exact.
    mean = (1 - share) * scenario.api.input_usd_per_million + share * price
    return bill._replace(
        scenario=replace(scenario, api=_input_price(scenario, mean)),
    )


def _input_price(scenario: Scenario, usd_per_million: Fraction) -> Api:
    api = scenario.api
    cached = api.cached_input_usd_per_million
    return replace(
        api,
        input_usd_per_million=usd_per_million,
        cached_input_usd_per_million=api.input_usd_per_million if cached is None else cached,
    )


def _cached_price(scenario: Scenario, facts: OptionFacts) -> Fraction:
    """Cached over fresh input: as given, else as the scenario's prices, else as assumed."""
    if facts.cached_price_share is not None:
        return facts.cached_price_share
    api = scenario.api
    if api.cached_input_usd_per_million is None or not api.input_usd_per_million:
        return CACHED_PRICE
    return api.cached_input_usd_per_million / api.input_usd_per_million


def _responses(bill: _Bill, facts: OptionFacts) -> _Bill:
    return bill._replace(factor=bill.factor * (1 - (facts.repeated_request_share or ZERO)))


def _batch(bill: _Bill, facts: OptionFacts) -> _Bill:
    saved = (facts.batch_share or ZERO) * (1 - facts.batch_price_share)
    return bill._replace(factor=bill.factor * (1 - saved))


def _contract(bill: _Bill, facts: OptionFacts) -> _Bill:
    return bill._replace(factor=bill.factor * (1 - (facts.contract_discount or ZERO)))


def _at(scenario: Scenario, other: OtherPrice) -> Scenario:
    """The scenario with a share of its requests at other prices, as mean prices."""
    api, share = scenario.api, other.share
    cached = api.cached_input_usd_per_million
    cached = api.input_usd_per_million if cached is None else cached
    mixed = replace(
        api,
        input_usd_per_million=_mean(share, other.input_usd_per_million, api.input_usd_per_million),
        cached_input_usd_per_million=_mean(share, min(cached, other.input_usd_per_million), cached),
        output_usd_per_million=_mean(
            share, other.output_usd_per_million, api.output_usd_per_million
        ),
    )
    return replace(scenario, api=mixed)


def _mean(share: Fraction, other: Fraction, now: Fraction) -> Fraction:
    return share * other + (1 - share) * now


def _usd(bill: _Bill) -> Fraction:
    """The month's bill with the metered part times the factor; the fixed sum stays."""
    scenario = bill.scenario
    n, api = scenario.workload.requests_per_month, scenario.api
    usage = n * costs.api_usd_per_request(scenario) * bill.factor
    return Fraction(max(api.minimum_usd_per_month, api.fixed_usd_per_month + usage))


def _percent(share: Fraction) -> str:
    return f"{float(share) * 100:g}%"
