"""Looking after a database: check, size, backup."""

import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.domain.errors import DatabaseUnavailable, InputError, StorageError
from monitor.storage import maintenance
from monitor.storage.engine import Database
from monitor.storage.tables import metadata
from tests.factories import make_stream
from tests.integration.seeded import fill


def wrong(database: Database) -> dict[str, str]:
    return {item.check: item.detail for item in maintenance.check(database) if not item.ok}


def test_a_filled_database_is_well(database: Database) -> None:
    with database.write() as conn:
        fill(conn)
    assert wrong(database) == {}
    checked = {item.check for item in maintenance.check(database)}
    assert {"schema", "views", "usage", "bill", "gpu_minute", "prices"} <= checked


def test_rows_that_belong_to_nothing_are_found(database: Database) -> None:
    with database.write() as conn:
        conn.exec_driver_sql(
            "INSERT INTO bill (series_id, day, line_item, amount_pico, currency)"
            " VALUES (7, 0, 'x', 1, 'USD')"
        )
        conn.exec_driver_sql(
            "INSERT INTO usage_day (series_id, day, rate_id, tokens, estimated_pico,"
            " unpriced_tokens, flags) VALUES (7, 0, 9, 1, 1, 0, '')"
        )
    assert wrong(database) == {
        "bill": "1 rows of no series",
        "usage_day": "1 rows of no series",
        "prices": "1 priced rows of no rate",
    }


def test_a_missing_view_is_found(database: Database) -> None:
    with database.write() as conn:
        conn.exec_driver_sql("DROP VIEW v_messages")
    assert wrong(database) == {"views": "missing: v_messages"}


def test_an_empty_database_is_behind_and_nothing_else_is_asked_of_it(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "new.db").close()
    database = Database(f"sqlite:///{tmp_path}/new.db")
    [schema, *rest] = maintenance.check(database)
    assert not schema.ok
    assert "crossover db upgrade" in schema.detail
    assert [item.check for item in rest] == ["file", "references"]
    database.close()


def test_broken_references_are_found(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO stream (source_id, name, feeds) VALUES (99, 'x', 'usage')")
    raw.close()
    database = Database(sqlite_url)
    assert wrong(database) == {"references": "1 broken references in stream"}
    database.close()


@pytest.mark.parametrize("work", [maintenance.check, maintenance.sizes])
def test_a_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path, work) -> None:
    database = Database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(DatabaseUnavailable, match=r"there is no database .*crossover db upgrade"):
        work(database)
    assert list(tmp_path.iterdir()) == []


def test_every_table_has_a_size(database: Database) -> None:
    with database.write() as conn:
        fill(conn)
    sizes = {size.table: size.bytes for size in maintenance.sizes(database)}
    assert set(metadata.tables) <= set(sizes)
    assert sizes["usage"] > 0
    # With its partitions, which are no tables of their own to the reader.
    assert sizes["gpu_minute"] > 0
    assert not [name for name in sizes if name.startswith(("gpu_minute_p", "ix_", "uq_"))]
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


def _write_for_ever(url: str, started) -> None:
    database = Database(url)
    number = 0
    while True:
        with database.write() as conn:
            make_stream(conn, f"source {number}", "usage")
        number += 1
        started.set()


def test_a_backup_beside_a_writer_is_whole_and_holds_what_was_committed(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = Database(sqlite_url)
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    writer = context.Process(target=_write_for_ever, args=(sqlite_url, started))
    writer.start()
    try:
        assert started.wait(30)
        with database.read() as conn:
            before = conn.scalar(sa.text("SELECT COUNT(*) FROM stream"))
        copy = tmp_path / "copy.db"
        assert maintenance.backup(database, copy) == copy.stat().st_size
    finally:
        writer.kill()
        writer.join()
    database.close()
    restored = Database(f"sqlite:///{copy}")
    assert wrong(restored) == {}
    with restored.read() as conn:
        sources, streams = conn.execute(
            sa.text("SELECT (SELECT COUNT(*) FROM source), (SELECT COUNT(*) FROM stream)")
        ).one()
    restored.close()
    assert sources == streams >= before > 0


def test_a_backup_holds_what_is_not_yet_in_the_main_file(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    with database.write() as conn:
        make_stream(conn, "late", "usage")
    assert Path(f"{database.path}-wal").stat().st_size > 0
    maintenance.backup(database, tmp_path / "copy.db")
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("SELECT name FROM source").fetchall() == [("late",)]
    copy.close()
    database.close()


def test_a_restored_copy_takes_writes_beside_a_reader(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    copy = tmp_path / "copy.db"
    maintenance.backup(database, copy)
    database.close()
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
    with (
        closing(sqlite3.connect(copy)) as reading,
        closing(sqlite3.connect(copy, timeout=0)) as writing,
    ):
        assert reading.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reading.execute("BEGIN")
        reading.execute("SELECT COUNT(*) FROM source").fetchone()
        writing.execute("INSERT INTO account (name) VALUES ('acme')")
        writing.commit()


def test_a_backup_is_for_its_owner_alone_and_overwrites_nothing(
    sqlite_url: str, tmp_path: Path
) -> None:
    database = Database(sqlite_url)
    copy = tmp_path / "copy.db"
    maintenance.backup(database, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    before = copy.read_bytes()
    with pytest.raises(InputError, match=r"exists and is not overwritten\. Name another file"):
        maintenance.backup(database, copy)
    assert copy.read_bytes() == before
    database.close()


def test_a_backup_that_cannot_be_written_leaves_nothing(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    with pytest.raises(StorageError, match=r"could not be written: .*Name a folder that exists"):
        maintenance.backup(database, tmp_path / "missing" / "copy.db")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(StorageError, match="could not be written"):
        maintenance.backup(Database(f"sqlite:///{damaged}"), tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert not [name for name in tmp_path.iterdir() if "backup" in name.name]
    database.close()


@pytest.mark.postgres
def test_a_postgres_backup_is_pg_dumps_work(postgres_url: str, tmp_path: Path) -> None:
    database = Database(postgres_url, "hidden-password")
    with pytest.raises(InputError, match=r"pg_dump --format=custom --file=.*postgresql://") as said:
        maintenance.backup(database, tmp_path / "x.dump")
    assert "hidden-password" not in str(said.value)
    database.close()
