"""The daily decision: what it stores, when it waits, and which edges it tells."""

import json
from fractions import Fraction

import pytest
from sqlalchemy import text

from monitor.domain import breakeven
from monitor.domain.scenario import from_document
from monitor.domain.usage import DAY, HOUR
from monitor.jobs.basis import peak_to_mean
from monitor.jobs.decide import decide
from monitor.jobs.plan import NotReady
from monitor.storage import rollup, setup, work
from monitor.storage.write import Window, put_window
from tests import seeded
from tests.factories import dims, usage
from tests.seeded import END

TO = "platform@acme.example"


@pytest.fixture
def filled(autumn):
    return autumn


def decide_days(database, days, **changes):
    with database.write() as conn:
        seeded.decide_days(conn, days, seeded.policy(TO, **changes))
    seeded.tell(database, END + days * DAY)


def rows(database, sql):
    with database.read() as conn:
        return list(conn.execute(text(sql)).mappings())


def claim(as_of, due_at):
    return work.Claim(
        "run", "decide/x", "t", 0, {"period_end": as_of, "due_at": due_at, "added_at": due_at}
    )


def test_an_assessment_can_be_replayed_from_its_stored_scenario(filled):
    decide_days(filled, 1)
    stored = rows(filled, "SELECT * FROM v_assessment WHERE volume = 'q50'")
    assert len(stored) == len(seeded.DEPLOYMENTS)
    for row in stored:
        scenario = from_document(json.loads(row["scenario"]))
        found = breakeven.assess(scenario)
        assert breakeven.to_json(found) == json.loads(row["result"])
        assert scenario.workload.requests_per_month == row["requests"]


def test_the_scenario_bills_what_was_estimated(filled):
    decide_days(filled, 1)
    (row,) = rows(
        filled, "SELECT * FROM v_assessment WHERE volume='q50' AND workload='support-bot'"
    )
    scenario = from_document(json.loads(row["scenario"]))
    per_request = Fraction(breakeven.assess(scenario).api, row["requests"])
    # 800 uncached, 200 cached and 250 output tokens at 1.25, 0.125 and 10 dollars a million.
    assert per_request == Fraction(800 * 1250 + 200 * 125 + 250 * 10_000, 10**9)


def test_advice_moves_in_on_the_day_a_move_repays_itself_and_tells_it_once(filled):
    decide_days(filled, 4)
    advised = rows(
        filled, "SELECT advice FROM v_advice WHERE workload='support-bot' ORDER BY as_of"
    )
    assert [row["advice"] for row in advised] == ["stay", "self_host", "self_host", "self_host"]
    messages = rows(filled, "SELECT kind, recipient, subject FROM v_messages")
    assert [(m["kind"], m["recipient"]) for m in messages] == [("alert", TO)]
    assert "support-bot" in messages[0]["subject"]
    decide_days(filled, 4)
    assert len(rows(filled, "SELECT id FROM v_messages")) == 1


def test_a_silence_keeps_the_alert_from_leaving_and_not_from_happening(filled):
    with filled.write() as conn:
        conn.execute(
            text(
                'INSERT INTO silence (rule, subject, until, "by", why)'
                " VALUES ('*', 'support-bot on own-h100', :t, 'me', 'known')"
            ),
            {"t": END + DAY},
        )
    decide_days(filled, 4)
    assert rows(filled, "SELECT id FROM v_messages") == []
    assert {row["became"] for row in rows(filled, "SELECT became FROM v_alerts")} == {"firing"}


def test_a_workload_that_must_stay_is_never_told_to_move(filled):
    with filled.write() as conn:
        conn.execute(
            text("UPDATE workload SET must_stay_on_api = 'a contract' WHERE name = 'support-bot'")
        )
    decide_days(filled, 4)
    advised = rows(filled, "SELECT advice, reason FROM v_advice WHERE workload = 'support-bot'")
    assert {row["advice"] for row in advised} == {"stay"}
    assert "a contract" in advised[0]["reason"]
    assert rows(filled, "SELECT id FROM v_messages") == []


def test_weights_that_do_not_fit_are_refused_and_the_whole_advice_is_stored(filled):
    model = {"parameters_billion": 405, "bytes_per_parameter": 2, "gpu_memory_gb": 80}
    stored = json.loads(seeded.document())
    with filled.write() as conn:
        conn.execute(
            text("UPDATE deployment SET document = :d WHERE name = 'own-h100'"),
            {"d": json.dumps({**stored, "facts": {"model": model}})},
        )
    decide_days(filled, 4)
    advised = rows(
        filled,
        "SELECT advice, reason, document FROM v_advice WHERE workload = 'support-bot'"
        " ORDER BY as_of",
    )
    assert {row["advice"] for row in advised} == {"stay"}
    assert "cannot hold 810 GB" in advised[-1]["reason"]
    assert json.loads(advised[-1]["document"])["reason"] == "refused.memory"
    (told,) = rows(filled, "SELECT subject FROM v_messages")
    assert told["subject"].startswith("support-bot is above its break-even")


def test_a_workload_that_runs_at_home_and_costs_too_much_is_called_back(filled):
    with filled.write() as conn:
        conn.execute(text("UPDATE workload SET runs_on = 'self_host' WHERE name = 'search'"))
        conn.execute(
            text("UPDATE deployment SET document = :d WHERE name = 'own-h100-search'"),
            {"d": seeded.document(people_usd_per_month=90_000)},
        )
    decide_days(filled, 10)
    advised = rows(filled, "SELECT advice FROM v_advice WHERE workload = 'search' ORDER BY as_of")
    assert [row["advice"] for row in advised][-1] == "return_to_api"
    subjects = [m["subject"] for m in rows(filled, "SELECT subject FROM v_messages")]
    assert any("search" in subject for subject in subjects)


def test_late_data_waits_and_after_a_day_counts_neither_for_nor_against(filled):
    late = END + DAY
    with filled.write() as conn:
        with pytest.raises(NotReady, match="openai usage"):
            decide(conn, claim(late, late + 6 * HOUR), late + 7 * HOUR, seeded.policy(TO))
        outcome = decide(conn, claim(late, late + 6 * HOUR), late + 31 * HOUR, seeded.policy(TO))
    assert outcome["state"] == "skipped"
    assert "openai usage" in outcome["error"]
    assert rows(filled, "SELECT * FROM v_advice") == []


def test_days_that_wait_to_be_priced_are_waited_for(filled):
    with filled.write() as conn:
        _, stream = setup.put_stream(
            conn, "openai", "openai", seeded.StreamSpec("usage", "usage", 31)
        )
        put_window(conn, Window(stream, END - DAY, END), [usage(END - DAY, DAY)])
        assert rollup.waiting(conn, END)
        with pytest.raises(NotReady, match="rolled up"):
            decide(conn, claim(END, END + 6 * HOUR), END + 7 * HOUR, seeded.policy(TO))


def test_two_weeks_are_needed_before_anything_is_said(database):
    with database.write() as conn:
        seeded.apply_setup(conn)
        seeded.put_traffic(conn, first=END - 13 * DAY)
        rollup.refresh(conn, rollup.waiting(conn), seeded.card, seeded.RULES, END)
    decide_days(database, 1)
    projected = rows(database, "SELECT * FROM v_projection WHERE workload = 'support-bot'")
    assert {row["flags"] for row in projected} == {"not_enough_history"}
    assert {row["q50"] for row in projected} == {None}
    (advice,) = rows(database, "SELECT * FROM v_advice WHERE workload = 'support-bot'")
    assert advice["advice"] == "stay"
    assert "not enough history" in advice["reason"]


def test_usage_without_prices_is_not_compared_and_says_so(database):
    with database.write() as conn:
        seeded.apply_setup(conn)
        seeded.put_traffic(conn)
        rollup.refresh(conn, rollup.waiting(conn), lambda *_: None, seeded.RULES, END)
    decide_days(database, 1)
    assert rows(database, "SELECT * FROM v_assessment") == []
    (advice,) = rows(database, "SELECT * FROM v_advice WHERE workload = 'support-bot'")
    assert "More than half of its tokens have no price" in advice["reason"]


def test_a_cost_line_nobody_gave_and_one_at_zero_are_named(filled):
    from monitor.jobs.basis import measured
    from monitor.storage import demand

    with filled.write() as conn:
        conn.execute(
            text("UPDATE deployment SET document = :d WHERE name = 'own-h100'"),
            {"d": seeded.document(services_usd_per_month=0)},
        )
        bot = next(w for w in demand.workloads(conn) if w.name == "support-bot")
        basis = measured(conn, bot, demand.deployments(conn, bot.id)[0], END)
    assert "storage, network and monitoring" in basis.zero_lines
    assert any("spare_replicas" in line for line in basis.assumptions)
    assert any("not read by the hour" in line for line in basis.assumptions)


@pytest.mark.parametrize(("quoted", "old"), [("2026-01-02", True), ("2026-11-01", False)])
def test_an_assumed_price_that_is_old_tells_its_age(filled, quoted, old):
    from monitor.jobs.basis import measured
    from monitor.storage import demand

    document = json.loads(seeded.document()) | {
        "lines": [{"name": "GPUs", "as_of": quoted}, {"name": "people"}],
        "remarks": ["$0.68 an hour is low"],
        "price_stale_after_days": 90,
    }
    with filled.write() as conn:
        conn.execute(text("UPDATE deployment SET document = :d"), {"d": json.dumps(document)})
        bot = next(w for w in demand.workloads(conn) if w.name == "support-bot")
        basis = measured(conn, bot, demand.deployments(conn, bot.id)[0], END)
    aged = [line for line in basis.assumptions if "days old (2026" in line]
    assert (len(aged) == 1) == old
    assert "$0.68 an hour is low" in basis.assumptions


@pytest.mark.parametrize(("hours", "counts"), [(24, True), (5, False), (0, False)])
def test_own_engines_count_once_they_were_full_for_a_day(filled, hours, counts):
    from monitor.jobs.basis import measured
    from monitor.storage import demand

    document = json.loads(seeded.document()) | {"engine_model": "llama"}
    with filled.write() as conn:
        conn.execute(text("UPDATE deployment SET document = :d"), {"d": json.dumps(document)})
        conn.execute(text("INSERT INTO host (id, name, seen_at) VALUES (9, 'node', 0)"))
        conn.execute(text("INSERT INTO engine VALUES (9, 9, 'e', 'vllm', 'llama')"))
        for hour in range(hours):
            conn.execute(
                text(
                    "INSERT INTO engine_hour VALUES"
                    " (9, :hour, 60, 7200, 4000000, 400000, 1440000, 30.0, 3.0, NULL, NULL)"
                ),
                {"hour": END - (hour + 1) * HOUR},
            )
        bot = next(w for w in demand.workloads(conn) if w.name == "support-bot")
        basis = measured(conn, bot, demand.deployments(conn, bot.id)[0], END)
    said = " ".join(basis.assumptions)
    assert ("capacity as measured: 400 output tokens/s an engine, 24 hours" in said) == counts
    assert ("published or written rates" in said) != counts
    assert (basis.scenario.deployment.software_efficiency != 1) == counts


def test_the_peak_is_a_high_quantile_of_the_hours_over_their_mean():
    hours = {h * HOUR: 10 for h in range(14 * 24)}
    assert peak_to_mean(hours, 0, 14 * DAY) == 1
    for h in range(0, 14 * 24, 24):
        hours[h * HOUR] = 100
    mean = Fraction(sum(hours.values()), 14 * 24)
    assert peak_to_mean(hours, 0, 14 * DAY) == 100 / mean
    assert peak_to_mean({0: 5}, 0, 3 * DAY) is None
    assert peak_to_mean({}, 0, 14 * DAY) is None


def test_an_evil_workload_name_reaches_the_mail_without_harm(filled):
    evil = "<script>alert(1)</script> =?utf-8?q?x?="
    with filled.write() as conn:
        conn.execute(text("UPDATE workload SET name = :n WHERE name = 'support-bot'"), {"n": evil})
    decide_days(filled, 4)
    from email import message_from_bytes, policy

    with filled.read() as conn:
        raw = conn.scalar(text("SELECT message FROM outbox"))
    mail = message_from_bytes(bytes(raw), policy=policy.default)
    assert "<script>" not in mail.get_body(("html",)).get_content()
    assert "alert(1)" in mail["Subject"]


def test_one_late_source_leaves_out_only_what_it_feeds(filled):
    with filled.write() as conn:
        setup.put_stream(conn, "other", "openai", seeded.StreamSpec("usage", "usage", 31))
        outcome = decide(
            conn,
            claim(END, END + 6 * HOUR),
            END + 31 * HOUR,
            seeded.policy(TO, live_sources=["openai", "other"]),
        )
    assert outcome["state"] == "done"
    assert len(rows(filled, "SELECT * FROM v_advice")) == len(seeded.DEPLOYMENTS)


def test_a_deployment_that_cannot_be_computed_stops_no_other(filled):
    with filled.write() as conn:
        conn.execute(
            text("UPDATE deployment SET document = :d WHERE name = 'own-h100-search'"),
            {"d": seeded.document(gpu_input_tokens_per_second=Fraction("0.000001"))},
        )
        outcome = decide(conn, claim(END, END), END + HOUR, seeded.policy(TO))
    assert outcome["state"] == "done"
    assert "search on own-h100-search was not compared" in outcome["error"]
    assert [row["workload"] for row in rows(filled, "SELECT * FROM v_advice")] == ["support-bot"]


def test_an_old_file_leaves_the_projection_of_live_sources_alone(filled, tmp_path):
    from collectors.formats import Chosen
    from collectors.mapping import parse_map
    from collectors.window import instant
    from monitor.jobs.imports import import_files

    path = tmp_path / "old.csv"
    path.write_text(
        f"id,at,in,out\n1,{instant(END - 90 * DAY)},5,1\n2,{instant(END + 400 * DAY)},5,1\n"
    )
    mapped = parse_map("id=id,at=at,input=in,output=out,model=:gpt-5")
    files = Chosen([str(path)], "csv", "old", mapped)
    found = import_files(filled, "old.csv", files, END).total
    assert (found.new, found.quarantined) == (1, 1)
    with filled.write() as conn:
        rollup.refresh(conn, rollup.waiting(conn), seeded.card, seeded.RULES, END)
    decide_days(filled, 1)
    total = rows(
        filled, "SELECT * FROM v_projection WHERE workload = 'all workloads' AND unit = 'tokens'"
    )
    assert {row["flags"] for row in total} <= {"", "holes"}
    assert all(row["q50"] for row in total)


def test_unpriced_dollars_and_uncounted_requests_are_unknown_and_not_zero(database):
    with database.write() as conn:
        seeded.apply_setup(conn)
        seeded.put_traffic(conn)
        conn.execute(text("UPDATE usage SET requests = NULL"))
        rollup.refresh(conn, rollup.waiting(conn), lambda *_: None, seeded.RULES, END)
    decide_days(database, 1)
    found = rows(database, "SELECT * FROM v_projection WHERE workload = 'support-bot'")
    by_unit = {row["unit"]: row["q50"] for row in found}
    assert by_unit["tokens"]
    assert (by_unit["usd"], by_unit["requests"]) == (None, None)


@pytest.mark.parametrize("lead", [0, 60, 90])
def test_the_month_at_the_lead_time_is_projected_from_any_day(lead):
    from monitor.domain.forecast import MONTHS_AHEAD
    from monitor.domain.periods import add_months, month_of
    from monitor.jobs.decide import _months

    for day in range(800):
        as_of = END + day * DAY
        months = _months(as_of, lead)
        assert month_of(as_of) in months
        assert months[0] == month_of(as_of - DAY)
        ahead = month_of(as_of + lead * DAY)
        assert ahead in months or ahead > add_months(month_of(as_of), MONTHS_AHEAD)


def test_a_month_is_closed_through_the_wired_handler(filled, tmp_path):
    from monitor.config import from_tables
    from monitor.jobs import plan
    from monitor.wiring import parts

    handlers = parts.handlers(from_tables({}))
    with filled.write() as conn:
        run = work.Planned("close/2026-09", "close", 0, seeded.FIRST, seeded.FIRST)
        work.plan(conn, [run], END)
    assert plan.carry_out_next(filled, handlers, END, 60) == "close/2026-09"
    with filled.read() as conn:
        assert work.closed_at(conn, "2026-09") == END


def serve_at_home(conn, share=Fraction(1), days=40):
    """From so many days ago own engines serve a share of support-bot, which moved."""
    place = "self_host" if share == 1 else "hybrid"
    conn.execute(text("UPDATE workload SET runs_on = :p WHERE name = 'support-bot'"), {"p": place})
    spec = seeded.StreamSpec("usage", "usage", 31)
    _, own = setup.put_stream(conn, "vllm", "engines", spec)
    _, used = setup.put_stream(conn, "openai", "openai", spec)
    served = dims(account="own", provider="self", model="llama-3.3-70b", project="proj_support")
    start = max(END - days * DAY, seeded.FIRST)
    at_home, at_api = [], []
    for day in range(start, END, DAY):
        asked, *others = (seeded._use(day, project) for project in seeded._TRAFFIC)
        n = int(asked.quantities.requests * share)
        at_home.append(requests(day, served, n))
        at_api += [requests(day, asked.dims, asked.quantities.requests - n), *others]
    put_window(conn, Window(own, start, END, END, END), at_home)
    put_window(conn, Window(used, start, END, END, END), at_api)
    seeded.refresh(conn)


def requests(day, of, n):
    """The same shape as the requests of support-bot in the seeded traffic."""
    counts = {"uncached_input": n * 800, "cache_read": n * 200, "output": n * 250}
    return usage(day, DAY, of, requests=n, **counts)


@pytest.mark.parametrize("share", [Fraction(1), Fraction(1, 2)])
def test_what_moved_is_still_asked_for_and_compared_with_the_api(filled, share):
    decide_days(filled, 1)
    sql = "SELECT * FROM v_assessment WHERE workload = 'support-bot' AND volume = 'q50'"
    (before,) = rows(filled, sql)
    with filled.write() as conn:
        serve_at_home(conn, share)
    decide_days(filled, 1)
    (after,) = rows(filled, sql)
    same = ("requests", "crossing_requests", "api_usd", "self_host_usd", "savings_usd", "scenario")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    (advice,) = rows(filled, "SELECT * FROM v_advice WHERE workload = 'support-bot'")
    assert advice["advice"] == "self_host", advice["reason"]
    assert "own GPUs save" in advice["reason"]


def test_a_workload_that_no_api_ever_served_has_nothing_to_compare_with(filled):
    with filled.write() as conn:
        serve_at_home(conn, days=400)
    decide_days(filled, 1)
    (advice,) = rows(filled, "SELECT * FROM v_advice WHERE workload = 'support-bot'")
    assert "No API ever served it" in advice["reason"]
