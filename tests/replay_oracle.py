"""The costs of a replay a second time: slow, plain, and without a line of the product.

Each day is one of three kinds (API, dual, own) and its bill does not depend on what the other days
are, so a sequence of decisions is a list of kinds plus the money of each decision. Hindsight tries
every sequence: `hindsight` by going backwards over days and states, `cheapest_of_all` by listing
them, for files of a few days.
"""

from calendar import monthrange
from fractions import Fraction

from tests.oracle import MONTH_DAYS, money

API, DUAL, OWN = "api", "dual", "own"


class Replayed:
    """The bills of every day of a file in every kind; `scenario` is an Oracle."""

    def __init__(self, scenario, daily):
        """`daily`: pairs of a date and its whole requests."""
        self.scenario = scenario
        self.dates = [day for day, _ in daily]
        self.requests = [Fraction(count) for _, count in daily]
        self.lead, self.exit_lead = int(scenario.lead_days), int(scenario.exit_lead_days)
        self.dual_days = round(scenario.dual_running_months * MONTH_DAYS)
        fleet = [self._fleet(i) for i in range(len(daily))]
        whole = self._api_days(Fraction(1))
        rest = self._api_days(1 - scenario.s) if scenario.s < 1 else [Fraction(0)] * len(daily)
        self.bills = {
            API: whole,
            DUAL: [a + own for a, own in zip(whole, fleet, strict=True)],
            OWN: [a + own for a, own in zip(rest, fleet, strict=True)],
        }

    def _fleet(self, i):
        week = self.requests[max(0, i - 6) : i + 1]
        month = MONTH_DAYS * sum(week) / len(week)
        return self.scenario.self_host(self.scenario.s * month) / MONTH_DAYS

    def _api_days(self, share):
        """Every day as an API day of this share of its requests, its part of the minimum in."""
        plain = [
            self.scenario.fixed_usd_per_month / MONTH_DAYS + share * count * self.scenario.unit
            for count in self.requests
        ]
        topped = []
        for date, bill in zip(self.dates, plain, strict=True):
            month = [
                i
                for i, other in enumerate(self.dates)
                if (other.year, other.month) == (date.year, date.month)
            ]
            days = monthrange(date.year, date.month)[1]
            least = self.scenario.minimum_usd_per_month * len(month) / days
            shortfall = max(Fraction(0), least - sum(plain[i] for i in month))
            topped.append(bill + shortfall / len(month))
        return topped

    def kinds(self, events):
        """The kind of every day, and what the decisions cost; refuses a void event.

        `events`: pairs of a day's index and "self_host" or "api".
        """
        kinds = [API] * len(self.dates)
        state, since, once = "api", 0, Fraction(0)
        for day, advice in events:
            assert advice != state, f"day {day}: {advice} repeats the state"
            assert day >= since, f"day {day}: the last decision takes effect on day {since}"
            if advice == "self_host":
                once += self.scenario.setup_usd
                since = day + self.lead + 1
                for i in range(since, len(kinds)):
                    kinds[i] = DUAL if i < since + self.dual_days else OWN
            else:
                once += self.scenario.exit_usd
                since = day + self.exit_lead + 1
                for i in range(since, len(kinds)):
                    kinds[i] = API
            state = advice
        return kinds, once

    def cost(self, events):
        kinds, once = self.kinds(events)
        return once + sum(self.bills[kind][i] for i, kind in enumerate(kinds))

    def hindsight(self):
        """The cheapest sequence, from the last day backwards."""
        end, lead, leave = len(self.dates), self.lead, self.exit_lead
        api_from = [Fraction(0)] * (end + lead + leave + 2)
        """The least cost of the days from i on, day i being free API: decided about at its end."""
        own_from = {}
        """The same for day i being the k-th own day, k at most that of the first undoubled one."""
        for i in reversed(range(end)):
            for k in range(self.dual_days + 1):
                own_from[i, k] = self._own_kind(i, k) + min(
                    own_from.get((i + 1, min(k + 1, self.dual_days)), Fraction(0)),
                    self.scenario.exit_usd
                    + sum(self._own_kind(i + j, k + j) for j in range(1, leave + 1) if i + j < end)
                    + api_from[i + leave + 1],
                )
            api_from[i] = self.bills[API][i] + min(
                api_from[i + 1],
                self.scenario.setup_usd
                + sum(self.bills[API][i + 1 : i + lead + 1])
                + own_from.get((i + lead + 1, 0), Fraction(0)),
            )
        return api_from[0]

    def _own_kind(self, i, k):
        return self.bills[DUAL if k < self.dual_days else OWN][i]

    def sequences(self, state="api", since=0):
        """Every sequence of decisions that is not void."""
        yield []
        other, wait = ("self_host", self.lead) if state == "api" else ("api", self.exit_lead)
        for day in range(since, len(self.dates)):
            for rest in self.sequences(other, day + wait + 1):
                yield [(day, other), *rest]

    def cheapest_of_all(self):
        return min(self.cost(events) for events in self.sequences())

    def document(self, events):
        """The costs and the regret as `crossover backtest` prints them."""
        followed, best = self.cost(events), self.hindsight()
        return {
            "costs": {
                "followed_usd": money(followed),
                "hindsight_usd": money(best),
                "api_only_usd": money(self.cost([])),
                "self_host_only_usd": money(self.cost([(0, "self_host")])),
            },
            "regret": None if best == 0 else float(money(followed / best - 1, 6)),
        }
