"""The source of Amazon's bill over real HTTP; botocore's models judge every question and answer."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.aws_costs import AWSCosts
from monitor.config import from_tables
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.usage import DAY, HOUR
from monitor.wiring import usage
from tests import fake_api
from tests.contract.conftest import QUICK
from tests.contract.kinds.aws_costs import BEDROCK, CLAUDE, START
from tests.fake_amazon import KEY
from tests.fake_cost_explorer import FakeCostExplorer, iso

NOW = START + 2 * DAY + HOUR
INPUT = "USE1-Nova2-input-tokens"


@pytest.fixture
def fake():
    with FakeCostExplorer() as server:
        server.charged = {(iso(START), BEDROCK, INPUT): "1.5"}
        yield server


@pytest.fixture
def source(fake, opened):
    def make(**options):
        return opened(AWSCosts("aws", "acme", KEY, base_url=fake.url, limits=QUICK, **options))

    return make


def read(source, start=START, days=1, now=NOW):
    return source.read("costs", start, start + days * DAY, now)


def test_it_is_polled_a_few_times_a_day_and_reads_what_comes_late(source):
    (spec,) = source().streams()
    assert (spec.feeds, spec.every, spec.overlap_days) == ("bill", 8 * HOUR, 7)
    assert spec.settle == 2 * DAY
    assert source(every_hours=24).streams()[0].every == DAY


def test_amounts_are_exact_to_the_last_digit_and_lines_are_named(fake, source):
    fake.charged[iso(START), BEDROCK, INPUT] = "0.000000000001"
    (row,) = read(source()).rows
    assert (row.amount_pico, row.currency, row.day) == (1, "USD", START)
    assert row.line_item == f"{BEDROCK}: {INPUT}"
    assert (row.dims.provider, row.dims.model) == ("aws", "")


def test_services_of_other_makers_are_found_by_name_at_one_page_more(fake, source):
    fake.charged[iso(START), CLAUDE, "tokens"] = "2"
    fake.charged[iso(START), "Amazon Simple Storage Service", "storage"] = "9"
    found = read(source())
    assert sum(row.amount_pico for row in found.rows) == int(Decimal("3.5") * PICO)
    assert (found.pages, found.request["services"]) == (2, [BEDROCK, CLAUDE])
    chosen = read(source(services=[CLAUDE]))
    assert ([row.line_item for row in chosen.rows], chosen.pages) == ([f"{CLAUDE}: tokens"], 1)


def test_without_any_service_nothing_more_is_asked_for(fake, source):
    fake.charged.clear()
    found = read(source())
    assert (list(found.rows), found.pages, len(fake.requests)) == ([], 1, 1)


def test_estimated_days_are_named(fake, source):
    fake.charged[iso(START + DAY), BEDROCK, INPUT] = "2"
    fake.estimated_from = iso(START + DAY)
    found = read(source(), days=2)
    assert list(found.notes) == ["Amazon still estimates 1 days from 2026-11-19"]


def test_a_metric_is_chosen_and_an_unknown_one_refused(fake, source):
    read(source(metric="NetAmortizedCost"))
    assert fake.requests[-1].document["Metrics"] == ["NetAmortizedCost"]
    with pytest.raises(InputError, match="metric cannot be 'Cost'"):
        source(metric="Cost")
    for hours in (0, "8", True, 200):
        with pytest.raises(InputError, match="every_hours is"):
            source(every_hours=hours)


def test_days_that_it_has_no_longer_are_clamped_and_tomorrow_is_not_asked_for(fake, source):
    found = read(source(), start=START - 600 * DAY, days=700)
    period = fake.requests[-1].document["TimePeriod"]
    assert period == {"Start": "2025-10-01", "End": "2026-11-21"}
    assert list(found.notes) == ["Cost Explorer has nothing before 2025-10-01"]
    assert iso(found.start) == "2025-10-01"
    gone = read(source(), start=START - 600 * DAY, days=2)
    assert (gone.start, gone.end, gone.pages) == (gone.end, gone.end, 0)


@pytest.mark.parametrize(
    "damage",
    [
        {"Metrics": {}},
        {"Metrics": {"UnblendedCost": {"Amount": "much", "Unit": "USD"}}},
        {"Metrics": {"UnblendedCost": {"Amount": "1e30", "Unit": "USD"}}},
        {"Metrics": {"UnblendedCost": {"Amount": "1", "Unit": "N/A"}}},
        {"Keys": ["alone"]},
    ],
)
def test_a_damaged_group_is_a_problem_and_the_others_are_read(fake, source, damage):
    def spoil(page):
        groups = page["ResultsByTime"][0]["Groups"]
        groups.insert(0, groups[0] | {"Keys": [BEDROCK, "other"]} | damage)

    fake.faults.extend([None, fake_api.tampered(spoil)])
    found = read(source())
    assert len(found.rows) == 1
    assert [problem.place for problem in found.problems] == ["page 1, 2026-11-18, result 1"]


def test_a_group_that_comes_twice_is_no_answer(fake, source):
    fake.faults.extend(
        [
            None,
            fake_api.tampered(
                lambda p: p["ResultsByTime"][0]["Groups"].extend(p["ResultsByTime"][0]["Groups"])
            ),
        ]
    )
    with pytest.raises(SourceError, match="came twice"):
        read(source())


def test_a_token_that_was_followed_is_not_followed_again(fake, source):
    fake.faults.extend(
        [None, *[fake_api.tampered(lambda p: p.update(ResultsByTime=[], NextPageToken="0"))] * 3]
    )
    with pytest.raises(SourceError, match="already followed"):
        read(source())


def test_calls_that_are_too_many_pass_and_missing_rights_do_not(fake, source):
    fake.faults.extend([fake_api.failing(400, "LimitExceededException: too many")] * 2)
    with pytest.raises(SourceError, match="LimitExceededException") as refused:
        read(source())
    assert not refused.value.permanent
    fake.faults.append(fake_api.failing(400, "AccessDeniedException: not authorized"))
    with pytest.raises(SourceError, match="ce:GetCostAndUsage") as refused:
        read(source())
    assert refused.value.permanent


def test_the_probe_names_what_was_billed(fake, source):
    assert source().probe(START + DAY) == "Amazon Bedrock billed on 2026-11-18"


def test_the_documents_example_is_two_sources_of_one_account():
    text = (Path(__file__).parents[2] / "docs/sources.md").read_text()
    settings = from_tables(tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1]))
    setups = [usage.source_setup(item) for item in settings.source]
    fed = {setup.name: {spec.feeds for spec in setup.streams} for setup in setups}
    account = settings.account["aws-main"]
    assert fed[account.tokens_from] == {"usage"}
    assert fed[account.money_from] == {"bill"}
