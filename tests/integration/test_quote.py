"""`prices quote`: published figures in, the same figures out, through the command."""

import csv
import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import InputError
from monitor.domain.pricing_quote import COLUMNS
from tests.unit.test_genai_rates import FIGURES, NOON

CHECKOUT = Path(__file__).parents[2]
CASES = CHECKOUT / "tests" / "quote_cases.csv"
"""A rule in each row, and the sum that it gives: tokens of a class x USD per million, `?` unknown."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No configuration lies about."""
    monkeypatch.chdir(tmp_path)


def quote(*arguments: str):
    result = CliRunner().invoke(app, ["prices", "quote", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def write(path, rows, columns=COLUMNS):
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, columns)
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.mark.proof
def test_published_figures_are_met_to_the_last_digit_through_a_file(tmp_path):
    rows = [
        {"id": name, "provider": provider, "model": model, "at": at, "context": context} | counts
        for name, provider, model, at, context, counts, _, _ in FIGURES
    ]
    columns = (*COLUMNS, "audio_input", "audio_output")
    file = write(tmp_path / "usage.csv", rows, columns)
    result = quote("--input", file, "--format", "csv")

    assert result.stdout.splitlines()[0] == "id,usd,flags"
    assert [tuple(row.values()) for row in csv.DictReader(io.StringIO(result.stdout))] == [
        (name, usd, flags) for name, *_, usd, flags in FIGURES
    ]
    assert (result.stderr, result.exit_code) == ("", 0)


@pytest.mark.proof
def test_every_rule_gives_the_sum_worked_out_by_hand(tmp_path):
    asked, expected = [], []
    with CASES.open(encoding="utf-8", newline="") as file:
        for case in csv.DictReader(file):
            counts, usd = worked_out(case["sum"])
            same = {name: case[name] for name in ("provider", "model", "at", "context")}
            asked.append({"id": case["rule"], "requests": case["requests"]} | same | counts)
            expected.append((case["rule"], usd, case["flags"]))
    columns = [*COLUMNS, *sorted({name for row in asked for name in row} - set(COLUMNS))]
    result = quote("--input", write(tmp_path / "usage.csv", asked, columns), "--format", "csv")
    answers = csv.DictReader(io.StringIO(result.stdout))

    assert [
        (a["id"], Decimal(a["usd"]) if a["usd"] else None, a["flags"]) for a in answers
    ] == expected
    assert len(expected) > 100


def worked_out(text: str) -> tuple[dict[str, str], Decimal | None]:
    """The counts of a sum, and what it comes to; None where all of it is unknown."""
    counts, priced = {}, []
    for term in text.split(" + "):
        count, name, _, rate = term.split(" ")
        counts[name] = count
        if rate != "?":
            priced.append(Decimal(count) * Decimal(rate) / 10**6)
    return counts, sum(priced, Decimal(0)) if priced else None


def test_one_usage_is_priced_from_options():
    result = quote(
        *("--provider", "openai", "--model", "gpt-4o-mini", "--at", NOON, "--format", "json"),
        *("--uncached-input", 9, "--output", 2, "--context", "service_tier=priority"),
    )
    (answer,) = json.loads(result.stdout)

    assert (answer["usd"], answer["flags"], answer["reason"]) == ("0.00000425", [], "")
    assert answer["source"].startswith("genai-prices 0.2.")


def test_an_unknown_price_is_empty_with_its_reason():
    result = quote(
        *("--provider", "openai", "--model", "gpt-5.9", "--at", NOON, "--format", "json"),
        *("--output", 1_000),
    )
    (answer,) = json.loads(result.stdout)

    assert (answer["usd"], answer["flags"]) == (None, ["unpriced"])
    assert (answer["unpriced_tokens"], answer["reason"]) == (
        1_000,
        "no rate for openai gpt-5.9 on 2026-11-20",
    )


def test_what_a_flag_means_for_this_usage_is_said():
    result = quote(
        *("--provider", "google", "--model", "gemini-2.5-pro", "--at", NOON, "--format", "json"),
        *("--uncached-input", 300_000, "--requests", 3, "--context", "region=eu"),
        *("--context", "processing=batch"),
    )
    (answer,) = json.loads(result.stdout)

    assert (answer["usd"], answer["flags"]) == ("0.1875", ["context_not_priced", "tier_unknown"])
    assert answer["reason"] == "no rate for region=eu; tier unknown, up to +0.1875 USD"


def test_audio_and_images_are_priced_from_options():
    result = quote(
        *("--provider", "openai", "--model", "gpt-realtime", "--at", NOON, "--format", "csv"),
        *("--audio-input", 1_000_000, "--audio-output", 1_000_000, "--image-input", 1_000_000),
    )

    assert result.stdout == "id,usd,flags\n,101,\n"


def test_configured_prices_come_first(tmp_path, monkeypatch):
    config = tmp_path / "own.toml"
    config.write_text(
        '[[prices.override]]\nprovider = "x-ai"\nmodel = "grok-*"\n'
        'usd_per_million = { uncached_input = "0.0001", cache_read = "3000" }\n'
        '[[prices.override]]\naccount = "acme"\nprovider = "openai"\nmultiplier = "0.9"\n'
    )
    monkeypatch.setenv("CROSSOVER_CONFIG", str(config))
    row = {"id": 5, "provider": "xai", "model": "grok-9", "at": NOON}
    row |= {"uncached_input": 105, "cache_read": 2_634}
    other = {"id": 6, "provider": "openai", "model": "gpt-4", "at": NOON, "output": 1_000_000}
    rows = [row, other, other | {"id": 7, "account": "acme"}]
    file = write(tmp_path / "usage.csv", rows, (*COLUMNS, "account"))

    assert quote("--input", file, "--format", "csv").stdout == (
        "id,usd,flags\n5,7.9020000105,\n6,60,\n7,54,\n"
    )


def test_bad_rows_are_named_and_stop_no_other(tmp_path):
    good = {"id": "good", "provider": "openai", "model": "gpt-4", "at": NOON, "output": 100}
    rows = [good | {"id": "a", "at": "20 Nov"}, good, good | {"id": "b", "output": "1e3"}]
    file = write(tmp_path / "usage.csv", rows)
    result = quote("--input", file, "--format", "csv")

    assert result.exit_code == 0
    assert result.stdout == "id,usd,flags\na,,bad_row\ngood,0.006,\nb,,bad_row\n"
    assert result.stderr.splitlines() == [
        f"{file} line 2: at: '20 Nov' is not a UTC time such as 2026-11-20T12:00:00Z",
        f"{file} line 4: output: '1e3' is no whole number of at most 10^15",
        "2 of 3 rows could not be read: see above",
    ]


def test_a_missing_column_is_refused_before_anything_is_priced(tmp_path):
    file = write(tmp_path / "usage.csv", [], [c for c in COLUMNS if c not in {"at", "output"}])

    with pytest.raises(InputError, match="lacks the columns at, output") as refused:
        quote("--input", file)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "lacks the columns id, provider"),
        (b"\xff\xfe\x00", "no UTF-8 CSV file"),
        ((",".join(COLUMNS) + ",output\n").encode(), "names a column twice"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, cause):
    file = tmp_path / "usage.csv"
    file.write_bytes(content)

    with pytest.raises(InputError, match=cause):
        quote("--input", file)


def test_a_missing_file_and_missing_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        quote("--input", tmp_path / "none.csv")
    with pytest.raises(InputError, match="is not a UTC time"):
        quote("--provider", "openai", "--model", "gpt-4")


def test_an_unknown_column_is_ignored_aloud(tmp_path):
    row = {"id": 1, "provider": "openai", "model": "gpt-4", "at": NOON, "output": 100, "note": "x"}
    result = quote(
        "--input", write(tmp_path / "u.csv", [row], (*COLUMNS, "note")), "--format", "csv"
    )

    assert result.stdout == "id,usd,flags\n1,0.006,\n"
    assert "ignored 'note'" in result.stderr


def test_a_table_for_people_shows_the_source_of_the_rate(tmp_path):
    row = {"id": 1, "provider": "deepseek", "model": "deepseek-flash", "at": NOON, "output": 1_000}
    shown = quote("--input", write(tmp_path / "u.csv", [row])).stdout

    assert "0.0006" in shown
    assert "api-docs.deepseek" in shown.replace("\n", "")


def test_the_price_library_is_loaded_on_first_use_only():
    code = (
        "import sys; from collectors.genai_rates import GenaiRates; rates = GenaiRates();"
        "assert 'genai_prices' not in sys.modules; rates.lookup('openai', 'o3', 0);"
        "assert 'genai_prices' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT)
