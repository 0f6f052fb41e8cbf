"""The documents say what the code does: every key, command, package, link and example."""

import json
import re
import shlex
import tomllib
from dataclasses import MISSING, fields
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from monitor import cli, config, library
from monitor.config import alerting, money, reporting, usage, workloads
from monitor.domain import errors, scenario
from monitor.domain.money import plain

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
REQUIRED = "*required*"


def shown(default):
    """A default as the tables write it."""
    if default is None:
        return "*none*"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, Decimal | Fraction | float | int):
        return f"`{plain(Decimal(str(float(default))))}`"
    return f"`{json.dumps(default) if isinstance(default, str) else default}`"


def blocks_of(model, place):
    """(table, key) -> default as shown, for a section and the sections inside it."""
    found = {}
    for key, field in model.model_fields.items():
        default = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            found |= blocks_of(type(default), f"[{field.alias or key}]")
        else:
            found[place, key] = REQUIRED if default == REQUIRED else shown(default)
    return found


def tables_of(kind, place):
    """The same for a table of a scenario; a live deployment fills some lines in."""
    filled = library.costs().amounts()
    return {
        (place, field.name): REQUIRED
        if field.default is MISSING
        else shown(filled.get(field.name, field.default))
        for field in fields(kind)
        if field.name != "owned"
    }


def expected():
    found = blocks_of(config.Settings, "")
    for key in (
        *("source", "watch", "account", "workload", "deployment", "contract", "fx"),
        *("budget", "channel", "names"),
    ):
        del found["", key]
    return (
        found
        | blocks_of(usage.SourceSettings, "[[source]]")
        | blocks_of(usage.WatchSettings, "[[watch]]")
        | blocks_of(usage.AccountSettings, "[account.NAME]")
        | blocks_of(usage.OtlpView, "[[otlp.view]]")
        | blocks_of(workloads.WorkloadSettings, "[[workload]]")
        | blocks_of(workloads.DeploymentSettings, "[[deployment]]")
        | blocks_of(money.ContractSettings, "[[contract]]")
        | blocks_of(money.FxSettings, "[[fx]]")
        | blocks_of(money.PriceOverride, "[[prices.override]]")
        | blocks_of(reporting.Budget, "[[budget]]")
        | blocks_of(reporting.Audience, "[[report.audience]]")
        | blocks_of(alerting.ChannelSettings, "[[channel]]")
        | blocks_of(alerting.RuleSettings, "[alerts.rules.NAME]")
        | blocks_of(alerting.Route, "[[alerts.route]]")
        | blocks_of(alerting.Quiet, "[[alerts.quiet]]")
        | blocks_of(alerting.Maintenance, "[[alerts.maintenance]]")
        | tables_of(scenario.Deployment, "[deployment.cost]")
        | tables_of(scenario.Owned, "[deployment.owned]")
        | tables_of(scenario.Migration, "[deployment.migration]")
    )


def documented():
    found, place = {}, ""
    for line in CONFIGURATION.splitlines():
        if heading := re.match(r"#+ `(\[.*\])`", line):
            place = heading[1]
        elif line.startswith("## "):
            place = ""
        elif place and (row := re.match(r"\| `(\w+)` \| [^|]+ \| (.+?) \|", line)):
            found[place, row[1]] = row[2]
    return found


def test_every_key_is_documented_with_its_default():
    assert documented() == expected()


def test_every_key_stands_in_the_example_file():
    text = (ROOT / "monitor/crossover.example.toml").read_text()
    said = set(re.findall(r"^#? ?\[{1,2}([\w.]+)|^#? ?(\w+) =", text, re.MULTILINE))
    names = {name for pair in said for name in pair}
    # One more place for a price than its two examples show, and the tables under their own names.
    left_out = {"context", "valid_to", "override", "cost", "owned", "migration", "gates", "facts"}
    left_out |= {"audience", "rules", "route", "quiet", "maintenance", "view"}
    keys = {key for place, key in expected() if not place.startswith("[deployment.")}
    assert keys - names <= left_out


def commands(command, path=("crossover",)):
    inner = getattr(command, "commands", None)
    if inner is None:
        return {" ".join(path)}
    return {name for key in inner for name in commands(inner[key], (*path, key))}


PROGRAM = get_command(cli.app)
COMMANDS = commands(PROGRAM)


def test_every_command_is_documented_and_none_that_does_not_exist():
    found = re.findall(r"^\| `(crossover [a-z ]+)` \|", CONFIGURATION, re.MULTILINE)
    assert sorted(found) == sorted(COMMANDS)


def test_exit_codes_are_those_of_the_errors():
    codes = {0} | {e.exit_code for e in vars(errors).values() if isinstance(e, type)}
    assert set(map(int, re.findall(r"^\| (\d) \|", CONFIGURATION, re.MULTILINE))) == codes


def called(text):
    """Every call of `crossover` in fenced blocks and between backticks, as words."""
    fenced = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*fenced.splitlines(), *inline]:
        call = re.match(r"\s*(?:\S*/)?crossover (.+)", line)
        if call and not call[1].startswith(("COMMAND", "TEXT")):
            yield shlex.split(call[1], comments=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_call_in_a_document_names_a_command_and_options_that_exist(path):
    check_calls(called(path.read_text()), path.name)


# Whose every option stands for itself.
PLAIN = {"crossover db upgrade", "crossover db check", "crossover db size"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_loses_no_word_and_its_examples_can_be_called(name):
    command = PROGRAM
    for word in name.split()[1:]:
        command = command.commands[word]
    # What stands in brackets is taken for markup and left out.
    assert "[" not in command.help
    text = re.sub(r"\n(?!\n|Example:)", " ", command.help)
    calls = re.findall(r"Example: crossover (.+)", text)
    assert all(name.removeprefix("crossover ") in call for call in calls)
    assert calls or name in PLAIN
    check_calls(map(shlex.split, calls), name)


def check_calls(calls, where):
    """Each call, as words, names a command and options that exist."""
    root = PROGRAM
    for words in calls:
        command, given = root, []
        for word in words:
            inner = getattr(command, "commands", {})
            if word in inner:
                command = inner[word]
            elif word.startswith("-"):
                given.append((command, word.partition("=")[0]))
        for owner, option in given:
            known = {name for p in owner.params for name in p.opts} | {"--help"}
            assert option in known, f"{where}: crossover {' '.join(words)}"
        assert command is not root or given, f"{where}: crossover {' '.join(words)}"


def test_every_reason_that_advice_may_give_is_documented():
    said = set(re.findall(r"`([\w.]+)`", (ROOT / "docs/advice.md").read_text()))
    given = set()
    for path in (ROOT / "monitor/domain").glob("*.py"):
        text = path.read_text()
        given |= set(re.findall(r'\bReason\(\s*"([\w.]+)"', text))
        given |= set(re.findall(r'\bFinding\(\s*"\w+", "([\w.]+)"', text))
    assert len(given) > 30
    assert given - said == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_variable_in_a_document_is_a_setting(path):
    for name in re.findall(r"\bCROSSOVER_[A-Z_]+", path.read_text()):
        assert is_variable(name), f"{path.name}: {name}"


def is_variable(name):
    """Whether Crossover reads this variable."""
    section, _, key = name.removeprefix("CROSSOVER_").lower().partition("__")
    if name in {"CROSSOVER_CONFIG", "CROSSOVER_DEBUG", "CROSSOVER_PROOF", "CROSSOVER_SECTION__KEY"}:
        return True
    field = config.Settings.model_fields.get(section)
    return field is not None and (not key or key in type(field.default).model_fields)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_piece_of_configuration_in_a_document_is_valid(path):
    for text in re.findall(r"^ *```toml\n(.*?)```", path.read_text(), re.DOTALL | re.MULTILINE):
        config.from_tables(tomllib.loads(text, parse_float=Decimal), text, path.name)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_make_target_in_a_document_exists(path):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = re.findall(r"(?:^|`)make (\w+)", path.read_text(), re.MULTILINE)
    assert set(said) <= targets


def test_make_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.+)", makefile, re.MULTILINE)[1].split())
    assert phony == set(re.findall(r"^(\w+):.*  ## \w", makefile, re.MULTILINE))


def test_every_package_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    packages = {re.match(r"[\w-]+", line)[0].lower() for line in lines} - {"crossover-monitor"}
    text = (ROOT / "docs/decisions.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)) == packages


def test_the_two_commands_stand_on_the_first_screen():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    assert [c for c in ("make demo", "make test") if c not in first] == []
    assert first.index("docs/getting-started.md") < first.index("docs/database.md")
