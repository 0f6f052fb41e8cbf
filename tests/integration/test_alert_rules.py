"""`crossover alerts rules`: every rule, and of what is not watched the reason."""

import pytest
from sqlalchemy import text

from monitor.domain.rulebook import BOOK
from monitor.domain.watch_health import Expiring
from monitor.jobs.watched import listed
from tests import seeded
from tests.cli import crossover


def states(database, policy, *, certificates=False):
    with database.read() as conn:
        return {
            row["rule"]: row["state"] for row in listed(conn, policy, certificates=certificates)
        }


def test_of_an_empty_database_each_rule_but_the_daemons_own_says_what_is_missing(database):
    found = states(database, seeded.policy(rules=BOOK, live_sources=[]))
    assert list(found) == list(BOOK)
    assert found.pop("internal") == "watched"
    assert all(state.startswith("not configured: ") for state in found.values())
    assert found["unreconciled_spend"] == "not configured: no source reads bills"
    assert found["rate_limit"] == (
        "not configured: no configured source reports refused or failed requests"
    )


def test_of_a_company_only_what_nobody_has_is_not_configured(database):
    with database.write() as conn:
        seeded.fill(conn, decided=False)
    policy = seeded.policy(rules=BOOK)
    missing = {rule for rule, state in states(database, policy).items() if state != "watched"}
    home = {"return_to_api", "failover_spend"}
    assert missing == {*home, "rate_limit", "availability", "expiry"}
    with database.write() as conn:
        conn.execute(text("UPDATE workload SET runs_on = 'hybrid' WHERE name = 'search'"))
        conn.execute(text("UPDATE contract SET valid_to = 1"))
    policy = policy._replace(answers=lambda _conn, _hour: [])
    assert set(states(database, policy).values()) == {"watched"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [({}, True), ({"expiring": [Expiring("x", "price", 9)]}, False)],
)
def test_what_ends_is_watched_wherever_it_is_known_from(database, changes, named):
    policy = seeded.policy(rules=BOOK, **changes)
    assert states(database, policy, certificates=named)["expiry"] == "watched"


def test_the_command_shows_what_is_configured(database, tmp_path):
    url = database.url.render_as_string(hide_password=False)
    (tmp_path / "crossover.toml").write_text(
        f'[database]\nurl = "{url}"\n[alerts.rules.gpu_idle]\npercent = 60\nowner = "ops"\n'
        "[alerts.rules.budget]\nenabled = false\n"
    )
    rows = {
        row["rule"]: row
        for row in crossover("alerts", "rules", "--format", "json", cwd=tmp_path).rows
    }
    assert rows["budget"]["state"] == "off"
    idle = rows["gpu_idle"]
    assert (idle["limits"], idle["owner"]) == ("percent 60, days 7, least_usd 500", "ops")
    assert (idle["fires"], idle["ends"]) == ("on 2 days", "after 3 days")
    assert rows["about_to_cross"]["fires"] == "on 3 of 4 days"
    assert rows["telemetry_lost"]["looks"] == "hourly"
    assert idle["version"] != rows["expiry"]["version"] == 1
    shown = crossover("alerts", "rules", cwd=tmp_path)
    assert "not configured: no GPU has been read yet" in shown.out
