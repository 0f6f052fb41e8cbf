"""Which pictures a report has, from its figures, and what each says in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from monitor.domain.periods import add_months, days_in
from reports import charts, formats, heatmap, sections
from reports.charts import Spending, Stack, UnitCosts, Volumes
from reports.comparison import scenario
from reports.formats import about, count, month, name, percent, plural, rate, span, usd
from reports.heatmap import Line, Load
from reports.marks import Spec
from reports.model import Row, WeeklyFacts, decimal, whole, words
from reports.themes import MAIL, Theme

ZERO = Decimal(0)
_DAY = timedelta(1)
_NAME_CAP = 32
_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


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
        return f"The pictures could not be drawn ({reasons})."
    titles = "; ".join(pictures[cid].title for cid in failed)
    return f"{plural(len(failed), 'picture')} could not be drawn: {titles} ({reasons})."


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
    projected, of = sections.projection(facts), month(facts.month)
    said = [f"{of} to the {sections.ordinal(facts.last.day)}: {usd(spent)}"]
    stacks, rest = _stacks(facts)
    seen = Spending(
        said[0],
        days_in(facts.month),
        _of_days(_daily(facts), facts.month, facts.last.day),
        _before(facts) if last_month is not None else [],
        sections.before(facts),
        projected,
        stacks,
        rest,
    )
    if projected and not sections.is_complete(facts):
        low, middle, high = projected
        said.append(f"projected for the month: {about(middle)}, 80% range {span(low, high)}")
    if last_month is not None:
        said.append(f"all of {sections.before(facts)}, dotted: {usd(last_month)}")
    said += _split(facts, stacks, rest)
    return Picture("spend", f"Spend since 1 {of}", "; ".join(said) + ".", charts.spend(seen, theme))


def _split(facts: WeeklyFacts, stacks: Sequence[Stack], rest: Sequence[Decimal]) -> list[str]:
    """The month by workload, estimated, and what no workload holds."""
    parts = [f"{_word(each.name)} {usd(_sum(each.usd))}" for each in stacks]
    if any(rest):
        parts.append(f"all other {usd(_sum(rest))}")
    outside = decimal(facts.numbers, "spend.outside_workloads")
    if parts and outside:
        parts.append(f"outside workloads {usd(outside)}")
    said = [f"of it, estimated: {', '.join(parts)}"] if parts else []
    if unpriced := whole(facts.numbers, "unpriced.tokens"):
        said.append(f"{count(unpriced)} tokens without a known rate are in no bar")
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
    crosses = f"the lines cross at {count(crossing)}" if crossing else "the lines do not cross"
    said = (
        f"At {count(volumes.q50)} requests a month the API costs {about(api or ZERO)} and own"
        f" GPUs cost {about(own or ZERO)}; {crosses}."
    )
    workload = _word(words(row, "workload"))
    title = f"{workload}: cost of a month by requests"
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
    title = "Dollars per million tokens, by week"
    return Picture("unit-cost", title, " ".join(said), charts.unit_cost(seen, theme))


def _known(rows: Sequence[Row], key: str, ending: str) -> dict[date, Decimal]:
    return {
        date.fromisoformat(words(row, key) + ending): found
        for row in rows
        if (found := decimal(row, "usd_per_million")) is not None
    }


def _api_said(api: Mapping[date, Decimal]) -> str:
    if not api:
        return "API: no priced tokens in these weeks."
    first, last = min(api), max(api)
    said = f"API, estimated: {rate(api[last])} in the week of {formats.day(last)}"
    if first == last:
        return f"{said}."
    low, high = min(api.values()), max(api.values())
    return (
        f"{said}, {rate(api[first])} in that of {formats.day(first)}; between {rate(low)} and"
        f" {rate(high)} since."
    )


def _own_said(own: Mapping[date, Decimal]) -> str:
    if not own:
        return "Own GPUs: unknown; no closed month of a workload that moved holds their cost."
    last = max(own)
    said = f"Own GPUs, by their cost lines: {rate(own[last])} in {month(f'{last:%Y-%m}')}"
    if len(own) > 1:
        said += f", {rate(own[min(own)])} in {month(f'{min(own):%Y-%m}')}"
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
    title = f"GPU utilisation by hour, {formats.days(facts.first, facts.last)}"
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
    said = [f"On average {_told(decimal(facts.numbers, 'gpu.utilisation'))}"]
    if len(means) > 1:
        (low, idlest), (high, busiest) = means[0], means[-1]
        said.append(f"{_word(busiest)} {percent(high)}, {_word(idlest)} {percent(low)}")
    peak = max(known)
    host, n = next((host, found.index(peak)) for host, found in hours.items() if peak in found)
    at = f"{_weekday(facts.first + n // 24 * _DAY)}, {n % 24:02d}:00 UTC"
    on = f" on {_word(host)}" if len(hours) > 1 else ""
    said.append(f"busiest {at}{on} with {percent(peak)}")
    said.append(
        f"of {len(every):,} server hours {idle:,} idle (below 1%) and"
        f" {len(every) - len(known):,} not measured"
    )
    if len(hours) > heatmap.ROWS:
        said.append(f"shown are the {heatmap.ROWS} most measured of {len(hours):,} servers")
    return "; ".join(said) + "."


def _mean(found: Sequence[Decimal | None]) -> str:
    known = [each for each in found if each is not None]
    return _told(sum(known, ZERO) / len(known) if known else None)


def _told(mean: Decimal | None) -> str:
    return "not measured" if mean is None else percent(mean)


def _weekday(day: date) -> str:
    return f"{_NAMES[day.weekday()]} {day.day}"
