"""BigQuery on loopback over one billing export: the very query that arrives is run, by DuckDB."""

import re
from functools import cache

import duckdb
import sqlglot

from tests.fake_api import Refusal
from tests.fake_google import FakeGoogle

TABLE = "acme.billing.gcp_billing_export_v1_0123"
_EXPORT = f"""
CREATE TABLE {TABLE} (
  billing_account_id VARCHAR,
  service STRUCT(id VARCHAR, description VARCHAR),
  sku STRUCT(id VARCHAR, description VARCHAR),
  usage_start_time TIMESTAMPTZ, usage_end_time TIMESTAMPTZ,
  project STRUCT(id VARCHAR, name VARCHAR),
  location STRUCT(location VARCHAR, country VARCHAR, region VARCHAR, zone VARCHAR),
  export_time TIMESTAMPTZ, cost DOUBLE, currency VARCHAR,
  credits STRUCT("name" VARCHAR, amount DOUBLE)[],
  invoice STRUCT("month" VARCHAR), cost_type VARCHAR
)"""
VERTEX = ("C7E2-9256-1C43", "Vertex AI")


class FakeBigQuery(FakeGoogle):
    """`charge` adds a row of the export; a page holds `page_rows`, a query needs `waits` looks."""

    scope = "https://www.googleapis.com/auth/bigquery.readonly"
    root = "/bigquery/v2"

    def __init__(self, page_rows=1000):
        super().__init__()
        self.waits = 0
        self._size = page_rows
        self._jobs = {}
        self._database = duckdb.connect()
        self._database.execute("SET timezone = 'UTC'; ATTACH ':memory:' AS acme")
        self._database.execute("CREATE SCHEMA acme.billing")
        self._database.execute(_EXPORT)

    def charge(
        self, at, sku, cost, *, month, service=VERTEX, credits_=(), currency="USD", kind="regular"
    ):
        credit = ", ".join(f"ROW('discount', {amount})" for amount in credits_)
        self._database.execute(
            f"INSERT INTO {TABLE} SELECT 'B', ROW(?, ?), ROW('S', ?), ?, ?, ROW('acme', 'Acme'),"
            f" ROW('us', 'US', 'us-central1', NULL), ?, ?, ?, [{credit}], ROW(?), ?",
            [*service, sku, at, at, at, cost, currency, month, kind],
        )

    def __exit__(self, *error):
        super().__exit__(*error)
        self._database.close()

    def answer(self, request):
        found = re.fullmatch("/bigquery/v2/projects/([^/]+)/queries(?:/(.+))?", request.path)
        project, job = found.groups()
        assert project == "acme"
        of = dict(request.query)
        if job is None:
            assert not request.document["useLegacySql"]
            if request.document.get("dryRun"):
                return {"jobComplete": True, "totalBytesProcessed": "12345", "kind": "x"}
            job = f"job_{len(self._jobs)}"
            self._jobs[job] = (self.run(request.document), [self.waits])
        else:
            assert of["location"] == "US"
        return self.part(job, int(of.get("pageToken", 0)))

    def run(self, document):
        text = in_duckdbs_words(document["query"])
        parameters = {p["name"]: value(p) for p in document["queryParameters"]}
        try:
            done = self._database.execute(text, parameters)
        except duckdb.CatalogException as error:
            raise Refusal(404, f"Not found: {error}") from None
        return [column[0] for column in done.description], done.fetchall()

    def part(self, job, at):
        (names, rows), waits = self._jobs[job]
        reference = {"projectId": "acme", "jobId": job, "location": "US"}
        if waits[0]:
            waits[0] -= 1
            return {"kind": "x", "jobReference": reference, "jobComplete": False}
        more = at + self._size < len(rows)
        return {
            "kind": "bigquery#queryResponse",
            "schema": {"fields": [{"name": name, "type": "STRING"} for name in names]},
            "jobReference": reference,
            "totalRows": str(len(rows)),
            "rows": [{"f": [{"v": v} for v in row]} for row in rows[at : at + self._size]],
            "totalBytesProcessed": "12345",
            "jobComplete": True,
            **({"pageToken": str(at + self._size)} if more else {}),
        }


@cache
def in_duckdbs_words(query):
    # DuckDB has no BIGNUMERIC; what it has holds 18 decimals.
    text = query.replace("BIGNUMERIC", "NUMERIC(38, 18)")
    return sqlglot.transpile(text, read="bigquery", write="duckdb")[0]


def value(parameter):
    given = parameter["parameterValue"]
    return given["value"] if "value" in given else [v["value"] for v in given["arrayValues"]]
