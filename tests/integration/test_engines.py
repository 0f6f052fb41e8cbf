"""Hours of engines as they are read from both engines of storage."""

import pytest
from sqlalchemy import text

from monitor.domain.load_bands import measured
from monitor.domain.usage import HOUR
from monitor.storage import engines
from tests.factories import DAY0


@pytest.fixture
def stored(database):
    with database.write() as conn:
        conn.execute(text("INSERT INTO host (id, name, seen_at) VALUES (1, 'node', 0)"))
        for number, model in ((1, "llama"), (2, "qwen")):
            conn.execute(
                text("INSERT INTO engine VALUES (:id, 1, :name, 'vllm', :model)"),
                {"id": number, "name": f"e{number}", "model": model},
            )
        rows = [
            (1, 0, 60, 1800, 900_000, 90_000, 360_000, 4.0, 0.0, '{"8": 60}', '{"1": 9, "2": 1}'),
            (1, 1, 60, 3600, 1_800_000, 0, 1_080_000, 12.0, 0.5, None, "broken"),
            (1, 2, 60, None, None, None, None, None, None, None, None),
            (2, 1, 60, 10, 10, 0, 10, 1.0, 0.0, None, None),
        ]
        names = ", ".join(f":c{n}" for n in range(11))
        conn.execute(
            text(f"INSERT INTO engine_hour VALUES ({names})"),
            [
                {f"c{n}": v for n, v in enumerate((row[0], DAY0 + row[1] * HOUR, *row[2:]))}
                for row in rows
            ],
        )
    return database


def test_hours_are_read_in_their_order_with_what_is_unknown(stored):
    with stored.read() as conn:
        found = engines.hours(conn, DAY0, DAY0 + 3 * HOUR)
        assert [(row.engine_id, row.hour) for row in found] == [
            *((1, DAY0), (1, DAY0 + HOUR), (2, DAY0 + HOUR), (1, DAY0 + 2 * HOUR))
        ]
        assert found[0].latency_histogram == {"1": 9.0, "2": 1.0}
        assert found[1].latency_histogram is None
        assert found[3].output_tokens is None
        assert len(engines.hours(conn, DAY0, DAY0 + HOUR)) == 1


def test_one_models_hours_become_its_bands(stored):
    with stored.read() as conn:
        found = measured(engines.hours(conn, DAY0, DAY0 + 3 * HOUR, "llama"))
    assert [band.output_tokens_per_second for band in found.bands] == [100, 300]
    assert (found.hours, found.hours_without_readings) == (2, 1)
    assert found.at(8).output_tokens_per_second == 200
