"""The model against hand-computed figures and against an oracle that walks every volume.

The oracle is written from the model's definition alone and shares no formula with the product.
"""

import json
import time
from dataclasses import fields, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import costs
from monitor.domain.breakeven import assess, to_json
from monitor.domain.crossings import solve
from monitor.domain.floors import Line, first_negative, word
from monitor.domain.latency import request_seconds
from monitor.domain.scenario import parse_tables, to_document

MOST = 10**13
SECONDS = 2_628_000


def tables(**changed):
    """A scenario's tables: required keys at plain values, changed by `table__key` arguments."""
    base = {
        "workload": {"requests_per_month": 1000, "input_tokens": 0, "output_tokens": 1},
        "api": {"input_usd_per_million": 0, "output_usd_per_million": 1_000_000},
        "deployment": {"gpus_per_replica": 1, "headroom": 1},
        "migration": {},
    }
    for name, value in changed.items():
        table, key = name.split("__")
        base[table][key] = value
    return base


def scenario(**changed):
    return parse_tables(tables(**changed))


def carrying(requests_per_replica, **changed):
    """A scenario whose replica carries so many requests a month; a request is one token."""
    rate = Fraction(requests_per_replica, SECONDS) / changed.get("deployment__gpus_per_replica", 1)
    return scenario(deployment__gpu_output_tokens_per_second=rate, **changed)


def in_floats(table, **drawn):
    """A table whose exact numbers are floats, with arrays in place of some."""
    values = {key.name: getattr(table, key.name) for key in fields(table)}
    floats = {key: float(v) for key, v in values.items() if isinstance(v, Fraction)}
    return replace(table, **(floats | drawn))


# The oracle: what a month costs, computed from a scenario's document, volume by volume.


def key_values(document):
    """A stored scenario's numbers, by key, as attributes."""
    values = {"owned": None}
    for table in document.values():
        for key, value in table.items():
            values[key] = value if isinstance(value, dict) or key == "name" else Fraction(value)
    if values["owned"] is not None:
        values["owned"] = {key: Fraction(value) for key, value in values["owned"].items()}
    values.setdefault("cached_input_usd_per_million", values["input_usd_per_million"])
    return SimpleNamespace(**values)


def oracle_api(k, n, month=0):
    price = (
        k.input_tokens * k.input_usd_per_million
        + k.cached_input_tokens * k.cached_input_usd_per_million
        + k.output_tokens * k.output_usd_per_million
    ) / 1_000_000
    bill = k.fixed_usd_per_month + n * price * (1 + k.price_change_per_month) ** month
    return max(bill, k.minimum_usd_per_month)


def oracle_seconds(k):
    read = k.input_tokens * (1 - k.prefix_cache_hit_share)
    seconds = k.context_coefficient * k.output_tokens * (read + k.output_tokens / 2)
    if k.gpu_input_tokens_per_second:
        seconds += read / k.gpu_input_tokens_per_second
    if k.gpu_output_tokens_per_second:
        seconds += k.output_tokens / k.gpu_output_tokens_per_second
    return seconds


def oracle_gpus(k, n):
    seconds = oracle_seconds(k)
    if seconds:
        rate = k.gpus_per_replica * k.headroom * k.software_efficiency / seconds
        busy = ceil(n * k.peak_to_mean / SECONDS / rate)
    else:
        busy = 1 if n > 0 else 0
    gpus = (max(busy, k.min_replicas) + k.spare_replicas) * k.gpus_per_replica
    if k.gpus_per_server == 0:
        return gpus, 0
    servers = ceil(Fraction(gpus, k.gpus_per_server))
    return servers * k.gpus_per_server, servers


def oracle_self(k, n, month=0):
    gpus, servers = oracle_gpus(k, n)
    rent = k.usd_per_gpu_hour * (1 + k.gpu_price_change_per_month) ** month
    tokens = k.input_tokens + k.cached_input_tokens + k.output_tokens
    usd = gpus * rent * 730 + k.gpu_usd_per_month + k.services_usd_per_month
    usd += k.people_usd_per_month + n * tokens * k.variable_usd_per_million_tokens / 1_000_000
    if k.owned is not None:
        o = k.owned
        usd += servers * (
            o["server_purchase_usd"] * (1 - o["residual_share"]) / o["life_months"]
            + o["server_kw"] * o["pue"] * 730 * o["usd_per_kwh"]
            + o["hosting_usd_per_server_month"]
        )
    return usd


def oracle_hybrid(k, n, month=0):
    if k.share_moved == 1:
        return oracle_self(k, n, month)
    rest = oracle_api(k, (1 - k.share_moved) * n, month)
    return rest + oracle_self(k, k.share_moved * n, month)


def oracle_crossings(k, limit):
    """(crossing, cheaper regions) by looking at every volume from 0 to limit."""
    differences = [oracle_hybrid(k, n) - oracle_api(k, n) for n in range(limit + 1)]
    dearer = [n for n, usd in enumerate(differences) if usd > 0]
    crossing = dearer[-1] + 1 if dearer else 0
    cheaper = [-1] + [n for n, usd in enumerate(differences) if usd < 0]
    starts = [b for a, b in pairwise(cheaper) if b != a + 1 or a == -1]
    ends = [a for a, b in pairwise([*cheaper, limit + 9]) if b != a + 1 and a >= 0]
    regions = [(a, None if b == limit else b) for a, b in zip(starts, ends, strict=True)]
    return (None if crossing > limit else crossing), regions


def oracle_net(k):
    """Twelve months as an integral over pieces of time in which nothing changes."""
    lead = k.lead_days / Fraction("30.4375")
    settled = lead + k.dual_running_months
    n = k.requests_per_month
    times = sorted({Fraction(month) for month in range(13)} | {min(lead, 12), min(settled, 12)})
    net = -k.setup_usd
    for start, end in pairwise(times):
        month = int(start)
        api = oracle_api(k, n, month)
        if start < lead:
            path = api
        elif start < settled:
            path = api + oracle_self(k, k.share_moved * n, month)
        else:
            path = oracle_hybrid(k, n, month)
        net += (api - path) * (end - start)
    return net


def amounts(most):
    """Mostly nothing, else dollars and cents."""
    return st.just(Fraction(0)) | st.integers(0, most * 100).map(lambda cents: Fraction(cents, 100))


@st.composite
def scenarios(draw):
    """Scenarios whose two curves stay near each other, so that they cross often."""
    gpus = draw(st.integers(1, 7))
    per_server = draw(st.sampled_from([0, 0, 1, 2, 3, 4, 5, 8]))
    unit = per_server or gpus
    carried = Fraction(draw(st.integers(1, 60)), draw(st.integers(1, 9)))
    rent = Fraction(draw(st.integers(0, 300)), 100)
    hosting = draw(st.integers(0, 20)) if per_server and draw(st.booleans()) else None
    usd_per_gpu = rent * 730 + Fraction(hosting or 0, unit)
    slope = usd_per_gpu * gpus / carried
    tilt = Fraction(draw(st.integers(-30, 30)), draw(st.sampled_from([100, 1000])))
    unlimited = draw(st.integers(0, 9)) == 0
    headroom, efficiency, peak = (
        Fraction(7, 10),
        Fraction(draw(st.sampled_from([1, 2]))),
        Fraction(3, 2),
    )
    seconds = SECONDS * gpus * headroom * efficiency / (peak * carried)
    document = {
        "workload": {
            "requests_per_month": draw(st.integers(0, 200)),
            "input_tokens": Fraction(0),
            "output_tokens": Fraction(1),
            "peak_to_mean": peak,
            "share_moved": Fraction(draw(st.sampled_from(["1", "1", "1/2", "1/3", "0.9", "0"]))),
        },
        "api": {
            "input_usd_per_million": Fraction(0),
            "output_usd_per_million": 1_000_000 * slope * (1 + tilt),
            "fixed_usd_per_month": draw(amounts(40)),
            "minimum_usd_per_month": draw(amounts(400)),
            "price_change_per_month": Fraction(draw(st.integers(-20, 20)), 100),
        },
        "deployment": {
            "gpus_per_replica": gpus,
            "gpus_per_server": per_server,
            "gpu_output_tokens_per_second": Fraction(0) if unlimited else 1 / seconds,
            "headroom": headroom,
            "software_efficiency": efficiency,
            "min_replicas": draw(st.integers(0, 3)),
            "spare_replicas": draw(st.integers(0, 2)),
            "usd_per_gpu_hour": rent,
            "gpu_price_change_per_month": Fraction(draw(st.integers(-20, 20)), 100),
            "gpu_usd_per_month": draw(amounts(50)),
            "variable_usd_per_million_tokens": draw(amounts(1)),
        },
        "migration": {
            "setup_usd": draw(amounts(100)),
            "lead_days": draw(st.integers(0, 400)),
            "dual_running_months": Fraction(draw(st.integers(0, 60)), 7),
        },
    }
    if hosting is not None:
        document["deployment"]["owned"] = {"hosting_usd_per_server_month": hosting}
    return parse_tables(document)


def numbers(least, most):
    """Both ends, and what lies between in thousandths."""
    between = st.integers(least * 1000, most * 1000).map(lambda x: Fraction(x, 1000))
    return st.sampled_from([Fraction(least), Fraction(most)]) | between


def table(whole=None, **ranges):
    """A table whose every key may have any value of its range."""
    counts = {key: st.integers(*ends) for key, ends in (whole or {}).items()}
    return st.fixed_dictionaries(counts | {key: numbers(*ends) for key, ends in ranges.items()})


OWNED_TABLES = table(
    server_purchase_usd=(0, 9000),
    life_months=(1, 60),
    residual_share=(0, 1),
    server_kw=(0, 12),
    pue=(1, 2),
    usd_per_kwh=(0, 1),
    hosting_usd_per_server_month=(0, 900),
)

WIDE_TABLES = {
    "workload": table(
        {"requests_per_month": (0, 10**6)},
        input_tokens=(0, 900),
        cached_input_tokens=(0, 900),
        output_tokens=(0, 900),
        peak_to_mean=(1, 4),
        share_moved=(0, 1),
    ),
    "api": table(
        input_usd_per_million=(0, 60),
        cached_input_usd_per_million=(0, 60),
        output_usd_per_million=(0, 60),
        fixed_usd_per_month=(0, 9000),
        minimum_usd_per_month=(0, 9000),
    ),
    "deployment": table(
        {
            "gpus_per_replica": (1, 16),
            "min_replicas": (0, 3),
            "spare_replicas": (0, 3),
            "gpus_per_server": (1, 16),
        },
        gpu_input_tokens_per_second=(0, 900),
        gpu_output_tokens_per_second=(0, 90),
        context_coefficient=(0, 1),
        prefix_cache_hit_share=(0, 1),
        software_efficiency=(1, 2),
        usd_per_gpu_hour=(0, 9),
        gpu_usd_per_month=(0, 9000),
        services_usd_per_month=(0, 9000),
        people_usd_per_month=(0, 9000),
        variable_usd_per_million_tokens=(0, 60),
    ),
    "migration": table({"lead_days": (0, 400)}, setup_usd=(0, 9000), dual_running_months=(0, 14)),
}


@st.composite
def wide_scenarios(draw):
    """Scenarios with any shape, whose crossings are of no interest."""
    drawn = {name: draw(tables_of) for name, tables_of in WIDE_TABLES.items()}
    drawn["api"]["price_change_per_month"] = Fraction(draw(st.integers(-99, 99)), 100)
    drawn["deployment"]["gpu_price_change_per_month"] = Fraction(draw(st.integers(-99, 99)), 100)
    drawn["deployment"]["headroom"] = Fraction(draw(st.integers(1, 100)), 100)
    if draw(st.booleans()):
        drawn["deployment"]["owned"] = draw(OWNED_TABLES)
    elif draw(st.booleans()):
        drawn["deployment"]["gpus_per_server"] = 0
    if draw(st.booleans()):
        del drawn["api"]["cached_input_usd_per_million"]
    return parse_tables(drawn)


def walked(line, length):
    return [
        line.constant + line.slope * i + line.step * ((line.rise * i + line.offset) // line.run)
        for i in range(length)
    ]


@given(scenarios(), st.integers(0, 90))
def test_the_solver_agrees_with_walking_every_volume(given_scenario, limit):
    expected = oracle_crossings(key_values(to_document(given_scenario)), limit)
    found = solve(given_scenario, limit)
    assert (found.lasting, [tuple(region) for region in found.regions]) == expected
    assert not found.cut


@given(wide_scenarios())
def test_the_costs_agree_with_the_definition(given_scenario):
    found, k = assess(given_scenario), key_values(to_document(given_scenario))
    n, moved = k.requests_per_month, k.share_moved * k.requests_per_month
    assert found.api == oracle_api(k, n)
    assert found.self_host == oracle_self(k, moved)
    assert found.hybrid == oracle_hybrid(k, n)
    gpus, servers = oracle_gpus(k, moved)
    assert (found.fleet.gpus, found.fleet.servers or 0) == (gpus, servers)
    available = SECONDS * gpus * k.software_efficiency
    assert found.utilisation == (moved * oracle_seconds(k) / available if gpus else None)
    assert found.net_12_months == oracle_net(k)


@given(wide_scenarios(), st.integers(0, 40))
def test_any_shape_of_scenario_is_solved_as_walking_solves_it(given_scenario, limit):
    expected = oracle_crossings(key_values(to_document(given_scenario)), limit)
    found = solve(given_scenario, limit)
    assert (found.lasting, [tuple(region) for region in found.regions]) == expected


@given(
    st.builds(
        Line,
        constant=st.integers(-60, 60),
        slope=st.integers(-9, 9),
        step=st.integers(-12, 12),
        rise=st.integers(0, 40),
        offset=st.integers(-50, 50),
        run=st.integers(1, 20),
    ),
    st.integers(1, 60),
    st.integers(0, 60),
)
def test_the_first_negative_value_of_a_stepped_line_is_found(line, length, skip):
    values = walked(line, length)
    expected = next((i for i in range(skip, length) if values[i] < 0), None)
    assert first_negative(*word(line, length), skip) == expected
    assert walked(line.shifted(7), length) == walked(line, length + 7)[7:]
    assert walked(line.mirrored(length - 1), length) == values[::-1]
    assert [v < 0 for v in walked(line.complement(), length)] == [v >= 0 for v in values]


# Cases computed by hand.


def test_a_fixed_fleet_crosses_where_the_api_bill_reaches_it():
    # 7 dollars against 2 a request: dearer at 3 (6), cheaper from 4 (8).
    found = solve(scenario(api__output_usd_per_million=2_000_000, deployment__gpu_usd_per_month=7))
    assert found == (4, ((4, None),), False)


def test_a_tie_belongs_to_the_crossing_and_to_no_region():
    found = solve(scenario(deployment__gpu_usd_per_month=5))
    assert found == (5, ((6, None),), False)


def test_free_own_service_is_never_dearer():
    found = assess(scenario(workload__requests_per_month=0))
    assert (found.crossing, found.cheaper_regions) == (0, ((1, None),))
    assert (found.verdict, found.payback_months) == ("api", None)


def test_both_free_is_one_long_tie():
    assert solve(scenario(api__output_usd_per_million=0)) == (0, (), False)


def test_a_growing_fleet_is_cheaper_only_when_it_is_full():
    # A replica of $8 carries 10 requests of $1: $8 to 10, $16 to 20, $24 to 30, $32 to 40,
    # and $40 for 41 to 50, when the lead is two whole dollars a replica and lasts.
    found = solve(carrying(10, deployment__usd_per_gpu_hour=Fraction(8, 730)))
    assert found.regions == ((9, 10), (17, 20), (25, 30), (33, None))
    assert found.lasting == 32


def test_two_replicas_on_a_server_grow_by_servers():
    # Two replicas of 3 GPUs need 6: two servers of 4; four replicas fill three servers of $20.
    found = carrying(
        10,
        deployment__gpus_per_replica=3,
        deployment__gpus_per_server=4,
        deployment__usd_per_gpu_hour=Fraction(5, 730),
    )
    fleets = [costs.fleet(found, n) for n in (0, 10, 11, 20, 21, 31, 41)]
    assert [fleet.replicas for fleet in fleets] == [1, 1, 2, 2, 3, 4, 5]
    assert [fleet.servers for fleet in fleets] == [1, 1, 2, 2, 3, 3, 4]
    assert [fleet.gpus for fleet in fleets] == [4, 4, 8, 8, 12, 12, 16]
    assert costs.self_bill(found, 41) == 80


def test_a_replica_may_span_whole_servers():
    found = carrying(10, deployment__gpus_per_replica=16, deployment__gpus_per_server=8)
    assert costs.fleet(found, 11) == (2, 32, 4)


def test_the_least_fleet_and_its_spares_cost_at_no_load_too():
    found = carrying(10, deployment__min_replicas=2, deployment__spare_replicas=1)
    assert [costs.fleet(found, n).replicas for n in (0, 20, 21)] == [3, 3, 4]


def test_a_fleet_may_be_empty_at_no_load():
    free = scenario(deployment__min_replicas=0, deployment__usd_per_gpu_hour=1)
    assert [costs.fleet(free, n).gpus for n in (0, Fraction(1, 3), 1, MOST)] == [0, 1, 1, 1]
    assert solve(free).lasting == 730
    idle = assess(
        scenario(
            deployment__min_replicas=0,
            workload__requests_per_month=0,
            deployment__gpu_output_tokens_per_second=1,
        )
    )
    assert (idle.fleet.gpus, idle.utilisation) == (0, None)


def test_a_fraction_of_a_request_may_need_the_next_replica():
    # Half of 21 requests is 10.5, one more than a replica of 10 carries.
    found = carrying(10, workload__share_moved=Fraction(1, 2), workload__requests_per_month=21)
    assert assess(found).fleet.replicas == 2


def test_the_seconds_of_a_request_follow_the_capacity_formula():
    found = scenario(
        workload__input_tokens=400,
        workload__cached_input_tokens=10_000,
        workload__output_tokens=100,
        deployment__prefix_cache_hit_share=Fraction(1, 4),
        deployment__gpu_input_tokens_per_second=1000,
        deployment__gpu_output_tokens_per_second=50,
        deployment__context_coefficient=Fraction(1, 10**5),
    )
    # 300 / 1000 + 100 / 50 + 1e-5 * 100 * (300 + 50); cached input takes no time.
    assert costs.gpu_seconds(found) == Fraction("0.3") + 2 + Fraction("0.35")


def test_utilisation_is_the_part_of_saturated_gpu_time_in_use():
    full = carrying(10, workload__requests_per_month=10)
    assert assess(full).utilisation == 1
    real = carrying(10, deployment__headroom=Fraction("0.7"), workload__requests_per_month=7)
    assert assess(real).fleet.replicas == 1
    assert to_json(assess(real))["utilisation"] == 0.7


def test_an_owned_server_costs_depreciation_energy_and_hosting():
    owned = {
        "server_purchase_usd": 48_000,
        "residual_share": Fraction("0.25"),
        "life_months": 36,
        "server_kw": 10,
        "pue": Fraction("1.5"),
        "usd_per_kwh": Fraction("0.2"),
        "hosting_usd_per_server_month": 500,
    }
    found = scenario(
        deployment__gpus_per_replica=8, deployment__gpus_per_server=8, deployment__owned=owned
    )
    assert assess(found).lines.owned == 1000 + 2190 + 500


def test_a_minimum_holds_only_while_the_api_is_used():
    minimum = {"api__minimum_usd_per_month": 100, "workload__requests_per_month": 20}
    closed = assess(scenario(deployment__gpu_usd_per_month=60, **minimum))
    assert (closed.api, closed.hybrid, closed.crossing) == (100, 60, 0)
    opened = assess(
        scenario(deployment__gpu_usd_per_month=60, workload__share_moved=Fraction(1, 2), **minimum)
    )
    # Half moved saves nothing up to 100 requests, half of the excess up to 200: 100 + 60 at 160.
    assert (opened.hybrid, opened.crossing) == (160, 160)
    assert opened.cheaper_regions == ((161, None),)


def test_a_minimum_makes_a_region_that_ends_where_the_fleet_grows():
    # Own service at $2 a request never keeps up with $1, but the account costs at least $50.
    found = carrying(
        20, api__minimum_usd_per_month=50, deployment__usd_per_gpu_hour=Fraction(40, 730)
    )
    assert solve(found) == (None, ((0, 20),), False)
    assert assess(found).crossing_reason == "marginal_cost"


def test_what_never_crosses_says_why():
    paid = {"deployment__gpu_usd_per_month": 1}
    assert assess(scenario(workload__share_moved=0, **paid)).crossing_reason == "nothing_moved"
    # As cheap per request as the API, but a fixed dollar above it.
    level = scenario(deployment__variable_usd_per_million_tokens=1_000_000, **paid)
    assert assess(level).crossing_reason == "marginal_cost"
    dear = scenario(deployment__gpu_usd_per_month=MOST + 1)
    assert assess(dear).crossing_reason == "fixed_cost"
    just = assess(scenario(deployment__gpu_usd_per_month=MOST))
    assert (just.crossing, just.crossing_reason, just.cheaper_regions) == (MOST, None, ())


def test_payback_counts_setup_and_both_bills_over_the_monthly_saving():
    found = assess(
        scenario(
            deployment__gpu_usd_per_month=400,
            migration__setup_usd=900,
            migration__dual_running_months=Fraction("1.5"),
        )
    )
    assert (found.savings, found.payback_months) == (600, Fraction(5, 2))
    assert found.verdict == "self_host"
    # Nine months and 15 days dual: 1.5 of 12 months pay both.
    assert found.net_12_months == Fraction("10.5") * 600 - Fraction("1.5") * 400 - 900


def test_a_switch_beyond_the_year_costs_its_setup_all_the_same():
    found = assess(scenario(migration__setup_usd=900, migration__lead_days=400))
    assert found.net_12_months == -900


def test_the_year_follows_falling_prices_month_by_month():
    found = assess(
        scenario(
            api__price_change_per_month=Fraction(-1, 2),
            api__fixed_usd_per_month=8,
            deployment__usd_per_gpu_hour=Fraction(1, 73),
            deployment__gpu_price_change_per_month=Fraction(-1, 10),
            migration__lead_days=0,
        )
    )
    api = 12 * 8 + sum(1000 * Fraction(1, 2) ** k for k in range(12))
    assert found.net_12_months == api - sum(10 * Fraction(9, 10) ** k for k in range(12))


def test_a_share_keeps_the_account_with_its_fixed_sum():
    found = assess(
        scenario(
            workload__share_moved=Fraction(3, 4),
            api__fixed_usd_per_month=20,
            deployment__gpu_usd_per_month=100,
        )
    )
    assert (found.api, found.self_host, found.hybrid) == (1020, 100, 370)
    assert (found.verdict, found.self_host_usd_per_million) == (
        "hybrid",
        Fraction(100, 750) * 10**6,
    )


WORKED = """{"workload": "support-bot", "requests_per_month": 1000000, "tokens_per_month": 500000000,
 "api_usd_per_month": "15000.00", "self_host_usd_per_month": "34000.00", "hybrid_usd_per_month": "34000.00",
 "lines": {"gpu": "12000.00", "services": "2000.00", "people": "20000.00", "variable": "0.00", "owned": "0.00"},
 "replicas": 1, "gpus": 4, "servers": null, "utilisation": 0.0,
 "usd_per_million_tokens": {"api": "30.0000", "self_host": "68.0000"},
 "crossing": {"requests_per_month": 2266667, "tokens_per_month": 1133333500, "reason": null},
 "cheaper_regions": [[2266667, null]], "cheaper_regions_cut": false,
 "savings_usd_per_month": "-19000.00", "payback_months": null, "net_12_months_usd": "-228000.00", "verdict": "api"}"""


def test_the_worked_example_prints_exactly_these_figures():
    found = assess(
        parse_tables(
            {
                "workload": {
                    "name": "support-bot",
                    "requests_per_month": 1_000_000,
                    "input_tokens": 350,
                    "output_tokens": 150,
                },
                "api": {"input_usd_per_million": 30, "output_usd_per_million": 30},
                "deployment": {
                    "gpus_per_replica": 4,
                    "gpu_usd_per_month": 12_000,
                    "services_usd_per_month": 2_000,
                    "people_usd_per_month": 20_000,
                },
            }
        )
    )
    assert json.loads(json.dumps(to_json(found))) == json.loads(WORKED)


def test_figures_are_rounded_half_even_once_and_zero_has_no_sign():
    found = to_json(
        assess(
            scenario(
                workload__requests_per_month=1,
                workload__output_tokens=Fraction(5, 2),
                api__output_usd_per_million=Fraction("2000"),
                deployment__services_usd_per_month=Fraction("0.004"),
                deployment__people_usd_per_month=Fraction("0.0050001"),
            )
        )
    )
    assert found["tokens_per_month"] == 2
    assert found["lines"]["services"] == "0.00"
    assert found["lines"]["people"] == "0.01"
    assert found["api_usd_per_month"] == "0.00"
    assert found["savings_usd_per_month"] == "0.00"
    assert found["usd_per_million_tokens"]["api"] == "2000.0000"
    assert to_json(assess(scenario(workload__requests_per_month=0)))["usd_per_million_tokens"] == {
        "api": None,
        "self_host": None,
    }


def test_figures_beyond_any_double_are_still_printed():
    found = assess(
        scenario(
            api__output_usd_per_million=10**199,
            deployment__gpu_usd_per_month=10**194 - Fraction(1, 10**150),
            workload__requests_per_month=10,
            migration__setup_usd=10**199,
        )
    )
    assert json.loads(json.dumps(to_json(found)))["payback_months"] > 10**4


def test_the_same_formulas_take_draws_of_numpy():
    rates = [Fraction(1), Fraction(2), Fraction(3)]
    exact = [
        scenario(
            api__output_usd_per_million=10**6 * rate,
            deployment__usd_per_gpu_hour=rate / 100,
            deployment__gpu_output_tokens_per_second=rate / SECONDS,
            workload__share_moved=Fraction(1, 2),
        )
        for rate in rates
    ]
    draws = np.array([1.0, 2.0, 3.0])
    drawn = replace(
        exact[0],
        workload=in_floats(exact[0].workload),
        api=in_floats(exact[0].api, output_usd_per_million=draws * 1e6),
        deployment=in_floats(
            exact[0].deployment,
            usd_per_gpu_hour=draws / 100,
            gpu_output_tokens_per_second=draws / SECONDS,
        ),
    )
    bills = costs.hybrid_bill(drawn, 7)
    assert bills.dtype == float
    assert bills == pytest.approx([float(costs.hybrid_bill(one, 7)) for one in exact])
    replicas = [costs.fleet(one, Fraction(7, 2)).replicas for one in exact]
    assert list(costs.fleet(drawn, 3.5).replicas) == replicas == [4, 2, 2]


# Fleets that grow in millions of steps: known beyond what can be walked.


def timed(given_scenario):
    began = time.process_time()
    found = solve(given_scenario)
    assert time.process_time() - began < 0.5
    return found


def test_regions_that_begin_after_a_hundred_million_steps_are_found():
    # A replica of $1,000 carries 1,000 requests of $1.0000001, and $10,000 are fixed. At the end
    # of step r the difference is 10000 - r/10000: it is negative from step 100,000,001 on.
    found = timed(
        carrying(
            1000,
            api__output_usd_per_million=Fraction("1000000.1"),
            deployment__usd_per_gpu_hour=Fraction(1000, 730),
            deployment__people_usd_per_month=10_000,
        )
    )
    ends = [1000 * (10**8 + step) for step in range(1, 101)]
    assert found.regions == tuple((end, end) for end in ends)
    assert found.cut
    # At the start of step r it is 10999.0000999 - r/10000: positive for the last time at the
    # first volume of step 109,990,000.
    assert found.lasting == 1000 * 109_989_999 + 2


def test_curves_that_rise_exactly_together_meet_once_in_every_step_for_ever():
    # Own service follows at $1 a request on average and the API has a fixed $10 more.
    found = timed(
        carrying(
            1000, api__fixed_usd_per_month=10, deployment__usd_per_gpu_hour=Fraction(1000, 730)
        )
    )
    assert found.regions == tuple((1000 * k - 9, 1000 * k) for k in range(1, 101))
    # 10^13 ends a step, so that its last ten volumes and the tie before them last.
    assert (found.cut, found.lasting) == (True, MOST - 10)


def test_a_region_may_run_through_a_hundred_million_steps():
    # Own service is $50,000 ahead and loses a dollar in each step of 1,000 requests.
    found = timed(
        carrying(
            1000,
            api__fixed_usd_per_month=10**8,
            api__output_usd_per_million=999_000,
            deployment__usd_per_gpu_hour=Fraction(1000, 730),
        )
    )
    # At the start of step r: 1000*r - 999*(1000*r - 999)/1000 - 10^8 = r + 998.001 - 10^8.
    assert found.regions[0] == (0, 1000 * (10**8 - 998 - 1))
    assert (len(found.regions), found.cut, found.lasting) == (100, True, None)


def test_every_request_may_need_a_million_replicas():
    # 10^19 replicas at the far end; the cents of a replica decide.
    found = timed(
        carrying(
            Fraction(1, 10**6),
            api__output_usd_per_million=10**12 + 1,
            deployment__usd_per_gpu_hour=Fraction(1, 730),
            deployment__people_usd_per_month=1,
        )
    )
    assert found == (10**6, ((10**6 + 1, None),), False)


@pytest.mark.parametrize(
    ("gpus", "server", "share"), [(3, 4, "1"), (5, 8, "0.7"), (7, 16, "1/3"), (29, 32, "1")]
)
def test_servers_that_hold_no_whole_replicas_are_solved_as_fast(gpus, server, share):
    carried = Fraction(10**13, 1_234_567_891)
    usd_per_request = gpus * 2 / carried
    found = carrying(
        carried,
        workload__share_moved=Fraction(share),
        deployment__gpus_per_replica=gpus,
        deployment__gpus_per_server=server,
        deployment__usd_per_gpu_hour=Fraction(2, 730),
        deployment__people_usd_per_month=10,
        api__output_usd_per_million=usd_per_request * (10**6 + Fraction(1, 100)),
    )
    k = key_values(to_document(found))

    def difference(n):
        return oracle_hybrid(k, n) - oracle_api(k, n)

    crossings = timed(found)
    assert crossings.regions
    for start, end in crossings.regions:
        assert difference(start) < 0 <= difference(start - 1)
        assert end is None or difference(end) < 0 <= difference(end + 1)
    assert difference(crossings.lasting) <= 0 < difference(crossings.lasting - 1)


def test_a_request_takes_its_calls_times_the_way_and_then_the_computing():
    # Source E's exercise: 0.8 s of processing and 0.2 s of local input and output.
    assert request_seconds(1, Fraction("0.2"), 0, Fraction("0.8")) == 1
    assert request_seconds(5, Fraction("0.05"), Fraction("0.01"), 2) == Fraction("2.3")
