"""The break-even model a second time: slow, plain, and without a line of the product.

A scenario's text goes in, the printed document comes out. Everything is a
Fraction. Where the two costs cross is found by walking every step of the
fleet below 10^13 requests, so only scenarios with few steps can be solved;
`steps()` says how many there are.
"""

import tomllib
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

LIMIT = 10**13
SECONDS = 2_628_000
HOURS = 730
MONTH_DAYS = Fraction("30.4375")
MILLION = 10**6

DEFAULTS = {
    "workload": {
        "name": "workload",
        "cached_input_tokens": 0,
        "peak_to_mean": 1,
        "share_moved": 1,
    },
    "api": {
        "fixed_usd_per_month": 0,
        "minimum_usd_per_month": 0,
        "price_change_per_month": 0,
    },
    "deployment": {
        "gpu_input_tokens_per_second": 0,
        "gpu_output_tokens_per_second": 0,
        "context_coefficient": 0,
        "prefix_cache_hit_share": 0,
        "headroom": Fraction(7, 10),
        "software_efficiency": 1,
        "min_replicas": 1,
        "spare_replicas": 0,
        "gpus_per_server": 0,
        "usd_per_gpu_hour": 0,
        "gpu_price_change_per_month": 0,
        "gpu_usd_per_month": 0,
        "services_usd_per_month": 0,
        "people_usd_per_month": 0,
        "variable_usd_per_million_tokens": 0,
    },
    "migration": {
        "setup_usd": 0,
        "lead_days": 0,
        "dual_running_months": 0,
        "exit_usd": 0,
        "exit_lead_days": 0,
    },
}
OWNED = {
    "server_purchase_usd": 0,
    "life_months": 48,
    "residual_share": 0,
    "server_kw": 0,
    "pue": Fraction(13, 10),
    "usd_per_kwh": Fraction(12, 100),
    "hosting_usd_per_server_month": 0,
}


class Oracle:
    """One scenario, computed the slow way."""

    def __init__(self, text: str) -> None:
        given = tomllib.loads(text, parse_float=Decimal)
        for table, keys in DEFAULTS.items():
            for key, value in {**keys, **given.get(table, {})}.items():
                exact = Fraction(value) if isinstance(value, int | Decimal) else value
                setattr(self, key, exact)
        owned = given["deployment"].get("owned")
        self.own = (
            None if owned is None else {k: Fraction(v) for k, v in {**OWNED, **owned}.items()}
        )
        # A cached price that is not written is that of plain input.
        if "cached_input_usd_per_million" not in given["api"]:
            self.cached_input_usd_per_million = self.input_usd_per_million
        self.request_tokens = self.input_tokens + self.cached_input_tokens + self.output_tokens
        self.V, self.s = self.requests_per_month, self.share_moved
        self.unit = (
            self.input_tokens * self.input_usd_per_million
            + self.cached_input_tokens * self.cached_input_usd_per_million
            + self.output_tokens * self.output_usd_per_million
        ) / MILLION
        self.seconds = self._seconds()

    def _seconds(self):
        fresh = self.input_tokens * (1 - self.prefix_cache_hit_share)
        out = self.output_tokens
        total = self.context_coefficient * out * (fresh + out / 2)
        if self.gpu_input_tokens_per_second:
            total += fresh / self.gpu_input_tokens_per_second
        if self.gpu_output_tokens_per_second:
            total += out / self.gpu_output_tokens_per_second
        return total

    # Costs of a month

    def api(self, n, month=0):
        unit = self.unit * (1 + self.price_change_per_month) ** month
        return max(self.minimum_usd_per_month, self.fixed_usd_per_month + n * unit)

    def replicas(self, n):
        demand = n * self.peak_to_mean / SECONDS
        if self.seconds == 0:
            needed = 0 if n == 0 else 1
        else:
            one = self.gpus_per_replica * self.headroom * self.software_efficiency / self.seconds
            needed = ceil(demand / one)
        return max(self.min_replicas, needed) + self.spare_replicas

    def gpus(self, n):
        gpus = self.replicas(n) * self.gpus_per_replica
        if self.gpus_per_server:
            gpus = ceil(gpus / self.gpus_per_server) * self.gpus_per_server
        return gpus

    def server_usd(self):
        if self.own is None:
            return Fraction(0)
        own = self.own
        return (
            own["server_purchase_usd"] * (1 - own["residual_share"]) / own["life_months"]
            + own["server_kw"] * own["pue"] * HOURS * own["usd_per_kwh"]
            + own["hosting_usd_per_server_month"]
        )

    def lines(self, n, month=0):
        gpus = self.gpus(n)
        hourly = self.usd_per_gpu_hour * (1 + self.gpu_price_change_per_month) ** month
        owned = Fraction(0)
        if self.own is not None:
            owned = gpus / self.gpus_per_server * self.server_usd()
        return {
            "gpu": gpus * hourly * HOURS + self.gpu_usd_per_month,
            "services": self.services_usd_per_month,
            "people": self.people_usd_per_month,
            "variable": n * self.request_tokens * self.variable_usd_per_million_tokens / MILLION,
            "owned": owned,
        }

    def self_host(self, n, month=0):
        return sum(self.lines(n, month).values())

    def hybrid(self, n, month=0):
        own = self.self_host(self.s * n, month)
        return own if self.s == 1 else self.api((1 - self.s) * n, month) + own

    def gap(self, n):
        """What the move costs more; at most 0 where it is no dearer."""
        return self.hybrid(n) - self.api(n)

    # Where the two cross

    def step(self):
        """Requests that one more replica carries, or None where the fleet does not grow."""
        growth = self.s * self.peak_to_mean * self.seconds
        if growth == 0:
            return None
        one = self.gpus_per_replica * self.headroom * self.software_efficiency
        return SECONDS * one / growth

    def steps(self):
        step = self.step()
        return 0 if step is None else floor(LIMIT / step)

    def _pieces(self):
        """Ranges of whole n, ends included, in which the gap is a straight line."""
        starts = {0, 1}
        step = self.step()
        if step is not None:
            starts.update(floor(k * step) + 1 for k in range(self.steps() + 1))
        # Where the minimum stops to hold, for the whole account and for what stays on it.
        room = self.minimum_usd_per_month - self.fixed_usd_per_month
        for share in (1, 1 - self.s):
            if share * self.unit > 0 and room > 0:
                kink = room / (share * self.unit)
                starts.update({floor(kink), floor(kink) + 1, ceil(kink) + 1})
        starts = sorted(n for n in starts if 0 <= n <= LIMIT)
        return zip(starts, [n - 1 for n in starts[1:]] + [LIMIT], strict=True)

    def _dearer_and_cheaper(self):
        """Ranges with a gap above 0, and ranges with a gap below 0; neighbours joined."""
        dearer, cheaper = [], []
        for first, last in self._pieces():
            at_first, at_last = self.gap(first), self.gap(last)
            slope = (at_last - at_first) / (last - first) if last > first else Fraction(0)
            for sign, found in ((1, dearer), (-1, cheaper)):
                part = _positive(sign * at_first, sign * slope, last - first)
                if part is None:
                    continue
                start, end = first + part[0], first + part[1]
                if found and found[-1][1] == start - 1:
                    found[-1][1] = end
                else:
                    found.append([start, end])
        return dearer, cheaper

    def crossings(self):
        dearer, cheaper = self._dearer_and_cheaper()
        crossing = dearer[-1][1] + 1 if dearer else 0
        if crossing > LIMIT:
            crossing = None
        regions = [[start, None if end == LIMIT else end] for start, end in cheaper]
        return crossing, regions

    def reason(self):
        if self.s == 0:
            return "nothing_moved"
        rent = self.usd_per_gpu_hour * HOURS
        if self.own is not None:
            rent += self.server_usd() / self.gpus_per_server
        one_more = self.request_tokens * self.variable_usd_per_million_tokens / MILLION
        one_more += (
            self.peak_to_mean
            * self.seconds
            * rent
            / (SECONDS * self.headroom * self.software_efficiency)
        )
        return "marginal_cost" if one_more >= self.unit else "fixed_cost"

    # At the volume that is assessed

    def net_12_months(self):
        lead = self.lead_days / MONTH_DAYS
        switched = lead + self.dual_running_months
        total = -self.setup_usd
        for month in range(12):
            stay = self.api(self.V, month)
            own = self.self_host(self.s * self.V, month)
            for cost, since, until in (
                (stay, Fraction(0), lead),
                (stay + own, lead, switched),
                (self.hybrid(self.V, month), switched, Fraction(12)),
            ):
                part = min(until, month + 1) - max(since, month)
                total -= cost * max(part, 0)
            total += stay
        return total

    def document(self):
        """What `crossover breakeven --format json` prints."""
        moved = self.s * self.V
        savings = self.api(self.V) - self.hybrid(self.V)
        crossing, regions = self.crossings()
        once = self.setup_usd + self.dual_running_months * self.self_host(moved)
        gpus = self.gpus(moved)
        used = None
        if gpus:
            used = moved * self.seconds / (SECONDS * gpus * self.software_efficiency)
        verdict = "api" if savings <= 0 else "self_host" if self.s == 1 else "hybrid"
        return {
            "workload": self.name,
            "requests_per_month": int(self.V),
            "tokens_per_month": round(self.V * self.request_tokens),
            "api_usd_per_month": money(self.api(self.V)),
            "self_host_usd_per_month": money(self.self_host(moved)),
            "hybrid_usd_per_month": money(self.hybrid(self.V)),
            "lines": {name: money(usd) for name, usd in self.lines(moved).items()},
            "replicas": int(self.replicas(moved)),
            "gpus": int(gpus),
            "servers": int(gpus / self.gpus_per_server) if self.gpus_per_server else None,
            "utilisation": ratio(used),
            "usd_per_million_tokens": {
                "api": self._each(self.api(self.V), self.V),
                "self_host": self._each(self.self_host(moved), moved),
            },
            "crossing": {
                "requests_per_month": crossing,
                "tokens_per_month": None
                if crossing is None
                else round(crossing * self.request_tokens),
                "reason": self.reason() if crossing is None else None,
            },
            "cheaper_regions": regions[:100],
            "cheaper_regions_cut": len(regions) > 100,
            "savings_usd_per_month": money(savings),
            "payback_months": None if savings <= 0 else ratio(once / savings),
            "net_12_months_usd": money(self.net_12_months()),
            "verdict": verdict,
        }

    def _each(self, usd, n):
        tokens = n * self.request_tokens
        return None if tokens == 0 else money(usd / tokens * MILLION, 4)


def _positive(at_first, slope, length):
    """The whole steps 0..length at which at_first + step * slope is above 0, as [from, to]."""
    if slope == 0:
        return (0, length) if at_first > 0 else None
    zero = -at_first / slope
    if slope > 0:
        start, end = max(0, floor(zero) + 1), length
    else:
        start, end = 0, min(length, ceil(zero) - 1)
    return (start, end) if start <= end else None


def money(usd, places=2):
    """Rounded half even; zero has no sign."""
    units = round(usd * 10**places)
    digits = str(abs(units)).rjust(places + 1, "0")
    return f"{'-' if units < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def ratio(value):
    """A JSON number of 6 places, read back as a Decimal."""
    return None if value is None else Decimal(money(value, 6))
