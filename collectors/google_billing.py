"""What Google bills: the billing export in BigQuery, asked by `jobs.query`.

Net is cost plus credits, which are negative. A line belongs to the month of its invoice, which may
not be the month of its usage: such a line stands on the nearest day of the invoice's month. Rows
arrive late and change, so that the newest days are asked for again and again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from collectors import googleapi
from collectors.http import DEFAULT_LIMITS, Http, Limits
from collectors.window import (
    Answer,
    Cursors,
    Source,
    Taken,
    all_pages,
    decoded,
    each,
    instant,
    joined,
    pico_of,
    require_currency,
    require_days,
    require_hours,
    require_names,
)
from monitor.domain.errors import InputError
from monitor.domain.names import clean_name
from monitor.domain.usage import DAY, HOUR, BillRow, Dimensions
from monitor.ports import Read, StreamSpec

BASE_URL = "https://bigquery.googleapis.com/bigquery/v2"
SCOPE = "https://www.googleapis.com/auth/bigquery.readonly"
SERVICES = ("C7E2-9256-1C43", "Vertex AI", "Gemini API", "Generative Language API")
"""The service id that Vertex AI was seen with, and descriptions of services."""
EVERY = 6 * HOUR

_STREAM = "costs"
_CHUNK_DAYS = 400
_COSTS = StreamSpec(_STREAM, "bill", _CHUNK_DAYS, overlap_days=10, settle=2 * DAY)
_ROWS = 10_000
_WAIT_MS = 20_000
_MOST_WAITS = 30
_TABLE = re.compile(r"[\w.:-]+\.\w+\.\w+", re.ASCII)
_PROJECT = re.compile(r"[\w.:-]+", re.ASCII)
_ROLES = (
    "It needs roles/bigquery.jobUser in the project that asks and roles/bigquery.dataViewer on the"
    " data set of the export"
)

_SQL = """
WITH line AS (
  SELECT
    GREATEST(
      PARSE_DATE('%Y%m', invoice.month),
      LEAST(DATE(usage_start_time), LAST_DAY(PARSE_DATE('%Y%m', invoice.month)))
    ) AS booked,
    COALESCE(project.id, '') AS project,
    COALESCE(location.region, location.location, '') AS region,
    service.description AS service,
    sku.description AS sku,
    cost_type,
    currency,
    CAST(cost AS BIGNUMERIC) + COALESCE(
      (SELECT SUM(CAST(credit.amount AS BIGNUMERIC)) FROM UNNEST(credits) AS credit), 0
    ) AS net
  FROM `{table}`
  WHERE service.id IN UNNEST(@services) OR service.description IN UNNEST(@services)
)
SELECT
  CAST(booked AS STRING) AS day, project, region, service, sku, cost_type, currency,
  CAST(SUM(net) AS STRING) AS amount
FROM line
WHERE booked >= @first AND booked < @until
GROUP BY booked, project, region, service, sku, cost_type, currency
ORDER BY booked, project, region, service, sku, cost_type, currency
"""


class _Cell(msgspec.Struct):
    value: Any = msgspec.field(name="v", default=None)


class _Line(msgspec.Struct):
    cells: list[_Cell] = msgspec.field(name="f")


class _Field(msgspec.Struct):
    name: str


class _Schema(msgspec.Struct):
    fields: list[_Field]


class _Job(msgspec.Struct):
    job: str = msgspec.field(name="jobId")
    location: str = ""


class _Page(msgspec.Struct, rename="camel"):
    job_complete: bool
    job_reference: _Job | None = None
    fields: _Schema | None = msgspec.field(name="schema", default=None)
    rows: list[Any] = msgspec.field(default_factory=list)
    total_rows: str = "0"
    page_token: str | None = None
    total_bytes_processed: str = "0"


class _Cost(msgspec.Struct):
    day: str
    service: str
    sku: str
    currency: str
    amount: str
    project: str = ""
    region: str = ""
    cost_type: str | None = None


def _row(result: object, *, names: Sequence[str], account: str) -> BillRow:
    cells = msgspec.convert(result, _Line).cells
    found = msgspec.convert(dict(zip(names, (cell.value for cell in cells), strict=True)), _Cost)
    kind = "" if found.cost_type in (None, "", "regular") else f" ({found.cost_type})"
    return BillRow(
        Dimensions(
            account=account,
            provider="google",
            project=clean_name(found.project),
            region=clean_name(found.region),
        ),
        int(datetime.fromisoformat(found.day[:10]).replace(tzinfo=UTC).timestamp()),
        clean_name(f"{found.service}: {found.sku}{kind}"),
        pico_of(Decimal(found.amount), found.currency),
        require_currency(found.currency),
    )


class GoogleBilling(Source):
    """The bill of a Google billing account, as it is exported to BigQuery.

    Args:
        key: see `googleapi.Login`; empty: what this machine is.
        base_url: where BigQuery is.
        table: the export, `project.dataset.gcp_billing_export_v1_...`.
        project: that runs the queries and pays for them; empty: the table's.
        location: of the data set; empty: BigQuery finds it.
        services: ids or descriptions of the services whose costs count.
        every_hours: the least time between two polls.
        limits: times, sizes and attempts of one exchange.
    """

    def __init__(
        self,
        name: str,
        account: str,
        key: str = "",
        *,
        base_url: str = BASE_URL,
        table: str = "",
        project: str = "",
        location: str = "",
        services: Sequence[str] = SERVICES,
        every_hours: float = EVERY / HOUR,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        require_names(name, "services", services, least=1)
        require_hours(name, every_hours)
        if not (isinstance(table, str) and _TABLE.fullmatch(table)):
            raise InputError(
                f"source {name}: table is {table!r}",
                "Name the export as project.dataset.gcp_billing_export_v1_...",
            )
        project = project or table.rsplit(".", 2)[0]
        if not (isinstance(project, str) and _PROJECT.fullmatch(project)):
            raise InputError(f"source {name}: project is {project!r}", "Write a project's id")
        self._table, self._project, self._location = table, project, location
        self._services = list(services)
        self._every = int(every_hours * HOUR)
        login = googleapi.Login(name, key, SCOPE)
        self._http = Http(
            name, base_url, sign=login.sign, dialect=googleapi.DIALECT, denied=_ROLES, limits=limits
        )
        super().__init__(name, account, self._http)

    def streams(self) -> Sequence[StreamSpec]:
        """The costs, at a pace of their own."""
        return [_COSTS._replace(every=self._every)]

    def read(self, stream: str, start: int, end: int, now: int) -> Read:
        """All costs of the UTC days [start, end) that the export has by now.

        Raises:
            SourceError: a page is missing or broken; a part is never returned.
        """
        del now
        require_days(start, end)
        return Read(
            start,
            end,
            *joined([self._answer(start, end)]),
            request={
                "stream": stream,
                "table": self._table,
                "services": self._services,
                "from": instant(start)[:10],
                "to": instant(end)[:10],
            },
        )

    def probe(self, now: int) -> str:
        """Have yesterday's query planned and not run, which is free; raises SourceError."""
        today = now - now % DAY
        asked = self._query(today - DAY, today) | {"dryRun": True}
        page = decoded(self._http.post(f"projects/{self._project}/queries", asked), _Page, "costs")
        return f"a query of {self._table} reads {int(page.total_bytes_processed):,} bytes"

    def _query(self, start: int, end: int) -> dict[str, Any]:
        """The question as `jobs.query` takes it."""
        days = {"first": instant(start)[:10], "until": instant(end)[:10]}
        services = {
            "name": "services",
            "parameterType": {"type": "ARRAY", "arrayType": {"type": "STRING"}},
            "parameterValue": {"arrayValues": [{"value": value} for value in self._services]},
        }
        parameters = [
            {
                "name": name,
                "parameterType": {"type": "DATE"},
                "parameterValue": {"value": value},
            }
            for name, value in days.items()
        ]
        return {
            "query": _SQL.replace("{table}", self._table),
            "useLegacySql": False,
            "parameterMode": "NAMED",
            "queryParameters": [services, *parameters],
            "maxResults": _ROWS,
            "timeoutMs": _WAIT_MS,
            **({"location": self._location} if self._location else {}),
        }

    def _answer(self, start: int, end: int) -> Answer:
        """All pages of one query."""
        path = f"projects/{self._project}/queries"
        job: list[_Job] = []
        names: list[str] = []
        counted: list[int] = []

        def ask(cursor: str | None) -> bytes:
            if cursor is not None:
                return self._http.get(f"{path}/{job[0].job}", _further(job[0], cursor))
            body = self._http.post(path, self._query(start, end))
            for _ in range(_MOST_WAITS):
                page = _page(body)
                job[:] = [page.job_reference] if page.job_reference else job
                if page.job_complete or not job:
                    break
                body = self._http.get(f"{path}/{job[0].job}", _further(job[0]))
            return body

        def take(body: bytes, place: str) -> Taken:
            page = decoded(body, _Page, "costs")
            if not page.job_complete:
                raise ValueError("the query has not ended")
            if page.page_token and not job:
                raise ValueError("it says that more follows and names no job")
            names[:] = [field.name for field in page.fields.fields] if page.fields else names
            counted.append(len(page.rows))
            if not page.page_token and sum(counted) != int(page.total_rows):
                raise ValueError(f"{sum(counted)} of {page.total_rows} rows came")
            read = partial(_row, names=names, account=self.account)
            rows, problems = each(page.rows, read, place)
            return Taken(rows, problems, bool(page.page_token), page.page_token)

        return all_pages(self.name, _STREAM, ask, take, Cursors())


def _page(body: bytes) -> _Page:
    """A page that is looked at early; what is none is refused where it is taken."""
    try:
        return decoded(body, _Page, "costs")
    except ValueError:
        return _Page(job_complete=True)


def _further(job: _Job, cursor: str = "") -> list[tuple[str, str]]:
    """The parameters of a job's next answer."""
    asked: Mapping[str, str] = {
        "pageToken": cursor,
        "location": job.location,
        "maxResults": str(_ROWS),
        "timeoutMs": str(_WAIT_MS),
    }
    return [(name, value) for name, value in asked.items() if value]
