"""The wheel, installed where the checkout is out of sight, is the whole program."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import monitor
from monitor.storage.migrate import scripts_folder

ROOT = Path(__file__).parents[2]
# Packages that take time or memory: a command imports them when it runs.
HEAVY = {
    *("alembic", "apscheduler", "httpx", "jinja2", "msgspec", "numpy", "psycopg", "pydantic"),
    *("sqlalchemy", "stamina", "starlette", "uvicorn"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of an environment that holds the wheel, and sees only packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--no-index", wheel], check=True, capture_output=True, timeout=120)
    # Standing in a .pth file, so that .pth files over there (the checkout's own) have no effect.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


@pytest.fixture
def run(installed, tmp_path):
    """Run a program of the environment in an empty folder; returns what it said."""

    def call(program, *arguments, code=0):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            [installed / program, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout

    return call


def test_the_wheel_holds_every_file_of_the_packages_and_the_migrations(wheel):
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    folders = {name: name for name in ("monitor", "collectors", "reports")}
    folders["migrations"] = "monitor/_migrations"
    assert names == {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in folders.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_checkout_is_out_of_sight(run, installed):
    found = run("python", "-c", "import monitor, reports, collectors; print(monitor.__file__)")
    assert Path(found.strip()).is_relative_to(installed.parent)


def test_the_programs_tell_their_version(run):
    assert run("crossover", "--version") == f"crossover {monitor.__version__}\n"
    assert run("crossover-agent", "--version") == f"crossover-agent {monitor.__version__}\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(run, option):
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded:', *sorted({HEAVY} & set(sys.modules))))\n"
        f"sys.argv = ['crossover', '{option}']\n"
        "from monitor.cli import main\n"
        "main()\n"
    )
    assert run("python", "-c", program).splitlines()[-1] == "loaded:"


def test_a_configuration_and_a_database_can_be_made_from_nothing(run, tmp_path):
    run("crossover", "init")
    example = ROOT / "monitor/crossover.example.toml"
    assert (tmp_path / "crossover.toml").read_text() == example.read_text()
    assert "schema none -> 0" in run("crossover", "db", "upgrade")
    assert "already" in run("crossover", "db", "upgrade")
    assert run("crossover", "query", "SELECT COUNT(*) AS n FROM v_usage_daily", "--format", "csv")


def test_migrations_are_found_in_a_wheel_and_in_a_checkout(run, installed):
    where = "from monitor.storage.migrate import scripts_folder; print(scripts_folder())"
    inside = Path(run("python", "-c", where).strip())
    assert inside.is_relative_to(installed.parent)
    assert inside.name == "_migrations"
    assert scripts_folder() == ROOT / "migrations"


def test_the_demonstration_runs_from_the_wheel_alone(run, tmp_path):
    """Templates, pictures, the demonstration's data and every part of the pipeline are in it."""
    said = run("crossover", "demo")
    assert "support-bot" in said.splitlines()[0]
    report = (tmp_path / "crossover-demo/report.eml").read_text()
    assert "Content-Type: image/png" in report
    assert (tmp_path / "crossover-demo/report.html").stat().st_size > 10_000
