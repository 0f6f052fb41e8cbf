"""Rows for tests: plain functions with keyword overrides."""

from sqlalchemy import Connection, text

from monitor.domain.usage import BillRow, Dimensions, Quantities, UsageRow
from monitor.storage import tables
from monitor.storage.engine import Database

DAY0 = 1_793_491_200  # 2026-11-01T00:00:00Z


def dims(**overrides: str) -> Dimensions:
    base = {"account": "acme", "provider": "openai", "model": "gpt-5-mini-2025-08-07"}
    return Dimensions(**(base | overrides))


def usage(start: int = DAY0, seconds: int = 3600, of: Dimensions | None = None, **quantities: int):
    filled = {"uncached_input": 1000, "output": 100, "requests": 10} | quantities
    return UsageRow(of or dims(), start, seconds, Quantities(**filled))


def bill(day: int = DAY0, amount_pico: int = 10**12, line_item: str = "gpt-5-mini, input_tokens"):
    return BillRow(dims(), day, line_item, amount_pico, "USD")


def make_stream(
    conn: Connection, source: str = "openai", name: str = "usage", feeds: str = "usage"
):
    """The ids of a source and one stream of it; made when missing."""
    conn.execute(
        text("INSERT INTO source (name, kind) VALUES (:n, 'openai') ON CONFLICT DO NOTHING"),
        {"n": source},
    )
    source_id = conn.scalar(text("SELECT id FROM source WHERE name = :n"), {"n": source})
    conn.execute(
        text(
            "INSERT INTO stream (source_id, name, feeds) VALUES (:s, :n, :f) ON CONFLICT DO NOTHING"
        ),
        {"s": source_id, "n": name, "f": feeds},
    )
    stream_id = conn.scalar(
        text("SELECT id FROM stream WHERE source_id = :s AND name = :n"),
        {"s": source_id, "n": name},
    )
    return source_id, stream_id


def give_up(folder):
    """One dead run and one dead message in a folder's database."""
    run = {"run_key": "decide/2026-11-08", "kind": "decide", "error": "KeyError: 'bot'"}
    times = {"period_start": DAY0, "period_end": DAY0 + 86_400, "due_at": DAY0, "added_at": DAY0}
    message = {"dedup_key": "k", "kind": "report", "channel": "smtp", "recipient": "a@b.example"}
    content = {"subject": "s", "message_id": "m", "message": b"", "last_text": "no such user"}
    instants = {"next_at": DAY0, "created_at": DAY0}
    database = Database(f"sqlite:///{folder}/crossover.db")
    with database.write() as conn:
        conn.execute(tables.run.insert().values(state="dead", **run, **times))
        conn.execute(tables.outbox.insert().values(state="dead", **message, **content, **instants))
    database.close()
