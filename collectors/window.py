"""What sources that are read by windows share: exact JSON, rows one by one, answers that are whole.

A source's own file says what it asks for and how a result becomes a row. What makes an answer
complete stands here: a total that is too small looks like a saving.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import EXACT, MAX_PICO, PICO, to_pico
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, MAX_COUNT, BillRow, Problem, UsageRow, add

if TYPE_CHECKING:
    from collectors.http import Http

PAYLOAD_CAP = 2_000
"""Characters of a row in quarantine."""
MOST_PAGES = 10_000
MOST_EMPTY = 20
"""Pages in a row that may be empty before it is clear that none will end the answer."""
_LARGEST_AMOUNT = MAX_PICO // PICO
_LONGEST_COUNT = 18
_LONGEST_NUMBER = 100
"""Digits."""

_MEASURES = ("amount", "tokens", "requests", "quantity")

Row = UsageRow | BillRow
_Page = TypeVar("_Page")
_Read = TypeVar("_Read")


class Source:
    """What every source has.

    Args:
        name: the source's configured name.
        account: who is billed.
        connections: closed with it.
    """

    def __init__(self, name: str, account: str, *connections: Http) -> None:
        self.name = name
        self.account = account
        self._connections = connections

    def close(self) -> None:
        """Release the connections."""
        for connection in self._connections:
            connection.close()


class Width(NamedTuple):
    """A width of buckets and how many of them one page may hold; asking for more is refused."""

    name: str
    seconds: int
    limit: int

    @property
    def days(self) -> int:
        """The most whole days of one page."""
        return self.limit * self.seconds // DAY


def decoded(page: bytes, kind: type[_Page], of: str) -> _Page:
    """A page whose results stay plain objects; numbers with a point are exact decimals.

    Raises:
        ValueError: these bytes are no page `of` what was asked for.
    """
    try:
        # NaN is not JSON, but some writers emit it: as text it spoils its row and not the page.
        document = json.loads(page, parse_float=_exact, parse_int=_whole, parse_constant=str)
        return fit(document, kind)
    except (ValueError, ArithmeticError, RecursionError, msgspec.ValidationError) as error:
        raise ValueError(f"not a page of {of}: {clean_name(str(error))}") from None


def fit(document: Any, kind: type[_Page]) -> _Page:
    """A document as `kind`; a number that some writer put into quotes is that number.

    Raises:
        ValueError: it does not fit.
    """
    return msgspec.convert(document, kind, strict=False)


def _exact(text: str) -> int | Decimal | str:
    """A number with a point or an exponent; one that is whole may count something."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        return text
    whole = value.adjusted() < _LONGEST_COUNT and value == value.to_integral_value()
    return int(value) if whole else value


def _whole(text: str) -> int | str:
    """A number of digits alone; what no field could hold stays text and spoils its row only."""
    return int(text) if len(text) <= _LONGEST_NUMBER else text


def each(
    results: Sequence[Any], read: Callable[[Any], _Read], place: str
) -> tuple[list[_Read], list[Problem]]:
    """What is read of some results, and those that could not be read."""
    rows: list[_Read] = []
    problems: list[Problem] = []
    for number, result in enumerate(results, 1):
        try:
            rows.append(read(result))
        except (ValueError, ArithmeticError, msgspec.ValidationError) as error:
            payload = json.dumps(result, default=str)[:PAYLOAD_CAP]
            where = f"{place}, result {number}"
            problems.append(Problem(where, clean_name(str(error)), payload))
    return rows, problems


class Cursors:
    """The pages of one answer, until the provider says that there are no more."""

    def __init__(self, most: int = MOST_PAGES, of: str = "that one answer may have") -> None:
        self.pages = 0
        self._most, self._of = most, of
        self._followed: set[str] = set()
        self._empty, self._in_a_row = 0, 0

    def admit(self, more: bool, following: str | None, *, empty: bool = False) -> str | None:
        """The cursor of the next page, None after the last.

        Args:
            more: what the page says of a next one.
            following: the cursor that it gives.
            empty: nothing is on the page.

        Raises:
            ValueError: the page cannot belong to a complete answer.
        """
        self.pages += 1
        self._empty += empty
        self._in_a_row = self._in_a_row + 1 if empty else 0
        if not more:
            return None
        if not following:
            raise ValueError("it says that more follows and gives no cursor")
        if following in self._followed:
            raise ValueError("its cursor was already followed")
        if self._in_a_row >= MOST_EMPTY:
            raise ValueError(f"{MOST_EMPTY} pages in a row are empty and more follows")
        if self.pages - self._empty > self._most:
            raise ValueError(f"there are more pages than the {self._most} {self._of}")
        self._followed.add(following)
        return following


class Buckets:
    """The buckets of one answer: aligned, inside the window, none twice.

    A page may end within a bucket, of which the next one has the other groups. The bucket before
    the first and the one after the last belong to other questions, whoever sends them: they are
    left to those.

    Args:
        start: the first instant that was asked for.
        end: the first that was not.
        width: of the buckets.
    """

    def __init__(self, start: int, end: int, width: Width) -> None:
        self.asked = -(-(end - start) // width.seconds)
        self._start, self._end, self._width = start, end, width
        self._seen: dict[object, set[Group]] = {}
        self._last: object = None

    @property
    def absent(self) -> int:
        """Buckets that were asked for and have not come."""
        return self.asked - len(self._seen)

    def admit(self, start: int, end: int, key: object = (), groups: Collection[Group] = ()) -> bool:
        """Take in a bucket with its groups, or the row of one group; False: it is not asked for.

        Raises:
            ValueError: it cannot belong to the answer.
        """
        name = f"bucket {utc(start)}"
        width = self._width.seconds
        # The end of a bucket that is still filling may be the end of the question.
        if start % width or not 0 < end - start <= width:
            raise ValueError(f"{name} to {utc(end)} is not aligned to {self._width.name}")
        if not self._start <= start < self._end:
            if self._start - width <= start < self._end + width:
                return False
            raise ValueError(f"{name} lies outside the window that was asked for")
        known = self._seen.get((start, key))
        if known is None:
            self._seen[start, key] = set(groups)
        elif self._last == (start, key) and groups and known.isdisjoint(groups):
            known.update(groups)
        else:
            raise ValueError(f"{name} came twice")
        self._last = (start, key)
        return True


Group = frozenset[tuple[str, object]]


def groups_of(results: Iterable[Any]) -> list[Group]:
    """What the results of a bucket are of: texts and truth values that measure nothing."""
    return [
        frozenset(
            (name, value)
            for name, value in result.items()
            if isinstance(value, str | bool) and not name.endswith(_MEASURES)
        )
        for result in results
        if isinstance(result, dict)
    ]


class Overlap:
    """Pages one after the other, each without what the end of the page before it already had."""

    def __init__(self) -> None:
        self._before: list[Any] = []

    def fresh(self, page: list[_Page]) -> list[_Page]:
        """What is new on a page.

        One that repeats the page before it whole stays as it is: that is no overlap, but a cursor
        that leads nowhere.
        """
        before, self._before = self._before, page or self._before
        for n in range(min(len(page), len(before) - 1), 0, -1):
            if page[:n] == before[-n:]:
                return page[n:]
        return page


class Answer(NamedTuple):
    """All pages that one question got, or several."""

    rows: list[Row]
    problems: list[Problem]
    pages: int

    @property
    def tokens(self) -> int:
        """Of all of its usage."""
        return sum(row.quantities.tokens for row in self.rows if isinstance(row, UsageRow))


def joined(answers: Iterable[Answer]) -> Answer:
    """Answers as one, with one row for each key."""
    found = list(answers)
    return Answer(
        merged(row for answer in found for row in answer.rows),
        [problem for answer in found for problem in answer.problems],
        sum(answer.pages for answer in found),
    )


class Taken(NamedTuple):
    """What one page holds, and what it says of the next one."""

    rows: Sequence[Row]
    problems: Sequence[Problem]
    more: bool
    following: str | None
    empty: bool = False


def all_pages(
    source: str,
    stream: str,
    ask: Callable[[str | None], bytes],
    take: Callable[[bytes, str], Taken],
    cursors: Cursors,
) -> Answer:
    """Every page of an answer: `ask` gets the one at a cursor, `take` reads it by its place.

    Raises:
        SourceError: a page is missing or broken; a part is never returned.
    """
    answer = Answer([], [], 0)
    cursor: str | None = None
    while cursors.pages == 0 or cursor is not None:
        body = ask(cursor)
        place = f"page {cursors.pages + 1}"
        try:
            page = take(body, place)
            cursor = cursors.admit(page.more, page.following, empty=page.empty)
        except ValueError as error:
            raise SourceError(
                source,
                f"{stream}, {place}: {error}",
                "Nothing of this read was kept; it is tried again at the next poll",
            ) from None
        answer.rows.extend(page.rows)
        answer.problems.extend(page.problems)
    return answer._replace(pages=cursors.pages)


def whole(ask: Callable[[str | None], bytes]) -> Callable[[str | None], bytes]:
    """`ask`, and once more where what came is no JSON: that was cut or replaced on the way."""

    def asked(cursor: str | None) -> bytes:
        body = ask(cursor)
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            return ask(cursor)
        return body

    return asked


def query(asked: Mapping[str, Any], arrays: str, cursor: str | None) -> list[tuple[str, str]]:
    """The parameters of a question: `group_by` repeated under the name `arrays`, then the rest."""
    params = [(arrays, group) for group in asked["group_by"]]
    params += [(name, str(value)) for name, value in asked.items() if name != "group_by"]
    return params if cursor is None else [*params, ("page", cursor)]


def asked_until(end: int, now: int) -> int:
    """The future is never asked for: the end of the last full hour before `now`."""
    return min(end, now - now % HOUR)


def require_groups(source: str, group_by: Sequence[str], known: Iterable[str], always: str) -> None:
    """Raises InputError where a configured `group_by` names what the API cannot split by."""
    if unknown := sorted(set(group_by) - set(known)):
        raise InputError(
            f"source {source}: group_by cannot be {', '.join(unknown)}",
            f"Use some of {', '.join(sorted(known))}; {always} always are",
        )


def require_names(source: str, option: str, names: object, *, least: int = 0) -> None:
    """Raises InputError unless an option is a list of at least `least` names."""
    listed = isinstance(names, list | tuple)
    if not listed or len(names) < least or not all(isinstance(n, str) and n for n in names):  # type: ignore[arg-type,attr-defined]
        raise InputError(
            f"source {source}: {option} is {names!r}",
            f'Write a list of {"one or more " if least else ""}names: {option} = ["..."]',
        )


def require_hours(source: str, hours: object) -> None:
    """Raises InputError unless the option `every_hours` is a time between an hour and a week."""
    if isinstance(hours, bool) or not (isinstance(hours, int | float) and 1 <= hours <= 24 * 7):
        raise InputError(
            f"source {source}: every_hours is {hours!r}", "Write hours between 1 and 168"
        )


def require_days(start: int, end: int) -> None:
    """Raises ValueError unless [start, end) is a window of whole UTC days."""
    if start % DAY or end % DAY or start >= end:
        raise ValueError(f"[{start}, {end}) is not a window of whole UTC days")


def pico_of(amount: Decimal, currency: str, unit: int = 0) -> int:
    """An amount of one line item and day in 10^-12 of its currency; cents are its `unit` -2.

    Raises:
        ValueError: it is no such amount.
    """
    # Compared, not computed with: abs() would round, and overflow on a large exponent.
    if not (amount.is_finite() and -_LARGEST_AMOUNT <= amount <= _LARGEST_AMOUNT):
        raise ValueError(f"{amount} {currency} cannot be one line item of one day")
    return to_pico(EXACT.scaleb(amount, unit))


def require_currency(currency: str) -> str:
    """A currency's code; raises ValueError where it is none."""
    if not (
        len(currency) == len("USD")
        and currency.isascii()
        and currency.isalpha()
        and currency.isupper()
    ):
        raise ValueError(f"{clean_name(currency)!r} is no currency")
    return currency


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each key: names that become equal when cleaned are one series."""
    found: dict[tuple[object, ...], Row] = {}
    for row in rows:
        # Amounts of two currencies are no sum: who stores them chooses.
        key = (*row[:3], row.currency if isinstance(row, BillRow) else "")
        known = found.get(key)
        found[key] = row if known is None else _joined(known, row)
    return list(found.values())


def _joined(a: Row, b: Row) -> Row:
    if isinstance(a, BillRow) and isinstance(b, BillRow):
        return a._replace(amount_pico=a.amount_pico + b.amount_pico)
    assert isinstance(a, UsageRow)
    assert isinstance(b, UsageRow)
    return a._replace(quantities=add(a.quantities, b.quantities))


def count_of(value: object) -> int | None:
    """A count as lenient writers have it, `120000`, `"120000"` or `120000.0`; None is unknown.

    Raises:
        ValueError: it is no count that a row may hold.
    """
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"{clean_name(repr(value))} is no count") from None
    if not number.is_finite() or not 0 <= number <= MAX_COUNT or number != int(number):
        raise ValueError(f"{clean_name(str(value))} is no count from 0 to {MAX_COUNT}")
    return int(number)


def moment(text: object) -> datetime:
    """An instant as lenient writers have it: without T, without a zone, which is UTC then.

    Raises:
        ValueError: it is none.
    """
    try:
        found = datetime.fromisoformat(str(text).strip())
    except ValueError:
        raise ValueError(f"{clean_name(repr(text))} is no time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def utc(at: int) -> str:
    """An instant as people read it, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")


def instant(at: int) -> str:
    """An instant as RFC 3339 has it, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def first_of_months_ago(now: int, months: int) -> int:
    """Midnight of the first day of the month that many months before this one."""
    today = datetime.fromtimestamp(now, UTC)
    month = today.year * 12 + today.month - 1 - months
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())


def epoch(text: str) -> int:
    """The epoch second of an RFC 3339 instant.

    Raises:
        ValueError: it is none, or names no zone.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return int(found.timestamp())
