"""`crossover capacity` as people call it."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.domain.errors import InputError
from tests.factories import DAY0
from tests.integration.test_engines import stored

__all__ = ["stored"]
LLAMA = ("--model", "Llama 3.3 70B", "--gpu", "H100", "--as-of", "2026-11-24")


def capacity(*words, config=None):
    chosen = ["--config", str(config)] if config else []
    result = CliRunner().invoke(app, [*chosen, "capacity", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def figures(*words):
    return json.loads(capacity(*words, "--format", "json").stdout)


def test_a_fleet_is_sized_with_its_chain_and_its_dated_price():
    found = figures(*LLAMA, "--requests-per-month", 20_000_000, "--gpus-per-server", 8)
    assert [step["factor"] for step in found["chain"]][:4] == [1, 0.7, 0.7, 0.333333]
    assert (found["replicas"], found["gpus"], found["servers"]) == (4, 8, 1)
    # 8 GPUs x 730 hours x $3.13.
    assert found["gpu_usd_per_month"] == "18279.20"
    price = found["price"]
    assert (price["as_of"], price["age_days"], price["lowest"], price["highest"]) == (
        *("2026-06-28", 149, "1.99", "12.29"),
    )
    assert 0 < found["utilisation"] < 0.5


def test_a_cache_takes_input_off_the_gpus():
    plain, cached = (figures(*LLAMA, "--cached-share", share) for share in (0, 0.8))
    assert cached["chain"][5]["factor"] > 1.9
    assert cached["replica"]["requests_per_month"] > plain["replica"]["requests_per_month"]
    assert cached["saturated_per_gpu"] == plain["saturated_per_gpu"]


def test_absurd_loads_are_still_numbers():
    found = figures(*LLAMA, "--peak-to-mean", "1e199", "--requests-per-month", "1e13")
    assert "NaN" not in json.dumps(found)
    assert found["replicas"] > 10**190
    assert figures(*LLAMA, "--requests-per-month", 0)["replicas"] == 2


def test_tables_and_csv_print_the_same_figures_and_remarks_go_to_stderr():
    table = capacity(*LLAMA)
    assert "latency headroom" in table.stdout
    assert "149 days old" in table.stderr
    rows = dict(csv.reader(io.StringIO(capacity(*LLAMA, "--format", "csv").stdout)))
    assert rows["gpu_usd_per_month"] == "9139.60"
    assert rows["chain.saturated"] == "8.81866"


def test_the_published_unbatched_fleet_carries_13_million_tokens():
    found = figures("--model", "70B", "--gpu", "A100", "--input", 0, "--peak-to-mean", 1)
    assert found["replica"]["output_tokens_per_month"] == 13_140_000
    assert found["replica"]["gpus"] == 4


def test_what_is_known_is_listed_with_ages_and_flags():
    rows = json.loads(capacity("--list", "--as-of", "2026-11-24", "--format", "json").stdout)
    assert {row["kind"] for row in rows} == {"rate", "one stream", "model", "GPU", "price"}
    prices = [row for row in rows if row["kind"] == "price"]
    assert any(row["as_of"] == "2026-06-28, 149 days, old" for row in prices)
    assert any(row["as_of"] == "no date" for row in prices)
    flagged = {row["gpu"] for row in prices if "below the published ranges" in row["is"]}
    assert flagged == {"A100", "A100 40GB", "H100"}
    assert all(row["source"] for row in rows if row["kind"] != "GPU")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "a model and a GPU are needed"),
        (("--model", "70B"), "a model and a GPU are needed"),
        (("--model", "70B", "--gpu", "A1000"), "near it: A100"),
        ((*LLAMA, "--input", "many"), "--input 'many' is not a number"),
        ((*LLAMA, "--cached-share", "1.5"), "prefix_cache_hit_share = 1.5 must be from 0 to 1"),
        ((*LLAMA, "--gpus-per-replica", "0"), "must be a whole number, at least 1"),
        ((*LLAMA, "--gpus-per-replica", "1"), "1 x H100 give 72.0 GB"),
        ((*LLAMA, "--input", "0", "--output", "0"), "takes no GPU time"),
        ((*LLAMA, "--requests-per-month", "-1"), "requests_per_month = -1"),
        ((*LLAMA, "--output", "1e199"), "more than 1,000,000,000 tokens is none"),
        ((*LLAMA, "--as-of", "soon"), "--as-of 'soon' is not a date"),
        ((*LLAMA, "--commitment", "gift"), "no gift price of H100"),
    ],
)
def test_what_cannot_be_sized_is_refused(words, said):
    with pytest.raises(InputError) as refused:
        capacity(*words)
    assert said in refused.value.message
    assert refused.value.exit_code == 2


def test_own_engines_are_shown_load_by_load(stored, tmp_path):
    config = tmp_path / "own.toml"
    url = stored.url.render_as_string(hide_password=False)
    config.write_text(f'[database]\nurl = "{url}"\n')
    day = datetime.fromtimestamp(DAY0, UTC).date()
    result = capacity("--measured", "llama", "--as-of", day, "--format", "json", config=config)
    low, high = json.loads(result.stdout)
    assert (low["output_tokens_per_second"], high["output_tokens_per_second"]) == (100, 300)
    assert (low["hours"], low["latency_p50"], high["latency_p50"]) == (1, 0.555556, None)
    assert "2.0 hours under load; 1 without readings" in result.stderr
    with pytest.raises(InputError, match="was not measured in the 28 days"):
        capacity("--measured", "mistral", "--as-of", day, config=config)
