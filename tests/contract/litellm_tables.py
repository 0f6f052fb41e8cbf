"""The request log of a LiteLLM proxy in a real PostgreSQL: its schema, and rows as it writes them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.types.json import Jsonb

# The columns of LiteLLM 1.106.2, in the types that Prisma gives them.
COLUMNS = {
    "request_id": "text PRIMARY KEY",
    "call_type": "text NOT NULL",
    "api_key": "text NOT NULL DEFAULT ''",
    "spend": "double precision NOT NULL DEFAULT 0",
    "total_tokens": "integer NOT NULL DEFAULT 0",
    "prompt_tokens": "integer NOT NULL DEFAULT 0",
    "completion_tokens": "integer NOT NULL DEFAULT 0",
    "startTime": "timestamp(3) NOT NULL",
    "endTime": "timestamp(3) NOT NULL",
    "request_duration_ms": "integer",
    "completionStartTime": "timestamp(3)",
    "model": "text NOT NULL DEFAULT ''",
    "model_id": "text DEFAULT ''",
    "model_group": "text DEFAULT ''",
    "custom_llm_provider": "text DEFAULT ''",
    "api_base": "text DEFAULT ''",
    "user": "text DEFAULT ''",
    "metadata": "jsonb DEFAULT '{}'",
    "cache_hit": "text DEFAULT ''",
    "cache_key": "text DEFAULT ''",
    "request_tags": "jsonb DEFAULT '[]'",
    "team_id": "text",
    "organization_id": "text",
    "end_user": "text",
    "requester_ip_address": "text",
    "messages": "jsonb DEFAULT '{}'",
    "response": "jsonb DEFAULT '{}'",
    "session_id": "text",
    "status": "text",
    "mcp_namespaced_tool_name": "text",
    "billing_agent_id": "text",
    "agent_id": "text",
    "proxy_server_request": "jsonb DEFAULT '{}'",
    "litellm_call_id": "text",
    "created_at": "timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "updated_at": "timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP",
}
PROMPT = "CANARY what somebody asked"


class Proxy(NamedTuple):
    """A proxy's database and the role that reads it, which must give its password."""

    owner: psycopg.Connection
    url: str
    role: str

    def insert(self, calls) -> None:
        """Rows in the words of the HTTP API; what they lack has the column's default."""
        with self.owner.cursor() as cursor:
            for call in calls:
                row = {"call_type": "acompletion", "endTime": call["startTime"]} | call
                row |= {"messages": [PROMPT], "response": [PROMPT]}
                row = {name: value for name, value in row.items() if name in self.columns()}
                values = [Jsonb(v) if isinstance(v, dict | list) else v for v in row.values()]
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join(["%s"] * len(row))
                cursor.execute(
                    f'INSERT INTO "LiteLLM_SpendLogs" ({names}) VALUES ({marks})', values
                )

    def columns(self) -> set[str]:
        found = self.owner.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'LiteLLM_SpendLogs'"
        )
        return {row[0] for row in found}

    def execute(self, statement: str) -> None:
        self.owner.execute(statement)


@contextmanager
def proxy(server: str, password: str) -> Iterator[Proxy]:
    """An empty database of a proxy on the suite's PostgreSQL."""
    name = f"litellm_{os.urandom(6).hex()}"
    role = f"reader_{name}"
    with psycopg.connect(server, autocommit=True) as root:
        root.execute(f"CREATE DATABASE {name}")
        root.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        _require_password(root, name, role)
        url = server.replace("/postgres?", f"/{name}?")
        try:
            with psycopg.connect(url, autocommit=True) as owner:
                owner.execute("SET TimeZone = 'UTC'")
                columns = ", ".join(f'"{column}" {kind}' for column, kind in COLUMNS.items())
                owner.execute(f'CREATE TABLE "LiteLLM_SpendLogs" ({columns})')
                owner.execute(f'GRANT SELECT ON "LiteLLM_SpendLogs" TO {role}')
                place = url.partition("@")[2]
                yield Proxy(owner, f"postgresql://{role}:{password}@{place}", role)
        finally:
            root.execute(f"DROP DATABASE {name} WITH (FORCE)")
            root.execute(f"DROP ROLE {role}")


def _require_password(root: psycopg.Connection, database: str, role: str) -> None:
    """The server trusts everybody on its socket; the first line that fits counts."""
    path = Path(root.execute("SHOW hba_file").fetchone()[0])
    path.write_text(f"local {database} {role} scram-sha-256\n" + path.read_text())
    root.execute("SELECT pg_reload_conf()")


def refuses(url: str) -> bool:
    """Whether the server lets nobody in who brings no password."""
    head, _, place = url.partition("@")
    try:
        psycopg.connect(head.rpartition(":")[0] + "@" + place).close()
    except psycopg.OperationalError:
        return True
    return False


def recorded(folder):
    """The rows of a real proxy's table."""
    lines = (folder / "table_spendlogs.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
