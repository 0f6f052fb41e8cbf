from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.domain.alerts import (
    AlertState,
    Notify,
    Observation,
    Rule,
    State,
    Transition,
    step,
)
from monitor.domain.errors import InputError
from monitor.domain.usage import DAY

CROSSING = Rule("crossing", version=1, severity="warning")
SPEND = Rule("spend", version=2, severity="critical", n=3, m=4, leave_for_days=7)
START = 20_000 * DAY


def observation(day, value, alert_rule=CROSSING, **overrides):
    fields = {"rule": alert_rule, "subject": "support-bot", "as_of": START + day * DAY}
    return Observation(value=value, **{**fields, **overrides})


def replay(observations, state=None):
    """The last state and all effects; every step runs an hour after its day closed."""
    effects = []
    for seen in observations:
        state, new = step(state, seen, seen.as_of + 3_600)
        effects += new
    return state, effects


def held(days, alert_rule=CROSSING, **overrides):
    """Observations from a text: 1 held, 0 did not, ? unknown; one a day."""
    values = {"1": True, "0": False, "?": None}
    return [observation(i, values[d], alert_rule, **overrides) for i, d in enumerate(days)]


def states(days, alert_rule):
    _, effects = replay(held(days, alert_rule))
    return " ".join(e.after for e in effects if isinstance(e, Transition))


def notices(effects):
    return [e.kind for e in effects if isinstance(e, Notify)]


def test_an_edge_of_its_own_fires_and_resolves_at_once():
    state, effects = replay(held("011100"))
    assert notices(effects) == ["firing", "resolved"]
    assert state.name is State.RESOLVED
    assert states("011100", CROSSING) == "firing resolved"


@pytest.mark.parametrize(
    ("days", "path"),
    [
        ("0000", ""),
        ("11", "pending"),
        ("111", "pending firing"),
        ("1011", "pending firing"),
        ("1000011", "pending inactive pending"),
        ("1?1??1", "pending firing"),
        ("111" + "0000001", "pending firing resolving firing"),
        ("111" + "000000", "pending firing resolving"),
        ("111" + "0000000", "pending firing resolving resolved"),
        ("111" + "000?0?000", "pending firing resolving resolved"),
        ("111" + "0000000" + "1000" + "0", "pending firing resolving resolved pending inactive"),
    ],
)
def test_it_enters_on_three_of_four_and_leaves_after_seven_in_a_row(days, path):
    assert states(days, SPEND) == path


def test_an_alert_that_ended_counts_afresh():
    quick = Rule("quick", version=1, severity="info", n=3, m=4, leave_for_days=1)
    assert states("1110" + "1", quick) == "pending firing resolved pending"


def test_wavering_is_no_edge_and_sends_nothing():
    _, effects = replay(held("111" + "0001" * 5, SPEND))
    assert notices(effects) == ["firing"]


def test_a_message_names_rule_version_subject_period_threshold_and_edge():
    march = {"period": "2026-03", "threshold": "80%", "subject": "a/b"}
    _, effects = replay(held("111", SPEND, **march))
    assert effects[-1] == Notify("firing", "spend/v2/a%2Fb/2026-03/80%25/2", "critical", "")


def test_transitions_are_numbered_and_say_when():
    _, effects = replay(held("0110"))
    assert [e for e in effects if isinstance(e, Transition)] == [
        Transition(1, State.INACTIVE, State.FIRING, START + DAY, START + DAY + 3_600),
        Transition(2, State.FIRING, State.RESOLVED, START + 3 * DAY, START + 3 * DAY + 3_600),
    ]


@pytest.mark.parametrize(
    "useless",
    [
        observation(9, None),
        observation(9, False, stale=True),
        observation(2, False),
        observation(1, False),
        observation(11, False),
    ],
    ids=["missing", "stale", "same day", "older", "from the future"],
)
def test_what_adds_nothing_changes_nothing(useless):
    state, _ = replay(held("011"))
    assert step(state, useless, now=START + 10 * DAY) == (state, ())


def test_an_alert_never_seen_starts_inactive():
    assert step(None, observation(0, None), START) == (AlertState(), ())


def test_a_silence_marks_the_message_and_never_stops_the_machine():
    state, effects = replay(held("01", suppressed_by="maintenance"))
    assert state.name is State.FIRING
    assert state.suppressed_by == "maintenance"
    assert effects[-1].suppressed_by == "maintenance"


def test_resolved_is_not_told_to_those_who_never_heard_of_it():
    state, _ = replay(held("01", suppressed_by="maintenance"))
    state, effects = replay([observation(2, False)], state)
    assert (state.name, notices(effects)) == (State.RESOLVED, [])


def test_flapping_is_told_once_and_then_quiet_until_it_calms_down():
    state, effects = replay(held("1010" + "1010"))
    assert notices(effects) == ["firing", "resolved", "firing", "resolved", "unstable"]
    assert state.unstable
    calm = [observation(30, True), observation(60, False)]
    state, effects = replay(calm, state)
    assert notices(effects) == ["firing", "resolved"]
    assert not state.unstable


def test_a_firing_swallowed_by_the_quiet_is_not_resolved_aloud():
    state, _ = replay(held("101010" + "1"))
    _, effects = replay([observation(60, False)], state)
    assert notices(effects) == []


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 2, "m": 1}, {"leave_for_days": 0}])
def test_a_rule_that_cannot_work_is_refused(wrong):
    with pytest.raises(InputError, match="alert rule bad"):
        Rule("bad", version=1, severity="info", **wrong)


rules = st.builds(
    lambda m, n, leave: Rule("any", 1, "info", min(n, m), m, leave),
    m=st.integers(1, 5),
    n=st.integers(1, 5),
    leave=st.integers(1, 4),
)


class AlertMachine(RuleBasedStateMachine):
    """One alert under good, missing, stale and old data, silences and a clock that goes back."""

    @initialize(alert_rule=rules)
    def start(self, alert_rule):
        self.rule, self.state, self.day = alert_rule, None, 0
        self.counted, self.effects = [], []

    def take(self, seen, now):
        self.state, new = step(self.state, seen, now)
        self.effects += new
        return new

    @rule(value=st.booleans(), gap=st.integers(1, 9), silence=st.sampled_from(["", "", "night"]))
    def observe(self, value, gap, silence):
        self.day += gap
        seen = observation(self.day, value, self.rule, suppressed_by=silence)
        self.counted.append(seen)
        self.take(seen, seen.as_of + 3_600)
        assert self.state.seen == seen.as_of

    @rule(value=st.sampled_from([True, False, None]), back=st.integers(0, 9), ahead=st.booleans())
    def disturb(self, value, back, ahead):
        disturbances = [
            (observation(self.day + 1, None, self.rule), START + 1_000 * DAY),
            (observation(self.day + 1, value, self.rule, stale=True), START + 1_000 * DAY),
            (observation(self.day + 1, value, self.rule), START + self.day * DAY),
        ]
        if self.counted:
            disturbances.append((observation(self.day - back, value, self.rule), START + DAY))
        for seen, now in disturbances:
            before = self.state or AlertState()
            assert self.take(seen, now) == ()
            assert self.state == before

    @invariant()
    def no_two_messages_share_a_key(self):
        keys = [e.dedup_key for e in self.effects if isinstance(e, Notify)]
        assert len(keys) == len(set(keys))

    @invariant()
    def resolved_follows_a_firing_that_was_sent(self):
        open_firing = False
        for kind, suppressed in [
            (e.kind, e.suppressed_by) for e in self.effects if isinstance(e, Notify)
        ]:
            assert kind != "resolved" or open_firing
            open_firing = kind == "firing" and not suppressed

    @invariant()
    def transitions_form_one_numbered_chain(self):
        chain = [e for e in self.effects if isinstance(e, Transition)]
        assert [t.seq for t in chain] == list(range(1, len(chain) + 1))
        after = [State.INACTIVE, *(t.after for t in chain)]
        assert [t.before for t in chain] == after[:-1]
        assert after[-1] is (self.state or AlertState()).name

    def teardown(self):
        assert replay(self.counted) == (self.state if self.counted else None, self.effects)


AlertMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAlertMachine = AlertMachine.TestCase


@given(days=st.text("01", max_size=60), alert_rule=rules)
@settings(max_examples=100, deadline=None)
def test_at_most_five_messages_leave_in_any_two_weeks(days, alert_rule):
    _, effects = replay(held(days, alert_rule))
    told = [edge.as_of for edge, then in pairwise(effects) if isinstance(then, Notify)]
    assert all(sum(start <= at < start + 14 * DAY for at in told) <= 5 for start in told)
