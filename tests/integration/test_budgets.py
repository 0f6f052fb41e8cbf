"""Budgets of a seeded company: stored with the day's decision, the same on both engines."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import text

from monitor.config import from_tables
from monitor.domain.usage import DAY
from monitor.jobs import budgets
from monitor.storage import setup
from monitor.wiring import rows
from tests import seeded

PICO = 10**12


@pytest.fixture
def filled(database):
    with database.write() as conn:
        seeded.fill(conn)
        yield conn


def states(conn, name=""):
    rows = conn.execute(text("SELECT * FROM v_budget ORDER BY budget")).mappings()
    found = {row["budget"]: dict(row) for row in rows}
    return found[name] if name else found


def dollars(value):
    return Decimal(str(value)).quantize(Decimal("0.01"))


def test_each_scope_has_its_spend_with_its_basis(filled):
    found = states(filled)
    assert sorted(found) == sorted(budget.name for budget in seeded.BUDGETS)
    spent, service = filled.execute(
        text(
            "SELECT (SELECT SUM(usd) FROM v_spend_daily WHERE day >= '2026-11-01'"
            " AND day < '2026-11-23'), (SELECT SUM(estimated_usd) FROM v_workload_daily"
            " WHERE workload = 'support-bot' AND day >= '2026-10-01' AND day < '2026-11-23')"
        )
    ).one()
    assert dollars(found["models"]["spent_usd"]) == dollars(spent)
    assert dollars(found["service desk"]["spent_usd"]) == dollars(service)
    assert {name: row["basis"] for name, row in found.items()} == {
        "models": "mixed",
        "acme bill": "mixed",
        "search": "estimated",
        "service desk": "estimated",
        "trial": "estimated",
    }
    assert found["models"]["period"] == "2026-11"
    assert found["service desk"]["period"] == "2026-Q4"
    assert found["search"]["period"] == "2026-W47"
    assert dollars(found["models"]["percent_elapsed"]) == Decimal("73.33")
    # Part of the search traffic has no known rate: that is told, and is not zero dollars.
    assert found["search"]["unpriced_tokens"] == 1100


def test_a_month_is_heading_for_what_its_projection_says(filled):
    row = states(filled, "models")
    told = filled.execute(
        text(
            "SELECT q10, q50, q90 FROM v_projection WHERE workload = 'all workloads'"
            " AND unit = 'usd' AND month = '2026-11' AND as_of = '2026-11-23'"
        )
    ).one()
    shown = [row[f"projected_{q}_usd"] for q in ("q10", "q50", "q90")]
    assert list(map(dollars, shown)) == list(map(dollars, told))


def test_what_was_never_metered_is_said_and_days_before_the_data_are_unknown(filled):
    trial = states(filled, "trial")
    assert (dollars(trial["spent_usd"]), trial["remark"]) == (0, "nothing of it was ever metered")
    year = states(filled, "acme bill")
    assert year["known_days"] == (seeded.END - seeded.FIRST) // DAY
    assert year["projected_q50_usd"] is None
    assert year["remark"] == (
        "not projected: nothing was read before 2026-09-20; 262 of its 326 days so far are not"
        " known"
    )


def test_one_budget_that_fails_stops_no_other(filled):
    filled.execute(text("DELETE FROM budget_state"))
    filled.execute(
        text("UPDATE workload SET configured = :no WHERE name = 'all workloads'"), {"no": False}
    )
    (note,) = budgets.stand_at(filled, seeded.END, ["openai"])
    assert note.startswith("budget models was not computed: ")
    assert sorted(states(filled)) == ["acme bill", "search", "service desk", "trial"]


def test_late_data_changes_no_state(filled):
    filled.execute(text("UPDATE watermark SET closed_through = closed_through - 86400"))
    before = states(filled)
    notes = budgets.stand_at(filled, seeded.END + DAY, ["openai"])
    assert len(notes) == 5
    assert "budget models was left out: openai usage did not close the day" in notes
    assert states(filled) == before


def test_a_budget_that_was_removed_keeps_its_history(filled):
    setup.apply(filled, seeded.configured()._replace(budgets=[]))
    assert {row["configured"] for row in states(filled).values()} == {0}
    filled.execute(text("DELETE FROM budget_state WHERE as_of = :t"), {"t": seeded.END})
    budgets.stand_at(filled, seeded.END, ["openai"])
    assert {row["as_of"] for row in states(filled).values()} == {"2026-11-22"}


def test_showback_adds_up_to_the_month_and_a_contract_to_its_use(filled):
    rows = filled.execute(text("SELECT * FROM v_showback WHERE month = '2026-11'")).mappings().all()
    total = filled.scalar(
        text("SELECT SUM(estimated_usd) FROM v_workload_cost WHERE month = '2026-11'")
    )
    assert dollars(sum(row["estimated_usd"] for row in rows)) == dollars(total)
    assert abs(sum(row["share_percent"] for row in rows) - 100) < 1
    row = filled.execute(text("SELECT * FROM v_contract WHERE day = '2026-11-22'")).mappings().one()
    month = filled.execute(
        text("SELECT * FROM v_contract_monthly WHERE month = '2026-11'")
    ).mappings()
    assert dollars(row["used_usd"]) == dollars(month.one()["used_usd"])
    assert (row["days_left"], row["at_end_usd"]) == (None, None)
    assert dollars(row["committed_usd"]) == 60_000
    assert row["known_from"] == "2026-10-01"
    assert dollars(row["shortfall_usd"]) == 0


def test_the_configuration_names_one_scope_of_each():
    tables = {
        "workload": [{"name": "search", "model": "gpt-5*"}],
        "budget": [
            {"name": "all", "amount_usd": 45_000, "owner": "ann@acme.example"},
            {"name": "b", "amount_usd": Decimal("10.50"), "period": "weekly", "workload": "search"},
            {
                "name": "c",
                "amount_usd": 1,
                "cost_centre": "service",
                "valid_from": date(2026, 2, 1),
            },
            {"name": "d", "amount_usd": 1, "label": "trial", "period": "yearly"},
        ],
    }
    found = rows.setup(from_tables(tables)).budgets
    assert found == [
        setup.BudgetSetup("all", 45_000 * PICO, "monthly", "all", owner="ann@acme.example"),
        setup.BudgetSetup("b", 10_500_000_000_000, "weekly", "workload", "search"),
        setup.BudgetSetup("c", PICO, "monthly", "cost_centre", "service", 1_769_904_000),
        setup.BudgetSetup("d", PICO, "yearly", "label", "trial"),
    ]
