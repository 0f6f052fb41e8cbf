"""Two reports of one traffic are found; two workloads of about the same volume are not."""

from random import Random

import pytest

from monitor.domain import doubles
from monitor.domain.doubles import Counted
from monitor.domain.model_names import ModelNames
from tests.conftest import FULL

NAMES = ModelNames()
DAYS = range(28)


def counted(source, tokens, account="acme", model="gpt-5"):
    return [Counted(account, source, "openai", model, day, n) for day, n in enumerate(tokens)]


def traffic(chance, noise, volume=10**9):
    """A workload's days: quiet weekends, growth, and noise of its own."""
    growth = chance.uniform(0, 0.02)
    return [
        int(volume * (1 + growth * day) * (0.5 if day % 7 > 4 else 1) * chance.gauss(1, noise))
        for day in DAYS
    ]


def found(*reports):
    return doubles.find([row for report in reports for row in report], NAMES)


@pytest.mark.parametrize("name", ["openai/gpt-5", "gpt-5-2025-08-07", "GPT-5"])
def test_one_traffic_that_two_sources_count_is_named_with_both_accounts_and_its_days(name):
    chance = Random(1)
    tokens = traffic(chance, 0.1)
    again = [int(n * chance.uniform(0.99, 1.01)) for n in tokens]
    (double,) = found(
        counted("openai", tokens), counted("gateway", again[:20], account="proxy", model=name)
    )
    assert double.sources == ("openai", "gateway")
    assert double.accounts == ("acme", "proxy")
    assert (double.model, len(double.days), double.times) == ("gpt-5", 20, 1)
    assert double.tokens == sum(tokens[:20])


@pytest.mark.parametrize("times", [1000, -1000])
def test_thousands_where_tokens_are_expected_are_named(times):
    tokens = traffic(Random(2), 0.1)
    large, small = (tokens, [n // 1000 for n in tokens])[:: 1 if times > 0 else -1]
    (double,) = found(counted("a", large), counted("b", small))
    assert double.times == times


@pytest.mark.proof
@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3])
def test_independent_workloads_of_a_similar_volume_are_never_a_double_count(noise):
    chance = Random(int(noise * 1000))
    alarms = sum(
        bool(found(counted("a", traffic(chance, noise)), counted("b", traffic(chance, noise))))
        for _ in range(2000 if FULL else 60)
    )
    assert alarms == 0


@pytest.mark.parametrize(
    "reports",
    [
        [counted("a", [10**6] * 28), counted("b", [10**6] * 28)],
        [counted("a", traffic(Random(3), 0.1)[:6]), counted("b", traffic(Random(3), 0.1)[:6])],
        [counted("a", traffic(Random(3), 0.1)), counted("b", traffic(Random(3), 0.1), model="x")],
        [counted("a", traffic(Random(3), 0.1)), counted("a", traffic(Random(3), 0.1), "other")],
        [counted("a", [0] * 28), counted("b", [0] * 28)],
    ],
    ids=["constant", "six days", "another model", "one source", "nothing"],
)
def test_what_proves_nothing_is_not_named(reports):
    assert found(*reports) == []


def test_a_share_of_the_traffic_is_no_double_count_by_this_evidence():
    tokens = traffic(Random(4), 0.1)
    assert found(counted("a", tokens), counted("b", [n * 4 // 10 for n in tokens])) == []
