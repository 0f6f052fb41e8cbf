"""After a move: what own engines saved in a month, beside what was promised when it moved.

What the API would have cost is the tokens that own engines served, at the prices of that month and
with the share of cached input that the API reached before the move. What stayed on the API costs
the same on both sides. Own cost is the deployment's cost lines at the measured load, whole
replicas as everywhere; a part of a month is paid for its days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal, NamedTuple

from monitor.domain import costs, hybrid
from monitor.domain.advice import Kind
from monitor.domain.attribution import attribute, in_units, saving
from monitor.domain.decisions import REOPEN_SHARE
from monitor.domain.money import PICO
from monitor.domain.pricing import RateCard, price
from monitor.domain.scenario import Api, Deployment, Scenario
from monitor.domain.switching import Bills
from monitor.domain.usage import CACHED_CLASSES, INPUT_CLASSES, TOKEN_CLASSES, Quantities

_KINDS = (
    tuple(name for name in INPUT_CLASSES if name not in CACHED_CLASSES),
    CACHED_CLASSES,
    tuple(name for name in TOKEN_CLASSES if name not in INPUT_CLASSES),
)

PARTS: Mapping[str, tuple[str, ...]] = {
    "volume": ("volume",),
    "mix": ("mix",),
    "price": ("API price",),
    "own_cost": ("GPU price", "utilisation", "fixed lines"),
}
"""Why a month's saving is another than promised -> the groups of inputs behind it."""

Direction = Literal["stay", "grow", "return"]
Span = tuple[int, int | None]
"""First instant in own service, and the first after it; None: it still runs there."""


class Promise(NamedTuple):
    """What was told of a month before the move."""

    as_of: int
    scenario: Scenario


class Served(NamedTuple):
    """What own engines served."""

    requests: int
    input_tokens: int
    output_tokens: int


class Month(NamedTuple):
    """The days of a month on which the workload ran in own service."""

    days: int
    """Of the whole month."""
    known_days: int
    """Of them in own service, with everything of theirs measured."""
    served: Served
    """On the known days, as the next."""
    api_requests: int
    """What stayed on the API."""

    @property
    def part(self) -> Fraction:
        """The known part of the month."""
        return Fraction(self.known_days, self.days)


class Bundle(NamedTuple):
    """What an API served before the move, at the rates of a later day; money in femto-USD.

    Kinds are (fresh input, cached input, output); tokens are those that have a rate.
    """

    tokens: tuple[int, int, int]
    femto: tuple[int, int, int]
    unpriced_tokens: int


class Prices(NamedTuple):
    """What the API asked in a month, in dollars per million tokens."""

    input: Fraction
    cached: Fraction
    output: Fraction
    cached_share: Fraction
    """Of all input tokens, as it was before the move."""


class Settled(NamedTuple):
    """A month's account of its known days; money is integer pico-USD."""

    at_api: int
    """What the API would have charged for what own engines served."""
    own: int
    """What own engines cost."""
    promised: int | None
    """The promised saving of as many days; None: nothing was compared before the move."""
    parts: Mapping[str, int]
    """By `PARTS`: they add up to `saved - promised`. Empty without a promise."""

    @property
    def saved(self) -> int:
        """The measured saving; negative: own service cost more."""
        return self.at_api - self.own


class Payback(NamedTuple):
    """How far the savings have paid for the move."""

    reached: bool
    months_left: Fraction | None
    """At the mean measured saving; None: reached, or never at that pace."""


class Outlook(NamedTuple):
    """What to do with the fleet, and why in a sentence."""

    direction: Direction
    reason: str


def moved_spans(standings: Sequence[tuple[int, bool]]) -> list[Span]:
    """When a workload ran in own service, of (instant, whether it did) in rising order."""
    spans: list[Span] = []
    for at, moved in standings:
        running = bool(spans) and spans[-1][1] is None
        if moved and not running:
            spans.append((at, None))
        elif running and not moved:
            spans[-1] = (spans[-1][0], at)
    return spans


def bundle(used: Iterable[tuple[Quantities, RateCard | None]]) -> Bundle:
    """What the API served, priced by kind. What is not a token's price is the output's."""
    tokens, femto, unpriced = [0, 0, 0], [0, 0, 0], 0
    for quantities, card in used:
        whole = price(quantities, card)
        unpriced += whole.unpriced_tokens
        known = 0
        for kind, classes in enumerate(_KINDS):
            of_kind = Quantities(**{name: getattr(quantities, name) for name in classes})
            priced = price(of_kind, card)
            tokens[kind] += of_kind.tokens - priced.unpriced_tokens
            femto[kind] += priced.femto or 0
            known += priced.femto or 0
        femto[2] += (whole.femto or 0) - known
    return Bundle((tokens[0], tokens[1], tokens[2]), (femto[0], femto[1], femto[2]), unpriced)


def mean_prices(days: Iterable[tuple[Served, Bundle]]) -> Prices | str:
    """Prices over days, each weighing what own engines served on it; a text says why none."""
    weights, usd = [Fraction(0)] * 3, [Fraction(0)] * 3
    for served, found in days:
        fresh, cached, output = found.tokens
        if found.unpriced_tokens > fresh + cached + output:
            return "more than half of what an API served before the move has no price"
        if (served.input_tokens and not fresh + cached) or (served.output_tokens and not output):
            return "an API never served such tokens, so that they have no price"
        read = Fraction(served.input_tokens, (fresh + cached) or 1)
        wrote = Fraction(served.output_tokens)
        for kind, weight in enumerate((read * fresh, read * cached, wrote)):
            weights[kind] += weight
            usd[kind] += weight * Fraction(found.femto[kind], found.tokens[kind] * 10**9 or 1)
    fresh_usd, cached_usd, output_usd = (
        paid / (weight or 1) for paid, weight in zip(usd, weights, strict=True)
    )
    share = weights[1] / (weights[0] + weights[1] or 1)
    return Prices(fresh_usd, cached_usd, output_usd, share)


def as_measured(
    promised: Scenario, deployment: Deployment, peak: Fraction, month: Month, prices: Prices
) -> Scenario:
    """The scenario of a whole month that went as its known days did.

    Its saving times the month's known part is exact: where rounding to whole requests moves the
    volume, the tokens of a request move the other way. `promised` gives name and migration; there
    must be a known day with served requests.
    """
    served, scale = month.served, 1 / month.part
    share = Fraction(served.requests, served.requests + month.api_requests)
    requests = max(1, round((served.requests + month.api_requests) * scale))
    per_request = scale / (share * requests)
    cached = served.input_tokens * prices.cached_share
    workload = replace(
        promised.workload,
        requests_per_month=requests,
        input_tokens=(served.input_tokens - cached) * per_request,
        cached_input_tokens=cached * per_request,
        output_tokens=served.output_tokens * per_request,
        peak_to_mean=peak,
        share_moved=share,
    )
    return replace(
        promised,
        workload=workload,
        api=Api(
            input_usd_per_million=prices.input,
            cached_input_usd_per_million=prices.cached,
            output_usd_per_million=prices.output,
        ),
        deployment=deployment,
    )


def settle(promised: Scenario | None, found: Scenario, month: Month) -> Settled:
    """A month's account: `found` from `as_measured`, beside what was promised."""
    moved = found.workload.share_moved * found.workload.requests_per_month
    at_api = _pico(costs.api_usd_per_request(found) * moved * month.part)
    own = _pico(Fraction(costs.self_bill(found, moved)) * month.part)
    if promised is None:
        return Settled(at_api, own, None, {})
    told = _pico(saving(promised) * month.part)
    by_group = attribute(promised, found).parts
    exact = {
        name: sum((by_group[group] for group in groups), Fraction(0)) * month.part
        for name, groups in PARTS.items()
    }
    return Settled(at_api, own, told, in_units(exact, at_api - own - told, PICO))


def one_off(promised: Scenario) -> int:
    """What the move cost once, in pico-USD: setup, and the fleet while both bills ran."""
    return _pico(Bills(promised).entry_cost(promised.workload.requests_per_month))


def payback(one_off: Fraction, saved: Fraction, months: int) -> Payback:
    """Whether what `months` measured months saved in all covers what the move cost once."""
    if saved >= one_off:
        return Payback(reached=True, months_left=None)
    left = (one_off - saved) * months / saved if saved > 0 and months else None
    return Payback(reached=False, months_left=left)


def outlook(promised: Scenario | None, found: Scenario, returns: str) -> Outlook:
    """What to do next; `returns`: why the daily advice says to return to the API, or ''."""
    if returns:
        return Outlook("return", returns)
    moved = found.workload.share_moved * found.workload.requests_per_month
    saves, needed = saving(found), costs.fleet(found, moved).replicas
    planned = _planned(promised)
    if planned is not None and saves > 0 and needed > planned:
        return Outlook(
            "grow", f"Its peak hour needs {needed} replicas; {planned} were planned for the move."
        )
    best = hybrid.best_share(found)
    more = best.saves - saves
    if best.share > found.workload.share_moved and more > REOPEN_SHARE * abs(saves):
        now, then = (f"{float(s):.0%}" for s in (found.workload.share_moved, best.share))
        return Outlook(
            "grow",
            f"With {then} of its requests in own service instead of {now} it would save"
            f" ${round(more):,} a month more.",
        )
    if saves > 0:
        return Outlook("stay", f"Own service saves ${round(saves):,} a month at this load.")
    lost = f"Own service costs ${round(-saves):,} a month more than the API at this load"
    return Outlook("stay", f"{lost}; when that is reason to return, the daily advice says so.")


def agrees(direction: str, kind: str) -> bool:
    """Whether a month's outlook goes with today's advice, so that one message may say both."""
    return (direction == "return") == (kind == Kind.RETURN_TO_API)


def _planned(promised: Scenario | None) -> costs.Number | None:
    if promised is None:
        return None
    workload = promised.workload
    return costs.fleet(promised, workload.share_moved * workload.requests_per_month).replicas


def _pico(usd: Fraction | costs.Number) -> int:
    return round(Fraction(usd) * PICO)
