"""The rules about spend and sources on stored rows: each fires when it should, once, and ends."""

import pytest
from sqlalchemy import text

from monitor.domain.notices import from_json
from monitor.domain.rulebook import BOOK
from monitor.domain.usage import DAY, HOUR
from monitor.domain.watch import Thresholds
from monitor.jobs import watching
from monitor.storage import watching as stored
from monitor.storage import work
from tests import seeded

TO = "ann@acme.example"


@pytest.fixture
def filled(database):
    with database.write() as conn:
        seeded.fill(conn, decided=False)
    return database


def policy(**changes):
    return seeded.policy(TO, **{"rules": BOOK, **changes})


def standing(database, rule):
    with database.read() as conn:
        found = conn.execute(
            text(
                "SELECT subject, status_now FROM v_alerts WHERE rule LIKE :r ORDER BY subject, seq"
            ),
            {"r": f"{rule} v%"},
        )
        return {row[0]: row[1] for row in found}


def put_budget(database, usd):
    with database.write() as conn:
        conn.execute(
            text(
                "INSERT INTO budget (name, amount_pico, period, scope, configured)"
                " VALUES ('all of it', :a, 'monthly', 'all', :yes)"
            ),
            {"a": usd * 10**12, "yes": True},
        )


def test_a_budget_is_told_at_its_highest_threshold_and_every_query_runs(filled):
    put_budget(filled, 1000)
    with filled.write() as conn:
        seeded.decide_days(conn, 4, policy())
    for rule in ("budget", "budget_projected"):
        assert standing(filled, rule)["all of it"] == "firing"
    seeded.tell(filled, seeded.END + DAY)
    with filled.read() as conn:
        subjects = conn.scalars(text("SELECT subject FROM v_messages")).all()
        for document in conn.scalars(text("SELECT said FROM alert")).all():
            from monitor.domain.notices import said_from_json

            conn.execute(text(said_from_json(document).query)).all()
    assert len(subjects) == 1
    assert "more)" in subjects[0]


def test_a_budget_far_away_is_not_told(filled):
    put_budget(filled, 9_000_000)
    with filled.write() as conn:
        seeded.decide_days(conn, 4, policy())
    assert "all of it" not in standing(filled, "budget")


def test_thresholds_of_the_configuration_count(filled):
    put_budget(filled, 1000)
    with filled.write() as conn:
        none = {"all of it": Thresholds((), ())}
        seeded.decide_days(conn, 4, policy(thresholds=none))
    assert "all of it" not in standing(filled, "budget")


def test_unpriced_tokens_are_counted_by_workload_and_model(filled):
    with filled.read() as conn:
        found = {seen.workload: seen for seen in stored.unpriced(conn, seeded.END)}
        expected = conn.execute(
            text(
                "SELECT workload, SUM(tokens), SUM(unpriced_tokens) FROM v_workload_cost"
                " WHERE month = '2026-11' GROUP BY workload"
            )
        ).all()
    assert expected
    for workload, tokens, without in expected:
        assert (found[workload].tokens, found[workload].unpriced) == (tokens, without)


def test_a_source_that_falls_behind_is_told_once_and_its_return_too(filled):
    late = seeded.END + 3 * DAY
    only = policy(rules={"source_stale": BOOK["source_stale"]})
    for hour in range(4):
        watching.hourly(filled, late + hour * HOUR, only, 6 * HOUR)
        watching.hourly(filled, late + hour * HOUR + 60, only, 6 * HOUR)
        seeded.tell(filled, late + hour * HOUR)
    assert standing(filled, "source_stale") == {"openai": "firing"}
    with filled.write() as conn:
        conn.execute(text("UPDATE watermark SET closed_through = :t"), {"t": late + DAY})
    for hour in range(4, 8):
        watching.hourly(filled, late + hour * HOUR, only, 6 * HOUR)
        seeded.tell(filled, late + hour * HOUR)
    assert standing(filled, "source_stale") == {"openai": "resolved"}
    with filled.read() as conn:
        subjects = conn.scalars(text("SELECT subject FROM v_messages ORDER BY id")).all()
    assert len(subjects) == 2
    assert subjects[0].startswith("Source openai is behind")
    assert subjects[1].startswith("Resolved: ")


def test_work_that_was_given_up_reaches_the_operator(filled):
    with filled.write() as conn:
        work.plan(conn, [work.Planned("report/x", "weekly", 0, 0, 0, "dead")], seeded.END)
    watching.hourly(filled, seeded.END + HOUR, policy(), 6 * HOUR)
    assert standing(filled, "internal") == {"given up": "firing"}
    with filled.write() as conn:
        work.plan(conn, [work.Planned("report/y", "weekly", 0, 0, 0, "dead")], seeded.END)
    for hour in (2, 3):
        watching.hourly(filled, seeded.END + hour * HOUR, policy(), 6 * HOUR)
    with filled.read() as conn:
        told = text("SELECT document FROM notice WHERE document LIKE '%given up%' ORDER BY id")
        titles = [from_json(said).said.title for said in conn.scalars(told)]
    # One more is told too, and once.
    assert titles == ["1 run was given up", "2 runs were given up"]
