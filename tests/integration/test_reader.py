"""The reader's role on PostgreSQL: what it may do, what it may not, and who may make it."""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from monitor.domain.errors import InputError, StorageError
from monitor.domain.usage import Event, Quantities
from monitor.storage import migrate, views
from monitor.storage.engine import Database
from monitor.storage.events import put_events
from monitor.storage.reader import CONNECTIONS, kept_grants, make
from monitor.storage.tables import metadata
from tests.factories import DAY0, dims, make_stream
from tests.integration.reading import as_reader, drop_role

pytestmark = pytest.mark.postgres


@pytest.fixture
def owner(postgres_url: str) -> Iterator[Database]:
    """A superuser's door to a database that the superuser owns."""
    database = Database(postgres_url)
    yield database
    database.close()


@pytest.fixture
def role(owner: Database) -> Iterator[str]:
    """A name for a role, which is gone afterwards."""
    name = f"role_{os.urandom(4).hex()}"
    yield name
    if scalar(owner, "SELECT 1 FROM pg_roles WHERE rolname = :r", r=name):
        drop_role(owner, name)


class Plain(NamedTuple):
    """A database that belongs to a role without a superuser's rights."""

    database: Database
    superuser: Database


@pytest.fixture
def plain(owner: Database) -> Iterator[Plain]:
    name = f"plain_{os.urandom(4).hex()}"
    with owner.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as admin:
        admin.exec_driver_sql(f"CREATE ROLE {name} LOGIN CREATEROLE")
        admin.exec_driver_sql(f"CREATE DATABASE {name} OWNER {name}")
        url = owner.url.set(database=name)
        superuser = Database(url.render_as_string(hide_password=False))
        database = Database(url.set(username=name).render_as_string(hide_password=False))
        migrate.upgrade(database)
        yield Plain(database, superuser)
        database.close()
        superuser.close()
        admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.exec_driver_sql(f"DROP ROLE {name}")


def scalar(database: Database, sql: str, **bound: object) -> object:
    with database.read() as conn:
        return conn.scalar(sa.text(sql), bound)


def readable(database: Database, role: str) -> set[str]:
    sql = (
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'S')"
        " AND relnamespace = CAST('public' AS regnamespace) AND has_table_privilege(:r, oid,"
        " 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
    )
    with database.read() as conn:
        return set(conn.scalars(sa.text(sql), {"r": role}))


def test_a_superuser_makes_a_role_that_reads_the_views_and_nothing_else(
    owner: Database, role: str
) -> None:
    assert make(owner, role, "pass-word") == []
    assert readable(owner, role) == set(views.public_names())
    assert not readable(owner, role) & set(metadata.tables)


def test_the_role_reads_every_view_and_cannot_leave_its_transaction_of_reading(
    owner: Database,
) -> None:
    with as_reader(owner) as reader:
        assert reader is not None
        with reader.writer.connect() as conn:
            for view in views.public_names():
                assert conn.exec_driver_sql(f"SELECT * FROM {view}").keys()
            assert conn.scalar(sa.text("SHOW default_transaction_read_only")) == "on"
            assert conn.scalar(sa.text("SHOW temp_file_limit")) == "1GB"
            assert conn.scalar(sa.text("SHOW statement_timeout")) == "30s"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMP TABLE t (a int)",
        "CREATE TABLE t (a int)",
        "CREATE SCHEMA s",
        "INSERT INTO account (name) VALUES ('x')",
        "DELETE FROM dirty",
        "SELECT digest FROM access_token",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1, 2)",
        "SELECT lo_creat(-1)",
        "SELECT pg_notify('a', 'b')",
        "SET temp_file_limit = -1",
        "SET ROLE postgres",
    ],
)
def test_a_reader_who_lifts_the_read_only_setting_still_cannot(
    owner: Database, statement: str
) -> None:
    with as_reader(owner) as reader:
        assert reader is not None
        with reader.writer.connect() as conn:
            conn.exec_driver_sql("SET default_transaction_read_only = off")
            conn.commit()
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                conn.exec_driver_sql(statement)


def test_the_number_of_the_readers_connections_is_limited(owner: Database) -> None:
    with as_reader(owner) as reader:
        assert reader is not None
        engine = sa.create_engine(reader.url, poolclass=sa.pool.NullPool)
        held = [engine.connect() for _ in range(CONNECTIONS)]
        with pytest.raises(sa.exc.OperationalError, match="too many connections for role"):
            engine.connect()
        for conn in held:
            conn.close()


def test_only_the_passwords_verifier_reaches_the_server(owner: Database, role: str) -> None:
    said: list[str] = []
    sa.event.listen(
        owner.writer, "before_cursor_execute", lambda *call: said.append(f"{call[2]} {call[3]}")
    )
    make(owner, role, "correct horse")
    assert said
    assert not [statement for statement in said if "correct horse" in statement]
    stored = scalar(owner, "SELECT rolpassword FROM pg_authid WHERE rolname = :r", r=role)
    assert verifies(str(stored), "correct horse")
    assert not verifies(str(stored), "wrong")


def verifies(stored: str, password: str) -> bool:
    """SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, RFC 5803."""
    _, parameters, keys = stored.split("$")
    iterations, salt = parameters.split(":")
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), base64.b64decode(salt), int(iterations)
    )
    client = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(client).digest()).decode() == keys.split(":")[0]


def test_making_the_role_again_keeps_its_password_and_takes_back_what_was_added(
    owner: Database, role: str
) -> None:
    make(owner, role, "first")
    with owner.write() as conn:
        conn.exec_driver_sql(f"GRANT SELECT ON access_token TO {role}")
    assert make(owner, role) == []
    stored = scalar(owner, "SELECT rolpassword FROM pg_authid WHERE rolname = :r", r=role)
    assert verifies(str(stored), "first")
    assert readable(owner, role) == set(views.public_names())


def test_an_owner_who_is_no_superuser_hears_what_the_server_did_not_permit(
    plain: Plain, role: str
) -> None:
    gaps = make(plain.database, role)
    assert [gap.what for gap in gaps] == [
        "its temporary files have no limit",
        "it may take advisory locks, or write large objects and log records",
    ]
    assert gaps[0].remedy == f"As a superuser: ALTER ROLE {role} SET temp_file_limit = '1GB'"
    assert "crossover db reader" in gaps[1].remedy
    assert readable(plain.database, role) == set(views.public_names())
    assert make(plain.superuser, role) == []
    drop_role(plain.superuser, role)


def test_an_owner_who_is_no_superuser_may_end_what_the_reader_runs(plain: Plain) -> None:
    with as_reader(plain.database) as reader:
        assert reader is not None
        with reader.writer.connect() as conn:
            pid = conn.scalar(sa.text("SELECT pg_backend_pid()"))
            assert scalar(plain.database, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
            with pytest.raises(sa.exc.OperationalError, match="terminating connection"):
                conn.exec_driver_sql("SELECT 1")


def test_the_daemon_keeps_what_the_public_lost(plain: Plain, role: str) -> None:
    make(plain.superuser, role)
    with plain.database.write() as conn:
        source, stream = make_stream(conn, "litellm", "requests")
        event = Event("r-1", DAY0, dims(), Quantities(uncached_input=1, requests=1))
        # Takes an advisory lock for the month's partition, and a temporary table for the ids.
        assert put_events(conn, source, stream, [event]).new == 1
    drop_role(plain.superuser, role)


def test_who_may_not_create_roles_is_told_who_may(plain: Plain, role: str) -> None:
    with plain.superuser.write() as conn:
        conn.exec_driver_sql(f"ALTER ROLE {plain.database.url.username} NOCREATEROLE")
    with pytest.raises(StorageError, match=r"could not be created: permission denied.*CREATEROLE"):
        make(plain.database, role)


def test_a_role_that_may_do_more_is_not_turned_into_a_reader(plain: Plain) -> None:
    for name in ("postgres", str(plain.database.url.username)):
        with pytest.raises(StorageError, match=f"the role {name} exists and may do more"):
            make(plain.superuser, name)


@pytest.mark.parametrize("name", ["", "Reader", "a b", 'a"; DROP ROLE postgres; --', "x" * 64])
def test_a_name_that_needs_quoting_is_refused(owner: Database, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a role's name"):
        make(owner, name)


def test_grants_outlive_an_upgrade_which_makes_the_views_anew(owner: Database, role: str) -> None:
    dashboard = f"{role}_dashboard"
    make(owner, role)
    with owner.write() as conn:
        conn.exec_driver_sql(f"CREATE ROLE {dashboard}")
        conn.exec_driver_sql(f"GRANT SELECT ON v_spend_daily TO {dashboard}")
        conn.exec_driver_sql("DROP VIEW v_messages")
    with owner.write() as conn, kept_grants(conn):
        views.drop(conn)
        views.create(conn)
    # The reader, who could read all views there were, reads the one that came with the upgrade.
    assert readable(owner, role) == set(views.public_names())
    assert readable(owner, dashboard) == {"v_spend_daily"}
    drop_role(owner, dashboard)
