"""`crossover capacity`: what a fleet for a model carries, step by step."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import Format, note, now, show

if TYPE_CHECKING:
    from monitor.domain.capacity import Sizing, Step
    from monitor.domain.hardware import Market, Rates


MEASURED_DAYS = 28


def capacity(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help='Such as "Llama 3.3 70B", or a size: 7B, 70B.')] = "",
    gpu: Annotated[str, typer.Option(help="Such as H100.")] = "",
    precision: Annotated[str, typer.Option(help="fp16, fp8, int4, ...; else as measured.")] = "",
    input_: Annotated[str, typer.Option("--input", help="Mean input tokens of a request.")] = "500",
    output: Annotated[str, typer.Option(help="Mean output tokens of a request.")] = "200",
    requests_per_month: Annotated[str, typer.Option(help="The load.")] = "1000000",
    peak_to_mean: Annotated[str, typer.Option(help="Peak hour over mean hour.")] = "3",
    cached_share: Annotated[str, typer.Option(help="Of the input, found in a cache.")] = "0",
    spare_replicas: Annotated[str, typer.Option(help="On top of what the peak needs.")] = "1",
    gpus_per_replica: Annotated[str, typer.Option(help="Else as many as memory asks for.")] = "",
    gpus_per_server: Annotated[str, typer.Option(help="0: GPUs come singly.")] = "0",
    usd_per_gpu_hour: Annotated[str, typer.Option(help="Your own price; else a quoted one.")] = "",
    commitment: Annotated[
        str, typer.Option(help="on_demand, reserved, spot or owned.")
    ] = "on_demand",
    as_of: Annotated[str, typer.Option(help="The day on which ages are told; else today.")] = "",
    list_: Annotated[
        bool, typer.Option("--list", help="Print the models, GPUs and prices that are known.")
    ] = False,
    measured: Annotated[
        str, typer.Option(help="Print what own engines of this model did, load by load.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Size a fleet: from a published rate down to whole replicas, servers and dollars.

    Every factor in between is a line of its own, with its source; prices show their age. Nothing
    else is read: no configuration, no database. Only --measured reads the database: tokens and
    latency of own engines by band of load, over the last 28 days.

    Example: crossover capacity --model "Llama 3.3 70B" --gpu H100 --requests-per-month 5000000
    """
    from monitor import library
    from monitor.domain.capacity import Choice, size
    from monitor.domain.errors import InputError

    rates, market, on = library.capacity(), library.gpus(), _day(as_of)
    if list_:
        show(list(_known(rates, market, on)), form)
        return
    if measured:
        _measured(ctx, measured, on, form)
        return
    if not model or not gpu:
        raise InputError("a model and a GPU are needed", "Give --model and --gpu, or --list.")
    workload = {
        "requests_per_month": _number("--requests-per-month", requests_per_month),
        "input_tokens": _number("--input", input_),
        "output_tokens": _number("--output", output),
        "peak_to_mean": _number("--peak-to-mean", peak_to_mean),
    }
    written = {
        "prefix_cache_hit_share": _number("--cached-share", cached_share),
        "spare_replicas": _number("--spare-replicas", spare_replicas),
        "gpus_per_server": _number("--gpus-per-server", gpus_per_server),
    }
    for key, text in (
        ("gpus_per_replica", gpus_per_replica),
        ("usd_per_gpu_hour", usd_per_gpu_hour),
    ):
        if text:
            written[key] = _number("--" + key.replace("_", "-"), text)
    choice = Choice(model, gpu, precision, commitment)
    found = size(rates, market, choice, workload, written, on)
    for remark in found.remarks:
        note(f"Note: {remark}")
    _print(found, on, form)


def _measured(ctx: typer.Context, model: str, on: date, form: Format) -> None:
    """The bands of one served model; what is not measured is said, and is no figure."""
    from dataclasses import asdict
    from datetime import UTC, datetime, time

    from monitor.cli.common import open_database
    from monitor.domain.errors import InputError
    from monitor.domain.load_bands import measured
    from monitor.domain.usage import DAY
    from monitor.storage import engines

    end = int(datetime.combine(on, time(), UTC).timestamp()) + DAY
    database = open_database(ctx)
    with database.read() as conn:
        found = measured(engines.hours(conn, end - MEASURED_DAYS * DAY, end, model))
    database.close()
    if isinstance(found, str):
        raise InputError(
            f"{model} was not measured in the {MEASURED_DAYS} days up to {on}: {found}",
            "Name the model as its engine serves it, or size it with --model and --gpu.",
        )
    rows = [
        {k: None if v is None else _short(v) for k, v in asdict(b).items()} for b in found.bands
    ]
    show(rows, form, f"{model} by running requests, per second and engine")
    note(
        f"{found.hours:.1f} hours under load; {found.hours_without_readings} without readings."
        f" Beyond {found.bands[-1].load:.1f} running requests nothing was measured."
    )


def _day(text: str) -> date:
    from monitor.domain.errors import InputError

    try:
        return date.fromisoformat(text) if text else now().date()
    except ValueError:
        raise InputError(f"--as-of {text!r} is not a date", "Write YYYY-MM-DD.") from None


def _number(option: str, text: str) -> Decimal:
    """The exact number that was written; what it must be is the scenario's rule."""
    from monitor.domain.errors import InputError

    try:
        return Decimal(text)
    except InvalidOperation:
        raise InputError(f"{option} {text!r} is not a number", "Write it in digits.") from None


def _print(found: Sizing, on: date, form: Format) -> None:
    figures = _figures(found, on)
    if form is Format.JSON:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        return
    rows = list(_flat({k: v for k, v in figures.items() if k != "chain"}))
    if form is Format.CSV:
        chain = [(f"chain.{s['name']}", s["requests_per_second"]) for s in figures["chain"]]
        show([{"figure": name, "value": value} for name, value in [*chain, *rows]], form)
        return
    show(figures["chain"], form, "What one GPU carries")
    show([{"figure": name, "value": value} for name, value in rows], form)


def _figures(found: Sizing, on: date) -> dict[str, Any]:
    deployment, workload = found.scenario.deployment, found.scenario.workload
    saturated = found.steps[0].requests_per_second
    return {
        "chain": [_step(step) for step in found.steps],
        "saturated_per_gpu": {
            "requests_per_second": _short(saturated),
            "input_tokens_per_second": _short(saturated * workload.input_tokens),
            "output_tokens_per_second": _short(saturated * workload.output_tokens),
        },
        "gpu_seconds_per_request": {
            "prefill": _short(found.prefill_seconds),
            "decode": _short(found.decode_seconds),
        },
        "replica": {
            "gpus": deployment.gpus_per_replica,
            "memory_needed_gb": _short(found.memory.needed_gb),
            "memory_usable_gb_per_gpu": _short(found.memory.usable_gb_per_gpu),
            "requests_per_month": int(found.replica_requests_per_month),
            "output_tokens_per_month": int(found.replica_output_tokens_per_month),
        },
        "requests_per_month": workload.requests_per_month,
        **found.fleet._asdict(),
        "utilisation": None if found.utilisation is None else round(float(found.utilisation), 6),
        "gpu_usd_per_month": _usd(found.gpu_usd_per_month),
        "price": _price(found, on),
        "remarks": list(found.remarks),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "factor": _short(step.factor),
        "requests_per_second": _short(step.requests_per_second),
        "origin": step.origin,
        "source": step.source,
    }


def _price(found: Sizing, on: date) -> dict[str, Any]:
    usd = found.scenario.deployment.usd_per_gpu_hour
    if found.price is None:
        return {"usd_per_gpu_hour": _usd(usd), "source": "given"}
    row = found.price.row
    return {
        "usd_per_gpu_hour": _usd(usd),
        "lowest": _usd(found.price.low),
        "highest": _usd(found.price.high),
        "rows": found.price.rows,
        "commitment": row.commitment,
        "source": row.source,
        "as_of": row.as_of or None,
        "age_days": row.age_days(on),
        "region": row.region or None,
        "confidence": row.confidence,
    }


def _usd(exact: Fraction) -> str:
    """Dollars and cents of an amount that is not negative, half even."""
    whole, rest = divmod(round(exact * 100), 100)
    return f"{whole}.{rest:02d}"


def _short(value: Fraction | float) -> float:
    """Six significant digits: a rate is not known better."""
    return float(f"{float(value):.6g}")


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from ((f"{prefix}{name}.{n}", text) for n, text in enumerate(value))
        else:
            yield f"{prefix}{name}", "" if value is None else str(value)


def _known(rates: Rates, market: Market, on: date) -> Iterator[dict[str, Any]]:
    """One row each for what the data files hold; columns that do not apply are empty."""
    from monitor.domain.capacity import low_price

    for fit in rates.fits:
        said = (
            f"a {_plain(fit.input_tokens_per_second)}, b {_plain(fit.output_tokens_per_second)},"
            f" c {float(fit.context_coefficient):g}, worst error {float(fit.worst_error):.0%}"
        )
        yield _entry("rate", f"{fit.model} {fit.precision}", fit.gpu, said, "", rates.fitting)
    for stream in rates.streams:
        size = f"up to {stream.parameters_up_to / 10**9:g}B"
        said = f"{_plain(stream.tokens_per_second)} tokens/s, {stream.gpus} GPUs"
        yield _entry("one stream", size, stream.gpu, said, "", stream)
    for model in rates.models:
        said = f"{model.parameters / 10**9:g}B parameters"
        yield _entry("model", model.name, "", said, "", model)
    for gpu in market.gpus:
        said = f"{_plain(gpu.memory_gb)} GB"
        said += f", {_plain(gpu.tdp_watts)} W" if gpu.tdp_watts else ""
        yield _entry("GPU", gpu.name, gpu.name, said, "", None)
    gpus = {gpu.name: gpu for gpu in market.gpus}
    for row in market.prices:
        age = row.age_days(on)
        dated = "no date" if age is None else f"{row.as_of}, {age} days"
        dated += ", old" if age is not None and age > market.stale_after_days else ""
        said = (
            f"${_usd(row.usd_per_gpu_hour)} an hour, {row.commitment}, {row.confidence} confidence"
        )
        low = ", below the published ranges" * bool(low_price(gpus[row.gpu], row.usd_per_gpu_hour))
        yield _entry("price", "", row.gpu, said + low, dated, row)


def _entry(kind: str, name: str, gpu: str, said: str, dated: str, origin: Any) -> dict[str, Any]:
    source = getattr(origin, "source", "")
    return {"kind": kind, "name": name, "gpu": gpu, "is": said, "as_of": dated, "source": source}


def _plain(value: Fraction) -> str:
    return f"{float(value):,g}"
