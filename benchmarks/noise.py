"""Mails about the break-even in made-up years, beside the rules that people use.

Years of four kinds (tests/noisy_years.py) have their truth beside them: a slow drift through the
break-even, a jump over it, a walk around it, and never near. Each day is judged as the daemon does
it, by the same functions: the side, the trend, the alert machine, and what leaves together.
Gaps say nothing, and restated days are seen first as they were first reported.

    python benchmarks/noise.py [--years 100] [--from 1000] [--lead 60]

Prints for each kind: mails a year and recipient (mean, most), those of naive rules, the delay of
the statement in closed days, how often a slow crossing was announced at least the lead time ahead,
and how many announcements were followed by no crossing within two and within three lead times.
Parameters were chosen on years 0 to 99; the default judges others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from monitor.domain import nearing, rulebook
from monitor.domain.alerts import AlertState, Notify, Rule, step
from monitor.domain.grouping import Rhythm, Waiting, leaving
from monitor.domain.notices import Said
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY
from tests.noisy_years import BEFORE, CROSSING, KINDS, YEAR, Year, year

START = 1_735_689_600
"""2025-01-01."""
MORNING = 6 * 3600
_SAID = Said("", "")


class Told(NamedTuple):
    """What became of one year."""

    mails: int
    from_nothing: int
    """Edges on days of which nothing was known: must be none."""
    stated: list[tuple[int, int]]
    """Day and direction of each statement of the crossing."""
    announced: list[tuple[int, int]]


class Alert:
    """One rule about one workload, through the machine."""

    def __init__(self, rule: Rule, number: int) -> None:
        self.rule, self.number = rule, number
        self.state: AlertState | None = None

    def see(self, signal: Signal, now: int) -> list[Notify]:
        """Step it; returns what is to be told."""
        self.state, effects = step(self.state, signal, self.rule, now)
        return [effect for effect in effects if isinstance(effect, Notify)]


def live(seen: Year, lead: int) -> Told:
    """A year of one workload and one recipient, day by day."""
    crossing, about = (Alert(rulebook.BOOK[name], n) for n, name in enumerate(_RULES))
    waiting: list[Waiting] = []
    told = Told(0, 0, [], [])
    side: nearing.Side | None = None
    last: int | None = None
    mails = from_nothing = number = 0
    for day in range(BEFORE, BEFORE + YEAR + 1):
        as_of, now = START + day * DAY, START + day * DAY + MORNING
        known = None
        if not seen.missing[day - 1]:
            known = nearing.volumes(seen.known(day, START), as_of, CROSSING)
        for alert, holds, released in _signals(known, side, lead, (crossing, about)):
            signal = Signal(alert.rule.name, "w", as_of, holds, _SAID, released=released)
            signal = signal._replace(restated=alert is about)
            for notify in alert.see(signal, now):
                number += 1
                from_nothing += known is None
                waiting.append(
                    Waiting(number, alert.number, notify.seq, notify.edge, "warning", now)._replace(
                        digest=notify.digest
                    )
                )
                if alert is about and notify.edge == "firing":
                    told.announced.append((day, 1 if side == "below" else -1))
        if known:
            new = nearing.side(known, side)
            if side and new and new != side:
                told.stated.append((day, 1 if new == "above" else -1))
            side = new
        due = leaving(waiting, last, now, _RHYTHM, busy=False)
        mails += bool(due.message) + bool(due.digest)
        last = now if due.message else last
        gone = {*due.message, *due.digest, *due.dropped}
        waiting = [each for each in waiting if each.id not in gone]
    return told._replace(mails=mails, from_nothing=from_nothing)


_RULES = ("crossing", "about_to_cross")
_RHYTHM = Rhythm()


def _signals(
    known: nearing.Volumes | None, side: nearing.Side | None, lead: int, alerts: tuple[Alert, Alert]
) -> Iterator[tuple[Alert, bool | None, bool | None]]:
    """As `jobs/crossings.py` has them, in both directions."""
    crossing, about = alerts
    new = nearing.side(known, side) if known else None
    yield crossing, None if new is None else new == "above", None
    if known is None or new is None:
        yield about, None, None
        return
    if side and new != side:
        yield about, False, True
        return
    chance = nearing.outlook(known, new, lead).chance
    yield about, chance >= nearing.CHANCE, chance < nearing.CHANCE / 4


def naive(seen: Year) -> tuple[int, int]:
    """Mails of a rule that tells each day above, and of one that tells each change of side."""
    levels = edges = 0
    above: bool | None = None
    per_day = CROSSING / (365.25 / 12)
    for day in range(BEFORE, BEFORE + YEAR):
        # What is missing counts as nothing, as such rules do.
        now = not seen.missing[day] and int(seen.first[day]) > per_day
        levels += now
        edges += above is not None and now != above
        above = now
    return levels, edges


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--years", type=int, default=100)
    options.add_argument("--from", dest="first", type=int, default=1000)
    options.add_argument("--lead", type=int, default=60)
    chosen = options.parse_args()
    started = time.perf_counter()
    totals = [0, 0, 0]
    print(
        "kind    mails/year mean most  level  edge   delay p50 p90   ahead  announced false2 false3"
    )
    for kind in KINDS:
        years = [year(kind, chosen.first + n) for n in range(chosen.years)]
        told = [live(each, chosen.lead) for each in years]
        _row(kind, years, told, chosen.lead, totals)
    share = [f"{wrong / max(totals[0], 1):.1%}" for wrong in totals[1:]]
    print(
        f"all kinds: {totals[0]} announced, {share[0]} and {share[1]} not within 2 and 3 lead times"
    )
    print(f"{time.perf_counter() - started:.0f} s")


def _row(kind: str, years: list[Year], told: list[Told], lead: int, totals: list[int]) -> None:
    assert not sum(each.from_nothing for each in told), "an edge from missing data"
    mails = [each.mails for each in told]
    levels, edges = zip(*map(naive, years), strict=True)
    delays = [d for y, t in zip(years, told, strict=True) if (d := _delay(y, t)) is not None]
    ahead = [a for y, t in zip(years, told, strict=True) if (a := _ahead(y, t, lead)) is not None]
    wrong = [
        _false(y, t, lead, times) for times in (2, 3) for y, t in zip(years, told, strict=True)
    ]
    count = sum(n for n, _ in wrong[: len(years)])
    second, third = (sum(w for _, w in part) for part in (wrong[: len(years)], wrong[len(years) :]))
    for place, value in enumerate((count, second, third)):
        totals[place] += value
    ordered = sorted(delays)
    delay = (
        f"{median(ordered):5.0f} {ordered[len(ordered) * 9 // 10]:3.0f}"
        if ordered
        else "     -   -"
    )
    early = f"{mean(a >= lead for a in ahead):6.0%}" if ahead else "     -"
    print(
        f"{kind:8}{mean(mails):14.1f} {max(mails):4d} {mean(levels):6.0f} {mean(edges):5.0f}"
        f"      {delay}   {early} {count:10d} {second:6d} {third:6d}"
    )


def _delay(seen: Year, told: Told) -> int | None:
    """Closed days from the true crossing to its statement; of years that cross once."""
    true = seen.true_crossings()
    if seen.kind not in ("slow", "abrupt") or not true:
        return None
    day, direction = true[0]
    found = [at for at, way in told.stated if way == direction and at > day - 30]
    return (found[0] - day) if found else YEAR


def _ahead(seen: Year, told: Told, lead: int) -> int | None:
    """Days before a slow crossing that it was announced; -1: it was not."""
    true = seen.true_crossings()
    if seen.kind != "slow" or not true or true[0][0] - BEFORE < lead + 10:
        return None
    day, direction = true[0]
    found = [at for at, way in told.announced if way == direction and at <= day]
    return day - found[0] if found else -1


def _false(seen: Year, told: Told, lead: int, times: int) -> tuple[int, int]:
    """Announcements that can be judged within the year, and those that no crossing followed."""
    judged = wrong = 0
    for at, way in told.announced:
        came = any(
            w == way and at - 14 <= day < at + times * lead for day, w in seen.true_crossings()
        )
        if came or at + times * lead <= BEFORE + YEAR:
            judged, wrong = judged + 1, wrong + (not came)
    return judged, wrong


if __name__ == "__main__":
    main()
