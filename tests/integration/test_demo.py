"""The demonstration tells the same story on any day of any month."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest

from monitor.demo.run import demonstrate
from monitor.domain.errors import InputError
from tests.cli import crossover
from tests.conftest import FULL

DAYS = ["2026-12-01 00:10", "2028-02-29 13:00"]
MORE = [f"2027-{month:02d}-{3 * month % 28 + 1:02d} 05:00" for month in range(1, 13)]


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.proof
@pytest.mark.parametrize("day", DAYS + (MORE if FULL else []))
def test_one_workload_crosses_one_stays_below_and_one_must_stay(tmp_path, day):
    folder = tmp_path / "demo"
    found = demonstrate(folder, at(day), lambda _: None)
    assert "Move support-bot" in found.verdict
    for name in ("report.html", "report.eml", "alert.eml", "crossover.db"):
        assert (folder / name).stat().st_size > 1000
    alert = message_from_bytes((folder / "alert.eml").read_bytes(), policy=policy.default)
    assert "support-bot" in alert["Subject"]
    html = (folder / "report.html").read_text()
    assert "DEMONSTRATION" in html.upper()
    from sqlalchemy import text

    from monitor.storage.engine import Database

    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.read() as conn:
        advised = dict(
            conn.execute(
                text(
                    "SELECT workload, advice FROM v_advice"
                    " WHERE as_of = (SELECT MAX(as_of) FROM v_advice)"
                )
            ).all()
        )
        unpriced = conn.scalar(text("SELECT SUM(unpriced_tokens) FROM v_workload_cost"))
        spent = conn.execute(
            text("SELECT SUM(billed_usd), SUM(estimated_usd) FROM v_spend_daily")
        ).one()
    database.close()
    assert advised == {"support-bot": "self_host", "code-review": "stay", "contract-search": "stay"}
    assert unpriced == 0
    assert float(spent[0]) == pytest.approx(float(spent[1]), rel=0.01)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        demonstrate(tmp_path, at(DAYS[0]), lambda _: None)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_command_prints_one_verdict_and_what_to_open_next(tmp_path):
    ended = crossover("demo", "--output", tmp_path / "demo")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].startswith("Demonstration: Move support-bot: saves $")
    assert "report.html" in ended.out
    asked = crossover(
        "--config", tmp_path / "demo" / "crossover.toml", "query", "--format", "json",
        "SELECT COUNT(*) AS months FROM v_workload_cost",
    )  # fmt: skip
    assert asked.rows[0]["months"] > 0
