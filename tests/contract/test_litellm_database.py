"""The database of a LiteLLM proxy: a real PostgreSQL with the rows that a real proxy wrote."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from collectors.litellm import LiteLLM
from collectors.litellm_database import LiteLLMDatabase
from monitor.domain.errors import InputError, SourceError
from monitor.domain.usage import DAY, HOUR, Quantities, add
from tests import fake_litellm, needs
from tests.contract import litellm_tables
from tests.contract.conftest import QUICK
from tests.contract.test_litellm import (
    BATCH,
    BROKEN_OFF,
    DAY0,
    GUESSED,
    NOW,
    PRIORITY,
    FakeProxy,
    call,
    read,
    total,
)

KEY = "CANARY-password-0"
pytestmark = pytest.mark.postgres


@pytest.fixture
def proxy(postgres_server):
    with litellm_tables.proxy(postgres_server, KEY) as found:
        yield found


@pytest.fixture
def source(proxy, opened):
    def make(url=proxy.url, limits=QUICK, **options):
        return opened(LiteLLMDatabase("db", "acme", url, limits=limits, **options))

    return make


def sums(rows, key):
    found = {}
    for row in rows:
        found[key(row.dims)] = add(found.get(key(row.dims), Quantities()), row.quantities)
    return {
        name: (q.uncached_input, q.cache_read or 0, q.cache_write or 0, q.output, q.requests)
        for name, q in found.items()
    }


def true(groups):
    return {
        name: (t["uncached"], t["read"], t["write"], t["out"], t["requests"] - t["failed"])
        for name, t in groups.items()
    }


GROUP_OF = {
    "our-own-70b": "unpriced-own",
    "claude-sonnet-4-5": "claude-main",
    "text-embedding-3-small": "embed",
    "gpt-5-mini": "gpt-fast",
}


def test_the_recorded_table_gives_its_true_totals_by_model_team_and_key(proxy, source):
    folder = needs.shared("data/payloads/litellm")
    truth = json.loads((folder / "truth.json").read_text())
    rows = litellm_tables.recorded(folder)
    proxy.insert(rows)
    # The proxy made up the counts of its own mock answers, so that no truth is known of them.
    mock = [row for row in rows if row["model_group"] == "mock-hello"]
    found = read(source())
    assert not found.problems
    assert found.notes == ["9 failed or cached requests are not counted"]
    assert total(found.rows).requests == 141
    known = [row for row in found.rows if row.dims.model in GROUP_OF]
    by_model = {name: group for name, group in truth["by_model"].items() if name != "mock-hello"}
    assert sums(known, lambda d: GROUP_OF[d.model]) == true(by_model)
    by_team = {
        name: group
        for name, group in truth["by_team_model"].items()
        if not name.endswith("mock-hello")
    }
    named = sums(known, lambda d: f"{d.project or None}|{GROUP_OF[d.model]}")
    assert named == true(by_team)
    keys = sums(found.rows, lambda d: d.api_key)
    for name, group in truth["by_key"].items():
        made_up = [row for row in mock if row["api_key"] == name]
        assert keys[name][4] == group["requests"] - group["failed"]
        if not made_up:
            assert keys[name] == true({name: group})[name]
    assert (
        sum(r["prompt_tokens"] for r in mock)
        == sums(found.rows, lambda d: d.model)["gpt-4o-mini"][0]
    )


def test_the_database_and_the_api_give_the_same_rows(proxy, source, opened):
    folder = needs.shared("data/payloads/litellm")
    calls = litellm_tables.recorded(folder)
    proxy.insert(calls)
    with FakeProxy() as fake:
        for each in calls:
            each["startTime"] = (
                datetime.fromisoformat(each["startTime"]).replace(tzinfo=UTC).isoformat()
            )
        fake.calls = calls
        key = "sk-CANARY-master-0000000000000000000"
        http = opened(LiteLLM("p", "acme", key, base_url=fake.url, limits=QUICK))
        over_http = read(http)
    from_table = read(source())
    assert sorted(over_http.rows) == sorted(from_table.rows)
    assert over_http.notes == from_table.notes


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def row(seconds, name, **changed):
    return call(seconds, name) | {"startTime": at(seconds)} | changed


def test_what_metadata_says_of_tier_batch_and_broken_answers_is_read(proxy, source, opened):
    shapes = [BROKEN_OFF, GUESSED, PRIORITY, BATCH]
    proxy.insert(row(DAY0, f"r{n}", **shape) for n, shape in enumerate(shapes))
    with FakeProxy() as fake:
        fake.calls = [call(DAY0, f"r{n}", **shape) for n, shape in enumerate(shapes)]
        over_http = read(
            opened(LiteLLM("p", "acme", fake_litellm.KEY, base_url=fake.url, limits=QUICK))
        )
    found = read(source())
    assert sorted(found.rows) == sorted(over_http.rows)
    assert {(r.dims.tier, r.dims.batch) for r in found.rows} == {
        ("", ""),
        ("priority", ""),
        ("", "true"),
    }
    assert total(found.rows).requests == 42


def test_a_day_holds_what_began_in_it_and_no_more(proxy, source):
    proxy.insert(row(t, f"r{n}") for n, t in enumerate([DAY0 - 0.001, DAY0, DAY0 + DAY - 0.001]))
    proxy.insert([row(DAY0 + DAY, "next"), row(NOW - 60, "running")])
    assert total(read(source()).rows).requests == 2
    assert {r.start for r in read(source()).rows} == {DAY0, DAY0 + DAY - HOUR}
    assert total(read(source(), days=2, now=DAY0 + DAY).rows).requests == 2


def test_more_rows_than_are_fetched_at_once_are_summed(proxy, source):
    proxy.insert([row(DAY0, "first")])
    columns = ", ".join(f'"{name}"' for name in litellm_tables.COLUMNS if name != "request_id")
    proxy.execute(
        f"INSERT INTO \"LiteLLM_SpendLogs\" (request_id, {columns}) SELECT 'r' || n, {columns}"
        f" FROM \"LiteLLM_SpendLogs\", generate_series(1, 4500) n WHERE request_id = 'first'"
    )
    found = read(source())
    assert total(found.rows).requests == 4501
    assert total(found.rows).uncached_input == 4501 * 600
    assert found.pages == 3


OLDER = ("status", "litellm_call_id", "team_id", "custom_llm_provider", "agent_id")


def test_a_version_with_fewer_columns_is_read_as_far_as_it_tells(proxy, source):
    for name in OLDER:
        proxy.execute(f'ALTER TABLE "LiteLLM_SpendLogs" DROP COLUMN {name}')
    metadata = call(DAY0, "a")["metadata"]
    proxy.insert(
        [
            row(DAY0, "a", metadata=metadata | {"status": "success"}),
            row(DAY0, "b", metadata=metadata | {"status": "failure"}),
        ]
    )
    found = read(source())
    assert total(found.rows).requests == 1
    assert total(found.rows).cache_read == 300
    assert [(r.dims.project, r.dims.provider) for r in found.rows] == [("", "")]


def test_columns_that_the_role_may_not_read_are_never_asked_for(proxy, source):
    proxy.insert([row(DAY0, "a")])
    proxy.execute(f'REVOKE SELECT ON "LiteLLM_SpendLogs" FROM {proxy.role}')
    proxy.execute(
        'GRANT SELECT (request_id, call_type, "startTime", model, custom_llm_provider, api_key,'
        ' team_id, "user", prompt_tokens, completion_tokens, status, cache_hit, litellm_call_id,'
        f' metadata) ON "LiteLLM_SpendLogs" TO {proxy.role}'
    )
    assert total(read(source()).rows).requests == 1
    assert source().probe(DAY0 + 60) == "1 requests in the last hour"


def test_prompts_are_in_no_problem(proxy, source):
    proxy.insert([row(DAY0, "a", prompt_tokens=5), row(DAY0, "b")])
    found = read(source())
    assert total(found.rows).requests == 1
    (problem,) = found.problems
    assert "prompt_tokens" in problem.reason
    assert "CANARY" not in repr(found)


def test_instants_with_a_zone_are_the_same_instants(proxy, source):
    proxy.execute(
        'ALTER TABLE "LiteLLM_SpendLogs" ALTER "startTime" TYPE timestamptz USING'
        " \"startTime\" AT TIME ZONE 'UTC', ALTER metadata TYPE json USING metadata::json"
    )
    proxy.execute(f"ALTER ROLE {proxy.role} SET TimeZone = 'Asia/Tokyo'")
    proxy.insert([row(DAY0, "a"), row(DAY0 + DAY - 1, "b"), row(DAY0 + DAY, "c")])
    found = read(source())
    assert Counter(r.start for r in found.rows) == {DAY0: 1, DAY0 + DAY - HOUR: 1}


def test_nothing_is_written_and_a_missing_table_is_named(proxy, source):
    with source()._connection() as (conn, _):
        assert conn.execute("SHOW transaction_read_only").fetchone() == ("on",)
    proxy.execute('DROP TABLE "LiteLLM_SpendLogs"')
    with pytest.raises(SourceError, match='has no "LiteLLM_SpendLogs" that may be read') as refused:
        read(source())
    assert refused.value.permanent


def test_a_statement_that_waits_too_long_is_ended(proxy, source):
    proxy.owner.autocommit = False
    proxy.execute('LOCK TABLE "LiteLLM_SpendLogs" IN ACCESS EXCLUSIVE MODE')
    with pytest.raises(SourceError, match="statement timeout") as refused:
        read(source(limits=QUICK._replace(read_s=0.1)))
    assert not refused.value.permanent
    with pytest.raises(SourceError, match="its time was over"):
        read(source(limits=QUICK._replace(total_s=0.1)))
    proxy.owner.rollback()
    assert not read(source()).rows


@pytest.mark.parametrize("url", ["CANARY", "mysql://u:CANARY@h/db", "postgresql://u:CANARY@h", ""])
def test_an_address_that_is_none_is_refused_without_being_quoted(source, url):
    with pytest.raises(SourceError, match="is no address of a PostgreSQL database") as refused:
        read(source(url))
    assert refused.value.permanent
    assert "CANARY" not in str(refused.value)


def test_words_for_prisma_are_passed_over_and_its_schema_is_heeded(proxy, source):
    proxy.execute("CREATE SCHEMA llm")
    proxy.insert([row(DAY0, "a")])
    proxy.execute('ALTER TABLE "LiteLLM_SpendLogs" SET SCHEMA llm')
    proxy.execute(f"GRANT USAGE ON SCHEMA llm TO {proxy.role}")
    extra = "&connection_limit=10&pool_timeout=60&pgbouncer=true&schema=llm"
    assert total(read(source(proxy.url + extra)).rows).requests == 1


def test_a_connection_over_a_network_is_encrypted_unless_its_address_says_else():
    from collectors.litellm_database import _address

    assert "sslmode=require" in _address("s", "postgresql://u:p@db.corp:5432/litellm").url
    assert (
        "sslmode=disable" in _address("s", "postgresql://u:p@db.corp/litellm?sslmode=disable").url
    )
    assert "sslmode" not in _address("s", "postgresql://u:p@127.0.0.1/litellm").url


def test_a_dimension_that_it_does_not_have_is_refused(source):
    with pytest.raises(InputError, match="group_by cannot be model"):
        source(group_by=["model"])
