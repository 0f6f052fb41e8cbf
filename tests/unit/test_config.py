import json
from decimal import Decimal

import pytest

from monitor.config import from_tables, load, secret
from monitor.domain.case import read_facts
from monitor.domain.errors import ConfigError
from monitor.domain.gates import read_gates
from monitor.wiring.rows import setup

GOOD = """
[database]
url = "sqlite:///x.db"

[[source]]
name = "openai"
kind = "openai"
account = "acme"
admin_key = "env:OPENAI_ADMIN_KEY"

[[workload]]
name = "bot"
project = "proj_bot*"

[[deployment]]
name = "two"
workload = "bot"
[deployment.cost]
gpus_per_replica = 2
usd_per_gpu_hour = 2.55
"""


def write(tmp_path, text):
    path = tmp_path / "crossover.toml"
    path.write_text(text)
    return path


def problems(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    return caught.value.problems


def test_a_file_is_read_with_exact_numbers(tmp_path):
    settings = load(write(tmp_path, GOOD))
    assert settings.deployment[0].cost["usd_per_gpu_hour"] == Decimal("2.55")
    assert settings.source[0].account == "acme"


def test_answers_of_the_questionnaire_are_stored_as_they_are_written(tmp_path):
    answers = """
[workload.gates]
team = "able"
quality = { answer = "good_enough", score = 0.93, set = "200", date = 2026-11-01 }
"""
    settings = load(write(tmp_path, GOOD.replace("[[deployment]]", answers + "[[deployment]]")))
    (workload,) = setup(settings).workloads
    stored = json.loads(workload.gates, parse_float=Decimal)
    assert stored["quality"]["date"] == "2026-11-01"
    assert stored["quality"]["score"] == Decimal("0.93")
    assert read_gates(stored) == read_gates(settings.workload[0].gates)


def test_facts_of_a_deployment_are_stored_and_wrong_ones_named(tmp_path):
    facts = "[deployment.facts]\noptions = { batch_share = 0.25 }\n"
    settings = load(write(tmp_path, GOOD + facts))
    (deployment,) = setup(settings).deployments
    stored = json.loads(deployment.document, parse_float=Decimal)["facts"]
    assert read_facts(stored) == read_facts(settings.deployment[0].facts)
    (problem,) = problems(tmp_path, GOOD + facts.replace("0.25", "2"))
    assert "facts.options.batch_share = 2 must be from 0 to 1" in problem


def test_wrong_answers_are_all_named(tmp_path):
    answers = '[workload.gates]\nteam = "few"\ndta = "open"\n\n'
    found = problems(tmp_path, GOOD.replace("[[deployment]]", answers + "[[deployment]]"))
    assert any("gates.team.answer" in problem for problem in found)
    assert any("did you mean data?" in problem for problem in found)


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load().database.url == "sqlite:///crossover.db"


def test_the_environment_goes_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSOVER_DATABASE__URL", "sqlite:///other.db")
    monkeypatch.setenv("CROSSOVER_MAIL__PORT", "2525")
    settings = load(write(tmp_path, GOOD))
    assert (settings.database.url, settings.mail.port) == ("sqlite:///other.db", 2525)


def test_an_unknown_variable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSOVER_MAIL__PROT", "25")
    assert any("mail.PROT" in p or "mail.prot" in p for p in problems(tmp_path, GOOD))


def test_every_problem_is_reported_at_once_with_its_place(tmp_path):
    found = problems(
        tmp_path,
        GOOD
        + """
[mail]
port = "many"
hsot = "mail.example.org"
username = "x"
[nvml]
mode = "sometimes"
""",
    )
    text = "\n".join(found)
    assert "mail.hsot (line 24): unknown key" in text
    assert "mail.port (line 23)" in text
    assert "nvml.mode (line 27)" in text


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            '[[source]]\nname="a"\nkind="openai"\naccount="x"\n' * 1
            + '[account.x]\ntokens_from="b"',
            "there is no source 'b'",
        ),
        ('[[workload]]\nname="w"\nmust_stay_on_api="a"\nmust_stay_in_house="b"', "contradict"),
        ('[[workload]]\nname="w"\n[[workload]]\nname="w"', "used 2 times"),
        (
            '[[deployment]]\nname="d"\nworkload="nobody"\ncost={gpus_per_replica=1}',
            "no workload 'nobody'",
        ),
        (
            '[[workload]]\nname="w"\n[[deployment]]\nname="d"\nworkload="w"\ncost={gpus_per_replica=1, headroom=2}',
            "headroom",
        ),
        (
            '[[workload]]\nname="w"\n[[deployment]]\nname="d"\nworkload="w"\ncost={gpu_per_replica=1}',
            "gpu_per_replica",
        ),
        ('[mail]\nusername="me"', "belong together"),
        ('[organisation]\ntimezone="Mars/Olympus"', "time zone"),
        ('[report]\nto=["nobody"]', "report.to"),
        ('[report]\nat="25:00"', "report.at"),
        ('[[prices.override]]\nprovider="openai"', "either multiplier or usd_per_million"),
        (
            '[[prices.override]]\nprovider="openai"\nmultiplier=1e15',
            "multiplier: at most 100 times the list price",
        ),
        (
            '[[prices.override]]\nprovider="openai"\nusd_per_million={output=1000001}',
            "usd_per_million.output: at most 1,000,000 USD per million tokens",
        ),
        ("[alerts]\nlead_days=91", "less than or equal to 90"),
        ('[mail]\nsender="reports"', "mail.sender (line 2): a sender is written"),
        ('[mail]\nsender="Büro <büro@example.org>"', "the address in ASCII"),
        ('[report]\nto=["ann@büro.example"]', "report.to.0 (line 2): an address is written"),
        ('[alerts]\nto=["Ann <ann@example.org>"]', "alerts.to.0 (line 2): an address is written"),
        ("nonsense = 1", "nonsense (line 1): unknown key"),
    ],
)
def test_contradictions_and_wrong_values_are_named(tmp_path, tables, said):
    assert said in "\n".join(problems(tmp_path, tables))


def test_the_largest_override_and_lead_are_taken(tmp_path):
    settings = load(
        write(
            tmp_path,
            '[alerts]\nlead_days=90\n[[prices.override]]\nprovider="openai"\nmultiplier=100\n'
            '[[prices.override]]\nprovider="openai"\nusd_per_million={output=1000000}\n',
        )
    )
    assert settings.alerts.lead_days == 90
    assert len(settings.prices.override) == 2


def test_addresses_that_every_server_takes_are_taken(tmp_path):
    text = '[mail]\nsender=" Crossover, Inc. <r@c.example> "\n[report]\nto=["ann+llm@c.example"]'
    settings = load(write(tmp_path, text))
    assert settings.mail.sender == "Crossover, Inc. <r@c.example>"
    assert settings.report.to == ["ann+llm@c.example"]


def test_the_variable_for_tracebacks_is_no_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSOVER_DEBUG", "1")
    assert load(write(tmp_path, GOOD)).source[0].name == "openai"


def test_two_sources_of_one_account_need_a_word_on_which_counts(tmp_path):
    two = GOOD + '[[source]]\nname="proxy"\nkind="openai"\naccount="acme"\n'
    assert "say which one counts" in "\n".join(problems(tmp_path, two))
    load(write(tmp_path, two + '[account.acme]\ntokens_from="openai"\nmoney_from="openai"\n'))


def test_unreadable_toml_names_the_line(tmp_path):
    assert "line 2" in problems(tmp_path, "[database]\nurl = sqlite")[0]


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*absent.toml: No such file"):
        load(tmp_path / "absent.toml")


def test_a_written_out_secret_is_refused_and_never_repeated(tmp_path):
    found = problems(tmp_path, GOOD.replace("env:OPENAI_ADMIN_KEY", "sk-canary-123"))
    assert any("a secret is named, not written" in p for p in found)
    assert "canary" not in "".join(found)


def test_a_secret_that_does_not_exist_names_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="environment variable NO_SUCH_KEY is not set"):
        secret("env:NO_SUCH_KEY", "source.0.admin_key")
    with pytest.raises(ConfigError, match="cannot be read"):
        secret(f"file:{tmp_path}/none", "mail.password")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        secret(f"file:{tmp_path}/empty", "mail.password")
    monkeypatch.setenv("A_KEY", " value\n")
    assert secret("env:A_KEY", "x") == "value"


def test_the_example_file_with_every_comment_removed_is_valid():
    import re
    import tomllib
    from importlib.resources import files

    text = files("monitor").joinpath("crossover.example.toml").read_text()
    tomllib.loads(text)
    active = "\n".join(
        re.sub(r"^# (?=[\w\[])", "", line) if re.match(r"# (\[|\w+ = )", line) else line
        for line in text.splitlines()
        if 'url = "postgresql' not in line
    )
    tables = tomllib.loads(active, parse_float=Decimal)
    tables["workload"][0].pop("must_stay_in_house")
    tables["mail"]["username"] = "me"
    from_tables(tables)
