"""The small program for a GPU host: reads its GPUs and prints a row for each of them and minute.

It stands on nvidia-ml-py and the standard library alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from collectors.nvml import Nvml
from collectors.nvml_minute import Reading
from monitor import __version__
from monitor.domain.errors import SourceError
from monitor.domain.usage import Device
from monitor.ports import Sampler

EPILOG = """\
Without --once the program runs until SIGTERM or SIGINT and prints a row for each GPU when a UTC
minute is complete; the minute that is open at the end is left out, so that a restart never gives a
minute twice. Rows go to stdout, everything else to stderr. Without an NVIDIA driver it waits for
one. To store the readings in a shared PostgreSQL instead, run: crossover agent --database URL
"""
# The driver keeps some 15 seconds of samples; minutes are joined from readings up to 90 s apart.
SHORTEST, LONGEST = 1.0, 30.0

Row = Mapping[str, Any]
Emit = Callable[[Row], None]
MINUTE_COLUMNS = {
    "minute": 10,
    "uuid": 40,
    "util_mean": 9,
    "mem_used_max": 13,
    "power_mean_mw": 13,
    "energy_mj": 10,
    "temp_max": 8,
    "status": 7,
    "reason": 0,
}
ONCE_COLUMNS = {
    "uuid": 40,
    "name": 26,
    "util": 5,
    "mem_used": 13,
    "power_mw": 8,
    "temperature": 11,
    "status": 7,
    "reason": 0,
}


class Clock(Protocol):
    """Time as the program sees it."""

    def now(self) -> float:
        """UTC epoch seconds."""

    def wait(self, seconds: float) -> bool:
        """Let so many seconds pass; True as soon as the program shall stop."""


class SystemClock:
    """The machine's clock, and SIGTERM and SIGINT as the end of the wait.

    The signals are blocked, so that they never interrupt a reading or a half-written row.
    """

    STOP = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, self.STOP)

    def now(self) -> float:
        """UTC epoch seconds."""
        return time.time()

    def wait(self, seconds: float) -> bool:
        """Sleep; True as soon as a stop signal has come."""
        return signal.sigtimedwait(self.STOP, seconds) is not None


def main(argv: list[str] | None = None, clock: Clock | None = None) -> int:
    """The console script `crossover-agent`; returns the exit code: 0, or 4 without a GPU."""
    options = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    sampler = Nvml(options.host)
    try:
        if options.once:
            rows = once(sampler, time.time() if clock is None else clock.now())
            emit = _writer(options)
            for row in rows:
                emit(row)
        else:
            emit = _writer(options)
            stream(sampler, options.host, clock or SystemClock(), options.interval, emit)
    except SourceError as error:
        print(f"crossover-agent: {error}", file=sys.stderr)  # noqa: T201 - a program prints
        return error.exit_code
    except BrokenPipeError:
        # The reader left; without this the interpreter fails again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        sampler.close()
    return 0


def once(sampler: Nvml, now: float) -> list[Row]:
    """One reading of each GPU; raises SourceError where there is none."""
    sampler.probe()
    readings = sampler.look(now)
    return [snapshot(device, readings[device.uuid]) for device in sampler.devices()]


def stream(sampler: Sampler, host: str, clock: Clock, interval: float, emit: Emit) -> None:
    """Poll at every multiple of `interval` until the clock says stop."""
    while True:
        for row in sampler.poll(clock.now()):
            emit({"host": host, **row._asdict()})
        if clock.wait(interval - clock.now() % interval):
            return


def snapshot(device: Device, reading: Reading) -> Row:
    """One GPU now, in the units of `Minute`."""
    samples = reading.utilisation
    return {
        **device._asdict(),
        "util": sum(samples) / len(samples) if samples else None,
        "mem_used": reading.mem_used,
        "power_mw": reading.power_mw,
        "energy_total_mj": reading.energy_mj,
        "temperature": reading.temperature,
        "status": reading.status,
        "reason": reading.reason,
    }


def _writer(options: argparse.Namespace) -> Emit:
    if (options.format or ("table" if options.once else "json")) == "json":
        return print_json
    return print_table(ONCE_COLUMNS if options.once else MINUTE_COLUMNS)


def print_json(row: Row) -> None:
    """One JSON object on one line."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def print_table(columns: Mapping[str, int]) -> Emit:
    """Print the head of a table of the columns and widths given; returns what prints a row."""

    def line(cells: Mapping[str, str]) -> None:
        text = "  ".join(cells[name].ljust(width) for name, width in columns.items())
        sys.stdout.write(text.rstrip() + "\n")
        sys.stdout.flush()

    line({name: name for name in columns})
    return lambda row: line({name: _cell(row[name]) for name in columns})


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crossover-agent",
        description="Read the NVIDIA GPUs of this host and print a row for each GPU and minute.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--host", default=socket.gethostname(), help="the host's name in every row (%(default)s)"
    )
    parser.add_argument(
        "--interval", type=_interval, default=5.0, help="seconds between readings (%(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="print one reading of each GPU")
    parser.add_argument("--format", choices=("json", "table"), help="table with --once, else json")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _interval(text: str) -> float:
    seconds = float(text)
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not between {SHORTEST:g} and {LONGEST:g}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
