"""Which copies of a response count: the rules, and that no order of copies changes them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.responses import counted, event_id, identity, larger, together
from monitor.domain.usage import Dimensions, Event, Quantities

DIMS = Dimensions(account="a", provider="anthropic", model="m")


def copy(message, request, output, *, side=False, at=100):
    return Event(
        event_id(message, request, sidechain=side), at, DIMS, Quantities(output=output, requests=1)
    )


def total(*copies):
    known = {}
    for event in copies:
        known = together(known, {event.id: event})
    return sum(event.quantities.tokens for event in counted(known).values())


def test_a_response_that_is_written_once_for_each_block_counts_once_with_its_largest_total():
    assert total(copy("m", "r", 1), copy("m", "r", 40), copy("m", "r", 7)) == 40


def test_two_requests_with_one_message_id_are_two_responses():
    assert total(copy("m", "r1", 10), copy("m", "r2", 5)) == 15


def test_without_a_request_the_message_alone_tells():
    assert total(copy("m", "", 10), copy("m", "", 12)) == 12
    assert total(copy("m", "", 10), copy("m", "r", 12)) == 12
    assert total(copy("m", "", 14), copy("m", "r", 12)) == 14


def test_a_replay_on_a_side_chain_gives_way_to_its_parent_even_where_it_is_larger():
    assert total(copy("m", "r", 10), copy("m", "r2", 50, side=True)) == 10
    assert total(copy("m", "r", 10), copy("m", "r", 50, side=True)) == 50


def test_a_message_that_is_known_from_side_chains_alone_counts_once():
    assert total(copy("m", "r1", 10, side=True), copy("m", "r2", 8, side=True)) == 10


def test_what_counts_is_the_same_in_every_order():
    copies = [
        copy("m", "r", 3), copy("m", "", 9), copy("m", "r2", 50, side=True),
        copy("m", "r", 4, side=True), copy("m", "r3", 2),
    ]  # fmt: skip
    # r3 alone is 2; of r the copies with its request make 4, the one without a request makes it 9.
    assert {total(*order) for order in itertools.permutations(copies)} == {11}


@given(
    st.text(max_size=120), st.text(max_size=120), st.booleans(),
    st.text(max_size=120), st.text(max_size=120), st.booleans(),
)  # fmt: skip
def test_an_id_fits_and_tells_exactly_what_it_was_made_of(m1, r1, s1, m2, r2, s2):
    one, other = event_id(m1, r1, sidechain=s1), event_id(m2, r2, sidechain=s2)
    assert len(one) <= 200
    assert one.isprintable()
    said = identity(one)
    assert (said.sidechain, said.request == "") == (s1, r1 == "")
    assert (identity(other).message == said.message) == (m1 == m2)
    assert (one == other) == ((m1, r1, s1) == (m2, r2, s2))


def test_the_larger_copy_keeps_the_earlier_instant():
    found = larger(copy("m", "r", 1, at=50), copy("m", "r", 9, at=90))
    assert (found.at, found.quantities.output) == (50, 9)
