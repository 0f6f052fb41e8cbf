"""Requests that were refused or failed: shares of what is known, and nothing from nothing."""

import pytest

from monitor.domain import watch_answers
from monitor.domain.rulebook import LIMITS
from monitor.domain.watch_answers import Answered

AT = 1_795_392_000


def answered(requests=1000, limited=0, failed=0, workload="bot"):
    return Answered(workload, "openai", "gpt-5", AT, requests, limited, failed)


@pytest.mark.parametrize(
    ("requests", "part", "holds"),
    [
        (1000, 50, True),
        (1000, 49, False),
        (1000, 0, False),
        (20, 1, True),
        (19, 19, None),
        (0, 0, None),
        (1000, None, None),
    ],
)
def test_a_share_is_told_where_there_are_enough_requests_to_say_one(requests, part, holds):
    limit, failing = LIMITS["rate_limit"], LIMITS["availability"]
    seen = answered(requests, limited=part, failed=part)
    assert watch_answers.rate_limited(seen, limit).holds is holds
    assert watch_answers.unavailable(seen, failing).holds is holds


def test_each_says_its_own_share():
    seen = answered(1000, limited=120, failed=70)
    limited = watch_answers.rate_limited(seen, LIMITS["rate_limit"])
    failed = watch_answers.unavailable(seen, LIMITS["availability"])
    assert limited.said.title == "bot: 12.0% of its requests to gpt-5 were over a limit"
    assert failed.said.title == "bot: 7.0% of its requests to gpt-5 failed"
    assert (limited.subject, failed.subject) == ("bot: openai/gpt-5",) * 2
    unknown = watch_answers.unavailable(answered(failed=None), LIMITS["availability"])
    assert "an unknown number failed" in unknown.said.what


def test_a_quote_in_a_name_ends_no_statement():
    seen = answered(workload="o'bot")
    for said in (
        watch_answers.rate_limited(seen, LIMITS["rate_limit"]).said,
        watch_answers.unavailable(seen, LIMITS["availability"]).said,
    ):
        assert "'o''bot'" in said.query
