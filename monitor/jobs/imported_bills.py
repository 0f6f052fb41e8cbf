"""Charges of imported files: each day as the file has it, beside what other files have of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, BillRow, Problem, utc_day
from monitor.jobs.collect import one_currency
from monitor.ports import Part, Read
from monitor.storage.collecting import keep_problems
from monitor.storage.write import Changes, Window, lock_stream, put_window, stored_bills


def put_bills(
    conn: Connection, stream_id: int, part: Part, now: int
) -> tuple[Changes, Sequence[Problem]]:
    """Each day of the file as the file has it; what it does not tell of stays.

    A file tells of the accounts and projects that stand in it; where no row of it names a project,
    of all of them.
    """
    lock_stream(conn, stream_id)
    days = sorted({row.day for row in part.bills} | set(part.days))
    read = one_currency(Read(days[0], days[-1] + DAY, part.bills, [], 1, {}))
    found = [row for row in read.rows if isinstance(row, BillRow)]
    problems = list(read.problems)
    total = Changes()
    for day in days:
        rows = [row for row in found if row.day == day]
        others, refused = _beside(stored_bills(conn, stream_id, day), rows, part)
        if day > now:
            refused = "the day lies in the future"
        if refused:
            problems.append(Problem(f"bill of {day_of(day)}", refused))
            continue
        window = Window(stream_id, day, day + DAY, min(day + DAY, utc_day(now)), now)
        changes = put_window(conn, window, [*others, *rows])
        total = Changes(*map(sum, zip(total, changes, strict=True)))
    keep_problems(conn, stream_id, problems, now)
    return total, problems


def _beside(
    stored: Sequence[BillRow], rows: Sequence[BillRow], part: Part
) -> tuple[list[BillRow], str]:
    """What of a day stays beside a file's rows; else why they are refused.

    A total without projects has those in it that another file names, and nothing tells them apart.
    Whatever comes later is taken for the whole, unless it is smaller: then it may be a part.
    """
    accounts = {account for account, _ in part.whose}
    mine = [row for row in stored if row.dims.account in accounts]
    before, told = {row.dims.project for row in mine}, {project for _, project in part.whose}
    if (before == {""} and "" not in told) or (told == {""} and before - told):
        had, has = (sum(row.amount_pico for row in some) for some in (mine, rows))
        if has < had - abs(had) // 100:
            return [], (
                f"charges of {_named(told)} are less than those of {_named(before)} that are known"
                " of the day, and may be a part of them: import all projects in one file, or this"
                " file into another --source"
            )
        told |= before
    others = [row for row in stored if row.dims.account not in accounts]
    return others + [row for row in mine if row.dims.project not in told], ""


def _named(projects: set[str]) -> str:
    names = [f"project {project}" for project in sorted(projects - {""})]
    return ", ".join(names[:3]) + (" and others" if names[3:] else "") or "no project"
