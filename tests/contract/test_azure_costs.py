"""The source of Azure's bill over real HTTP, with tokens that the real azure-identity fetches."""

from decimal import Decimal

import pytest

from collectors.azure_costs import AzureCosts
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.contract.kinds.azure_costs import SCOPE, START
from tests.fake_azure import LOGIN, SECRET, FakeCostManagement, redirect

NOW = START + 2 * DAY + HOUR
METER = "gpt-5-mini Inp glbl"
WAIT = "x-ms-ratelimit-microsoft.costmanagement-"


@pytest.fixture
def fake(monkeypatch):
    with FakeCostManagement() as server:
        server.charge("2026-11-18", METER, 1.5)
        redirect(monkeypatch, server)
        yield server


@pytest.fixture
def source(fake, opened):
    def make(limits=QUICK, **options):
        chosen = {"scope": SCOPE, **LOGIN, **options}
        return opened(AzureCosts("az", "acme", SECRET, base_url=fake.url, limits=limits, **chosen))

    return make


@pytest.fixture
def ready(fake, source):
    """A source that has its token, so that the next fault meets a question of its own."""

    def make(**options):
        made = source(**options)
        made.probe(NOW)
        return made

    return make


def read(source, start=START, days=1, now=NOW):
    return source.read("costs", start, start + days * DAY, now)


def test_lines_are_meters_of_a_resource(source):
    (row,) = read(source()).rows
    assert (row.line_item, row.dims.project, row.dims.provider) == (METER, "acme-openai", "azure")
    assert (Decimal(row.amount_pico) / PICO, row.currency, row.day) == (
        Decimal("1.5"),
        "EUR",
        START,
    )


@pytest.mark.parametrize(
    "columns",
    [
        ("Currency", "Meter", "ResourceId", "UsageDate", "Cost"),
        ("Meter", "Cost", "Currency", "ResourceId", "UsageDate"),
    ],
)
def test_cells_are_read_by_the_name_of_their_column(fake, source, columns):
    fake.columns = columns
    (row,) = read(source()).rows
    assert (row.line_item, row.amount_pico) == (METER, int(Decimal("1.5") * PICO))


def test_the_cost_may_have_another_name_and_must_have_one(fake, ready):
    client = ready()

    def rename(name):
        return fake_api.tampered(lambda p: p["properties"]["columns"][0].update(name=name))

    fake.faults.append(rename("PreTaxCost"))
    assert len(read(client).rows) == 1
    fake.faults.append(rename("Quantity"))
    with pytest.raises(SourceError, match=r"no column of quantity, .* is the cost"):
        read(client)


def test_amounts_keep_every_digit(fake, ready):
    client = ready()

    def spoil(page):
        page["properties"]["rows"][0][0] = Decimal("0.123456789012")

    fake.faults.append(fake_api.tampered(spoil))
    assert [row.amount_pico for row in read(client).rows] == [123_456_789_012]


def test_pages_are_followed_at_the_same_address_alone(fake, source, ready):
    fake._size = 1
    fake.charge("2026-11-18", "b", 2)
    fake.charge("2026-11-18", "c", 3)
    found = read(source())
    assert (len(found.rows), found.pages) == (3, 3)
    asked = [request for request in fake.requests if "/query" in request.path]
    assert [dict(request.query).get("$skiptoken") for request in asked] == [None, "1", "2"]
    assert asked[0].document == asked[1].document
    elsewhere = {"nextLink": "https://evil.test/q?$skiptoken=1"}
    client = ready()
    fake.faults.append(fake_api.tampered(lambda p: p["properties"].update(elsewhere)))
    assert len(read(client).rows) == 3
    assert {request.path for request in fake.requests if "/query" in request.path} == {
        f"{SCOPE}/providers/Microsoft.CostManagement/query"
    }


def test_a_link_that_was_followed_is_not_followed_again(fake, ready):
    client = ready()
    again = fake_api.tampered(
        lambda p: p["properties"].update(rows=[], nextLink="https://x.test/?$skiptoken=0")
    )
    fake.faults.extend([again] * 3)
    with pytest.raises(SourceError, match="already followed"):
        read(client)


def test_a_line_that_comes_twice_is_no_answer(fake, ready):
    client = ready()
    fake.faults.append(
        fake_api.tampered(lambda p: p["properties"]["rows"].extend(p["properties"]["rows"]))
    )
    with pytest.raises(SourceError, match="came twice"):
        read(client)


@pytest.mark.parametrize(
    ("cell", "value"), [(0, "much"), (0, 1e300), (1, 5), (1, "soon"), (4, "euros"), (4, None)]
)
def test_a_damaged_row_is_a_problem_and_the_others_are_read(fake, ready, cell, value):
    fake.charge("2026-11-18", "z", 2)
    client = ready()

    def spoil(page):
        page["properties"]["rows"][0][cell] = value

    fake.faults.append(fake_api.tampered(spoil))
    found = read(client)
    assert [row.line_item for row in found.rows] == ["z"]
    assert [problem.place for problem in found.problems] == ["page 1, result 1"]


def test_a_row_that_lacks_a_cell_is_a_problem(fake, ready):
    client = ready()
    fake.faults.append(fake_api.tampered(lambda p: p["properties"]["rows"][0].pop()))
    (problem,) = read(client).problems
    assert "it has not the 5 cells of its columns" in problem.reason


def test_azures_own_headers_say_how_long_to_wait(fake, ready):
    waits = []
    client = ready(limits=QUICK._replace(pace=lambda wait: waits.append(wait) or 0.0))
    headers = {f"{WAIT}qpu-retry-after": "7", f"{WAIT}entity-retry-after": "3", "Retry-After": "2"}
    fake.faults.append(fake_api.failing(429, "Too many requests", headers))
    assert len(read(client).rows) == 1
    assert waits == [7.0]
    fake.faults.append(fake_api.failing(429, "no", {f"{WAIT}tenant-retry-after": "600"}))
    with pytest.raises(SourceError, match="429") as refused:
        read(client)
    assert (refused.value.retry_after, refused.value.permanent) == (600, False)


def test_the_question_holds_its_last_day_and_no_day_that_is_gone_or_to_come(fake, source):
    found = read(source(), start=START - 500 * DAY, days=502 + 30)
    asked = fake.requests[-1].document
    assert asked["timePeriod"] == {"from": "2025-11-01T00:00:00Z", "to": "2026-11-20T23:59:59Z"}
    assert list(found.notes) == ["nothing is read before 2025-11-01"]
    gone = read(source(), start=START - 500 * DAY)
    assert (gone.start, gone.pages) == (gone.end, 0)


def test_it_is_polled_twice_a_day_and_reads_what_comes_late(source):
    (spec,) = source().streams()
    assert (spec.every, spec.overlap_days, spec.settle) == (12 * HOUR, 7, 2 * DAY)


def test_a_missing_role_is_told_and_the_probe_counts_lines(fake, source):
    client = source()
    assert client.probe(START + DAY) == ("1 lines of costs on 2026-11-18, as far as they have come")
    fake.faults.append(fake_api.failing(403, "does not have authorization"))
    with pytest.raises(SourceError, match="role Cost Management Reader") as refused:
        read(client)
    assert refused.value.permanent


@pytest.mark.parametrize(
    "options",
    [
        {"scope": ""},
        {"scope": "subscriptions/1"},
        {"scope": "/a/../b"},
        {"kind": "Usage"},
        {"services": []},
        {"every_hours": 0},
    ],
)
def test_options_that_cannot_be_used_are_refused(source, options):
    with pytest.raises(InputError, match=next(iter(options))):
        source(**options)
