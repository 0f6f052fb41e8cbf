"""`crossover project`: a month's total with its range, of files or of the database."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.common import Format, note, now, open_database, settings, show

if TYPE_CHECKING:
    from monitor.cli.project_files import Series, Task
    from monitor.domain.forecast import NotEnough, Projection
    from monitor.jobs.projecting import Projected
    from monitor.storage import demand

_SHOWN_PROBLEMS = 20
_COLUMNS = ("series", "asof", "month", "q10", "q50", "q90")


def project(
    ctx: typer.Context,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", help="Daily totals: a CSV file series,date,value.", show_default=False
        ),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(help="With --input: a CSV file series,asof,month.", show_default=False),
    ] = None,
    workload: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the database; else every one. Several also get a total with its own range.",
            show_default=False,
        ),
    ] = None,
    as_of: Annotated[
        str, typer.Option(help="The last day to use, such as 2026-11-18; else the last closed.")
    ] = "",
    month: Annotated[str, typer.Option(help="Such as 2026-12; else that of the last day.")] = "",
    score: Annotated[
        bool,
        typer.Option("--score", help="Print how good past projections and verdicts were instead."),
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Project a month's total: 80 of 100 actual totals lie between q10 and q90.

    Any closed month, the present one, or one of the next three. Only days up
    to the as-of day are used. With --input and --tasks nothing else is read:
    no configuration, no database. With --score: what came of those whose month
    is closed.

    Example: crossover project --input daily.csv --tasks tasks.csv --format csv
    """
    from monitor.cli.scores import print_record
    from monitor.domain.errors import InputError

    if score and (source or tasks or as_of or month):
        raise InputError("--score takes no other option than --workload", "Leave the others out.")
    if score:
        print_record(ctx, workload or [], form)
        return
    if (source is None) != (tasks is None):
        raise InputError(
            "--input and --tasks belong together", "Name both files, or neither for the database."
        )
    if source and tasks:
        if workload or as_of or month:
            raise InputError(
                "--workload, --as-of and --month are for the database",
                "With --input, the file of --tasks says what to project.",
            )
        _from_files(source, tasks, form)
    else:
        _from_database(ctx, workload or [], as_of, month, form)


def _from_files(source: Path, tasks: Path, form: Format) -> None:
    from monitor.cli.project_files import read_series, read_tasks

    problems: list[str] = []
    series = read_series(source, problems)
    asked = read_tasks(tasks, series, problems)
    _refuse(problems)
    found = [_projected(series, task, tasks.name, problems) for task in asked]
    _refuse(problems)
    rows = [
        _row(task, result, series)
        for task, result in zip(asked, found, strict=True)
        if result is not None
    ]
    if form is Format.CSV:
        out = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n", extrasaction="ignore")
        out.writeheader()
        out.writerows(rows)
    else:
        _show(rows, form)


def _show(rows: Sequence[Mapping[str, Any]], form: Format) -> None:
    """A table leaves out what does not fit on a terminal."""
    left_out = ("month_to_date", "history_days", "method") if form is Format.TABLE else ()
    show([{k: v for k, v in row.items() if k not in left_out} for row in rows], form)


def _projected(
    series: Series, task: Task, file: str, problems: list[str]
) -> Projection | NotEnough | None:
    from monitor.domain.errors import InputError
    from monitor.domain.forecast import NotEnough
    from monitor.domain.forecast import project as project_one

    totals = series.totals[task.series]
    try:
        found = project_one(totals, task.month, task.as_of)
    except InputError as error:
        problems.append(f"{file} line {task.line}: {task.series}: {error.message}")
        return None
    where = f"{task.series} {task.month} as of {task.day}"
    if isinstance(found, NotEnough):
        note(f"{where}: not enough history: {found.history_days} of {found.needed} days")
    else:
        newest = max(day for day in totals if day < task.as_of)
        _remark(where, found, newest)
    return found


def _remark(where: str, found: Projection, newest: int) -> None:
    """What a reader of the figures must know besides them."""
    from monitor.domain.periods import day_of
    from monitor.domain.usage import DAY

    says = {
        "short_history": f"short history ({found.history_days} days): the range is a prior's",
        "level_shift": "the level changed at once: older days count at the new one",
        "holes": "days are missing: they are estimated",
    }
    remarks = [text for flag, text in says.items() if flag in found.flags]
    if silent := (found.as_of - newest) // DAY - 1:
        remarks.append(f"the newest day is {day_of(newest)}, {silent} before the as-of")
    if remarks:
        note(f"{where}: {'; '.join(remarks)}")


def _row(task: Task, found: Projection | NotEnough, series: Series) -> dict[str, Any]:
    figures = _figures(found, partial(series.written, task))
    return {"series": task.series, "asof": task.day, "month": task.month, **figures}


def _figures(found: Projection | NotEnough, shown: Any) -> dict[str, Any]:
    from monitor.domain.forecast import NotEnough

    if isinstance(found, NotEnough):
        quantiles: Mapping[str, Any] = dict.fromkeys(("q10", "q50", "q90"))
        method, flags = "none", "not_enough_history"
    else:
        quantiles = {name: shown(getattr(found, name)) for name in ("q10", "q50", "q90")}
        method, flags = found.method, " ".join(found.flags)
    return {
        **quantiles,
        "month_to_date": shown(found.month_to_date),
        "history_days": found.history_days,
        "method": method,
        "flags": flags,
    }


def _refuse(problems: Sequence[str]) -> None:
    """Name every row that cannot be used, and stop if there is one."""
    from monitor.domain.errors import ConfigError

    if problems:
        shown = list(problems[:_SHOWN_PROBLEMS])
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        raise ConfigError(shown, "Correct these rows; a day that is not known is left out.")


def _from_database(
    ctx: typer.Context, names: Sequence[str], day: str, month: str, form: Format
) -> None:
    from monitor.domain.periods import day_bounds, day_of, month_bounds, month_of
    from monitor.domain.usage import DAY
    from monitor.jobs import projecting
    from monitor.wiring.alerting import policy

    sources = policy(settings(ctx)).live_sources
    end = day_bounds(day)[1] if day else 0
    if month:
        month_bounds(month)
    rows: list[dict[str, Any]] = []
    with closing(open_database(ctx)) as database, database.read() as conn:
        chosen = _chosen(conn, names)
        at = int(now().timestamp())
        as_of = end or min(projecting.closed_through(conn, at, sources, w) for w in chosen)
        months = [month or month_of(as_of - DAY)]
        for one in chosen:
            found = projecting.project_all(conn, one, months, as_of, sources)
            rows += _stored(one.name, day_of(as_of - DAY), found)
        if len(chosen) > 1 and names:
            total = projecting.project_together(conn, chosen, months, as_of, sources)
            rows += _stored(" + ".join(w.name for w in chosen), day_of(as_of - DAY), total)
    _show(rows, form)


def _chosen(conn: Any, names: Sequence[str]) -> list[demand.Workload]:
    from monitor.domain.errors import InputError
    from monitor.storage import demand

    known = {w.name: w for w in demand.workloads(conn)}
    for name in names:
        if name not in known:
            raise InputError(
                f"there is no workload {name!r}", f"Known are: {', '.join(known) or 'none yet'}."
            )
    if not known:
        raise InputError("there is no workload yet", "Run `crossover run` or `crossover collect`.")
    return [known[name] for name in dict.fromkeys(names)] or list(known.values())


def _stored(workload: str, day: str, projected: Projected) -> list[dict[str, Any]]:
    rows = []
    for (unit, month), found in projected.items():
        pico = unit == "usd"
        figures = _figures(found, _dollars if pico else str)
        rows.append({"workload": workload, "asof": day, "month": month, "unit": unit, **figures})
    return rows


def _dollars(pico: int) -> str:
    from monitor.domain.money import from_pico, to_cents

    return str(to_cents(from_pico(pico)))
