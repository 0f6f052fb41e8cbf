"""Each limit that a rule has changes what it tells, and no rule takes one that it does not have."""

from decimal import Decimal

import pytest

from monitor.config import Settings
from monitor.config.alerting import Alerts
from monitor.domain import (
    watch,
    watch_answers,
    watch_fleet,
    watch_health,
    watch_prices,
    watch_spend,
)
from monitor.domain.rulebook import LIMITS, Limits
from monitor.domain.usage import DAY
from monitor.domain.watch import UnpricedSeen
from monitor.domain.watch_health import Expiring
from monitor.wiring import alerting
from tests.unit import test_watch_answers as answers
from tests.unit import test_watch_fleet as fleet
from tests.unit import test_watch_prices as prices
from tests.unit import test_watch_spend as spend

AT = 1_795_392_000
HOLDS = {
    "spend_anomaly": lambda x: watch_spend.anomaly(spend.spent(200), x)[0].holds,
    "unpriced_spend": lambda x: (
        watch.unpriced(UnpricedSeen("bot", AT, "2026-11", 9, 3, ()), x.percent).holds
    ),
    "unreconciled_spend": lambda x: watch_spend.unreconciled(spend.billed(1000, 800), x).holds,
    "price_change": lambda x: watch_prices.price_change(prices.repriced(), x).holds,
    "model_change": lambda x: bool(
        watch_prices.model_change(prices.models([("a", 4), ("b", 6)], [("a", 9)]), x)
    ),
    "expiry": lambda x: watch_health.expiry(Expiring("x", "contract", AT + 9 * DAY), AT, x).holds,
    "rate_limit": lambda x: watch_answers.rate_limited(answers.answered(limited=60), x).holds,
    "availability": lambda x: watch_answers.unavailable(answers.answered(failed=60), x).holds,
    "gpu_idle": lambda x: watch_fleet.idle(fleet.host(10.0), x).holds,
    "failover_spend": lambda x: (
        watch_fleet.failover(fleet.served(fleet.days(1000, 500), fleet.days(100, 900)), x).holds
    ),
}
"""Rule -> whether a case holds with these limits."""
STRICT = {"percent": 1000, "least_usd": Decimal(10**6), "days": 1}
BY_ROWS = {("source_stale", "days"), ("unreconciled_spend", "days"), ("gpu_idle", "days")}
"""Limits that choose which rows are read: tests/integration/test_watch_rules.py has them."""


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (rule, field)
        for rule, limits in LIMITS.items()
        for field, value in limits._asdict().items()
        if value is not None and (rule, field) not in BY_ROWS
    ],
)
def test_a_limit_of_a_rule_changes_what_it_tells(rule, field):
    assert HOLDS[rule](LIMITS[rule])
    assert not HOLDS[rule](LIMITS[rule]._replace(**{field: STRICT[field]}))


@pytest.mark.parametrize(
    ("rule", "key"),
    [("budget", "percent"), ("crossing", "least_usd"), ("gpu_idle", "days"), ("internal", "days")],
)
def test_a_limit_that_a_rule_does_not_have_is_refused_by_its_name(rule, key):
    written = {"rules": {rule: {key: 3}}}
    if getattr(LIMITS.get(rule, Limits()), key) is None:
        with pytest.raises(ValueError, match=rf"rules\.{rule}\.{key}: this rule compares with no"):
            Alerts.model_validate(written)
    else:
        Alerts.model_validate(written)


def test_what_is_configured_reaches_the_rules():
    settings = Settings.model_validate(
        {"alerts": {"rules": {"gpu_idle": {"percent": 60, "days": 3, "least_usd": "12.50"}}}}
    )
    assert alerting.policy(settings).limits["gpu_idle"] == Limits(60, 3, Decimal("12.50"))
    assert alerting.policy(settings).limits["expiry"] == LIMITS["expiry"]
