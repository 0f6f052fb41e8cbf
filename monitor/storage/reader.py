"""The reader's role on PostgreSQL: may log in and read the public views, and nothing else.

Privileges are the boundary. A role's settings (timeouts, memory) only keep an honest mistake
short: whoever is logged in may change them, except `temp_file_limit`. Steps that need more rights
than the caller has are tried, and named when the server refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.domain.errors import InputError, StorageError
from monitor.storage import views
from monitor.storage.engine import Database

CONNECTIONS = 5
_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "work_mem": "32MB",
}
_TEMP_FILES = "1GB"

# Functions that everybody may call and that do more than read: locks that could hold up the
# daemon, large objects, and records in the server's log that no rollback takes back.
_FUNCTIONS = (
    "SELECT oid, CAST(oid AS regprocedure) AS called FROM pg_proc"
    " WHERE pronamespace = CAST('pg_catalog' AS regnamespace) AND proname ~"
    " '^(pg_(try_)?advisory_|lo_|lowrite|pg_logical_emit_message|pg_notify)'"
)
_POWERFUL = (
    "SELECT 1 FROM pg_roles r WHERE r.rolname = :name AND (rolsuper OR rolcreaterole"
    " OR rolcreatedb OR rolreplication OR rolbypassrls"
    " OR EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid)"
    " OR EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid))"
)


class Gap(NamedTuple):
    """Something the role can still do, or a limit it does not have."""

    what: str
    remedy: str


class _Names(NamedTuple):
    """Quoted for use in statements."""

    role: str
    owner: str
    database: str
    schema: str


def make(database: Database, role: str, password: str | None = None) -> list[Gap]:
    """Create the role, or bring it up to date; returns what the server did not permit.

    Args:
        database: PostgreSQL, at this program's schema.
        role: a name of small letters, digits and underscores.
        password: to set; None leaves it as it is. Only its SCRAM verifier leaves this process.

    Raises:
        InputError: the name cannot be used.
        StorageError: the role has other powers, or the caller may not create roles.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
        raise InputError(
            f"{role!r} cannot be a role's name", "Use small letters, digits and underscores."
        )
    with database.write() as conn:
        _refuse_powerful(conn, role)
        names = _names(conn, role)
        _create(conn, names.role, password)
        for name, value in _SETTINGS.items():
            conn.exec_driver_sql(f"ALTER ROLE {role} SET {name} = '{value}'")
        _grant(conn, names)
        _try(conn, f"ALTER ROLE {role} SET temp_file_limit = '{_TEMP_FILES}'")
        for statement in _revocations(conn, names):
            _try(conn, statement)
        return _gaps(conn, names)


def _refuse_powerful(conn: Connection, role: str) -> None:
    if conn.scalar(sa.text(_POWERFUL), {"name": role}):
        raise StorageError(
            f"the role {role} exists and may do more than read", "Choose another name with --name."
        )


def _names(conn: Connection, role: str) -> _Names:
    found = conn.execute(
        sa.text(
            "SELECT quote_ident(pg_get_userbyid(relowner)), quote_ident(current_database()),"
            " quote_ident(current_schema()) FROM pg_class WHERE oid = to_regclass('meta')"
        )
    ).one()
    return _Names(role, *found)


def _create(conn: Connection, role: str, password: str | None) -> None:
    exists = conn.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :r"), {"r": role})
    options = f"LOGIN CONNECTION LIMIT {CONNECTIONS}"
    if password is not None:
        options += f" PASSWORD '{_verifier(conn, role, password)}'"
    if not _try(conn, f"{'ALTER' if exists else 'CREATE'} ROLE {role} {options}"):
        raise StorageError(
            f"the role {role} could not be {'changed' if exists else 'created'}: permission denied",
            "Run this with a database.url that may create roles (CREATEROLE, or a superuser).",
        )


def _verifier(conn: Connection, role: str, password: str) -> str:
    """What the server stores instead of the password: so no log of statements can show it."""
    connection = conn.connection.driver_connection
    assert connection is not None
    scram = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return str(scram.decode("ascii"))


def _grant(conn: Connection, names: _Names) -> None:
    role, owner, database, schema = names
    for statement in (
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}",
        f"GRANT CONNECT ON DATABASE {database} TO {role}",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON {', '.join(views.public_names())} TO {role}",
    ):
        conn.exec_driver_sql(statement)
    # A member may end the role's sessions: `crossover query` does, when time is up.
    _try(conn, f"GRANT {role} TO {owner}")


def _revocations(conn: Connection, names: _Names) -> Iterator[str]:
    """What everybody has by default; the owner, that is the daemon, keeps it by name."""
    _, owner, database, schema = names
    yield f"GRANT TEMPORARY ON DATABASE {database} TO {owner}"
    yield f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
    for _, function in conn.execute(sa.text(_FUNCTIONS)).all():
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {owner}"
        yield f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC"


def _try(conn: Connection, statement: str) -> bool:
    """Whether the server permitted it; nothing else of the transaction is lost if not."""
    try:
        with conn.begin_nested():
            conn.exec_driver_sql(statement)
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", "") != "42501":
            raise
        return False
    return True


class _Question(NamedTuple):
    """A gap, if the condition holds."""

    what: str
    condition: str
    remedy: str


_QUESTIONS = (
    _Question(
        what="its temporary files have no limit",
        condition="NOT EXISTS (SELECT 1 FROM pg_db_role_setting s JOIN pg_roles r"
        " ON r.oid = s.setrole WHERE r.rolname = :role"
        " AND CAST(setconfig AS text) LIKE '%temp_file_limit=%')",
        remedy=f"ALTER ROLE {{role}} SET temp_file_limit = '{_TEMP_FILES}'",
    ),
    _Question(
        what="it may make temporary tables",
        condition="has_database_privilege(:role, current_database(), 'TEMPORARY')",
        remedy="REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
    ),
    _Question(
        what="it may make tables",
        condition="has_schema_privilege(:role, current_schema(), 'CREATE')",
        remedy="REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC",
    ),
    _Question(
        what="it may take advisory locks, or write large objects and log records",
        condition=f"EXISTS (SELECT 1 FROM ({_FUNCTIONS}) f"
        " WHERE has_function_privilege(:role, f.oid, 'EXECUTE'))",
        remedy="run `crossover db reader` once with a superuser's database.url",
    ),
    _Question(
        what="it may read tables, which are not public",
        condition="EXISTS (SELECT 1 FROM pg_class c WHERE c.relkind IN ('r', 'p')"
        " AND c.relnamespace = CAST(current_schema() AS regnamespace)"
        " AND has_table_privilege(:role, c.oid, 'SELECT'))",
        remedy="REVOKE SELECT ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC",
    ),
)


def _gaps(conn: Connection, names: _Names) -> list[Gap]:
    """Asked of the server, because it answers a refused REVOKE with a warning only."""
    return [
        Gap(asked.what, f"As a superuser: {asked.remedy.format(**names._asdict())}")
        for asked in _QUESTIONS
        if conn.scalar(sa.text(f"SELECT {asked.condition}"), {"role": names.role})
    ]


@contextmanager
def kept_grants(conn: Connection) -> Iterator[None]:
    """Views that are made anew while the block runs stay readable for those who read them.

    Who could read every public view before may read every one after, new ones too.
    """
    if conn.dialect.name != "postgresql":
        yield
        return
    existing, held = _existing(conn), _held(conn)
    yield
    for grantee, names in held.items():
        kept = names & _existing(conn) if names < existing else set(views.public_names())
        for view in sorted(kept):
            conn.exec_driver_sql(f"GRANT SELECT ON {view} TO {grantee}")


_OURS = (
    " FROM pg_class c{more} WHERE c.relkind = 'v' AND starts_with(c.relname, 'v_')"
    " AND c.relnamespace = CAST(current_schema() AS regnamespace)"
)


def _existing(conn: Connection) -> set[str]:
    return set(conn.scalars(sa.text("SELECT c.relname" + _OURS.format(more=""))))


def _held(conn: Connection) -> dict[str, set[str]]:
    """Quoted grantee -> the views it was granted."""
    grantee = "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END"
    rows = conn.execute(
        sa.text(
            f"SELECT {grantee}, c.relname{_OURS.format(more=', aclexplode(c.relacl) a')}"
            " AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner"
        )
    )
    held: dict[str, set[str]] = {}
    for name, view in rows:
        held.setdefault(name, set()).add(view)
    return held
