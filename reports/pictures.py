"""Which pictures a report has, from its figures, and what each says in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.periods import add_months, days_in
from reports import charts, formats, heatmap, weekly_tiles
from reports.charts import Spending, Stack, UnitCosts, Volumes
from reports.comparison import scenario
from reports.formats import (
    about,
    count,
    month,
    name,
    number,
    ordinal,
    percent,
    plural,
    rate,
    span,
    usd,
)
from reports.heatmap import Line, Load
from reports.language import say
from reports.marks import Spec
from reports.model import Row, WeeklyFacts, decimal, whole, words
from reports.themes import MAIL, Theme

ZERO = Decimal(0)
_DAY = timedelta(1)
_NAME_CAP = 32


class Picture(NamedTuple):
    """A picture and what it says, for whom it is not shown."""

    cid: str
    title: str
    alt: str
    spec: Spec


def of_week(facts: WeeklyFacts, lead: Row | None, theme: Theme = MAIL) -> dict[str, Picture]:
    """By id: those for which there is data. `lead` is the verdict's comparison, if it has one."""
    found = (one(cid, facts, lead, theme) for cid in ("spend", "cost", "unit-cost", "utilisation"))
    return {each.cid: each for each in found if each}


def one(cid: str, facts: WeeklyFacts, lead: Row | None, theme: Theme = MAIL) -> Picture | None:
    """The picture of this id; None: there is nothing to show."""
    made = {"spend": spend, "unit-cost": unit_cost, "utilisation": utilisation}
    found = cost(lead, theme) if cid == "cost" else made[cid](facts, theme)
    return _described(found) if found else None


def missed(pictures: Mapping[str, Picture], failed: Mapping[str, str]) -> str:
    """Which pictures could not be drawn and why, as a sentence; '' if all could."""
    if not failed:
        return ""
    reasons = "; ".join(dict.fromkeys(name(reason, 200) for reason in failed.values()))
    if failed.keys() == pictures.keys():
        return say("The pictures could not be drawn ({why}).", why=reasons)
    titles = "; ".join(pictures[cid].title for cid in failed)
    return say(
        "{pictures} could not be drawn: {titles} ({why}).",
        pictures=plural(len(failed), "picture"),
        titles=titles,
        why=reasons,
    )


def _word(text: str) -> str:
    """A name within what is said of a picture: some mail programs see tags inside attributes."""
    return name(text, _NAME_CAP).replace("<", "[").replace(">", "]")


def _described(picture: Picture) -> Picture:
    return picture._replace(spec=picture.spec | {"description": f"{picture.title}. {picture.alt}"})


def spend(facts: WeeklyFacts, theme: Theme = MAIL) -> Picture | None:
    """The month's spend; None: there is none."""
    spent = decimal(facts.numbers, "spend.month_to_date")
    if spent is None:
        return None
    last_month = decimal(facts.numbers, "spend.previous_month")
    projected, of = weekly_tiles.projection(facts), month(facts.month)
    said = [
        say(
            "{month} to the {day}: {amount}",
            month=of,
            day=ordinal(facts.last.day),
            amount=usd(spent),
        )
    ]
    stacks, rest = _stacks(facts)
    seen = Spending(
        said[0],
        days_in(facts.month),
        _of_days(_daily(facts), facts.month, facts.last.day),
        _before(facts) if last_month is not None else [],
        weekly_tiles.before(facts),
        projected,
        stacks,
        rest,
    )
    if projected and not weekly_tiles.is_complete(facts):
        low, middle, high = projected
        text = "projected for the month: {amount}, 80% range {span}"
        said.append(say(text, amount=about(middle), span=span(low, high)))
    if last_month is not None:
        before = weekly_tiles.before(facts)
        said.append(say("all of {month}, dotted: {amount}", month=before, amount=usd(last_month)))
    said += _split(facts, stacks, rest)
    title = say("Spend since 1 {month}", month=of)
    return Picture("spend", title, "; ".join(said) + ".", charts.spend(seen, theme))


def _split(facts: WeeklyFacts, stacks: Sequence[Stack], rest: Sequence[Decimal]) -> list[str]:
    """The month by workload, estimated, and what no workload holds."""
    parts = [f"{_word(each.name)} {usd(_sum(each.usd))}" for each in stacks]
    if any(rest):
        parts.append(f"{say('all other')} {usd(_sum(rest))}")
    outside = decimal(facts.numbers, "spend.outside_workloads")
    if parts and outside:
        parts.append(f"{say('outside workloads')} {usd(outside)}")
    said = [say("of it, estimated: {parts}", parts=", ".join(parts))] if parts else []
    if unpriced := whole(facts.numbers, "unpriced.tokens"):
        said.append(say("{n} tokens without a known rate are in no bar", n=count(unpriced)))
    return said


def _sum(found: Sequence[Decimal | None]) -> Decimal:
    return sum((each for each in found if each is not None), ZERO)


def _daily(facts: WeeklyFacts) -> dict[str, Decimal | None]:
    return {words(row, "day"): decimal(row, "usd") for row in facts.tables["spend.daily"]}


def _before(facts: WeeklyFacts) -> list[Decimal]:
    month_before = add_months(facts.month, -1)
    return _of_days(_daily(facts), month_before, days_in(month_before))


def _of_days(days: Mapping[str, Decimal | None], of: str, count_: int) -> list[Decimal]:
    """The first days of a month; one without a row adds nothing to the line."""
    return [days.get(f"{of}-{n:02d}") or ZERO for n in range(1, count_ + 1)]


def _stacks(facts: WeeklyFacts) -> tuple[list[Stack], list[Decimal]]:
    """The largest workloads by day, and the sum of the others."""
    found: dict[str, list[Decimal | None]] = {}
    for row in facts.tables["spend.by_workload"]:
        days = found.setdefault(words(row, "workload"), [None] * facts.last.day)
        days[int(words(row, "day")[8:]) - 1] = decimal(row, "usd")
    order = sorted(found.items(), key=lambda pair: (-_sum(pair[1]), pair[0]))
    stacks = [Stack(*pair) for pair in order if _sum(pair[1])]
    others = stacks[charts.STACKS :]
    rest = [_sum([each.usd[n] for each in others]) for n in range(facts.last.day)]
    return stacks[: charts.STACKS], rest


def cost(row: Row | None, theme: Theme = MAIL) -> Picture | None:
    """Both bills of the verdict's comparison; None: it has none."""
    stored = scenario(row) if row else None
    if row is None or stored is None:
        return None
    crossing = whole(row, "crossing_requests")
    low, middle, high = (whole(row, f"requests_{q}") or 0 for q in ("q10", "q50", "q90"))
    volumes = Volumes(low, middle, high, crossing)
    api, own = decimal(row, "api_usd_q50"), decimal(row, "self_host_usd_q50")
    crosses = say("the lines do not cross")
    if crossing:
        crosses = say("the lines cross at {n}", n=count(crossing))
    said = say(
        "At {n} requests a month the API costs {api} and own GPUs cost {own}; {crosses}.",
        n=count(volumes.q50),
        api=about(api or ZERO),
        own=about(own or ZERO),
        crosses=crosses,
    )
    workload = _word(words(row, "workload"))
    title = say("{workload}: cost of a month by requests", workload=workload)
    return Picture("cost", title, said, charts.cost(stored, volumes, words(row, "workload"), theme))


def unit_cost(facts: WeeklyFacts, theme: Theme = MAIL) -> Picture | None:
    """Dollars per million tokens over time; None: there is nothing to compare with."""
    api = _known(facts.tables["unit_cost.weeks"], "week", "")
    own = _known(facts.tables["unit_cost.own_months"], "month", "-01")
    if len(api) < 2 and not own:
        return None
    first = min([*api, *(each - timedelta(each.weekday()) for each in own), facts.first])
    weeks = (max([*api, facts.first]) - first).days // 7 + 1
    said = [_api_said(api), _own_said(own)]
    seen = UnitCosts(first, weeks, api, own)
    title = say("Dollars per million tokens, by week")
    return Picture("unit-cost", title, " ".join(said), charts.unit_cost(seen, theme))


def _known(rows: Sequence[Row], key: str, ending: str) -> dict[date, Decimal]:
    return {
        date.fromisoformat(words(row, key) + ending): found
        for row in rows
        if (found := decimal(row, "usd_per_million")) is not None
    }


def _api_said(api: Mapping[date, Decimal]) -> str:
    if not api:
        return say("API: no priced tokens in these weeks.")
    first, last = min(api), max(api)
    said = say(
        "API, estimated: {rate} in the week of {day}", rate=rate(api[last]), day=formats.day(last)
    )
    if first == last:
        return f"{said}."
    return said + say(
        ", {rate} in that of {day}; between {low} and {high} since.",
        rate=rate(api[first]),
        day=formats.day(first),
        low=rate(min(api.values())),
        high=rate(max(api.values())),
    )


def _own_said(own: Mapping[date, Decimal]) -> str:
    if not own:
        return say("Own GPUs: unknown; no closed month of a workload that moved holds their cost.")
    last = max(own)
    said = say(
        "Own GPUs, by their cost lines: {rate} in {month}",
        rate=rate(own[last]),
        month=month(f"{last:%Y-%m}"),
    )
    if len(own) > 1:
        first = min(own)
        said += say(", {rate} in {month}", rate=rate(own[first]), month=month(f"{first:%Y-%m}"))
    return f"{said}."


def utilisation(facts: WeeklyFacts, theme: Theme = MAIL) -> Picture | None:
    """The week's GPU hours; None: none was measured."""
    hours = _hours(facts)
    known = [each for found in hours.values() for each in found if each is not None]
    if not known:
        return None
    days = [facts.first + n * _DAY for n in range((facts.last - facts.first).days + 1)]
    alone = len(hours) == 1
    seen = _by_days(next(iter(hours.values())), days) if alone else _by_hosts(facts, hours, days)
    spec = heatmap.utilisation(seen, theme)
    of = formats.days(facts.first, facts.last)
    title = say("GPU utilisation by hour, {days}", days=of)
    return Picture("utilisation", title, _load_said(facts, hours), spec)


def _hours(facts: WeeklyFacts) -> dict[str, list[Decimal | None]]:
    """Each server's hours of the week; the most measured first."""
    length = 24 * ((facts.last - facts.first).days + 1)
    found: dict[str, list[Decimal | None]] = {}
    for row in facts.tables["gpu.hourly"]:
        at = words(row, "hour")
        n = 24 * (date.fromisoformat(at[:10]) - facts.first).days + int(at[11:13])
        found.setdefault(words(row, "host"), [None] * length)[n] = decimal(row, "utilisation")
    measured = {host: sum(each is not None for each in hours) for host, hours in found.items()}
    return dict(sorted(found.items(), key=lambda pair: (-measured[pair[0]], pair[0])))


def _by_days(hours: Sequence[Decimal | None], days: Sequence[date]) -> Load:
    lines = []
    for n, day in enumerate(days):
        of = hours[24 * n : 24 * n + 24]
        lines.append(Line(_weekday(day), of, _mean(of)))
    return Load(lines, [(at, f"{at:02d}:00") for at in range(0, 24, 6)], [])


def _by_hosts(
    facts: WeeklyFacts, hours: Mapping[str, Sequence[Decimal | None]], days: Sequence[date]
) -> Load:
    means = _means(facts)
    lines = [
        Line(label, found, _told(means.get(host)))
        for (host, found), label in zip(hours.items(), _short(list(hours)), strict=True)
    ]
    ticks = [(24 * n, _weekday(day)) for n, day in enumerate(days)]
    return Load(lines, ticks, [24 * n for n in range(1, len(days))])


def _short(hosts: Sequence[str]) -> list[str]:
    """Without their domain, if they can be told apart so."""
    first = [host.partition(".")[0] for host in hosts]
    names = len(set(first)) == len(hosts) and not any(each.isdigit() for each in first)
    return first if names else list(hosts)


def _means(facts: WeeklyFacts) -> dict[str, Decimal | None]:
    return {words(row, "host"): decimal(row, "utilisation") for row in facts.tables["gpu.hosts"]}


def _load_said(facts: WeeklyFacts, hours: Mapping[str, Sequence[Decimal | None]]) -> str:
    """The mean, the extremes, idle and unmeasured hours; and which servers are not shown."""
    means = sorted(
        ((mean, host) for host, mean in _means(facts).items() if mean is not None and host in hours)
    )
    every = [each for found in hours.values() for each in found]
    known = [each for each in every if each is not None]
    idle = sum(each < heatmap.IDLE for each in known)
    mean = _told(decimal(facts.numbers, "gpu.utilisation"))
    said = [say("On average {share}", share=mean)]
    if len(means) > 1:
        (low, idlest), (high, busiest) = means[0], means[-1]
        said.append(f"{_word(busiest)} {percent(high)}, {_word(idlest)} {percent(low)}")
    peak = max(known)
    host, n = next((host, found.index(peak)) for host, found in hours.items() if peak in found)
    at = f"{_weekday(facts.first + n // 24 * _DAY)}, {n % 24:02d}:00 UTC"
    on = say(" on {host}", host=_word(host)) if len(hours) > 1 else ""
    said.append(say("busiest {at}{on} with {share}", at=at, on=on, share=percent(peak)))
    said.append(
        say(
            "of {all} server hours {idle} idle (below 1%) and {missing} not measured",
            all=number(len(every)),
            idle=number(idle),
            missing=number(len(every) - len(known)),
        )
    )
    if len(hours) > heatmap.ROWS:
        text = "shown are the {n} most measured of {all} servers"
        said.append(say(text, n=heatmap.ROWS, all=number(len(hours))))
    return "; ".join(said) + "."


def _mean(found: Sequence[Decimal | None]) -> str:
    known = [each for each in found if each is not None]
    return _told(sum(known, ZERO) / len(known) if known else None)


def _told(mean: Decimal | None) -> str:
    return say("not measured") if mean is None else percent(mean)


def _weekday(day: date) -> str:
    return formats.weekday(day)
