"""`prices list` and `prices show`: without a database, and with one that has used some cards."""

import json

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.config import from_tables
from monitor.domain.errors import InputError
from monitor.domain.pricing import RateCard, usd_per_million
from monitor.domain.usage import DAY
from monitor.jobs import reprice
from monitor.storage import rollup, setup
from monitor.storage.write import Window, put_window
from monitor.wiring.prices import resolver
from tests.factories import DAY0, dims, make_stream, usage


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No configuration and no database lie about."""
    monkeypatch.chdir(tmp_path)


def prices(*arguments: str):
    result = CliRunner().invoke(app, ["prices", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(*arguments: str):
    return json.loads(prices(*arguments, "--format", "json").stdout)


def test_known_cards_are_listed_without_a_database():
    (found,) = rows("list", "--provider", "xai", "--model", "grok-4-0709", "--at", "2026-11-20")

    assert (found["provider"], found["state"], found["output"]) == ("x-ai", "known", "2.5")
    assert found["valid_from"] == "2026-05-15T19:00:00Z"
    assert found["source"] == "genai-prices as grok-4.3"


def test_an_announced_change_stands_beside_todays_card():
    (found,) = rows(
        "list", "--model", "gemini-3.8-flash", "--provider", "google", "--at", "2026-11-20"
    )[:1]

    assert (found["model"], found["output"], found["valid_until"]) == (
        "gemini-3.8-flash",
        "3.75",
        "2027-01-01",
    )


def test_stale_cards_alone_are_listed_on_demand():
    everything = ("list", "--provider", "mistral", "--model", "mistral-large")
    now = rows(*everything, "--at", "2026-11-20", "--stale")
    later = rows(*everything, "--at", "2027-11-21", "--stale")

    assert now == []
    assert [row["model"] for row in later] == ["mistral-large-latest"]
    assert later[0]["age_days"] == 366


def test_a_models_history_and_future_are_shown_in_every_context():
    found = rows("show", "openai", "o3")
    standard = [row for row in found if not row["context"]]

    assert [(row["valid_from"], row["output"]) for row in standard] == [
        ("", "40"),
        ("2025-05-22", "40"),
        ("2025-06-10", "8"),
    ]
    assert {row["context"] for row in found} >= {"", "processing=batch", "service_tier=flex"}
    assert not any("context_not_priced" in row["flags"] for row in found)


def test_hours_and_tiers_are_shown():
    shown = rows("show", "deepseek", "deepseek-flash", "--from", "2026-11-01")
    peak = [row for row in shown if row["output"] == "1.2"]
    (tiered,) = [
        row
        for row in rows("show", "gemini", "gemini-2.5-pro")
        if row["valid_from"] == "2025-05-22" and not row["context"]
    ]

    hours = "mon-fri 01-04 06-10"
    assert [(row["hours"], row["valid_until"], row["flags"]) for row in peak] == [
        (hours, "2027-01-04T01:00:00Z", ""),
        (hours, "", "rate_unverified"),
    ]
    off_peak = {row["hours"] for row in shown if row not in peak}
    assert off_peak == {"mon-fri 00-01 04-06 10-24; sat,sun 00-24"}, "New Year's Day is no rule"
    assert tiered["tiers"] == ">200000: uncached_input=2.5 cache_read=0.25 output=15"


def test_a_table_leaves_empty_columns_out():
    shown = prices("show", "openai", "gpt-4").stdout

    assert "in 30 out 60" in shown
    assert "hours" not in shown


def test_a_name_is_told_with_what_it_was_looked_up_as():
    shown = prices("show", "azure", "azure/gpt-35-turbo-1106")

    assert "azure/gpt-35-turbo-1106 is looked up as gpt-3.5-turbo-1106 of azure." in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("show", "openai", "gpt-5.9"), "no rate is known for openai gpt-5.9"),
        (("show", "openai", "o3", "--from", "2027-01-01", "--to", "2026-01-01"), "is not before"),
        (("list", "--at", "soon"), "'soon' is no date"),
        (("list", "--at", "2026-11-20T12:00:00"), "no date and no UTC time"),
        (("show", "openai", "o3", "--from", "2026-13-01"), "no date"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_cause(arguments, cause):
    with pytest.raises(InputError, match=cause):
        prices(*arguments)


def test_that_nothing_is_known_is_said():
    result = prices("list", "--provider", "nobody", "--format", "csv")

    assert (result.stdout, result.exit_code) == ("", 0)
    assert "No price is known at that time for provider nobody, model *" in result.stderr
    assert prices("list", "--provider", "openai", "--stale", "--at", "2026-11-20").stderr == ""


def test_a_database_that_cannot_be_asked_is_left_out_aloud(tmp_path, monkeypatch):
    (tmp_path / "broken.db").write_bytes(b"no database at all")
    monkeypatch.setenv("CROSSOVER_DATABASE__URL", f"sqlite:///{tmp_path / 'broken.db'}")
    result = prices("list", "--model", "gpt-4-turbo", "--format", "csv")

    assert "openai,gpt-4-turbo," in result.stdout
    assert "The database is left out" in result.stderr


def test_cards_that_priced_usage_come_first_and_an_unchecked_one_warns(
    database, database_url, monkeypatch
):
    monkeypatch.setenv("CROSSOVER_DATABASE__URL", database_url)
    old = RateCard(
        *("openai", "gpt-5-mini", "", 0, usd_per_million(output="2")),
        source="page",
        checked_at=DAY0 - 800 * DAY,
    )
    with database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (), (), ()))
        _, stream = make_stream(conn)
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [usage()])
        rollup.refresh(conn, rollup.waiting(conn), lambda *_: old, (), DAY0 + DAY)
    result = prices("list", "--at", "2026-11-20", "--format", "json")
    (found,) = json.loads(result.stdout)

    assert (found["state"], found["output"], found["source"]) == ("used", "2", "page")
    assert found["flags"] == "rate_stale"
    assert result.stderr.endswith("nobody has checked for 365 days: 1 (see --stale)\n")
    assert [r["state"] for r in rows("list", "--provider", "openai", "--model", "gpt-5-mini")] == [
        "used",
        "known",
    ]


def test_a_price_that_the_list_announces_is_stored_and_shown(database, database_url, monkeypatch):
    monkeypatch.setenv("CROSSOVER_DATABASE__URL", database_url)
    resolve = resolver(from_tables({}))
    with database.write() as conn:
        setup.apply(conn, setup.Setup((), (), (), (), ()))
        _, stream = make_stream(conn)
        used = usage(DAY0, DAY, dims(provider="google", model="gemini-3.8-flash"))
        put_window(conn, Window(stream, DAY0, DAY0 + DAY), [used])
        rollup.refresh(conn, rollup.waiting(conn), resolve, (), DAY0 + DAY)
    reprice.refresh(database, resolve, DAY0 + DAY)
    found = rows("list", "--at", "2026-11-20")

    assert [(r["state"], r["uncached_input"], r["valid_from"]) for r in found] == [
        ("used", "0.75", "2025-05-22"),
        ("announced", "1.5", "2027-01-01"),
    ]
