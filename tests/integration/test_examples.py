"""Every example scenario through the command itself: the published figures, to the cent."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from monitor.cli import main

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

# File -> figures of the JSON form, by dotted name.
PUBLISHED = {
    "f01-f02-f03-api-against-fleet": {
        "api_usd_per_month": "15000.00",
        "tokens_per_month": 500_000_000,
        "self_host_usd_per_month": "34000.00",
        "savings_usd_per_month": "-19000.00",
        "crossing.requests_per_month": 2_266_667,
        "crossing.tokens_per_month": 1_133_333_500,
        "verdict": "api",
    },
    "f03-without-people": {"savings_usd_per_month": "3000.00", "verdict": "self_host"},
    "f04-f05-f06-blended-price": {
        "api_usd_per_month": "390.00",
        "self_host_usd_per_month": "3500.00",
        "usd_per_million_tokens.api": "39.0000",
        "crossing.tokens_per_month": 89_743_590,
    },
    "f06-requests-of-1000-tokens": {
        "crossing.requests_per_month": 89_744,
        "crossing.tokens_per_month": 89_744_000,
    },
    "f07-low": {"self_host_usd_per_month": "2190.00"},
    "f07-high": {"self_host_usd_per_month": "2920.00"},
    "f08-low": {"crossing.requests_per_month": 152_084},
    "f08-high": {"crossing.requests_per_month": 1_520_833, "cheaper_regions": [[1_520_834, None]]},
    "f08-gpus-alone-low": {"crossing.requests_per_month": 21_292},
    "f08-gpus-alone-high": {"crossing.requests_per_month": 722_395},
    "f09-price-of-calls": {"api_usd_per_month": "50.00"},
    "f11-growing-fleet": {
        "crossing.requests_per_month": 11_066_667,
        "cheaper_regions": [
            [7_866_667, 8_000_000],
            [8_666_667, 9_000_000],
            [9_466_667, 10_000_000],
            [10_266_667, 11_000_000],
            [11_066_667, None],
        ],
        "cheaper_regions_cut": False,
    },
    "f12-single-stream-fleet": {
        "api_usd_per_month": "3500.02",
        "self_host_usd_per_month": "7500.00",
        "replicas": 3,
        "crossing.requests_per_month": None,
        "crossing.reason": "marginal_cost",
    },
    "f13-c": {"crossing.tokens_per_month": 89_743_590},
    "f13-d-low": {
        "lines.gpu": "4380.00",
        "crossing.tokens_per_month": 150_769_231,
    },
    "f13-d-high": {
        "lines.gpu": "5840.00",
        "crossing.tokens_per_month": 188_205_129,
    },
    "f13-b": {"crossing.tokens_per_month": 346_153_847},
    "f14-flat": {"net_12_months_usd": "132000.00", "verdict": "self_host"},
    "f14-api-falling": {"net_12_months_usd": "-121161.90", "verdict": "self_host"},
    "f14-both-falling": {"net_12_months_usd": "-53659.71", "verdict": "self_host"},
    "p1-small-model-at-full-use": {
        "utilisation": 1.0,
        "payback_months": 1.560549,
        "verdict": "self_host",
    },
    "p2-large-model-at-full-use": {
        "utilisation": 1.0,
        "payback_months": 42.808219,
        "verdict": "self_host",
    },
}


@pytest.fixture
def crossover(monkeypatch, capsys):
    """Run the program with arguments: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["crossover", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def figure(figures, name):
    for key in name.split("."):
        figures = figures[key]
    return figures


@pytest.mark.proof
@pytest.mark.parametrize("name", PUBLISHED)
def test_an_example_prints_the_published_figures(crossover, name):
    code, out, err = crossover(
        "breakeven", "--scenario", EXAMPLES / f"{name}.toml", "--format", "json"
    )
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert {key: figure(printed, key) for key in PUBLISHED[name]} == PUBLISHED[name]


def test_every_example_is_in_the_table_of_the_readme_with_its_figures():
    rows = re.findall(
        r"^\| `(.+)\.toml` \|.*\| (.+) \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE
    )
    told = dict(rows)
    assert set(told) == set(PUBLISHED) == {path.stem for path in EXAMPLES.glob("*.toml")}
    for name, figures in PUBLISHED.items():
        for key in (
            "crossing.tokens_per_month",
            "net_12_months_usd",
            "self_host_usd_per_month",
            "payback_months",
        ):
            if key in figures:
                assert re.search(rf"(?<!\d){figures[key]}\b", told[name]), (name, key)


@pytest.mark.proof
@pytest.mark.parametrize(("name", "least", "most"), [("p1-small", 0, 3), ("p2-large", 24, 70)])
def test_small_models_pay_back_within_months_and_large_ones_beyond_two_years(
    crossover, tmp_path, name, least, most
):
    text = (EXAMPLES / f"{name}-model-at-full-use.toml").read_text()
    capital = re.search(r"^setup_usd = (\d+)", text, re.MULTILINE)[1]
    path = tmp_path / "amortised.toml"

    def verdict(months):
        """The verdict where the capital is spread over so many months."""
        owned = f"[deployment.owned]\nserver_purchase_usd = {capital}\nlife_months = {months}"
        spread = re.sub(r"^setup_usd.*", "", text, flags=re.MULTILINE)
        path.write_text(spread.replace("[deployment.owned]", owned))
        _, out, _ = crossover("breakeven", "--scenario", path, "--format", "json")
        return json.loads(out)["verdict"]

    assert verdict(most) == "self_host"
    assert least == 0 or verdict(least) == "api"


def test_the_three_forms_tell_the_same(crossover):
    path = EXAMPLES / "f11-growing-fleet.toml"
    _, out, _ = crossover("breakeven", "--scenario", path, "--format", "json")
    printed = json.loads(out)
    _, out, _ = crossover("breakeven", "--scenario", path, "--format", "csv")
    cells = {row["figure"]: row["value"] for row in csv.DictReader(io.StringIO(out))}
    assert cells["lines.owned"] == printed["lines"]["owned"] == "120000.00"
    assert cells["crossing.requests_per_month"] == "11066667"
    assert cells["crossing.reason"] == ""
    assert cells["cheaper_regions.0"] == "7866667-8000000"
    assert cells["cheaper_regions.4"] == "11066667-"
    _, table, _ = crossover("breakeven", "--scenario", path)
    for text in (
        "120,000.00",
        "11,066,667",
        "7,866,667 to 8,000,000",
        "40 GPUs in 10 servers",
        "self-host",
    ):
        assert text in table


GOOD = (EXAMPLES / "f11-growing-fleet.toml").read_text()

REFUSED = {
    "api.input_usd_per_million = -30 must be at least 0": ("= 30\n", "= -30\n"),
    'api.output_usd_per_million = "30" must be a number': (
        "output_usd_per_million = 30",
        'output_usd_per_million = "30"',
    ),
    "workload.requests_per_month is missing": ("requests_per_month = 10_000_000", ""),
    "deployment.headroom = nan must be a finite number": ("headroom = 1", "headroom = nan"),
    "deployment.gpus_per_replica = true must be a number": (
        "gpus_per_replica = 4",
        "gpus_per_replica = true",
    ),
    "deployment.gpus_per_server = 0 must be at least 1": ("gpus_per_server = 4", ""),
    "deployment.owned.pue = 0.5 must be at least 1": (
        "[deployment.owned]",
        "[deployment.owned]\npue = 0.5",
    ),
    "deployment.owned.hosting = 1 is an unknown key": (
        "hosting_usd_per_server_month = 12_000",
        "hosting = 1",
    ),
    "extra = (a table) is an unknown key": ("[api]", "[extra]\n[api]"),
    'workload.name = "" must be text': ('"growing-fleet"', '""'),
    "is not TOML": ("[api]", "[api"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_refusal_prints_nothing_on_stdout_and_names_the_key(crossover, tmp_path, message):
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace(*REFUSED[message], 1))
    for form in ("json", "csv", "table"):
        code, out, err = crossover("breakeven", "--scenario", path, "--format", form)
        assert (code, out) == (2, "")
        assert message in err
        assert str(path) in err


def test_a_file_that_cannot_be_read_is_refused_alike(crossover, tmp_path):
    code, out, err = crossover("breakeven", "--scenario", tmp_path / "absent.toml")
    assert (code, out) == (2, "")
    assert "absent.toml cannot be read: No such file or directory" in err
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    code, out, err = crossover("breakeven", "--scenario", tmp_path / "latin.toml")
    assert (code, out) == (2, "")
    assert "latin.toml is not TOML" in err


def test_a_name_with_markup_or_controls_cannot_change_the_table(crossover, tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text(GOOD.replace("growing-fleet", "[red]x[/]\\u001b[2Jy"))
    _, out, _ = crossover("breakeven", "--scenario", path)
    assert "[red]x[/] [2Jy: 10,000,000 requests" in out
    assert "\x1b" not in out
