"""What the rules about own GPUs see: idle ones, silent ones, and traffic that left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.domain.money import to_cents
from monitor.domain.notices import Said
from monitor.domain.periods import day_of
from monitor.domain.rulebook import Limits
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch_words import a_month, counted, dollars, percent_of, quoted, shown, usd

MEASURED = 50
"""Percent of a host's GPU hours that must have a reading: of the rest nothing is known."""


class HostSeen(NamedTuple):
    """How busy the GPUs of a host were over some days."""

    host: str
    as_of: int
    days: int
    gpus: int
    hours_measured: int
    """GPU hours with at least one reading, of gpus x 24 x days."""
    busy: float | None
    """Mean percent of the measured minutes; None: nothing was measured."""
    month_pico: int | None
    """What the host costs a month; None: no cost of it is known."""


def idle(seen: HostSeen, limits: Limits) -> Signal:
    """GPUs that are paid for and idle, in dollars a month where their cost is known."""
    hours = seen.gpus * 24 * seen.days
    known = seen.busy is not None and seen.hours_measured * 100 >= hours * MEASURED
    share = 0.0 if seen.busy is None else min(max(100 - seen.busy, 0.0), 100.0)
    cost = None if seen.month_pico is None else round(seen.month_pico * share / 100)
    enough = cost is None or dollars(cost) >= (limits.least_usd or 0)
    holds = share >= (limits.percent or 0) and enough
    wasted = "an unknown amount" if cost is None else f"{usd(cost)} a month"
    said = Said(
        title=f"{seen.host}: {counted(seen.gpus, 'GPU')} idle {share:.0f}% of the time, {wasted}",
        what=f"Over the {seen.days} days to {day_of(seen.as_of - DAY)} they were busy"
        f" {100 - share:.0f}% of the minutes measured.",
        sure=f"{seen.hours_measured:,} of {hours:,} GPU hours have a reading; of the others nothing"
        " is known. Busy is the driver's word: some kernel ran, not how full the GPU was.",
        cost="Not known: neither the host nor the deployments that run have one price."
        if cost is None
        else f"{usd(cost)} of the {usd(seen.month_pico)} that the host costs a month.",
        usd_per_month=None if cost is None else to_cents(dollars(cost)),
        actions=(
            "Move work onto them, or give some back: crossover capacity says how many are needed.",
            "For a reserve that is meant to idle, raise percent or silence the host.",
        ),
        query="SELECT hour, gpu, minutes_measured, util_mean FROM v_gpu_hourly"
        f" WHERE host = '{quoted(seen.host)}' ORDER BY hour DESC",
        facts=(
            ("GPUs", str(seen.gpus)),
            ("Idle", f"{share:.0f}%"),
            ("GPU hours measured", f"{seen.hours_measured:,} of {hours:,}"),
        ),
    )
    return Signal("gpu_idle", seen.host, seen.as_of, holds if known else None, said)


SILENT = 2 * HOUR
"""Agents keep readings while the network is down and hand them over within the hour."""


class Reporting(NamedTuple):
    """The GPUs of a host that reported lately, and until when."""

    host: str
    until: Mapping[str, int]
    """GPU -> end of the last hour with a reading, UTC epoch seconds."""


def lost(seen: Reporting, as_of: int) -> Signal:
    """GPUs that reported and stopped; one more that stops is told too."""
    silent = sorted(gpu for gpu, until in seen.until.items() if until <= as_of - SILENT)
    last = max((seen.until[gpu] for gpu in silent), default=as_of)
    count = f"{len(silent)} of {counted(len(seen.until), 'GPU')}"
    said = Said(
        title=f"{seen.host}: nothing comes from {count} any more"
        if silent
        else f"{seen.host}: readings come from {counted(len(seen.until), 'GPU')} again",
        what=f"Their last reading ended {_instant(last)}: {', '.join(silent[:8])}"
        + (" and more." if len(silent) > 8 else ".")
        if silent
        else "Each of them was read within the last two hours.",
        sure="Certain that nothing came; whether the GPU, its host, the agent or the network is"
        " the cause is not known. What is not measured counts as unknown, not as idle.",
        cost="Nothing by itself; a GPU that fell off the bus is paid for all the same.",
        actions=(
            "On the host: nvidia-smi, then the agent's log and crossover agent's service.",
            "For a host that was given back, silence it: after 30 days it is forgotten.",
        ),
        query="SELECT gpu, MAX(hour) AS last_hour FROM v_gpu_hourly WHERE minutes_measured > 0"
        f" AND host = '{quoted(seen.host)}' GROUP BY gpu ORDER BY last_hour",
        facts=(("GPUs silent", count),),
    )
    rank = len(silent) - 1
    return Signal("telemetry_lost", seen.host, as_of, bool(silent), said, rank=rank)


def _instant(at: int) -> str:
    return f"{day_of(at)} at {at % DAY // HOUR:02d}:{at % HOUR // 60:02d} UTC"


class Served(NamedTuple):
    """Tokens of a workload on own engines, by day, and what an API served of it; None: unknown."""

    workload: str
    as_of: int
    own: Mapping[int, int | None]
    api: Mapping[int, int | None]
    api_pico: Mapping[int, int | None]


_WEEKS = 4
_LEAST_WEEKS = 2
_TOOK_OVER = 2
"""An API that serves one in so many of the tokens that own engines lost has taken over."""


def failover(seen: Served, limits: Limits) -> Signal | None:
    """Own engines serve less than on these weekdays before, and an API serves more.

    None while the day or the weeks before are not known.
    """
    day = seen.as_of - DAY
    own, api = seen.own.get(day), _served(seen.api, day)
    usual, usual_api = _usual(seen.own, day), _usual_api(seen.api, day)
    if own is None or api is None or usual is None or usual_api is None or usual <= 0:
        return None
    fell, rose = usual - own, api - usual_api
    paid, usually = _served(seen.api_pico, day), _usual_api(seen.api_pico, day)
    more = None if paid is None or usually is None else a_month(paid - usually)
    holds = (
        fell * 100 >= usual * (limits.percent or 0)
        and rose * _TOOK_OVER >= fell > 0
        and (more is None or dollars(more) >= (limits.least_usd or 0))
    )
    drop = shown(percent_of(abs(fell), usual))
    said = Said(
        title=f"{seen.workload}: own GPUs served {drop} less than usual, and the API took over"
        if holds
        else f"{seen.workload}: own GPUs serve it as usual",
        what=f"On {day_of(day)} own engines served {own:,} tokens, on these weekdays before"
        f" {usual:,}; the API served {api:,}, before {usual_api:,}.",
        sure="Certain as counts; that one caused the other is likely, not certain.",
        cost=f"{usd(more)} a month more at the API, if it stays; own GPUs cost the same."
        if holds
        else "Nothing: own engines serve what they usually do.",
        usd_per_month=to_cents(dollars(more)) if holds and more is not None else None,
        actions=(
            "See whether the engines answer: v_data_quality, v_gpu_hourly and their own logs.",
            "See what the gateway retries elsewhere: a limit that is too tight looks the same.",
        ),
        query="SELECT day, provider, model, requests, tokens, estimated_usd FROM v_usage_daily"
        f" WHERE workload = '{quoted(seen.workload)}' ORDER BY day DESC, provider",
        facts=(
            ("Own engines", f"{own:,} tokens, usually {usual:,}"),
            ("API", f"{api:,} tokens, usually {usual_api:,}"),
        ),
    )
    return Signal("failover_spend", seen.workload, seen.as_of, holds, said, workload=seen.workload)


def _served(daily: Mapping[int, int | None], day: int) -> int | None:
    """A day's total; before the first use of all it was nothing."""
    if not daily or day < min(daily):
        return 0
    return daily.get(day)


def _usual(daily: Mapping[int, int | None], day: int) -> int | None:
    """The mean of this weekday over the weeks before, where enough of them are known."""
    return _mean([daily.get(day - 7 * DAY * n) for n in range(1, _WEEKS + 1)])


def _usual_api(daily: Mapping[int, int | None], day: int) -> int | None:
    return _mean([_served(daily, day - 7 * DAY * n) for n in range(1, _WEEKS + 1)])


def _mean(found: Sequence[int | None]) -> int | None:
    known = [each for each in found if each is not None]
    return sum(known) // len(known) if len(known) >= _LEAST_WEEKS else None
