"""From configuration to working parts: the only package that names concrete classes."""

from monitor.wiring.alerting import policy, routes, rule_changes, telling, windows
from monitor.wiring.intake import intake_limits, signals
from monitor.wiring.opening import database, reader_database
from monitor.wiring.outlets import (
    channels,
    composers,
    configured_link_secret,
    envelope,
    heartbeat,
    link_secret,
    test_message,
)
from monitor.wiring.parts import certificates, daemon_parts, handlers
from monitor.wiring.prices import (
    live_prices,
    model_names,
    overrides,
    price_list,
    prices,
    prices_hash,
    resolver,
    stored_override,
    stored_prices,
)
from monitor.wiring.reporting import Readers, audiences, calendar, report_issues
from monitor.wiring.rows import document, fx_rate, midnight, rules, setup
from monitor.wiring.style import logo, report_style, require_extras
from monitor.wiring.usage import (
    archive,
    claim_seconds,
    files,
    gpus,
    pace,
    sampler,
    source,
    source_setup,
    sources,
    watched,
)

__all__ = [
    "Readers",
    "archive",
    "audiences",
    "calendar",
    "certificates",
    "channels",
    "claim_seconds",
    "composers",
    "configured_link_secret",
    "daemon_parts",
    "database",
    "document",
    "envelope",
    "files",
    "fx_rate",
    "gpus",
    "handlers",
    "heartbeat",
    "intake_limits",
    "link_secret",
    "live_prices",
    "logo",
    "midnight",
    "model_names",
    "overrides",
    "pace",
    "policy",
    "price_list",
    "prices",
    "prices_hash",
    "reader_database",
    "report_issues",
    "report_style",
    "require_extras",
    "resolver",
    "routes",
    "rule_changes",
    "rules",
    "sampler",
    "setup",
    "signals",
    "source",
    "source_setup",
    "sources",
    "stored_override",
    "stored_prices",
    "telling",
    "test_message",
    "watched",
    "windows",
]
