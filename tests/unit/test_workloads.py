import pytest

from monitor.domain.usage import Dimensions
from monitor.domain.workloads import UNASSIGNED, Rule, assign, rules_hash

BOT = Rule("support-bot", model="m-1*", project="support")
RULES = [BOT, Rule("research", label="team=research"), Rule("everything-else", account="acme")]


@pytest.mark.parametrize(
    ("dims", "workload"),
    [
        (Dimensions(model="m-1-mini", project="support"), "support-bot"),
        (Dimensions(model="m-2", project="support", label="team=research"), "research"),
        (Dimensions(model="m-2", account="acme"), "everything-else"),
        (Dimensions(model="m-2"), UNASSIGNED),
        (Dimensions(), UNASSIGNED),
    ],
)
def test_the_first_rule_that_matches_names_the_workload(dims, workload):
    assert assign(RULES, dims) == workload


def test_order_decides_where_two_rules_match():
    dims = Dimensions(model="m-1", project="support", account="acme")
    assert assign(RULES, dims) == "support-bot"
    assert assign(RULES[::-1], dims) == "everything-else"


@pytest.mark.parametrize("field", Rule._fields[1:])
def test_every_pattern_reads_the_dimension_of_its_name(field):
    rule = Rule("w", **{field: "x-[12]?"})
    assert assign([rule], Dimensions(**{field: "x-1a"})) == "w"
    assert assign([rule], Dimensions(**{field: "x-3a"})) == UNASSIGNED
    assert assign([rule], Dimensions(**{field: "X-1a"})) == UNASSIGNED


def test_an_empty_pattern_matches_anything_and_a_star_asks_for_nothing_more():
    assert assign([Rule("all")], Dimensions()) == "all"
    assert assign([Rule("all", project="*")], Dimensions()) == "all"
    assert assign([Rule("named", project="?*")], Dimensions()) == UNASSIGNED


def test_without_rules_everything_is_unassigned():
    assert assign([], Dimensions(model="m-1")) == "unassigned"


def test_the_hash_is_pinned_so_that_stored_runs_stay_comparable():
    assert rules_hash([BOT]) == "d2a4c24d7d9248d7d05b93bbc389a3a148ab471faad33f396fae198882e8a996"


def test_the_hash_changes_with_every_rule_its_fields_and_their_order():
    variants = [RULES, RULES[::-1], RULES[:2], [], [*RULES, Rule("w")], [Rule("w", model="a")]]
    variants.append([Rule("w", project="a")])
    assert len({rules_hash(v) for v in variants}) == len(variants)
    assert rules_hash(RULES) == rules_hash(tuple(RULES))
