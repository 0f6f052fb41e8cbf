"""Writing into the database what people configured: sources, accounts, workloads, deployments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from monitor.domain.usage import Dimensions
from monitor.domain.workloads import UNASSIGNED, Rule, assign, rules_hash
from monitor.ports import StreamSpec
from monitor.storage import bulk
from monitor.storage.price_changes import FxRate, put_fx
from monitor.storage.tables import SERIES_DIMENSIONS

ALL = "all workloads"
"""The name under which totals are projected; its id is always 1."""


class SourceSetup(NamedTuple):
    """A configured source and the streams it is read through."""

    name: str
    kind: str
    account: str
    streams: Sequence[StreamSpec]


class AccountSetup(NamedTuple):
    """Which source counts; an empty name leaves it to the only one there is."""

    name: str
    currency: str
    tokens_from: str
    money_from: str


class WorkloadSetup(NamedTuple):
    """A workload's standing orders."""

    name: str
    must_stay_on_api: str
    must_stay_in_house: str
    runs_on: str
    gates: str = "{}"
    """The questionnaire as JSON."""
    owner: str = ""
    cost_centre: str = ""


class DeploymentSetup(NamedTuple):
    """A deployment as the document of its scenario tables."""

    name: str
    workload: str
    document: str


class ContractSetup(NamedTuple):
    """A commitment of an account; `valid_to` is exclusive, None: no end."""

    account: str
    valid_from: int
    valid_to: int | None
    commit_pico_per_month: int


class BudgetSetup(NamedTuple):
    """A budget; days are UTC midnights, `valid_to` exclusive, None: no bound."""

    name: str
    amount_pico: int
    period: str
    """weekly, monthly, quarterly or yearly."""
    scope: str
    """all, workload, account, cost_centre or label."""
    scope_name: str = ""
    valid_from: int | None = None
    valid_to: int | None = None
    owner: str = ""


class Setup(NamedTuple):
    """Everything configured that rows refer to."""

    sources: Sequence[SourceSetup]
    accounts: Sequence[AccountSetup]
    workloads: Sequence[WorkloadSetup]
    deployments: Sequence[DeploymentSetup]
    rules: Sequence[Rule]
    contracts: Sequence[ContractSetup] = ()
    fx: Sequence[FxRate] = ()
    budgets: Sequence[BudgetSetup] = ()


def apply(conn: Connection, setup: Setup) -> None:
    """Make the configured rows; what was removed from the configuration keeps its history.

    Raises:
        InputError: a currency has another rate of a configured day already.
    """
    for source in setup.sources:
        _put_source(conn, source)
    for account in setup.accounts:
        _put_account(conn, account)
    conn.execute(text("UPDATE workload SET configured = :no"), {"no": False})
    standing = [WorkloadSetup(name, "", "", "api") for name in (ALL, UNASSIGNED)]
    for workload in [*standing, *setup.workloads]:
        _put_named(conn, "workload", workload)
    conn.execute(text("UPDATE deployment SET configured = :no"), {"no": False})
    for deployment in setup.deployments:
        _put_deployment(conn, deployment)
    _put_contracts(conn, setup.contracts)
    for rate in setup.fx:
        put_fx(conn, rate)
    conn.execute(text("UPDATE budget SET configured = :no"), {"no": False})
    for budget in setup.budgets:
        _put_named(conn, "budget", budget)
    _reassign(conn, setup.rules)


def put_stream(conn: Connection, source: str, kind: str, spec: StreamSpec) -> tuple[int, int]:
    """The ids of a source and one of its streams; made when missing."""
    conn.execute(
        text("INSERT INTO source (name, kind) VALUES (:n, :k) ON CONFLICT DO NOTHING"),
        {"n": source, "k": kind},
    )
    source_id = conn.scalar(text("SELECT id FROM source WHERE name = :n"), {"n": source})
    conn.execute(
        text(
            "INSERT INTO stream (source_id, name, feeds) VALUES (:s, :n, :f) ON CONFLICT DO NOTHING"
        ),
        {"s": source_id, "n": spec.name, "f": spec.feeds},
    )
    stream_id = conn.scalar(
        text("SELECT id FROM stream WHERE source_id = :s AND name = :n"),
        {"s": source_id, "n": spec.name},
    )
    assert source_id is not None
    assert stream_id is not None
    return int(source_id), int(stream_id)


def _put_source(conn: Connection, source: SourceSetup) -> None:
    for spec in source.streams:
        put_stream(conn, source.name, source.kind, spec)


def _put_account(conn: Connection, account: AccountSetup) -> None:
    conn.execute(
        text("INSERT INTO account (name) VALUES (:n) ON CONFLICT DO NOTHING"), {"n": account.name}
    )
    conn.execute(
        text(
            "UPDATE account SET currency = :currency,"
            " tokens_from = (SELECT id FROM source WHERE name = :tokens_from),"
            " money_from = (SELECT id FROM source WHERE name = :money_from) WHERE name = :name"
        ),
        account._asdict(),
    )


def claim_bills(conn: Connection, source_id: int) -> None:
    """Accounts whose bills nobody else is configured to read: those of this source count."""
    conn.execute(
        text(
            "UPDATE account SET money_from = :s WHERE money_from IS NULL AND id IN (SELECT"
            " s.account_id FROM series s JOIN stream t ON t.id = s.stream_id"
            " WHERE t.source_id = :s AND t.feeds = 'bill')"
        ),
        {"s": source_id},
    )


def claim_account(conn: Connection, account: str, source_id: int) -> None:
    """An account that nobody configured: the first source that reports it counts."""
    conn.execute(
        text("INSERT INTO account (name) VALUES (:n) ON CONFLICT DO NOTHING"), {"n": account}
    )
    conn.execute(
        text("UPDATE account SET tokens_from = :s WHERE name = :n AND tokens_from IS NULL"),
        {"n": account, "s": source_id},
    )


def _put_contracts(conn: Connection, contracts: Sequence[ContractSetup]) -> None:
    """Exactly those that are configured; an account need not have been read yet."""
    conn.execute(text("DELETE FROM contract"))
    for contract in contracts:
        conn.execute(
            text("INSERT INTO account (name) VALUES (:n) ON CONFLICT DO NOTHING"),
            {"n": contract.account},
        )
        conn.execute(
            text(
                "INSERT INTO contract (account_id, valid_from, valid_to, commit_pico_per_month)"
                " SELECT id, :valid_from, :valid_to, :commit_pico_per_month FROM account"
                " WHERE name = :account"
            ),
            contract._asdict(),
        )


def _put_named(conn: Connection, table: str, item: WorkloadSetup | BudgetSetup) -> None:
    """A row that its name tells apart, as it is configured now."""
    fields = item._fields
    updates = ", ".join(f"{name} = excluded.{name}" for name in (*fields[1:], "configured"))
    conn.execute(
        text(
            f"INSERT INTO {table} ({', '.join(fields)}, configured)"
            f" VALUES ({', '.join(':' + f for f in fields)}, :configured)"
            f" ON CONFLICT (name) DO UPDATE SET {updates}"
        ),
        {**item._asdict(), "configured": True},
    )


def _put_deployment(conn: Connection, deployment: DeploymentSetup) -> None:
    conn.execute(
        text(
            "INSERT INTO deployment (workload_id, name, document, configured)"
            " SELECT id, :name, :document, :yes FROM workload WHERE name = :workload"
            " ON CONFLICT (name) DO UPDATE SET workload_id = excluded.workload_id,"
            " document = excluded.document, configured = excluded.configured"
        ),
        {**deployment._asdict(), "yes": True},
    )


def _reassign(conn: Connection, rules: Sequence[Rule]) -> None:
    """When the rules changed, every series is asked again; history follows the rules."""
    wanted = rules_hash(rules)
    stored = conn.scalar(text("SELECT value FROM meta WHERE key = 'rules_hash'"))
    if stored == wanted:
        return
    conn.execute(text("UPDATE series SET workload_id = NULL"))
    assign_series(conn, rules)
    conn.execute(
        text(
            "INSERT INTO meta (key, value) VALUES ('rules_hash', :v)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"v": wanted},
    )


def assign_series(conn: Connection, rules: Sequence[Rule]) -> int:
    """Give every series that has none its workload; returns how many."""
    columns = ", ".join(f"s.{name}" for name in SERIES_DIMENSIONS)
    rows = bulk.select(
        conn,
        f"SELECT s.id, a.name, {columns} FROM series s JOIN account a ON a.id = s.account_id"
        " WHERE s.workload_id IS NULL",
        (),
    )
    if not rows:
        return 0
    ids = {row[0]: row[1] for row in conn.execute(text("SELECT name, id FROM workload"))}
    chosen = [(ids[assign(rules, Dimensions(*row[1:]))], row[0]) for row in rows]
    bulk.update(conn, "series", ("workload_id",), ("id",), chosen)
    return len(chosen)
