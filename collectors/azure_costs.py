"""What Azure bills: Cost Management's query by day, resource and meter.

Rows are positional: what stands where is said by the columns of each answer. Azure answers few
questions a minute and says in headers of its own how long to wait.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

import msgspec

from collectors import microsoft
from collectors.http import DEFAULT_LIMITS, Limits
from collectors.window import (
    Answer,
    Buckets,
    Cursors,
    Source,
    Taken,
    Width,
    all_pages,
    decoded,
    each,
    first_of_months_ago,
    instant,
    joined,
    pico_of,
    require_currency,
    require_days,
    require_hours,
    require_names,
    utc,
)
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, BillRow, Dimensions
from monitor.ports import Read, StreamSpec

API_VERSION = "2025-03-01"
SERVICES = ("Cognitive Services", "Foundry Models", "Azure OpenAI")
"""Names that Azure bills models under; a name that is not there costs nothing to ask for."""
EVERY = 12 * HOUR
KEPT_MONTHS = 12
"""Whole months before this one that the API surely has."""

Kind = Literal["ActualCost", "AmortizedCost"]

_STREAM = "costs"
_CHUNK_DAYS = 92
_COSTS = StreamSpec(_STREAM, "bill", _CHUNK_DAYS, overlap_days=7, settle=2 * DAY)
_WIDTH = Width("a day", DAY, _CHUNK_DAYS)
_SCOPE = re.compile(r"/[\w.()-]+(?:/[\w.()-]+)*", re.ASCII)
_ROLE = "It needs the role Cost Management Reader on the scope"
_GROUPS = ("ResourceId", "Meter")
_COST_NAMES = ("cost", "totalcost", "pretaxcost")
"""How the summed column is called, in small letters; the first that is there counts."""


class _Column(msgspec.Struct):
    name: str


class _Properties(msgspec.Struct):
    columns: list[_Column]
    rows: list[Any] = msgspec.field(default_factory=list)
    following: str | None = msgspec.field(name="nextLink", default=None)


class _Page(msgspec.Struct):
    properties: _Properties


class _Line(msgspec.Struct):
    cost: Decimal | int
    usagedate: int | str
    currency: str
    resourceid: str | None = None
    meter: str | None = None

    @property
    def day(self) -> int:
        """Midnight of a date that is written as 20261118, as a number or not."""
        return int(
            datetime.strptime(str(self.usagedate)[:8], "%Y%m%d").replace(tzinfo=UTC).timestamp()
        )


def _line(cells: object, names: Sequence[str]) -> _Line:
    """One row by the names of its columns; raises ValueError."""
    if not isinstance(cells, list) or len(cells) != len(names):
        raise ValueError(f"it has not the {len(names)} cells of its columns")
    return msgspec.convert(dict(zip(names, cells, strict=True)), _Line)


def _row(cells: object, *, names: Sequence[str], account: str) -> BillRow:
    found = _line(cells, names)
    return BillRow(
        Dimensions(
            account=account,
            provider="azure",
            project=clean_name((found.resourceid or "").rpartition("/")[2]),
        ),
        found.day,
        clean_name(found.meter or ""),
        pico_of(Decimal(found.cost), found.currency),
        require_currency(found.currency),
    )


def _names(columns: Sequence[_Column]) -> list[str]:
    """The columns in small letters, the summed one as `cost`; raises ValueError without it."""
    names = [column.name.casefold() for column in columns]
    summed = next((name for name in _COST_NAMES if name in names), None)
    if summed is None:
        raise ValueError(f"no column of {clean_name(', '.join(names))} is the cost")
    return ["cost" if name == summed else name for name in names]


class AzureCosts(Source):
    """The bill of a subscription, a resource group or a billing account.

    Args:
        key: see `microsoft.Login`; empty: what this machine is.
        base_url: where the management API is.
        scope: whose costs, such as `/subscriptions/ID`.
        services: names of the services whose costs count.
        kind: with reservations where they were paid, or spread over their days.
        every_hours: the least time between two polls.
        tenant: see `microsoft.Login`.
        client_id: see `microsoft.Login`.
        authority: see `microsoft.Login`.
        api_version: of Cost Management.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str = "",
        *,
        base_url: str = microsoft.BASE_URL,
        scope: str = "",
        services: Sequence[str] = SERVICES,
        kind: Kind = "ActualCost",
        every_hours: float = EVERY / HOUR,
        tenant: str = "",
        client_id: str = "",
        authority: str = microsoft.AUTHORITY,
        api_version: str = API_VERSION,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_names(name, "services", services, least=1)
        require_hours(name, every_hours)
        if not (isinstance(scope, str) and _SCOPE.fullmatch(scope) and ".." not in scope):
            raise InputError(
                f"source {name}: scope is {scope!r}", "Write whose costs: /subscriptions/ID"
            )
        if kind not in get_args(Kind):
            raise InputError(
                f"source {name}: kind cannot be {kind!r}", f"Use {' or '.join(get_args(Kind))}"
            )
        self._scope, self._kind, self._version = scope, kind, str(api_version)
        self._services = list(services)
        self._every = int(every_hours * HOUR)
        login = microsoft.Login(name, key, tenant, client_id, authority, base_url)
        self._http = microsoft.Management(name, base_url, login, denied=_ROLE, limits=limits)
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """The costs, at a pace of their own."""
        return [_COSTS._replace(every=self._every)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All costs of the UTC days [start, end), as far as Azure still has them.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        require_days(start, end)
        kept = first_of_months_ago(now, KEPT_MONTHS)
        first, until = min(end, max(start, kept)), min(end, now - now % DAY + DAY)
        answers = [self._answer(first, until)] if first < until else []
        return Read(
            first,
            end,
            *joined(answers),
            request={
                "stream": stream,
                "scope": self._scope,
                "services": self._services,
                "kind": self._kind,
                "from": utc(first)[:10],
                "to": utc(until)[:10],
            },
            notes=[f"nothing is read before {utc(kept)[:10]}"] if start < kept else [],
        )

    def probe(self, now: int) -> str:
        """Read yesterday's costs; raises SourceError."""
        today = now - now % DAY
        lines = len(self._answer(today - DAY, today).rows)
        return f"{lines} lines of costs on {utc(today - DAY)[:10]}, as far as they have come"

    def _asked(self, start: int, end: int) -> dict[str, Any]:
        """The question; its period holds its last day."""
        services = {"name": "ServiceName", "operator": "In", "values": self._services}
        return {
            "type": self._kind,
            "timeframe": "Custom",
            "timePeriod": {"from": instant(start), "to": instant(end - 1)},
            "dataset": {
                "granularity": "Daily",
                "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
                "grouping": [{"type": "Dimension", "name": name} for name in _GROUPS],
                "filter": {"dimensions": services},
            },
        }

    def _answer(self, start: int, end: int) -> Answer:
        """All pages of one question."""
        path = f"{self._scope.lstrip('/')}/providers/Microsoft.CostManagement/query"
        buckets = Buckets(start, end, _WIDTH)
        asked = self._asked(start, end)

        def ask(cursor: str | None) -> bytes:
            params = {"api-version": self._version} | _token(cursor)
            return self._http.post(path, asked, params=list(params.items()))

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "costs").properties
            names = _names(page.columns)
            for cells in page.rows:
                _admit(buckets, cells, names)
            rows, problems = each(
                page.rows, partial(_row, names=names, account=self.account), place
            )
            return Taken(rows, problems, bool(page.following), page.following)

        return all_pages(self.name, _STREAM, ask, take, Cursors())


def _admit(buckets: Buckets, cells: object, names: Sequence[str]) -> None:
    """Take in a row; one that cannot be read is for its reader to refuse."""
    try:
        line = _line(cells, names)
        day = line.day
    except (ValueError, ArithmeticError):
        return
    buckets.admit(day, day + DAY, (line.resourceid, line.meter, line.currency))


def _token(link: str | None) -> dict[str, str]:
    """What a link to the next page adds to the question: it is followed nowhere else."""
    return dict(parse_qsl(urlsplit(link).query)) if link else {}
