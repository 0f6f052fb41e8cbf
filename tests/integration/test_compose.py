"""The image, the Compose file and the systemd units name what the code has, and nothing else."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient
from typer.main import get_command

import monitor
from monitor import cli, config
from monitor.web.app import application
from tests import needs

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
OURS = ("crossover", "agent")
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
UNITS = sorted((ROOT / "docs/systemd").glob("*.service"))


def compose_config(folder, password, *options):
    """What docker-compose says to the files after the first steps of the guide."""
    shutil.copy(ROOT / "docker-compose.yml", folder)
    example = (ROOT / ".env.example").read_text()
    (folder / ".env").write_text(
        example.replace("POSTGRES_PASSWORD=", f"POSTGRES_PASSWORD={password}", 1)
    )
    command = [*needs.docker_compose(), *options, "config"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_docker_compose_accepts_the_file_with_the_example_environment(tmp_path):
    run = compose_config(tmp_path, "canary")
    assert run.returncode == 0, run.stderr
    services = yaml.safe_load(run.stdout)["services"]
    assert services.keys() >= {"db", "crossover", "mail"}
    given = services["crossover"]["environment"]
    assert given["CROSSOVER_MAIL__HOST"] == "mail"
    assert given["POSTGRES_PASSWORD"] == "canary"
    assert services["db"]["environment"]["POSTGRES_PASSWORD"] == "canary"


def test_a_gpu_host_starts_the_agent_alone(tmp_path):
    run = compose_config(tmp_path, "canary", "--profile", "gpu")
    agent = yaml.safe_load(run.stdout)["services"]["agent"]
    assert "depends_on" not in agent
    (device,) = agent["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["utility"])


def test_a_password_must_be_chosen(tmp_path):
    run = compose_config(tmp_path, "")
    assert run.returncode != 0
    assert "write it into .env" in run.stderr


def runs(words):
    """Whether the command line has this command; its options are parsed, and nothing is run."""
    command = get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    # Raises a usage error for an option that does not exist or is missing.
    command.make_context("crossover", list(words))
    return not hasattr(command, "commands")


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_that_exists(name, monkeypatch):
    for key, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(key, value)
    assert runs(SERVICES[name]["command"])


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_closed_off(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["image"] == f"crossover-monitor:{monitor.__version__}"


def test_the_daemon_waits_for_a_database_that_answers():
    assert SERVICES["crossover"]["depends_on"]["db"]["condition"] == "service_healthy"
    assert "pg_isready" in SERVICES["db"]["healthcheck"]["test"]


def test_foreign_images_are_pinned():
    for name in SERVICES.keys() - set(OURS):
        assert re.search(r":v?\d+(\.\d+)*$", SERVICES[name]["image"])


def test_ports_are_open_to_this_host_only_unless_it_is_asked_for():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(re.match(r"(\$\{\w+:-)?127\.0\.0\.1:", port) for port in ports)


def variables():
    files = [ROOT / name for name in ("docker-compose.yml", ".env.example", "Dockerfile")]
    return [
        pytest.param(name, value, id=f"{file.name}-{name}")
        for file in [*files, *UNITS]
        for name, value in re.findall(r"\b(CROSSOVER_\w+)(?:=|: )(\S+)", file.read_text())
    ]


@pytest.mark.parametrize(("name", "value"), variables())
def test_a_variable_sets_something_and_its_value_is_valid(name, value, monkeypatch):
    if name == "CROSSOVER_CONFIG":
        assert value == "/etc/crossover/crossover.toml"
        return
    value = re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
    monkeypatch.setenv(name, value)
    section, _, key = name.removeprefix("CROSSOVER_").lower().partition("__")
    assert str(getattr(getattr(config.from_tables({}), section), key)) == value


def test_every_variable_that_compose_asks_for_stands_in_the_example():
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE))
    asked |= set(re.findall(r"env:(\w+)", COMPOSE))
    offered = set(re.findall(r"^(?:# )?(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert asked <= offered
    assert {
        name for name in offered if not name.startswith(("CROSSOVER_", "COMPOSE_", "OPENAI_"))
    } == asked


HEALTH_CHECKS = {
    "compose": SERVICES["crossover"]["healthcheck"]["test"][1:],
    "Dockerfile": json.loads(re.search(r"^HEALTHCHECK .*? CMD (.+)$", DOCKERFILE, re.MULTILINE)[1]),
}


@pytest.mark.parametrize("command", HEALTH_CHECKS.values(), ids=HEALTH_CHECKS)
def test_a_health_check_asks_for_a_route_that_exists(command):
    url = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", command[-1])
    assert int(url[1]) == config.Http().port
    answer = {"ok": True}
    with TestClient(application(lambda: answer)) as client:
        assert client.get(url[2]).status_code == 200
        answer["ok"] = False
        assert client.get(url[2]).status_code == 503


@pytest.mark.parametrize("command", HEALTH_CHECKS.values(), ids=HEALTH_CHECKS)
def test_a_health_check_fails_where_nothing_answers(command):
    closed = command[-1].replace("8787", "9")
    run = subprocess.run(
        [sys.executable, "-c", closed], capture_output=True, timeout=60, check=False
    )
    assert run.returncode != 0
    assert b"URLError" in run.stderr


def test_mounted_and_copied_files_exist():
    mounts = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", ())]
    assert [m for m in mounts if m.startswith(".")] == ["./crossover.toml"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    needed = {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in needed)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == needed
    wheel = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "monitor",
        "collectors",
        "reports",
        "migrations",
    }
    assert needed == wheel


def test_the_image_runs_the_daemon_without_rights():
    assert json.loads(re.search(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)[1]) == ["crossover"]
    assert runs(json.loads(re.search(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[1]))
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "--uid 10001" in DOCKERFILE


def unit(path):
    """Key -> value of its service; of a key that stands there twice, the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(path)
    return parser["Service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_a_unit_runs_a_command_that_exists(path, monkeypatch):
    monkeypatch.setenv("CROSSOVER_DATABASE__URL", "postgresql://crossover@db.example.org/crossover")
    program, *words = shlex.split(unit(path)["ExecStart"])
    assert program == "/opt/crossover/bin/crossover"
    assert runs(words)


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_a_unit_gives_away_no_right(path):
    service = unit(path)
    assert service["User"] == "crossover"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ""
    for key in (
        "NoNewPrivileges",
        "PrivateTmp",
        "ProtectHome",
        "RestrictNamespaces",
        "LockPersonality",
    ):
        assert service[key] == "yes"
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    text = path.read_text()
    assert "SystemCallFilter=@system-service" in text
    assert "SystemCallFilter=~@privileged" in text
    assert "LoadCredential=" in text


def test_only_the_agent_sees_devices():
    found = {path.stem: unit(path)["PrivateDevices"] for path in UNITS}
    assert found == {"crossover": "yes", "crossover-agent": "no"}


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_systemd_accepts_a_unit_and_finds_it_closed(path, tmp_path):
    analyze = needs.systemd_analyze()
    copy = tmp_path / path.name
    # It wants the program to be there.
    copy.write_text(path.read_text().replace("/opt/crossover/bin/crossover", sys.executable))
    verified = subprocess.run(
        [analyze, "verify", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert verified.returncode == 0, verified.stderr
    assert path.name not in verified.stderr
    judged = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=true", "--threshold=20", copy],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-200:]
