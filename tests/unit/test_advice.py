from fractions import Fraction

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
from monitor.domain.money import PICO
from monitor.domain.usage import DAY

MONDAY = 1_763_942_400


def evidence(savings=100, **overrides):
    """A workload on the API with a bill of $1,000 a month; `savings` in dollars a month."""
    fields = {
        "savings_q10_pico": savings * PICO,
        "api_q10_pico": 1_000 * PICO,
        "share_moved": Fraction(1),
        "must_stay_on_api": "",
        "must_stay_in_house": "",
        "enough_history": True,
        "currently": "api",
        "open_gates": (),
    }
    return Evidence(**{**fields, **overrides})


def follow(days, state=None, first=MONDAY, **overrides):
    """The state and the kinds of advice after one assessment a day; None is a day without one."""
    state, kinds = state or AdviceState(), []
    for i, savings in enumerate(days):
        if savings is not None:
            state, advice = advise(state, evidence(savings, **overrides), first + i * DAY)
            kinds.append(str(advice.kind))
    return state, kinds


@pytest.mark.parametrize(
    ("days", "last"),
    [
        ([100, 100], "stay"),
        ([100, 100, 100], "self_host"),
        ([100, -5, 100, 100], "self_host"),
        ([100, 100, -5, -5], "stay"),
        ([100, -5, -5, 100, 100], "stay"),
        ([0, 0, 0, 0], "stay"),
        ([100, None, 100, None, None, 100], "self_host"),
        ([100, 100, None, None], "stay"),
    ],
)
def test_money_moves_in_on_three_positive_of_the_last_four_assessments(days, last):
    assert follow(days)[1][-1] == last


def test_the_move_is_a_hybrid_only_where_a_part_would_move():
    assert follow([1, 1, 1], share_moved=Fraction(4, 5))[1][-1] == "hybrid"
    assert follow([1, 1, 1], share_moved=Fraction(1))[1][-1] == "self_host"


def test_a_workload_stays_moved_inside_the_band():
    assert set(follow([-100] * 30, currently="self_host")[1]) == {"self_host"}
    assert set(follow([-99] * 30, currently="hybrid", share_moved=Fraction(1, 2))[1]) == {"hybrid"}


@pytest.mark.parametrize(("currently", "after"), [("api", "stay"), ("self_host", "return_to_api")])
def test_it_is_left_after_seven_assessments_far_below_in_a_row(currently, after):
    state, _ = follow([1, 1, 1], currently=currently)
    later = MONDAY + 3 * DAY
    _, kinds = follow([-101] * 6 + [-100] + [-101] * 7, state, later, currently=currently)
    assert kinds == ["self_host"] * 13 + [after]


def test_days_without_an_assessment_neither_break_nor_lengthen_the_way_out():
    days = [-500, None, -500, -500, None, None, -500, -500, -500, None]
    state, kinds = follow(days, currently="self_host")
    assert set(kinds) == {"self_host"}
    assert follow([-500], state, MONDAY + 10 * DAY, currently="self_host")[1] == ["return_to_api"]


def test_after_leaving_it_takes_the_full_entry_again():
    state, _ = follow([-500] * 7, currently="self_host")
    _, kinds = follow([5, 5, 5], state, MONDAY + 7 * DAY, currently="self_host")
    assert kinds == ["return_to_api", "return_to_api", "self_host"]


def test_the_same_day_again_replaces_and_never_counts_twice():
    state = AdviceState()
    for savings in (100, 100, 100, 100):
        state, advice = advise(state, evidence(savings), MONDAY)
    assert advice.kind is Kind.STAY
    assert state == advise(AdviceState(), evidence(100), MONDAY)[0]


def test_a_replaced_day_takes_back_what_it_had_decided():
    before, _ = follow([100, 100])
    third = MONDAY + 2 * DAY
    moved, advice = advise(before, evidence(100), third)
    assert advice.kind is Kind.SELF_HOST
    restated, advice = advise(moved, evidence(-5), third)
    assert advice.kind is Kind.STAY
    assert advice.since == MONDAY
    assert restated == advise(before, evidence(-5), third)[0]


def test_an_older_day_changes_nothing():
    state, _ = follow([100, 100, 100])
    assert advise(state, evidence(-900), MONDAY) == (state, state.current.advice)


def test_staying_on_the_api_beats_any_savings_and_says_why():
    _, advice = advise(AdviceState(), evidence(9_000, must_stay_on_api="agents that plan"), MONDAY)
    assert (advice.kind, advice.reason) == (
        Kind.STAY,
        "It must stay on the API: agents that plan.",
    )


def test_a_moved_workload_that_must_stay_on_the_api_goes_back():
    gate = evidence(9_000, must_stay_on_api="agents that plan", currently="hybrid")
    assert advise(AdviceState(), gate, MONDAY)[1].kind is Kind.RETURN_TO_API


def test_staying_in_house_beats_any_loss_and_says_why():
    gate = evidence(-9_000, must_stay_in_house="the contract forbids it")
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
    state, kinds = follow([100] * 3, must_stay_on_api="agents")
    assert set(kinds) == {"stay"}
    assert follow([100], state, MONDAY + 3 * DAY)[1] == ["self_host"]


@pytest.mark.parametrize(
    "why", [{}, {"must_stay_in_house": "contract"}, {"share_moved": Fraction(1, 2)}]
)
def test_an_open_question_turns_a_move_into_a_pilot_that_lists_it(why):
    state, _ = follow([100, 100])
    questions = evidence(open_gates=("quality: no result", "licence: unknown"), **why)
    _, advice = advise(state, questions, MONDAY + 2 * DAY)
    assert advice.kind is Kind.PILOT
    assert advice.reason.endswith("Still open: quality: no result; licence: unknown.")


def test_an_open_question_changes_nothing_where_nothing_would_move():
    assert follow([-5], open_gates=("team",))[1] == ["stay"]
    assert follow([100], currently="self_host", open_gates=("team",))[1] == ["self_host"]
    in_house = {"must_stay_in_house": "contract", "open_gates": ("team",)}
    assert follow([-5], currently="self_host", **in_house)[1] == ["self_host"]
    assert follow([-5], currently="hybrid", **in_house)[1] == ["pilot"]


def test_without_enough_history_it_stays_and_the_state_does_not_move():
    state, _ = follow([100, 100])
    after, advice = advise(state, evidence(100, enough_history=False), MONDAY + 2 * DAY)
    assert after == state
    assert advice.kind is Kind.STAY
    assert "history" in advice.reason


def test_a_gate_holds_without_history_and_leaves_no_mark():
    gate = evidence(100, enough_history=False, must_stay_in_house="contract")
    state, advice = advise(AdviceState(), gate, MONDAY)
    assert advice.kind is Kind.SELF_HOST
    assert state.current.marks == ""


def test_a_migration_or_a_return_starts_the_band_afresh():
    out, _ = follow([-500] * 3)
    moved, kinds = follow([-500] * 6, out, MONDAY + 3 * DAY, currently="self_host")
    assert set(kinds) == {"self_host"}
    assert follow([-5], moved, MONDAY + 9 * DAY, currently="api")[1] == ["stay"]


def test_since_is_the_day_the_advice_was_first_given():
    state, _ = follow([100] * 6)
    assert state.current.advice.since == MONDAY + 2 * DAY
    state, _ = follow([-500] * 7, state, MONDAY + 6 * DAY)
    assert state.current.advice.since == MONDAY + 12 * DAY


def test_the_reason_names_the_money_and_the_count():
    state, _ = follow([100, -1_234])
    assert state.current.advice.reason == (
        "At the projection's q10 volume self-hosting costs $1,234.00 a month against an API bill "
        "of $1,000.00; it saved on 1 of the last 2 daily assessments."
    )


def test_a_bill_of_nothing_is_far_below_when_the_fleet_costs():
    assert follow([-1] * 7, currently="self_host", api_q10_pico=0)[1][-1] == "return_to_api"


@pytest.mark.parametrize("days", [[], [100], [100, 100, 100], [-500] * 8])
def test_the_state_survives_json(days):
    state, _ = follow(days)
    assert from_json(to_json(state)) == state


@pytest.mark.parametrize(
    ("inside", "moved", "word"),
    [
        (True, False, "move"),
        (False, False, "hold"),
        (True, True, "hold"),
        (False, True, "return"),
    ],
)
def test_the_band_speaks_three_words(inside, moved, word):
    assert signal(inside=inside, moved=moved) == word


def test_a_judge_decides_with_the_bands_word_and_money_is_told_where_it_decided():
    heard = []

    def judge(word):
        heard.append(word)
        return Judged(Kind.PILOT, "Try it.", by_money=word == "move")

    state = AdviceState()
    for day in range(3):
        state, advice = advise(state, evidence(100), MONDAY + day * DAY, judge)
    assert heard == ["hold", "hold", "move"]
    assert advice.kind is Kind.PILOT
    assert advice.since == MONDAY
    assert advice.reason.startswith("At the projection's q10 volume self-hosting saves $100.00")
    assert advice.reason.endswith("Try it.")


def test_without_history_no_judge_is_asked():
    _, advice = advise(
        AdviceState(), evidence(enough_history=False), MONDAY, lambda _: pytest.fail("asked")
    )
    assert advice.kind is Kind.STAY
