"""The alert machine: edges, thresholds, quiet, flapping, and what it never does."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.domain.alerts import AlertState, Notify, Rule, State, Transition, step
from monitor.domain.errors import InputError
from monitor.domain.notices import Said
from monitor.domain.signals import Signal
from monitor.domain.usage import DAY
from tests.conftest import FULL

CROSSING = Rule("crossing", version=1, severity="warning")
SPEND = Rule("spend", version=2, severity="critical", n=3, m=4, leave_after=7)
START = 20_000 * DAY
SAID = Said("title", "what")


def signal(day, holds, **changes):
    return Signal("any", "support-bot", START + day * DAY, holds, SAID)._replace(**changes)


def replay(signals, alert_rule=CROSSING, state=None, quiet=""):
    """The last state and all effects; every step runs an hour after its day closed."""
    effects = []
    for seen in signals:
        state, new = step(state, seen, alert_rule, seen.as_of + 3_600, quiet)
        effects += new
    return state, effects


def held(days, **changes):
    """Signals from a text: 1 held, 0 did not, ? unknown; one a day."""
    values = {"1": True, "0": False, "?": None}
    return [signal(i, values[d], **changes) for i, d in enumerate(days)]


def states(days, alert_rule):
    _, effects = replay(held(days), alert_rule)
    return " ".join(e.after for e in effects if isinstance(e, Transition))


def notices(effects):
    """Edges told aloud; those for the digest in brackets."""
    told = [e for e in effects if isinstance(e, Notify)]
    return [f"({e.edge})" if e.digest else e.edge for e in told]


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
    quick = Rule("quick", version=1, severity="notice", n=3, m=4, leave_after=1)
    assert states("1110" + "1", quick) == "pending firing resolved pending"


def test_wavering_is_no_edge_and_sends_nothing():
    _, effects = replay(held("111" + "0001" * 5), SPEND)
    assert notices(effects) == ["firing"]


def test_transitions_are_numbered_and_say_when():
    _, effects = replay(held("0110"))
    assert [e for e in effects if isinstance(e, Transition)] == [
        Transition(1, State.INACTIVE, State.FIRING, START + DAY, START + DAY + 3_600),
        Transition(2, State.FIRING, State.RESOLVED, START + 3 * DAY, START + 3 * DAY + 3_600),
    ]


@pytest.mark.parametrize(
    "useless",
    [
        signal(9, None),
        signal(2, False),
        signal(1, False),
        signal(11, False),
    ],
    ids=["missing", "same day", "older", "from the future"],
)
def test_what_adds_nothing_changes_nothing(useless):
    state, _ = replay(held("011"))
    assert step(state, useless, CROSSING, START + 10 * DAY) == (state, ())


def test_an_alert_never_seen_starts_inactive():
    assert step(None, signal(0, None), CROSSING, START) == (AlertState(), ())


def test_a_silence_never_stops_the_machine():
    state, effects = replay(held("01"), quiet="maintenance")
    assert (state.name, state.suppressed_by) == (State.FIRING, "maintenance")
    assert notices(effects) == []


def test_what_was_kept_quiet_is_told_once_when_the_quiet_ends():
    state, _ = replay(held("01"), quiet="maintenance")
    state, effects = replay([signal(2, True), signal(3, True)], state=state)
    assert notices(effects) == ["firing"]
    assert [e.seq for e in effects if isinstance(e, Notify)] == [2]
    _, effects = replay([signal(4, False)], state=state)
    assert notices(effects) == ["resolved"]


def test_what_somebody_took_up_is_not_told_again():
    state, _ = replay(held("01"), quiet="maintenance")
    seen = signal(2, True)
    state, effects = step(state, seen, CROSSING, seen.as_of, acknowledged=True)
    assert notices(effects) == []


def test_resolved_is_not_told_to_those_who_never_heard_of_it():
    state, _ = replay(held("01"), quiet="maintenance")
    state, effects = replay([signal(2, False)], state=state)
    assert (state.name, notices(effects)) == (State.RESOLVED, [])


def test_an_end_that_a_restatement_brought_is_told_to_nobody():
    state, _ = replay(held("01"))
    state, effects = replay([signal(2, False, restated=True)], state=state)
    assert (state.name, notices(effects)) == (State.RESOLVED, [])


def test_a_band_lets_go_only_below_its_lower_end():
    lower = {"released": False}
    _, effects = replay([signal(0, True), signal(1, False, **lower), signal(2, False, **lower)])
    assert [e.after for e in effects if isinstance(e, Transition)] == [State.FIRING]
    _, effects = replay([signal(0, True), signal(1, False, released=True)])
    assert notices(effects) == ["firing", "resolved"]


def crossed(*ranks, period="2026-11", apart=1):
    """Days of a budget: the highest threshold that is crossed, or None."""
    return [
        signal(n * apart, r is not None, rank=-1 if r is None else r, period=period)
        for n, r in enumerate(ranks)
    ]


def test_of_several_thresholds_each_is_told_once_and_several_at_once_as_the_highest():
    _, effects = replay(crossed(None, 0, 0, 2, 2, 1))
    assert notices(effects) == ["firing", "firing"]
    assert [e.seq for e in effects if isinstance(e, Notify)] == [1, 2]
    _, effects = replay(crossed(None, 2, 2))
    assert notices(effects) == ["firing"]


def test_a_threshold_is_told_once_a_period_even_if_it_is_crossed_again():
    _, effects = replay(crossed(1, None, 1, None, 2, apart=9))
    assert notices(effects) == ["firing", "resolved", "firing"]


def test_flapping_is_told_once_and_then_by_the_digest_until_it_calms_down():
    state, effects = replay(held("1010" + "1010"))
    loud = ["firing", "resolved", "firing", "resolved", "unstable"]
    assert notices(effects)[:5] == loud
    assert set(notices(effects)[5:]) == {"(firing)", "(resolved)"}
    assert state.unstable
    calm = [signal(30, True), signal(60, False)]
    state, effects = replay(calm, state=state)
    assert notices(effects) == ["firing", "resolved"]
    assert not state.unstable


def test_a_firing_that_went_to_the_digest_ends_in_the_digest():
    state, _ = replay(held("101010" + "1"))
    _, effects = replay([signal(60, False)], state=state)
    assert notices(effects) == ["(resolved)"]


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 2, "m": 1}, {"leave_after": 0}])
def test_a_rule_that_cannot_work_is_refused(wrong):
    with pytest.raises(InputError, match="alert rule bad"):
        Rule("bad", version=1, severity="notice", **wrong)


rules = st.builds(
    lambda m, n, leave: Rule("any", 1, "notice", min(n, m), m, leave),
    m=st.integers(1, 5),
    n=st.integers(1, 5),
    leave=st.integers(1, 4),
)


class AlertMachine(RuleBasedStateMachine):
    """One alert under good, missing and old data, thresholds, quiet and a clock that goes back."""

    @initialize(alert_rule=rules, period=st.sampled_from(["", "2026-11"]))
    def start(self, alert_rule, period):
        self.rule, self.state, self.day, self.period = alert_rule, None, 0, period
        self.counted, self.effects, self.told_ranks = [], [], []

    def take(self, seen, now, quiet="", acknowledged=False):
        self.state, new = step(self.state, seen, self.rule, now, quiet, acknowledged=acknowledged)
        self.effects += new
        return new

    @rule(
        holds=st.booleans(),
        gap=st.integers(1, 9),
        quiet=st.sampled_from(["", "", "night"]),
        rank=st.integers(0, 2),
        released=st.sampled_from([None, True, False]),
        restated=st.booleans(),
        acknowledged=st.booleans(),
    )
    def observe(self, holds, gap, quiet, rank, released, restated, acknowledged):
        self.day += gap
        seen = signal(
            self.day, holds, rank=rank, period=self.period, released=released, restated=restated
        )
        self.counted.append((seen, quiet, acknowledged))
        new = self.take(seen, seen.as_of + 3_600, quiet, acknowledged)
        assert self.state.seen == seen.as_of
        told = [e for e in new if isinstance(e, Notify)]
        assert len(told) <= 1
        # Quiet keeps beginnings from being told, never the machine from moving.
        assert not (quiet and [e for e in told if e.edge != "resolved"])
        if self.period and told and told[0].edge == "firing" and not self.owed_before:
            assert rank not in self.told_ranks or rank > max(self.told_ranks)
        if told and told[0].edge == "firing":
            self.told_ranks.append(self.state.rank)

    @property
    def owed_before(self):
        return len(self.counted) > 1 and any(q for _, q, _ in self.counted)

    @rule(holds=st.sampled_from([True, False, None]), back=st.integers(0, 9))
    def disturb(self, holds, back):
        disturbances = [
            (signal(self.day + 1, None), START + 1_000 * DAY),
            (signal(self.day + 1, holds), START + self.day * DAY),
        ]
        if self.counted:
            disturbances.append((signal(self.day - back, holds), START + DAY))
        for seen, now in disturbances:
            before = self.state or AlertState()
            assert self.take(seen, now) == ()
            assert self.state == before

    @invariant()
    def a_notice_belongs_to_one_transition(self):
        numbers = [e.seq for e in self.effects if isinstance(e, Notify)]
        assert len(numbers) == len(set(numbers))
        assert set(numbers) <= {e.seq for e in self.effects if isinstance(e, Transition)}

    @invariant()
    def resolved_follows_a_firing_that_was_told(self):
        told = False
        for effect in self.effects:
            if isinstance(effect, Notify):
                assert effect.edge != "resolved" or told
                # That it goes to and fro is told in place of the edge's own notice.
                told = effect.edge in ("firing", "unstable")
            elif effect.after is State.FIRING and effect.before is not State.FIRING:
                told = told and effect.before is State.RESOLVING

    @invariant()
    def transitions_form_one_numbered_chain(self):
        chain = [e for e in self.effects if isinstance(e, Transition)]
        assert [t.seq for t in chain] == list(range(1, len(chain) + 1))
        after = [State.INACTIVE, *(t.after for t in chain)]
        assert [t.before for t in chain] == after[:-1]
        assert after[-1] is (self.state or AlertState()).name

    def teardown(self):
        state, effects = None, []
        for seen, quiet, acknowledged in self.counted:
            state, new = step(
                state, seen, self.rule, seen.as_of + 3_600, quiet, acknowledged=acknowledged
            )
            effects += new
        assert (state, effects) == (self.state if self.counted else None, self.effects)


AlertMachine.TestCase.settings = settings(
    max_examples=10_000 if FULL else 60, stateful_step_count=25, deadline=None
)


@pytest.mark.proof
class TestAlertMachine(AlertMachine.TestCase):
    """Ten thousand sequences at full count."""


@given(days=st.text("01", max_size=60), alert_rule=rules)
@settings(max_examples=100, deadline=None)
def test_at_most_five_messages_leave_in_any_two_weeks(days, alert_rule):
    _, effects = replay(held(days), alert_rule)
    told = [
        edge.as_of
        for edge, then in pairwise(effects)
        if isinstance(then, Notify) and not then.digest
    ]
    assert all(sum(start <= at < start + 14 * DAY for at in told) <= 5 for start in told)
