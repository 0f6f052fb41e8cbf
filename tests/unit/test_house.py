"""The house rules that a program can check: packages and their doors, one version, the licence."""

import ast
import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

import monitor

ROOT = Path(__file__).parents[2]
OURS = ("monitor", "collectors", "reports")
FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Packages that only one module may name, so that replacing one changes one file.
ONE_DOOR = {
    "httpx": "collectors.http",
    "stamina": "collectors.http",
    "genai_prices": "collectors.genai_rates",
    "pynvml": "collectors.nvml_binding",
    "vl_convert": "reports.raster",
    "css_inline": "reports.render",
    "babel": "reports.language",
    "apscheduler": "monitor.scheduler",
    "pydantic": "monitor.config",
    "pydantic_settings": "monitor.config",
    "uvicorn": "monitor.web.app",
    "zstandard": "monitor.web.inflate",
    "anyio": "monitor.web",
    "opentelemetry": "collectors.otlp_protobuf",
    "google.protobuf": "collectors.otlp_protobuf",
}


class Import(NamedTuple):
    module: str
    name: str
    place: str

    def __str__(self):
        return f"{self.place} imports {self.name}"


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def imports(path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        elif isinstance(node, ast.Call) and called(node) == "import_module":
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        for name in dict.fromkeys(names):
            yield Import(module_of(path), name, f"{path.relative_to(ROOT)}:{node.lineno}")


IMPORTS = [found for path in FILES for found in imports(path)]
FOREIGN = [
    i
    for i in IMPORTS
    if i.name.split(".")[0] not in {*OURS, *sys.stdlib_module_names, "__future__"}
]


def within(name, package):
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize(("package", "door"), ONE_DOOR.items())
def test_a_replaceable_package_has_one_door(package, door):
    behind = {i.module for i in FOREIGN if within(i.name, package)}
    assert behind
    assert all(within(module, door) for module in behind), behind


def test_nothing_of_ours_is_asynchronous_or_unpickled():
    wrong = [str(i) for i in IMPORTS if i.name.split(".")[0] in {"asyncio", "pickle", "shelve"}]
    assert not wrong, "\n".join(wrong)


def declared():
    extras = PYPROJECT["project"]["optional-dependencies"]
    product = list(PYPROJECT["project"]["dependencies"])
    for name in extras.keys() - {"dev"}:
        product += extras[name]
    return {re.match(r"[\w-]+", line)[0].lower() for line in product}


OWNERS = packages_distributions()

# The first word of a module is not always a package: several share it.
FAMILIES = {
    "google.protobuf": "protobuf",
    "google": "google-auth",
    "azure": "azure-identity",
    "opentelemetry": "opentelemetry-proto",
}


def owner(module):
    """The package that a module belongs to."""
    shared = next((name for start, name in FAMILIES.items() if within(module, start)), None)
    found = shared or OWNERS[module.split(".")[0]][0]
    return found.lower().replace("_", "-")


def test_every_package_that_is_imported_is_declared_and_the_other_way_round():
    used = {owner(i.name) for i in FOREIGN}
    # Time zones are data: read by zoneinfo, imported by nobody.
    assert used == declared() - {"tzdata"}


def test_one_version_is_told_everywhere():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert monitor.__version__ == PYPROJECT["project"]["version"]
    assert re.findall(r"^## (\d\S*)", changelog, re.MULTILINE)[0] == monitor.__version__


def test_nothing_is_left_to_be_done_later():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert not left, left


def test_the_licence_is_the_whole_apache_licence():
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert PYPROJECT["project"]["license"] == "Apache-2.0"


def test_continuous_integration_names_no_host_and_no_path_of_a_machine():
    text = (ROOT / ".ci/run").read_text() + (ROOT / "Makefile").read_text()
    assert not re.search(r"https?://|index-url|/home/|/root/", text)
