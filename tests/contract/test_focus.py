"""Bills in FOCUS files: which of several deliveries counts, and that no amount is lost or doubled."""

import gzip
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from collectors import focus, focus_deliveries
from collectors.focus import Focus
from monitor.domain.errors import InputError, SourceError
from monitor.domain.money import PICO
from monitor.domain.usage import DAY

START = 1_793_491_200  # 2026-11-01
NOW = START + 20 * DAY + 1_800
OCTOBER = START - 31 * DAY
COLUMNS = [
    "BilledCost",
    "BillingCurrency",
    "BillingAccountId",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ProviderName",
    "RegionId",
    "ServiceCategory",
    "ServiceName",
    "SkuMeter",
    "SubAccountId",
]
AI = "AI and Machine Learning"


def iso(at):
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def charge(day, cost="1.0", **changed):
    """A charge of the n-th day of November 2026."""
    at = START + (day - 1) * DAY
    return {
        "BilledCost": cost,
        "BillingCurrency": "USD",
        "BillingAccountId": "a1",
        "BillingPeriodStart": iso(START),
        "BillingPeriodEnd": iso(START + 30 * DAY),
        "ChargePeriodStart": iso(at),
        "ChargePeriodEnd": iso(at + DAY),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": "tokens",
        "ProviderName": "AWS",
        "RegionId": "us-east-1",
        "ServiceCategory": AI,
        "ServiceName": "Amazon Bedrock",
        "SkuMeter": "Input Tokens",
        "SubAccountId": "s1",
    } | changed


def october(day, cost="1.0", **changed):
    month = {"BillingPeriodStart": iso(OCTOBER), "BillingPeriodEnd": iso(START)}
    return charge(day - 31, cost, **month, **changed)


def text(rows, columns=COLUMNS):
    lines = [",".join(columns)]
    lines += [",".join(f'"{row[name]}"' for name in columns) for row in rows]
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def put(tmp_path):
    """Writes a file `name` that is so many hours old."""

    def write(name, rows, age=0, *, columns=COLUMNS):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = rows if isinstance(rows, bytes) else text(rows, columns).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        os.utime(path, (NOW - age * 3600, NOW - age * 3600))
        return path

    return write


@pytest.fixture
def source(tmp_path):
    def make(**options):
        return Focus("bill", "acme", **({"path": str(tmp_path)} | options))

    return make


def read(found, start=START, days=30, now=NOW):
    return found.read("bill", start, start + days * DAY, now)


def amounts(found):
    """Dollars by day of November, summed over line items."""
    sums = {}
    for row in found.rows:
        day = (row.day - START) // DAY + 1
        sums[day] = sums.get(day, 0) + Decimal(row.amount_pico) / PICO
    return sums


def items(found):
    return {row.line_item: Decimal(row.amount_pico) / PICO for row in found.rows}


# --- Charges ---


def test_a_charge_lies_on_the_day_on_which_its_period_starts(put, source):
    month = charge(1, "300", ChargePeriodEnd=iso(START + 30 * DAY), ChargeCategory="Purchase")
    put("november.csv", [month, charge(2, "2"), charge(5, "5")])
    found = read(source())
    assert amounts(found) == {1: 300, 2: 2}
    assert (found.start, found.end) == (START, START + 4 * DAY)
    assert "Purchase: Amazon Bedrock: Input Tokens" in items(found)


def test_taxes_credits_and_corrections_are_line_items_of_their_own(put, source):
    kinds = [
        ("Usage", "", "5"),
        ("Tax", "", "0.95"),
        ("Credit", "", "-2.5"),
        ("Adjustment", "", "-0.05"),
        ("Usage", "Correction", "-1"),
    ]
    rows = [charge(2, cost, ChargeCategory=kind, ChargeClass=klass) for kind, klass, cost in kinds]
    put("november.csv", [*rows, charge(3)])
    assert items(read(source())) == {
        "Amazon Bedrock: Input Tokens": 5,
        "Tax: Amazon Bedrock: Input Tokens": Decimal("0.95"),
        "Credit: Amazon Bedrock: Input Tokens": Decimal("-2.5"),
        "Adjustment: Amazon Bedrock: Input Tokens": Decimal("-0.05"),
        "Correction: Amazon Bedrock: Input Tokens": -1,
    }


@given(
    costs=st.lists(
        st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False, places=15), min_size=1
    )
)
def test_amounts_are_added_exactly_and_rounded_once(tmp_path_factory, costs):
    path = tmp_path_factory.mktemp("bill") / "november.csv"
    path.write_text(text([*(charge(2, f"{cost:f}") for cost in costs), charge(3)]))
    (row,) = read(Focus("bill", "acme", path=str(path))).rows
    exact = sum(int(cost * 10**15) for cost in costs)
    assert abs(row.amount_pico * 1000 - exact) <= 500


def test_an_exponent_is_an_amount_too(put, source):
    put("november.csv", [charge(2, "1.25E-05"), charge(3)])
    assert amounts(read(source())) == {2: Decimal("0.0000125")}


def test_services_beside_ai_are_left_out_and_counted(put, source):
    rows = [
        charge(2, "1"),
        charge(2, "2", ServiceCategory="Other", ServiceName="Azure OpenAI Service"),
        charge(2, "4", ServiceCategory="Compute", ServiceName="Amazon EC2"),
        charge(2, "8", ServiceCategory="", ServiceName="", ChargeCategory="Tax"),
    ]
    put("november.csv", [*rows, charge(3)])
    found = read(source())
    assert amounts(found) == {2: 3}
    assert "2 charges of other services are not read" in found.notes
    assert amounts(read(source(services=["*"]))) == {2: 15}
    assert amounts(read(source(services=["amazon ec*"]))) == {2: 4}


def test_accounts_regions_and_providers_are_dimensions(put, source):
    rows = [
        charge(2),
        charge(2, SubAccountId="s2"),
        charge(2, RegionId="eu-west-1"),
        charge(2, ProviderName="Microsoft", ServiceName="Azure OpenAI"),
    ]
    put("november.csv", [*rows, charge(3), charge(3, ProviderName="Microsoft")])
    dims = {row.dims for row in read(source()).rows}
    assert {(d.account, d.provider, d.project, d.region) for d in dims} == {
        ("acme", "aws", "s1", "us-east-1"),
        ("acme", "aws", "s2", "us-east-1"),
        ("acme", "aws", "s1", "eu-west-1"),
        ("acme", "azure", "s1", "us-east-1"),
    }


def test_two_currencies_are_two_rows_and_no_sum(put, source):
    put("november.csv", [charge(2, "1"), charge(2, "2", BillingCurrency="eur"), charge(3)])
    assert {(row.currency, row.amount_pico // PICO) for row in read(source()).rows} == {
        ("USD", 1),
        ("EUR", 2),
    }


def test_columns_of_a_newer_version_in_any_case_and_order_are_read(put, source):
    columns = [name for name in reversed(COLUMNS) if name != "ProviderName"]
    columns += ["ServiceProviderName"]
    rows = [charge(2, ServiceProviderName="AWS"), charge(3, ServiceProviderName="AWS")]
    data = text(rows, columns).replace("BilledCost", "BILLEDCOST")
    put("november.csv", b"\xef\xbb\xbf" + data.encode())
    (row,) = read(source()).rows
    assert (row.dims.provider, row.amount_pico) == ("aws", PICO)


def typed(rows, path):
    """A Parquet file with typed columns, as AWS writes it."""
    columns = {name: [row[name] or None for row in rows] for name in COLUMNS}
    columns["BilledCost"] = pa.array(map(Decimal, columns["BilledCost"]), pa.decimal128(38, 18))
    for name in ("ChargePeriodStart", "BillingPeriodStart"):
        instants = [datetime.fromisoformat(at).replace(tzinfo=None) for at in columns[name]]
        columns[name] = pa.array(instants, pa.timestamp("ms"))
    parquet.write_table(pa.table(columns), path)


def test_a_parquet_file_says_the_same_as_its_csv(put, source, tmp_path):
    rows = [charge(2, "1.25"), charge(2, "0.000000123456789"), charge(2, "-3"), charge(3)]
    put("november.csv", rows)
    written = read(source())
    (tmp_path / "november.csv").unlink()
    typed(rows, tmp_path / "november.snappy.parquet")
    found = read(source())
    assert (found.rows, found.start, found.end) == (written.rows, written.start, written.end)


def test_a_parquet_file_that_is_cut_off_or_cannot_be_read_is_refused(
    put, source, tmp_path, monkeypatch
):
    path = tmp_path / "november.parquet"
    typed([charge(2), charge(3)], path)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(SourceError, match=r"install crossover-monitor\[parquet\]"):
            read(source())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"november.parquet: "):
        read(source())


# --- Deliveries ---


def test_the_newest_delivery_of_a_month_replaces_the_older_ones(put, source):
    put("november-v1.csv", [charge(2, "1"), charge(3, "9")], age=30)
    put("november-v2.csv", [charge(2, "1.5"), charge(4, "2"), charge(5)], age=5)
    put("october.csv", [october(31, "7")], age=90)
    found = read(source(), start=OCTOBER, days=61)
    assert amounts(found) == {0: 7, 2: Decimal("1.5"), 4: 2}
    assert "november-v2.csv replaces 1 older of 2026-11" in found.notes
    assert [path.rsplit("/")[-1] for path in found.request["files"]] == [
        "october.csv",
        "november-v2.csv",
    ]


def test_the_time_of_writing_says_which_is_newest_and_not_the_name(put, source):
    put("a-restated.csv", [charge(2, "2"), charge(3)], age=2)
    put("b.csv", [charge(2, "1"), charge(3)], age=30)
    assert amounts(read(source())) == {2: 2}


def test_a_file_of_two_months_counts_for_the_one_that_nothing_newer_has(put, source):
    put("quarter.csv", [october(31, "7"), charge(2, "1"), charge(3)], age=30)
    put("november.csv", [charge(2, "2"), charge(3)], age=2)
    assert amounts(read(source(), start=OCTOBER, days=61)) == {0: 7, 2: 2}


def test_a_file_that_is_taken_away_counts_no_more(put, source):
    put("a.csv", [charge(2, "1"), charge(3)], age=30)
    newer = put("b.csv", [charge(2, "2"), charge(3)], age=2)
    kept = source()
    assert amounts(read(kept)) == {2: 2}
    newer.unlink()
    assert amounts(read(kept)) == {2: 1}
    assert kept.probe(NOW).startswith("1 files of 1 count")


def test_files_of_other_days_are_not_gone_through_again(put, source):
    put("october.csv", [october(31, "7")], age=90)
    put("november.csv", [charge(2), charge(3)])
    found = read(source())
    assert [path.rsplit("/")[-1] for path in found.request["files"]] == ["november.csv"]


def test_the_same_file_read_again_later_gives_what_it_then_says(put, source):
    put("november.csv", [charge(2, "1"), charge(3)], age=9)
    kept = source()
    assert amounts(read(kept)) == {2: 1}
    assert read(kept) == read(kept)
    put("november.csv", [charge(2, "1.25"), charge(3), charge(4)], age=1)
    assert amounts(read(kept)) == {2: Decimal("1.25"), 3: 1}


@pytest.mark.parametrize(
    "names",
    [
        ("run2/part_0_0001.csv", "run2/part_1_0001.csv"),
        ("run2/bill-00001.csv.gz", "run2/bill-00002.csv.gz"),
    ],
)
def test_the_parts_of_one_export_are_added_up_and_replace_an_older_export(put, source, names):
    for name, cost in zip(names, ("1", "2"), strict=True):
        put(name.replace("run2", "run1"), [charge(2, cost + "00"), charge(3)], age=30)
        put(name, [charge(2, cost), charge(3)], age=2)
    assert amounts(read(source())) == {2: 3}


def test_dates_in_names_make_versions_and_not_parts(put, source):
    put("bill-2026-11-18.csv", [charge(2, "1"), charge(3)], age=30)
    put("bill-2026-11-19.csv", [charge(2, "1"), charge(4)], age=2)
    assert amounts(read(source())) == {2: 1}


@pytest.mark.parametrize(
    "newer",
    [
        [charge(2), charge(3, SubAccountId="s2")],
        [charge(2), charge(3), charge(4)],
        [charge(9), charge(9)],
    ],
)
def test_a_newer_delivery_that_has_less_is_refused(put, source, newer):
    """Files that are parts and no versions would lose money silently."""
    put("a.csv", [charge(2), charge(3), charge(4, SubAccountId="s2")], age=30)
    put("b.csv", newer, age=2)
    with pytest.raises(SourceError, match=r"b.csv is newer than .*a.csv and has less") as refused:
        read(source())
    assert 'files = "parts"' in refused.value.remedy


def test_files_with_charges_of_their_own_are_added_where_that_is_said(put, source):
    put("bill-2026-11-18.csv", [charge(2, "1"), charge(3, "2")], age=30)
    put("bill-2026-11-19.csv", [charge(3, "3"), charge(4, "4"), charge(5)], age=2)
    assert amounts(read(source(files="parts"))) == {2: 1, 3: 5, 4: 4}


def test_months_of_other_accounts_are_not_replaced(put, source):
    put("a1.csv", [charge(2, "1"), charge(3)], age=30)
    put("a2.csv", [charge(2, "2", BillingAccountId="a2"), charge(3, BillingAccountId="a2")], age=2)
    assert amounts(read(source())) == {2: 3}


def test_a_correction_of_an_earlier_month_goes_to_its_day(put, source):
    put("october.csv", [october(30, "5"), october(31, "7")], age=90)
    back = charge(0, "-2", ChargeClass="Correction")
    put("november.csv", [back, charge(2), charge(3)], age=2)
    found = read(source(), start=OCTOBER, days=31)
    assert amounts(found) == {-1: 5, 0: 5}
    assert items(found)["Correction: Amazon Bedrock: Input Tokens"] == -2


def test_a_correction_before_the_first_month_is_told(put, source):
    put("november.csv", [charge(-40, "-2", ChargeClass="Correction"), charge(2), charge(3)])
    found = read(source(), start=OCTOBER, days=61)
    assert found.start == START
    assert "1 charges correct days before the first month and are not read" in found.notes


# --- What is complete ---


def test_the_last_day_of_an_open_month_stays_open_and_that_of_a_whole_one_does_not(put, source):
    put("november.csv", [charge(2), charge(3)])
    found = read(source())
    assert found.end == START + 2 * DAY
    assert "the files are complete through 2026-11-02" in found.notes
    put("november.csv", [october(2), october(31)])
    assert read(source(), start=OCTOBER, days=61).end == START


def test_a_tax_at_the_end_of_the_month_does_not_complete_it(put, source):
    put("november.csv", [charge(2), charge(3), charge(30, ChargeCategory="Tax")])
    assert read(source()).end == START + 2 * DAY


def test_a_charge_of_the_future_completes_nothing(put, source):
    put("november.csv", [charge(2), charge(21), charge(28)])
    assert read(source()).end == START + 21 * DAY


def test_the_slowest_of_several_bills_says_what_is_complete(put, source):
    put("a1.csv", [charge(2), charge(9)])
    put("a2.csv", [charge(2, BillingAccountId="a2"), charge(5, BillingAccountId="a2")])
    assert read(source()).end == START + 4 * DAY


def test_days_before_the_first_month_and_months_without_files_are_told(put, source):
    put("november.csv", [charge(2), charge(3)])
    before = read(source(), start=OCTOBER - 10 * DAY, days=5)
    assert (before.start, before.end, before.rows) == (OCTOBER - 5 * DAY, OCTOBER - 5 * DAY, [])
    month = {"BillingPeriodStart": "2026-09-01T00:00:00Z", "BillingPeriodEnd": iso(OCTOBER)}
    put("september.csv", [charge(-40, **month)])
    assert "no file has a charge of 2026-10" in read(source()).notes


# --- Damage ---


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"BilledCost": "1,5"}, "BilledCost '1,5' is no amount"),
        ({"BilledCost": ""}, "BilledCost '' is no amount"),
        ({"BilledCost": "NaN"}, "cannot be one line item"),
        ({"BilledCost": "1e300"}, "cannot be one line item"),
        ({"BillingCurrency": "Credits"}, "'CREDITS' is no currency"),
        ({"ChargePeriodStart": "yesterday"}, "'yesterday' is no time"),
    ],
)
def test_a_damaged_row_is_a_problem_and_the_others_are_read(put, source, damage, said):
    put("november.csv", [charge(2, "2"), charge(2, **damage), charge(3)])
    found = read(source())
    assert amounts(found) == {2: 2}
    (problem,) = found.problems
    assert said in problem.reason
    assert problem.place == "november.csv, line 3"


def test_a_file_of_which_most_cannot_be_read_is_refused(put, source, monkeypatch):
    monkeypatch.setattr(focus, "_MOST_PROBLEMS", 3)
    put("november.csv", [*[charge(2, "1,5")] * 4, charge(3)])
    with pytest.raises(SourceError, match="more than 3 rows cannot be read"):
        read(source())


def test_a_sum_that_no_column_can_hold_is_a_problem(put, source):
    put("november.csv", [charge(2, "9000000"), charge(2, "9000000"), charge(3)])
    found = read(source())
    assert found.rows == []
    assert "18000000" in found.problems[0].reason


@pytest.mark.parametrize(
    ("damage", "said"),
    [(b",x,y\n", "more cells than there are columns"), (b',"x\n', "end of data")],
)
def test_a_row_whose_cells_may_have_moved_refuses_the_file(put, source, damage, said):
    path = put("november.csv", [charge(2), charge(3)])
    path.write_bytes(path.read_bytes().rstrip() + damage)
    with pytest.raises(SourceError, match=said):
        read(source())


@pytest.mark.parametrize("name", ["november.csv", "november.csv.gz"])
def test_a_file_that_is_cut_off_is_refused_as_a_whole(put, source, name):
    path = put(name, [charge(2), charge(3)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(SourceError, match=name):
        read(source())


def test_a_file_that_changes_while_it_is_read_is_refused(put, source, monkeypatch):
    path = put("november.csv", [charge(2), charge(3)])

    def growing(read_path):
        yield from rows_of(read_path)
        path.write_text(text([charge(2)]))

    rows_of = focus_deliveries.charge_rows
    monkeypatch.setattr(focus_deliveries, "charge_rows", growing)
    with pytest.raises(SourceError, match="changed while it was read") as refused:
        read(source())
    assert not refused.value.permanent


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"id,name\n1,2\n", "no column BilledCost, BillingCurrency"),
        (b"", "no column BilledCost"),
        (b"\xff\xfe\x00", "decode"),
    ],
)
def test_what_is_no_focus_file_is_refused_by_name(put, source, data, said):
    put("november.csv", [charge(2), charge(3)])
    put("other.csv", data)
    with pytest.raises(SourceError, match=rf"other.csv: .*{said}"):
        read(source())


def test_other_files_beside_the_bill_are_not_looked_at(put, source):
    put("november.csv", [charge(2), charge(3)])
    for name in ("manifest.json", ".november.csv", "~november.csv", "november.csv.tmp"):
        put(name, b"{}")
    assert amounts(read(source())) == {2: 1}


def test_a_folder_without_a_bill_is_no_bill_of_nothing(put, source, tmp_path):
    for make in (source, lambda: source(path=str(tmp_path / "gone"))):
        with pytest.raises(SourceError) as refused:
            read(make())
        assert refused.value.permanent
        assert refused.value.remedy
    put("november.csv", [])
    with pytest.raises(SourceError, match=r"no file at .* has a charge"):
        read(source())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": ""}, "options.path is missing"),
        ({"base_url": "https://bills.test"}, "base_url is set"),
        ({"services": "Amazon Bedrock"}, "services is no list"),
        ({"services": [1]}, "services is no list"),
        ({"files": "newest"}, "files cannot be 'newest'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(source, options, said):
    with pytest.raises(InputError, match=said):
        source(**options)


def test_the_probe_says_what_is_there(put, source):
    put("a.csv", [charge(2)], age=30)
    put("b.csv", [charge(2), charge(3)], age=2)
    assert source().probe(NOW) == "1 files of 2 count, complete through 2026-11-02"
