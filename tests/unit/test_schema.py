"""Rules over the tables themselves: what a distributed PostgreSQL needs, and what readers expect."""

import pytest
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from monitor.domain.usage import QUANTITY_FIELDS, TOKEN_CLASSES, Dimensions
from monitor.storage.tables import metadata

TABLES = sorted(metadata.tables.values(), key=lambda table: table.name)
KINDS = {"distributed", "reference", "local"}


def distribution_problems(table: Table) -> list[str]:
    """What a distributed PostgreSQL would refuse about one table."""
    kind, column = table.info.get("citus"), table.info.get("by")
    if kind not in KINDS:
        return [f"{table.name} does not say how it is distributed"]
    if kind != "distributed":
        return [f"{table.name} is {kind} and names {column}"] if column else []
    keys = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    unique = [*keys, *(index for index in table.indexes if index.unique)]
    return [
        *([] if column in table.columns else [f"{table.name} has no column {column}"]),
        *([] if table.primary_key.columns else [f"{table.name} has no primary key"]),
        *(f"{key.name} lacks {column}" for key in unique if column not in key.columns),
        *(
            f"{table.name} refers to {key.column.table.name}, which is not a reference table"
            for key in table.foreign_keys
            if key.column.table.info.get("citus") != "reference"
        ),
    ]


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_table_can_be_distributed_as_it_says(table):
    assert distribution_problems(table) == []


def test_only_a_table_of_the_same_kind_or_a_reference_table_is_referred_to():
    wrong = [
        f"{table.name} refers to {key.column.table.name}"
        for table in TABLES
        for key in table.foreign_keys
        if key.column.table.info["citus"] != "reference"
    ]
    assert wrong == []


def test_the_check_sees_a_key_without_its_column_and_a_reference_to_a_local_table():
    other = MetaData()
    Table("local_one", other, Column("id", Integer, primary_key=True), info={"citus": "local"})
    bad = Table(
        "bad",
        other,
        Column("id", Integer, primary_key=True),
        Column("owner", ForeignKey("local_one.id"), unique=True),
        info={"citus": "distributed", "by": "series_id"},
    )
    assert len(distribution_problems(bad)) == 4
    assert distribution_problems(Table("mute", other)) == [
        "mute does not say how it is distributed"
    ]


def test_facts_of_one_series_or_device_or_engine_lie_together():
    together: dict[str, set[str]] = {}
    for table in TABLES:
        if table.info["citus"] == "distributed":
            together.setdefault(table.info["by"], set()).add(table.name)
    assert together == {
        "series_id": {"usage", "bill", "usage_day"},
        "event_id": {"request_log"},
        "device_id": {"gpu_minute", "gpu_hour"},
        "engine_id": {"engine_minute", "engine_hour"},
    }


def test_what_grows_without_end_is_partitioned_by_a_column_of_its_key():
    for name, column in {
        "request_log": "day",
        "gpu_minute": "minute",
        "engine_minute": "minute",
    }.items():
        table = metadata.tables[name]
        assert table.dialect_options["postgresql"]["partition_by"] == f"RANGE ({column})"
        assert column in table.primary_key.columns


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_constraint_and_index_has_the_name_that_its_table_gives_it(table):
    begins = {
        PrimaryKeyConstraint: "pk",
        UniqueConstraint: "uq",
        CheckConstraint: "ck",
    }
    for constraint in table.constraints:
        prefix = begins.get(type(constraint), "fk")
        assert str(constraint.name).startswith(f"{prefix}_{table.name}"), constraint
        # PostgreSQL cuts longer names, and SQLite would not.
        assert len(str(constraint.name)) <= 63
    for index in table.indexes:
        assert str(index.name).startswith(f"ix_{table.name}")


@pytest.mark.parametrize("name", ["usage", "usage_day", "request_log"])
def test_every_quantity_is_a_wide_column_that_may_be_unknown(name):
    columns = metadata.tables[name].columns
    for field in QUANTITY_FIELDS:
        assert isinstance(columns[field].type, BigInteger), field
        assert columns[field].nullable, field
        assert columns[field].server_default is None, field


def test_the_quantities_stand_in_the_order_in_which_they_are_written():
    for name in ("usage", "usage_day", "request_log"):
        found = [c.name for c in metadata.tables[name].columns if c.name in QUANTITY_FIELDS]
        assert tuple(found) == QUANTITY_FIELDS
    assert {f"{c}_nano" for c in TOKEN_CLASSES} <= set(metadata.tables["rate"].columns.keys())


def test_a_series_is_unique_in_its_dimensions_and_none_of_them_is_null():
    table = metadata.tables["series"]
    wanted = {"stream_id", "account_id", *Dimensions._fields[1:]}
    (unique,) = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    assert set(unique.columns.keys()) == wanted
    assert not any(table.columns[name].nullable for name in wanted)


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_money_is_never_a_fraction_in_binary(table):
    for column in table.columns:
        if column.name.endswith(("_pico", "_nano", "_per_month")):
            assert isinstance(column.type, BigInteger), column
        # Numeric is a binary fraction on SQLite, without a word.
        assert not isinstance(column.type, Numeric), column
        if isinstance(column.type, Float):
            assert table.name.startswith(("gpu_", "engine_")), f"{column} is no reading"
