"""Gates, options, refusals, plan and latency of a recommendation, beyond the vignettes."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor import library
from monitor.domain.advice import Kind
from monitor.domain.advised import to_json
from monitor.domain.case import case_of, parse_case
from monitor.domain.errors import ScenarioError
from monitor.domain.gates import Questionnaire, open_questions, read_gates, to_plain
from monitor.domain.recommend import on_day, recommend

DAY = dt.date(2026, 11, 24)
ANSWERED = {
    "data": "open",
    "team": "able",
    "licence": "commercial",
    "quality": {"score": Decimal("0.9"), "needed": Decimal("0.8"), "set": "200", "date": DAY},
}


def case(gates=None, facts=None, **tables):
    """A fleet of $34,000 a month against $45,000 of API, all questions answered."""
    base = {
        "workload": {"requests_per_month": 3_000_000, "input_tokens": 350, "output_tokens": 150},
        "api": {"input_usd_per_million": 30, "output_usd_per_million": 30},
        "deployment": {
            "gpus_per_replica": 4,
            "gpu_usd_per_month": 12_000,
            "people_usd_per_month": 20_000,
            "services_usd_per_month": 2_000,
        },
        "migration": {},
    }
    merged = {name: {**base[name], **tables.get(name, {})} for name in base}
    asked = ANSWERED if gates is None else gates
    return case_of({**merged, "gates": asked, "facts": facts or {}}, library.guide())


def advised(**changes):
    return to_json(recommend(on_day(case(**changes), DAY)))


def ids(reasons):
    return [reason["id"] for reason in reasons]


@pytest.mark.parametrize("missing", ["data", "team", "licence", "quality"])
@pytest.mark.parametrize(
    "facts", [{}, {"signal": "move"}, {"hourly_requests": [1, 2, 9]}, {"api_fallback": True}]
)
def test_an_unanswered_gate_never_yields_a_move(missing, facts):
    gates = {name: answer for name, answer in ANSWERED.items() if name != missing}
    found = advised(gates=gates, facts=facts)
    assert found["kind"] == "pilot"
    assert ids(found["open_questions"]) == [f"gate.{missing}.unanswered"]
    assert found["would_be"]["kind"] in {"self_host", "self_host_with_fallback", "hybrid"}


@pytest.mark.parametrize(
    ("gates", "problem"),
    [
        ({"data": "secret"}, 'gates.data.answer = "secret" must be one of open, contract, closed'),
        ({"dat": "open"}, "did you mean data?"),
        ({"team": True}, "gates.team.answer = true must be one of able, none"),
        ({"quality": {"score": "0.9"}}, "gates.quality.score"),
        ({"quality": {"date": "soon"}}, 'gates.quality.date = "soon" must be a date'),
        ({"data": {"answer": "contract", "needs": "BAA"}}, "gates.data.needs"),
        ({"data": {"answer": "contract", "papers": {"BAA": {}}}}, "papers.BAA.evidence is missing"),
        ({"control": ["weights"]}, "gates.control.needs.0"),
        ({"time": -1}, "gates.time.needed_in_days = -1"),
        ({"latency": {"answer": "agents", "calls_per_request": 0}}, "gates.latency.calls_per"),
        ("closed", 'gates = "closed" must be a table'),
    ],
)
def test_a_wrong_answer_is_refused_by_name(gates, problem):
    with pytest.raises(ScenarioError) as refused:
        case(gates=gates)
    assert problem in refused.value.message


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"runs_on": "cloud"}, "facts.runs_on"),
        ({"hourly_requests": [1, -1]}, "facts.hourly_requests.1 = -1 must be at least 0"),
        ({"tasks": [{"name": "a", "share": Decimal("0.5")}]}, "add up to 0.5"),
        ({"tasks": [{"name": "a", "share": 2}]}, "facts.tasks.0.share = 2 must be from 0 to 1"),
        ({"requests_low": 9, "requests_high": 1}, "facts.requests_low"),
        ({"model": {}}, "facts.model.parameters_billion is missing"),
        ({"options": {"batch_share": 2}}, "facts.options.batch_share = 2"),
        ({"max_gpus": 0}, "facts.max_gpus = 0"),
        ({"fast": 1}, "facts.fast = 1 is an unknown key"),
        ({"as_of": "9999-12-31"}, "facts.as_of = 9999-12-31 must not be after"),
        ({"requests_low": 3_000_001}, "facts.requests_low must not be above workload."),
        ({"requests_high": 2_999_999}, "facts.requests_high must not be below workload."),
    ],
)
def test_a_wrong_fact_is_refused_by_name(facts, problem):
    with pytest.raises(ScenarioError) as refused:
        case(facts=facts)
    assert problem in refused.value.message


def test_papers_may_be_a_list_and_a_name_used_twice_is_refused():
    paper = {"name": "BAA", "evidence": "signed", "date": DAY}
    data = {"answer": "contract", "needs": ["BAA", "DPA"], "papers": [paper]}
    assert ids(advised(gates={**ANSWERED, "data": data})["conditions"]) == ["paper.DPA"]
    with pytest.raises(ScenarioError, match=r"gates\.data\.papers"):
        case(gates={"data": {**data, "papers": [paper, paper]}})


def test_a_rising_api_price_moves_before_the_month_does_unless_the_low_end_loses():
    rising = {"price_change_per_month": Decimal("0.03")}
    volume = {"requests_per_month": 2_200_000}
    found = advised(api=rising, workload=volume)
    assert (found["kind"], found["reason"]) == ("self_host", "horizon.contradicts")
    held = advised(api=rising, workload=volume, facts={"requests_low": 2_000_000})
    assert held["kind"] == "stay"


def test_the_year_of_what_has_moved_counts_no_setup_and_says_how_it_is_meant():
    falling = {"price_change_per_month": Decimal("-0.055")}
    moved = advised(api=falling, migration={"setup_usd": 90_000}, facts={"runs_on": "self_host"})
    # 45,000 * (1 - 0.945^12) / 0.055 of API against 12 * 34,000 of own service: nearly level.
    assert (moved["kind"], moved["reason"]) == ("self_host", "money.keep")
    kept = moved["reasons"][1]
    assert kept["id"] == "horizon.contradicts"
    assert "own service saves $11,000 a month; over 12 months it loses $" in kept["text"]
    assert "The year decides" not in kept["text"]
    back = advised(api={"price_change_per_month": Decimal("-0.1")}, facts={"runs_on": "self_host"})
    assert (back["kind"], back["reason"]) == ("return_to_api", "horizon.contradicts")
    assert back["reasons"][0]["text"].endswith("The year decides.")


def test_a_rule_that_moves_against_the_year_does_not_say_that_the_year_decides():
    falling = {"price_change_per_month": Decimal("-0.1255")}
    found = advised(api=falling, facts={"signal": "move"})
    assert (found["kind"], ids(found["reasons"])[1]) == ("self_host", "horizon.contradicts")
    assert "The year decides" not in found["reasons"][1]["text"]


def test_tasks_with_their_own_tokens_are_one_workload_in_every_figure():
    tokens = {"input_tokens": 700, "output_tokens": 300}
    halves = [{"name": name, "share": Decimal("0.5"), **tokens} for name in "ab"]
    falling = {"price_change_per_month": Decimal("-0.03")}
    migration = {"setup_usd": 40_000, "lead_days": 60, "dual_running_months": 1}
    tables = {"api": falling, "migration": migration}
    found = advised(facts={"tasks": halves}, **tables)
    plain = advised(workload=tokens, **tables)
    assert found["figures"] == plain["figures"]
    assert found["bands"] == plain["bands"]


def test_the_low_end_of_tasks_counts_their_own_tokens():
    short = {"input_tokens": 35, "output_tokens": 15}
    tasks = [
        {"name": "short", "kind": "extraction", "share": Decimal("0.5"), **short},
        {"name": "agents", "kind": "agents", "share": Decimal("0.5"), **short},
    ]
    # 20M short requests: half of $30,000 would move to $10,000 of own service.
    cheap = {"people_usd_per_month": 0, "services_usd_per_month": 0, "gpu_usd_per_month": 10_000}
    low = {"tasks": tasks, "requests_low": 12_000_000}
    found = advised(workload={"requests_per_month": 20_000_000}, deployment=cheap, facts=low)
    assert (found["kind"], found["reason"]) == ("stay", "volume.not_surely")


def test_no_load_under_a_committed_spend_does_not_cost_nothing():
    found = advised(workload={"requests_per_month": 0}, api={"minimum_usd_per_month": 500})
    assert "costs the $500 a month" in found["reasons"][0]["text"]


@pytest.mark.parametrize(
    ("facts", "peak", "noted"),
    [
        ({"hourly_requests": [1, 1, 4]}, 2, True),
        ({"coefficient_of_variation": 1}, 3.33, True),
        ({"hourly_requests": [1, 1, 4], "coefficient_of_variation": 1}, 2, True),
        ({"hourly_requests": [0, 0]}, 1, False),
        ({"hourly_requests": [3, 3]}, 1, False),
        ({"hourly_requests": [1, 1, 4], "signal": "move"}, 1, False),
        ({}, 1, False),
    ],
)
def test_a_peak_that_nobody_wrote_is_the_one_that_demand_shows(facts, peak, noted):
    found = advised(facts=facts)
    assert found["figures"]["peak_to_mean"] == peak
    assert ("shape.peak_taken" in ids(found["notes"])) == noted
    written = advised(facts=facts, workload={"peak_to_mean": Decimal("1.5")})
    assert written["figures"]["peak_to_mean"] == 1.5


def test_a_hybrid_of_nothing_is_refused():
    with pytest.raises(ScenarioError, match="share_moved above 0"):
        case(facts={"runs_on": "hybrid"}, workload={"share_moved": 0})


def test_what_runs_in_house_is_kept_whole_and_a_pilot_leaves_a_share_where_it_is():
    share = {"share_moved": Decimal("0.7")}
    kept = advised(workload=share, facts={"runs_on": "self_host"})
    assert (kept["kind"], kept["share"], kept["reason"]) == ("self_host", "1", "money.keep")
    gates = {name: answer for name, answer in ANSWERED.items() if name != "licence"}
    found = advised(gates={**gates, "data": "closed"}, workload=share, facts={"runs_on": "hybrid"})
    assert (found["kind"], found["share"]) == ("pilot", "0.7")
    assert found["would_be"]["share"] == "1"


def test_a_deployment_that_cannot_be_is_no_constraint_with_a_price():
    model = {"parameters_billion": 405, "bytes_per_parameter": 2, "gpu_memory_gb": 80}
    found = advised(facts={"model": model})
    assert found["reason"] == "refused.memory"
    assert found["figures"]["constraint_usd_per_month"] is None


def test_payback_and_verdict_of_tasks_are_those_of_the_tasks():
    long = {"input_tokens": 3_500, "output_tokens": 1_500}
    tasks = [
        {"name": "a", "kind": "extraction", "share": Decimal("0.1"), **long},
        {"name": "b", "kind": "agents", "share": Decimal("0.9")},
    ]
    found = advised(facts={"tasks": tasks}, migration={"setup_usd": 22_000})["figures"]
    # 0.3M requests of $0.15 move, $45,000 against $34,000.
    assert (found["savings_usd_per_month"], found["verdict"]) == ("11000.00", "hybrid")
    assert found["payback_months"] == 2


def test_the_plan_of_closed_data_names_no_api_to_start_on_or_fall_back_to():
    plan = advised(gates={**ANSWERED, "data": "closed"})["plan"]
    assert [row["phase"] for row in plan] == [1, 2, 3, 4]
    assert not any("on the API" in row["name"] or "backup" in row["name"] for row in plan)


@pytest.mark.parametrize(
    ("gates", "name", "why"),
    [
        ({"capability": "frontier"}, "smaller_model", "the task needs the frontier"),
        ({"quality": "not_good_enough"}, "managed_host", "the open model is not good enough"),
        ({"latency": "realtime"}, "batch", "its answers cannot wait for hours"),
    ],
)
def test_an_option_that_a_gate_bars_saves_nothing_and_says_why(gates, name, why):
    other = {"name": "other", "input_usd_per_million": 1, "output_usd_per_million": 1}
    options = {"managed_host": other, "smaller_model": other, "batch_share": 1}

    def row(**more):
        found = advised(gates={**ANSWERED, **more}, facts={"options": options})["options"]
        return next(option for option in found if option["id"] == name)

    assert row(latency="interactive")["saves"] is not None
    assert row(**gates)["saves"] is None
    assert row(**gates)["assumption"] == f"no option: {why}"


def test_a_capacity_of_zero_is_refused():
    found = advised(facts={"fleet_output_tokens_per_second": 0})
    assert (found["kind"], found["reason"]) == ("stay", "refused.capacity")


@pytest.mark.parametrize(
    ("gpus", "bytes_", "memory", "kind"),
    [
        (4, 2, 40, "self_host"),
        (3, 2, 40, "stay"),
        (2, Decimal("0.5"), 80, "self_host"),
        (4, 2, 0, "stay"),
    ],
)
def test_weights_must_fit_the_gpus_of_a_replica(gpus, bytes_, memory, kind):
    model = {"parameters_billion": 70, "bytes_per_parameter": bytes_, "gpu_memory_gb": memory}
    found = advised(facts={"model": model}, deployment={"gpus_per_replica": gpus})
    assert found["kind"] == kind


def test_a_fleet_held_fixed_is_sized_to_what_it_carries():
    found = advised(facts={"fleet_output_tokens_per_second": 100})
    assert found["figures"]["gpus"] == 8
    assert found["figures"]["own_usd_per_month"] == "46000.00"
    assert found["reason"] == "capacity.beyond_fleet"
    enough = advised(facts={"fleet_output_tokens_per_second": 200})
    assert (enough["kind"], enough["figures"]["own_usd_per_month"]) == ("self_host", "34000.00")


def test_the_word_of_a_rule_replaces_the_figures():
    assert advised(facts={"signal": "hold"})["reason"] == "money.hold"
    moved = advised(facts={"signal": "move"}, workload={"requests_per_month": 2_000_000})
    assert moved["kind"] == "self_host"
    home = {"runs_on": "self_host", "signal": "return"}
    assert advised(facts=home)["kind"] == "return_to_api"


def test_options_are_estimated_from_facts_and_the_others_ask_for_theirs():
    facts = {
        "repeated_prefix_share": Decimal("0.5"),
        "batch_share": Decimal("0.4"),
        "managed_host": {"name": "h", "input_usd_per_million": 15, "output_usd_per_million": 15},
    }
    found = {row["id"]: row for row in advised(facts={"options": facts})["options"]}
    # Half of 31,500 of input at half the price; 40% of 45,000 at half; half of all.
    assert found["prompt_caching"]["saves"] == "7875.00"
    assert found["batch"]["saves"] == "9000.00"
    assert found["managed_host"]["saves"] == "22500.00"
    assert found["contract"]["saves"] is None
    assert "contract_discount" in found["contract"]["assumption"]


def test_the_saving_of_a_move_is_told_against_the_better_bill_too():
    found = advised(facts={"options": {"contract_discount": Decimal("0.1")}})
    assert found["kind"] == "self_host"
    assert found["figures"]["savings_usd_per_month"] == "11000.00"
    assert found["figures"]["savings_against_optimised_usd_per_month"] == "6500.00"


def test_a_committed_minimum_is_the_floor_of_every_option():
    found = advised(
        api={"minimum_usd_per_month": 45_000},
        facts={"options": {"contract_discount": Decimal("0.5")}},
    )
    assert found["figures"]["optimised_api_usd_per_month"] == "45000.00"


def test_the_plan_has_four_phases_that_follow_each_other():
    plan = advised(migration={"lead_days": 60, "dual_running_months": 1})["plan"]
    assert [row["start"] for row in plan] == [
        "2026-11-24",
        "2026-12-24",
        "2027-01-23",
        "2027-02-23",
    ]
    assert [row["until"] for row in plan[:3]] == [row["start"] for row in plan[1:]]


@pytest.mark.parametrize("lead", [10**9, 10**150])
def test_a_lead_time_beyond_the_calendar_is_dated_ten_years_ahead(lead):
    plan = advised(migration={"lead_days": lead, "dual_running_months": lead})["plan"]
    assert plan[2]["start"] == "2036-11-21"


def test_the_ends_of_a_band_are_not_between_them():
    for requests, place in ((10**7, "below"), (10**7 + 1, "between"), (2 * 10**7, "above")):
        found = advised(workload={"requests_per_month": requests})
        assert found["bands"][0]["place"] == place


def test_waiting_costs_the_saving_of_the_lead_time():
    found = advised(migration={"lead_days": 61})
    assert found["figures"]["waiting_usd"] == "22045.17"


def test_latency_is_calls_times_network_and_queue_plus_inference_measured_or_published():
    asked = {**ANSWERED, "latency": {"answer": "agents", "calls_per_request": 8}}
    facts = {"latency": {"own": {"network_seconds": 0, "queue_seconds": 1, "inference_seconds": 2}}}
    rows = {row["side"]: row for row in advised(gates=asked, facts=facts)["latency"]}
    assert (rows["own"]["low"], rows["own"]["high"], rows["own"]["source"]) == (10, 10, "measured")
    assert rows["api"]["low"] == pytest.approx(8 * 0.05 + 1)
    assert rows["api"]["high"] == pytest.approx(8 * 2.8 + 8)


def test_lines_taken_as_zero_are_named_and_lines_of_the_case_count_first():
    zero = advised()["assumed_zero"]
    assert {"second_region", "on_call", "security_patches", "spare_replicas"} <= set(zero)
    assert not {"people", "services", "gpu"} & set(zero)
    said = [
        {"name": "on_call", "state": "configured", "usd_per_month": 3000},
        {"name": "people", "state": "zero"},
    ]
    zero = advised(facts={"lines": said})["assumed_zero"]
    assert "people" in zero
    assert "on_call" not in zero


def test_a_price_below_the_published_range_is_flagged():
    low = {"gpu_usd_per_month": 0, "usd_per_gpu_hour": Decimal("1.2")}
    assert "price.gpu_low" in ids(advised(deployment=low)["notes"])
    assert "price.gpu_low" not in ids(advised()["notes"])


def test_the_whole_comparison_and_every_risk_are_there():
    found = advised()
    assert (len(found["comparison"]), len(found["risks"]), len(found["bands"])) == (16, 6, 3)
    assert "2,266,667" in next(
        row["here"] for row in found["comparison"] if row["dimension"] == "cost at high volume"
    )


def test_the_questions_are_listed_with_their_answers():
    asked, problems = read_gates({**ANSWERED, "data": {"answer": "contract", "needs": ["BAA"]}})
    assert problems == []
    assert to_plain(asked)["data"] == {"answer": "contract", "needs": ["BAA"]}
    assert to_plain(asked)["quality"]["score"] == "0.9"
    assert open_questions(asked, DAY) == ()
    assert len(open_questions(Questionnaire(), DAY)) == 4


def test_a_text_that_is_no_toml_is_refused():
    with pytest.raises(ScenarioError, match="is not TOML"):
        parse_case("[workload", library.guide())


answers = st.fixed_dictionaries(
    {},
    optional={
        "data": st.sampled_from(["open", "contract", "closed"]),
        "capability": st.sampled_from(["movable", "frontier"]),
        "team": st.sampled_from(["able", "none"]),
        "licence": st.sampled_from(["commercial", "restricted", "research", "unknown"]),
        "quality": st.sampled_from([ANSWERED["quality"], {"answer": "not_good_enough"}]),
        "control": st.sampled_from([["offline"], ["fine_tuning"], []]),
        "time": st.sampled_from([1, 400]),
    },
)
facts = st.fixed_dictionaries(
    {"runs_on": st.sampled_from(["api", "self_host", "hybrid"])},
    optional={
        "signal": st.sampled_from(["hold", "move", "return"]),
        "hourly_requests": st.sampled_from([[1, 2, 3], [0, 0, 9], [0]]),
        "requests_low": st.sampled_from([0, 4_000_000]),
        "fleet_output_tokens_per_second": st.sampled_from([0, 1, 10**6]),
        "options": st.sampled_from([{}, {"batch_share": 1}]),
    },
)


@pytest.mark.proof
@given(answers, facts, st.integers(0, 10**7), st.sampled_from([0, Fraction(1, 2), 1]))
def test_no_combination_of_answers_moves_with_an_open_question_or_against_a_gate(
    gates, known, requests, share
):
    assume(share or known["runs_on"] != "hybrid")
    if "requests_low" in known:
        known = {**known, "requests_low": min(known["requests_low"], requests)}
    workload = {"requests_per_month": requests, "share_moved": share}
    said = recommend(on_day(case(gates=gates, facts=known, workload=workload), DAY))
    document = to_json(said)
    moves = said.kind in {Kind.HYBRID, Kind.SELF_HOST, Kind.SELF_HOST_WITH_FALLBACK}
    if known["runs_on"] == "api":
        assert said.kind is not Kind.RETURN_TO_API
        if moves:
            assert not said.open_questions
            assert gates.get("capability") != "frontier"
            assert gates["licence"] not in ("research", "unknown")
            assert gates["team"] == "able"
    if gates.get("data") == "closed":
        assert not (moves and said.answer.share < 1)
    assert 0 <= said.answer.share <= 1
    if said.kind is Kind.HYBRID:
        assert 0 < said.answer.share < 1
    assert document["reasons"][0]["id"] == document["reason"]
    if not requests and moves and known["runs_on"] == "api" and "signal" not in known:
        assert gates.get("data") == "closed" or gates.get("control") == ["offline"]


def test_the_same_case_gives_the_same_recommendation():
    one = case(facts={"as_of": DAY})
    assert to_json(recommend(one)) == to_json(recommend(replace(one)))


def test_no_crossing_and_a_band_are_told_in_words():
    dear = advised(deployment={"variable_usd_per_million_tokens": 1_000})
    (never,) = (r["text"] for r in dear["reasons"] if r["id"] == "money.no_crossing")
    assert "cheaper: one more own request costs at least the API's price. The move" in never
    between = advised(workload={"requests_per_month": 13_000_000})
    assert between["reasons"][0] == {
        "id": "bands.between",
        "text": "The API bill lies where published rules of thumb leave it open (B: under 10M"
        " requests API, over 20M self-host): try both side by side.",
    }
