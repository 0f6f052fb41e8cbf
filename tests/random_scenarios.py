"""Random scenario files: every key, in every form a number may be written in.

`few_steps` gives fleets that grow seldom enough for the oracle to walk them, with prices chosen so
that the two bills stay near each other; `any_shape` gives fleets of any size.
"""

from decimal import Decimal
from random import Random

MOST = 10**13
SECONDS = 2_628_000


def text(tables):
    """The TOML text of a scenario's tables; values are written as they stand."""
    parts = []
    for name, keys in tables.items():
        parts.append(f"[{name}]")
        parts += [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(parts) + "\n"


def few_steps(rng: Random) -> str:
    """A scenario of at most some hundred steps below 10^13 requests."""
    tables = _shape(rng)
    kind = rng.choice(["tie", "tie", "near", "near", "unlimited", "loose"])
    if kind == "tie":
        _tie(rng, tables)
    elif kind == "unlimited":
        _forget_capacity(tables)
    else:
        _scale(rng, tables, near=kind == "near")
    return text(_some_left_out(rng, tables))


def any_shape(rng: Random) -> str:
    """A scenario whose fleet may grow in millions of steps."""
    return text(_some_left_out(rng, _shape(rng)))


def _shape(rng):
    """All keys, each anywhere in its range, its ends included."""
    deployment = {
        "gpus_per_replica": _whole(rng, 1, 9),
        "gpu_input_tokens_per_second": _often_zero(rng, 20_000),
        "gpu_output_tokens_per_second": _often_zero(rng, 3_000),
        "context_coefficient": _zero_or(rng, lambda: _plain(rng.uniform(1e-9, 1e-6))),
        "prefix_cache_hit_share": _share(rng),
        "headroom": rng.choice(["1", "0.7", "0.05", _plain(rng.uniform(0.01, 1))]),
        "software_efficiency": rng.choice(["1", "0.8", "2.5", _plain(rng.uniform(0.1, 3))]),
        "min_replicas": _whole(rng, 0, 3),
        "spare_replicas": _whole(rng, 0, 2),
        "gpus_per_server": rng.choice(["0", "0", _whole(rng, 1, 9)]),
        "usd_per_gpu_hour": _often_zero(rng, 9),
        "gpu_price_change_per_month": _change(rng),
        "gpu_usd_per_month": _often_zero(rng, 9_000),
        "services_usd_per_month": _often_zero(rng, 3_000),
        "people_usd_per_month": _often_zero(rng, 30_000),
        "variable_usd_per_million_tokens": _often_zero(rng, 1),
    }
    tables = {
        "workload": {
            "name": rng.choice(['"support bot"', "'a.b [x]'", '"\\u00e9"', '"9"']),
            "requests_per_month": rng.choice(["0", "1e6", "10_000_000_000_000", _volume(rng)]),
            "input_tokens": _often_zero(rng, 4_000),
            "cached_input_tokens": _often_zero(rng, 2_000),
            "output_tokens": _often_zero(rng, 1_000),
            "peak_to_mean": rng.choice(["1", "1.0", _plain(rng.uniform(1, 9))]),
            "share_moved": _share(rng),
        },
        "api": {
            "input_usd_per_million": _often_zero(rng, 30),
            "cached_input_usd_per_million": _often_zero(rng, 3),
            "output_usd_per_million": _often_zero(rng, 60),
            "fixed_usd_per_month": _often_zero(rng, 5_000),
            "minimum_usd_per_month": _often_zero(rng, 90_000),
            "price_change_per_month": _change(rng),
        },
        "deployment": deployment,
        "migration": {
            "setup_usd": _often_zero(rng, 200_000),
            "lead_days": rng.choice(["0", "60", "366", "4e2", _whole(rng, 0, 365)]),
            "dual_running_months": rng.choice(["0", "1.5", "13", _plain(rng.uniform(0, 12))]),
            "exit_usd": _often_zero(rng, 9_000),
            "exit_lead_days": _whole(rng, 0, 90),
        },
    }
    if rng.random() < 0.3:
        deployment["gpus_per_server"] = _whole(rng, 1, 9)
        tables["deployment.owned"] = {
            "server_purchase_usd": _often_zero(rng, 300_000),
            "life_months": rng.choice(["48", "0.5", _plain(rng.uniform(1, 90))]),
            "residual_share": _share(rng),
            "server_kw": _often_zero(rng, 12),
            "pue": rng.choice(["1", "1.3", _plain(rng.uniform(1, 3))]),
            "usd_per_kwh": _often_zero(rng, 1),
            "hosting_usd_per_server_month": _often_zero(rng, 900),
        }
    if rng.random() < 0.1:
        table, key = rng.choice(_AMOUNTS)
        tables[table][key] = rng.choice(["1e30", "1e-30", "123456789012345678901234567890.5"])
    return tables


_AMOUNTS = [
    ("workload", "input_tokens"),
    ("workload", "output_tokens"),
    ("api", "input_usd_per_million"),
    ("api", "fixed_usd_per_month"),
    ("api", "minimum_usd_per_month"),
    ("deployment", "usd_per_gpu_hour"),
    ("deployment", "people_usd_per_month"),
    ("migration", "setup_usd"),
]


def _tie(rng, tables):
    """Both bills rise by exactly the same in every step, so that they meet over and over.

    A replica of g GPUs at half of 20,000 tokens/s carries 2,628,000 * 10,000 * g requests of one
    token a month, and a GPU-hour of $3.60 makes that $1e-7 a request.
    """
    tables.pop("deployment.owned", None)
    dollars = rng.randint(1, 4)
    share, peak = rng.choice([("1", "1"), ("0.5", "2"), ("0.5", "1"), ("1.0", "2")])
    tables["workload"] |= {
        "input_tokens": "0",
        "cached_input_tokens": "0",
        "output_tokens": "1",
        "share_moved": share,
        "peak_to_mean": peak,
    }
    # Where demand peaks at twice the mean, a request needs twice the fleet.
    unit = dollars if peak == "1" else 2 * dollars
    tables["api"] |= {
        "output_usd_per_million": f"0.{unit}",
        "minimum_usd_per_month": rng.choice(["0", "0", "0", "1_000_000"]),
        "fixed_usd_per_month": rng.choice(["10", "500", "2628"]),
    }
    tables["deployment"] |= {
        "gpus_per_replica": rng.choice(["1", "2", "3"]),
        "gpus_per_server": rng.choice(["0", "0", "2", "3"]),
        "gpu_output_tokens_per_second": "2e4",
        "gpu_input_tokens_per_second": "0",
        "context_coefficient": "0",
        "headroom": "0.5",
        "software_efficiency": "1",
        "usd_per_gpu_hour": str(Decimal("3.6") * dollars),
        "gpu_usd_per_month": "0",
        "services_usd_per_month": rng.choice(["0", "10"]),
        "people_usd_per_month": rng.choice(["0", "0", "500", "5000"]),
        "min_replicas": rng.choice(["0", "1"]),
        "spare_replicas": "0",
        "variable_usd_per_million_tokens": "0",
    }


def _forget_capacity(tables):
    for key in ("gpu_input_tokens_per_second", "gpu_output_tokens_per_second"):
        tables["deployment"][key] = "0"
    tables["deployment"]["context_coefficient"] = "0.0"


def _scale(rng, tables, *, near):
    """Rates at which 10^13 requests need so many steps; prices at which the bills stay near."""
    work, own, api = tables["workload"], tables["deployment"], tables["api"]
    steps = rng.choice([1, 3, 20, 150, 400]) * rng.uniform(0.5, 1)
    work["input_tokens"], work["output_tokens"] = rng.choice([("0", "1"), ("350", "150.5")])
    share, peak = float(work["share_moved"]), float(work["peak_to_mean"])
    replica = int(float(own["gpus_per_replica"]))
    usable = float(own["headroom"]) * float(own["software_efficiency"])
    seconds = steps * SECONDS * replica * usable / (MOST * (share or 1) * peak)
    fresh = float(work["input_tokens"]) * (1 - float(own["prefix_cache_hit_share"]))
    out = float(work["output_tokens"])
    own["gpu_output_tokens_per_second"] = _plain(2 * out / seconds)
    own["gpu_input_tokens_per_second"] = _plain(4 * fresh / seconds) if fresh else "0"
    own["context_coefficient"] = _plain(seconds / 4 / (out * (fresh + out / 2)))
    if not near:
        return
    rent = rng.uniform(0.1, 9)
    own["usd_per_gpu_hour"] = _plain(rent)
    own["variable_usd_per_million_tokens"] = "0"
    tilt = 1 + rng.choice([-1, 1]) * rng.choice([0.5, 0.05, 0.001])
    unit = rent * 730 * replica * steps / (share or 1) / MOST * tilt
    tokens = sum(float(work[key]) for key in ("input_tokens", "cached_input_tokens"))
    price = _plain(unit * 1e6 / (tokens + out))
    api["input_usd_per_million"] = api["output_usd_per_million"] = price
    api["cached_input_usd_per_million"] = price
    own["people_usd_per_month"] = _plain(rent * 730 * replica * rng.choice([0.3, 3, 30]))


def _some_left_out(rng, tables):
    """Optional keys and tables, absent now and then."""
    required = {
        "requests_per_month",
        "input_tokens",
        "output_tokens",
        "input_usd_per_million",
        "output_usd_per_million",
        "gpus_per_replica",
    }
    kept = {
        table: {
            key: value
            for key, value in keys.items()
            if key in required
            or (key == "gpus_per_server" and "deployment.owned" in tables)
            or rng.random() > 0.12
        }
        for table, keys in tables.items()
    }
    if rng.random() < 0.2:
        kept.pop("migration", None)
    return kept


def _plain(number: float) -> str:
    """Some significant digits, now and then with an exponent."""
    return f"{Decimal(number):.7g}".replace("E+", "e").replace("E", "e")


def _whole(rng, least, most):
    number = rng.randint(least, most)
    return rng.choice([str(number), f"{number}.0", f"{number}e0", f"+{number}"])


def _volume(rng):
    return str(int(10 ** rng.uniform(0, 13)))


def _zero_or(rng, other):
    return rng.choice(["0", "0.0"]) if rng.random() < 0.3 else other()


def _often_zero(rng, most):
    return _zero_or(rng, lambda: rng.choice([_plain(rng.uniform(0, most)), str(most)]))


def _share(rng):
    return rng.choice(["0", "1", "1.0", "0.5", "0.7", _plain(rng.uniform(0.0001, 1))])


def _change(rng):
    return rng.choice(["0", "-0.02", "-0.999", "0.1", _plain(rng.uniform(-0.5, 0.5))])
