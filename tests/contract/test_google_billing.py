"""The source of Google's bill over real HTTP; its query is run as it is sent, over an export."""

from decimal import Decimal

import pytest

from collectors.google_billing import GoogleBilling
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.periods import day_of
from monitor.domain.usage import DAY, HOUR
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.contract.kinds.google_billing import INPUT, START
from tests.fake_bigquery import TABLE, FakeBigQuery

NOW = START + 2 * DAY + HOUR
NOVEMBER = START - 17 * DAY


@pytest.fixture
def fake():
    with FakeBigQuery() as server:
        yield server


@pytest.fixture
def source(fake, opened):
    def make(**options):
        chosen = {"table": TABLE, **options}
        key = fake.service_account()
        return opened(GoogleBilling("gcp", "acme", key, base_url=fake.url, limits=QUICK, **chosen))

    return make


def read(source, start=START, days=1):
    return source.read("costs", start, start + days * DAY, NOW)


def amounts(found):
    return {row.line_item: Decimal(row.amount_pico) / PICO for row in found.rows}


def test_net_is_cost_and_credits_by_kind_of_line(fake, source):
    fake.charge("2026-11-18T01:00:00Z", INPUT, 0.1, month="202611", credits_=[-0.02, -0.01])
    fake.charge("2026-11-18T23:59:59Z", INPUT, 0.2, month="202611")
    fake.charge("2026-11-18T02:00:00Z", "Tax", 0.05, month="202611", kind="tax")
    found = read(source())
    assert amounts(found) == {
        f"Vertex AI: {INPUT}": Decimal("0.27"),
        "Vertex AI: Tax (tax)": Decimal("0.05"),
    }
    row = found.rows[0]
    assert (row.dims.provider, row.dims.project, row.dims.region) == (
        *("google", "acme", "us-central1"),
    )
    assert (row.day, row.currency) == (START, "USD")


def test_a_line_stands_in_the_month_of_its_invoice(fake, source):
    fake.charge("2026-10-31T23:00:00Z", "late", 1, month="202611")
    fake.charge("2026-12-01T03:00:00Z", "early", 2, month="202611")
    fake.charge("2026-11-30T23:00:00Z", "usual", 4, month="202611")
    found = read(source(), start=NOVEMBER, days=30)
    assert {row.line_item: day_of(row.day) for row in found.rows} == {
        "Vertex AI: late": "2026-11-01",
        "Vertex AI: early": "2026-11-30",
        "Vertex AI: usual": "2026-11-30",
    }
    assert not read(source(), start=NOVEMBER + 30 * DAY, days=2).rows


def test_currencies_stay_apart(fake, source):
    fake.charge("2026-11-18T01:00:00Z", INPUT, 1, month="202611", currency="EUR")
    fake.charge("2026-11-18T01:00:00Z", INPUT, 2, month="202611")
    rows = read(source()).rows
    assert {row.currency: row.amount_pico // PICO for row in rows} == {"EUR": 1, "USD": 2}


def test_services_are_chosen_by_id_or_by_name(fake, source):
    for id_, name in (("C7E2-9256-1C43", "renamed"), ("X", "Gemini API"), ("Y", "Claude")):
        fake.charge("2026-11-18T01:00:00Z", "s", 1, month="202611", service=(id_, name))
    assert sorted(amounts(read(source()))) == ["Gemini API: s", "renamed: s"]
    assert sorted(amounts(read(source(services=["Claude"])))) == ["Claude: s"]


def test_it_asks_again_for_what_comes_late_at_a_pace_of_its_own(source):
    (spec,) = source().streams()
    assert (spec.every, spec.overlap_days, spec.settle) == (6 * HOUR, 10, 2 * DAY)
    assert source(every_hours=12).streams()[0].every == 12 * HOUR


def test_a_query_that_takes_long_is_waited_for_and_one_without_an_end_given_up(
    fake, source, monkeypatch
):
    fake.charge("2026-11-18T01:00:00Z", INPUT, 1, month="202611")
    fake.waits = 3
    assert len(read(source()).rows) == 1
    monkeypatch.setattr("collectors.google_billing._MOST_WAITS", 2)
    with pytest.raises(SourceError, match="the query has not ended"):
        read(source())


def test_rows_that_are_fewer_than_were_counted_are_no_answer(fake, source):
    fake.charge("2026-11-18T01:00:00Z", INPUT, 1, month="202611")
    client = source()
    client.probe(NOW)
    fake.faults.append(fake_api.tampered(lambda page: page["rows"].clear()))
    with pytest.raises(SourceError, match="0 of 1 rows came"):
        read(client)
    fake.faults.append(fake_api.tampered(lambda page: page.pop("jobComplete")))
    with pytest.raises(SourceError, match="not a page of costs"):
        read(client)


@pytest.mark.parametrize(
    "damage", [{"amount": "much"}, {"amount": None}, {"currency": "dollars"}, {"day": "soon"}]
)
def test_a_damaged_row_is_a_problem_and_the_others_are_read(fake, source, damage):
    fake.charge("2026-11-18T01:00:00Z", INPUT, 1, month="202611")
    fake.charge("2026-11-18T01:00:00Z", "z", 2, month="202611")

    def spoil(page):
        names = [field["name"] for field in page["schema"]["fields"]]
        for name, value in damage.items():
            page["rows"][0]["f"][names.index(name)]["v"] = value

    client = source()
    client.probe(NOW)
    fake.faults.append(fake_api.tampered(spoil))
    found = read(client)
    assert amounts(found) == {"Vertex AI: z": 2}
    assert [problem.place for problem in found.problems] == ["page 1, result 1"]


def test_a_missing_role_or_table_is_told(fake, source):
    client = source()
    assert client.probe(NOW) == f"a query of {TABLE} reads 12,345 bytes"
    fake.faults.append(fake_api.failing(403, "Access Denied: bigquery.jobs.create"))
    with pytest.raises(SourceError, match=r"roles/bigquery\.jobUser") as refused:
        read(client)
    assert refused.value.permanent
    with pytest.raises(SourceError, match="Not found"):
        read(source(table="acme.billing.other"))


@pytest.mark.parametrize("table", ["", "export", "a.b.c` UNION ALL", 5, "a.b"])
def test_a_table_is_a_name_of_three_parts(source, table):
    with pytest.raises(InputError, match="table is"):
        source(table=table)
