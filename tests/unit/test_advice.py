import json
from fractions import Fraction

import numpy as np
import pytest

from monitor.domain.advice import (
    AdviceState,
    Evidence,
    Judged,
    Kind,
    advise,
    from_json,
    signal,
    to_json,
)
from monitor.domain.breakeven import DAYS_PER_MONTH
from monitor.domain.scenario import parse_tables
from monitor.domain.switching import Bills, View
from monitor.domain.usage import DAY

MONDAY = 1_763_942_400
CROSSING = 2_000_000
"""$20,000 a month of own service against $10 a thousand requests."""

BILLS = Bills(
    parse_tables(
        {
            "workload": {"requests_per_month": 1, "input_tokens": 500, "output_tokens": 500},
            "api": {"input_usd_per_million": 10, "output_usd_per_million": 10},
            "deployment": {"gpus_per_replica": 4, "gpu_usd_per_month": 20_000},
            "migration": {"setup_usd": 24_000, "exit_usd": 6_000},
        }
    )
)
HIGH, NEAR, LOW, GONE = 2, 0.9, 0.4, 0.0
"""Times the crossing: it pays, it nearly does, it loses a round trip within a year, no load."""


def evidence(level=HIGH, as_of=MONDAY, **overrides):
    """200 days of demand at `level` times the crossing, of a workload on the API; None: too few."""
    daily = None if level is None else np.full(200, round(level * CROSSING / DAYS_PER_MONTH))
    fields = {
        "view": None if daily is None else View(as_of // DAY, daily.astype(float), BILLS),
        "share_moved": Fraction(1),
        "must_stay_on_api": "",
        "must_stay_in_house": "",
        "currently": "api",
        "open_gates": (),
    }
    return Evidence(**{**fields, **overrides})


def follow(levels, state=None, first=MONDAY, **overrides):
    """The state and the kinds of advice after one assessment a week: each has its projection."""
    state, kinds = state or AdviceState(), []
    for i, level in enumerate(levels):
        as_of = first + i * 7 * DAY
        state, advice = advise(state, evidence(level, as_of, **overrides), as_of)
        kinds.append(str(advice.kind))
    return state, kinds


def weeks(count):
    return MONDAY + 7 * count * DAY


def test_money_moves_in_where_moving_repays_what_it_costs():
    assert follow([HIGH])[1] == ["self_host"]
    assert follow([NEAR])[1] == ["stay"]
    assert follow([1.0])[1] == ["stay"]


def test_the_move_is_a_hybrid_only_where_a_part_would_move():
    assert follow([HIGH], share_moved=Fraction(4, 5))[1][-1] == "hybrid"
    assert follow([HIGH], share_moved=Fraction(1))[1][-1] == "self_host"


def test_a_workload_stays_moved_inside_the_band_and_returns_far_below():
    levels = [HIGH, NEAR, 0.88, NEAR, LOW]
    assert follow(levels, currently="self_host")[1] == ["self_host"] * 4 + ["return_to_api"]
    half = {"currently": "hybrid", "share_moved": Fraction(1, 2)}
    assert follow([NEAR, GONE], **half)[1] == ["hybrid", "return_to_api"]


def test_a_move_that_was_not_made_is_withdrawn_when_it_saves_no_more():
    # At 1.02 it saves, though not enough to begin; at 0.9 it costs.
    assert follow([HIGH, 1.02, NEAR, 1.02])[1] == ["self_host", "self_host", "stay", "stay"]
    state, _ = follow([HIGH, 1.02])
    assert "a month more than the API, and moving costs $24,000 once" in state.current.advice.reason
    assert state.current.advice.reason.endswith(
        "It was advised before, and still saves at the higher of the two."
    )


def test_after_a_return_it_takes_the_full_entry_again():
    _, kinds = follow([LOW, NEAR, 1.02, HIGH], currently="self_host")
    assert kinds == ["return_to_api"] * 3 + ["self_host"]


def test_the_same_day_again_replaces_and_never_counts_twice():
    state = AdviceState()
    for _ in range(4):
        state, advice = advise(state, evidence(), MONDAY)
    assert advice.kind is Kind.SELF_HOST
    assert state == advise(AdviceState(), evidence(), MONDAY)[0]


def test_a_replaced_day_takes_back_what_it_had_decided():
    before, _ = follow([NEAR, NEAR])
    third = weeks(2)
    moved, advice = advise(before, evidence(HIGH, third), third)
    assert advice.kind is Kind.SELF_HOST
    restated, advice = advise(moved, evidence(NEAR, third), third)
    assert advice.kind is Kind.STAY
    assert advice.since == MONDAY
    assert restated == advise(before, evidence(NEAR, third), third)[0]


def test_an_older_day_changes_nothing():
    state, _ = follow([HIGH, HIGH])
    assert advise(state, evidence(GONE), MONDAY) == (state, state.current.advice)


def test_staying_on_the_api_beats_any_savings_and_says_why():
    _, advice = advise(AdviceState(), evidence(must_stay_on_api="agents that plan"), MONDAY)
    assert (advice.kind, advice.reason) == (
        Kind.STAY,
        "It must stay on the API: agents that plan.",
    )


def test_a_moved_workload_that_must_stay_on_the_api_goes_back():
    gate = evidence(must_stay_on_api="agents that plan", currently="hybrid")
    assert advise(AdviceState(), gate, MONDAY)[1].kind is Kind.RETURN_TO_API


def test_staying_in_house_beats_any_loss_and_says_why():
    gate = evidence(GONE, must_stay_in_house="the contract forbids it")
    _, advice = advise(AdviceState(), gate, MONDAY)
    assert advice.kind is Kind.SELF_HOST
    assert "the contract forbids it" in advice.reason


def test_gates_that_contradict_each_other_move_nothing():
    gates = evidence(must_stay_on_api="agents", must_stay_in_house="contract")
    _, advice = advise(AdviceState(), gates, MONDAY)
    assert advice.kind is Kind.STAY
    assert "agents" in advice.reason
    assert "contract" in advice.reason


def test_money_is_remembered_behind_a_gate():
    state, kinds = follow([HIGH], must_stay_on_api="agents")
    assert kinds == ["stay"]
    # 1.02 alone would not begin a move.
    assert follow([1.02], state, weeks(1))[1] == ["self_host"]


@pytest.mark.parametrize(
    "why", [{}, {"must_stay_in_house": "contract"}, {"share_moved": Fraction(1, 2)}]
)
def test_an_open_question_turns_a_move_into_a_pilot_that_lists_it(why):
    questions = evidence(open_gates=("quality: no result", "licence: unknown"), **why)
    _, advice = advise(AdviceState(), questions, MONDAY)
    assert advice.kind is Kind.PILOT
    assert advice.reason.endswith("Still open: quality: no result; licence: unknown.")


def test_an_open_question_changes_nothing_where_nothing_would_move():
    assert follow([NEAR], open_gates=("team",))[1] == ["stay"]
    assert follow([HIGH], currently="self_host", open_gates=("team",))[1] == ["self_host"]
    in_house = {"must_stay_in_house": "contract", "open_gates": ("team",)}
    assert follow([LOW], currently="self_host", **in_house)[1] == ["self_host"]
    assert follow([LOW], currently="hybrid", **in_house)[1] == ["pilot"]


def test_without_enough_history_it_stays_and_the_state_does_not_move():
    state, _ = follow([NEAR, NEAR])
    after, advice = advise(state, evidence(None), weeks(2))
    assert after == state
    assert advice.kind is Kind.STAY
    assert "history" in advice.reason


@pytest.mark.parametrize("place", ["hybrid", "self_host"])
def test_without_enough_history_what_moved_stays_where_it_runs(place):
    _, advice = advise(AdviceState(), evidence(None, currently=place), MONDAY)
    assert str(advice.kind) == place


def test_a_gate_holds_without_history_and_leaves_the_rule_alone():
    gate = evidence(None, must_stay_in_house="contract")
    state, advice = advise(AdviceState(), gate, MONDAY)
    assert advice.kind is Kind.SELF_HOST
    assert (state.current.rule.place, state.current.rule.projected_on) == ("api", None)


def test_a_migration_or_a_return_starts_the_rule_afresh_from_where_it_runs():
    stays, kinds = follow([NEAR])
    assert kinds == ["stay"]
    moved, kinds = follow([NEAR, NEAR], stays, weeks(1), currently="self_host")
    assert set(kinds) == {"self_host"}
    assert follow([NEAR], moved, weeks(3))[1] == ["stay"]


def test_since_is_the_day_the_advice_was_first_given():
    state, _ = follow([NEAR, NEAR, HIGH, HIGH])
    assert state.current.advice.since == weeks(2)
    state, _ = follow([HIGH, NEAR], state, weeks(4))
    assert state.current.advice.since == weeks(5)


def test_the_reason_names_the_money_and_what_a_move_costs():
    state, _ = follow([HIGH])
    assert state.current.advice.reason == (
        "At 3,793,400 requests a month (a careful count: the lower of projection and usual week,"
        " less a margin) own GPUs save $17,934 a month; 24 months of that repay the $24,000 that"
        " moving costs."
    )


def test_a_bill_of_nothing_is_far_below_when_the_fleet_costs():
    assert follow([GONE], currently="self_host")[1] == ["return_to_api"]


@pytest.mark.parametrize("levels", [[], [HIGH], [HIGH, NEAR, LOW]])
def test_the_state_survives_json(levels):
    state, _ = follow(levels)
    assert from_json(to_json(state)) == state


@pytest.mark.parametrize(("inside", "place"), [(True, "self_host"), (False, "api")])
def test_a_state_of_the_earlier_rule_is_taken_on_where_it_stood(inside, place):
    standing = {
        "moved": False,
        "inside": inside,
        "marks": "++0",
        "advice": {"kind": "stay", "reason": "r", "since": MONDAY},
    }
    state = from_json(json.dumps({"day": MONDAY, "before": None, "current": standing}))
    assert state.current.rule.place == place
    assert state.current.advice.kind is Kind.STAY
    _, advice = advise(state, evidence(1.02, MONDAY + DAY), MONDAY + DAY)
    assert advice.kind is (Kind.SELF_HOST if inside else Kind.STAY)


@pytest.mark.parametrize(
    ("inside", "moved", "word"),
    [
        (True, False, "move"),
        (False, False, "hold"),
        (True, True, "hold"),
        (False, True, "return"),
    ],
)
def test_the_rule_speaks_three_words(inside, moved, word):
    assert signal(inside=inside, moved=moved) == word


def test_a_judge_decides_with_the_rules_word_and_money_is_told_where_it_decided():
    heard = []

    def judge(word):
        heard.append(word)
        return Judged(Kind.PILOT, "Try it.", by_money=word == "move")

    state = AdviceState()
    for week, level in enumerate((NEAR, HIGH)):
        state, advice = advise(state, evidence(level, weeks(week)), weeks(week), judge)
    assert heard == ["hold", "move"]
    assert advice.kind is Kind.PILOT
    assert advice.since == MONDAY
    assert "own GPUs save $17,934 a month" in advice.reason
    assert advice.reason.endswith("Try it.")


def test_without_history_no_judge_is_asked():
    _, advice = advise(AdviceState(), evidence(None), MONDAY, lambda _: pytest.fail("asked"))
    assert advice.kind is Kind.STAY
