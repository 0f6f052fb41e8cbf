"""Who may import whom (docs/design): read from the source, so that an arrow cannot turn unseen."""

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("monitor", "collectors", "reports")
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in OURS
    for path in sorted((ROOT / package).rglob("*.py"))
}

RULES = ("monitor.domain", "monitor.ports")
JOBS = (*RULES, "monitor.storage", "reports")
FACES = (
    *(*JOBS, "monitor.jobs", "monitor.wiring", "monitor.config", "monitor.library"),
    "monitor.logs",
)
# What each part may import of ours besides itself; the longest name that fits a module counts.
ARROWS: Mapping[str, tuple[str, ...]] = {
    "monitor.domain": (),
    "monitor.ports": ("monitor.domain",),
    "monitor.storage": RULES,
    "collectors": RULES,
    "reports": RULES,
    "monitor.jobs": JOBS,
    "monitor.scheduler": (*JOBS, "monitor.jobs"),
    "monitor.web": (*JOBS, "monitor.jobs"),
    "monitor.config": ("monitor.domain",),
    "monitor.library": ("monitor.domain",),
    "monitor.data": (),
    "monitor.logs": (),
    "monitor.memory": (),
    "monitor.wiring": OURS,
    "monitor.cli": (*FACES, "monitor.memory", "monitor.scheduler", "monitor.web", "monitor.demo"),
    "monitor.demo": (*FACES, "monitor.scheduler"),
    "monitor.__main__": ("monitor.cli",),
    "monitor": (),
}
# Classes that are handed in: only wiring says which.
CONCRETE = ("collectors", "reports.channels")
DOORS = {"httpx": "collectors.http", "alembic": "monitor.storage"}
# What rules must be handed and never fetch: a clock, a file, the network, chance.
OUTSIDE = {
    *("asyncio", "glob", "http", "io", "locale", "logging", "multiprocessing", "os", "pathlib"),
    *("random", "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess"),
    *("sys", "tempfile", "threading", "time", "urllib", "uuid"),
}
PURE = {*OURS, *sys.stdlib_module_names, "__future__", "numpy"} - OUTSIDE
CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "open"}
HEAVY = {"sqlalchemy", "numpy", "pydantic", "pydantic_settings", "typer"}
# What an import of files need not carry: its memory is promised (benchmarks/import_jsonl.py).
HEAVY_FOR_IMPORT = {
    *("apscheduler", "babel", "css_inline", "genai_prices", "httpx", "jinja2", "numpy"),
    *("opentelemetry", "prometheus_client", "stamina", "starlette", "uvicorn"),
}


class Import(NamedTuple):
    importer: str
    name: str
    place: str
    late: bool
    """Inside a function or for types alone: costs nothing until it is called."""


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def nodes(source: str) -> list[tuple[ast.AST, bool]]:
    """Every node, and whether it lies inside a function or among imports for types."""
    found: list[tuple[ast.AST, bool]] = []
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while waiting:
        node, late = waiting.pop()
        found.append((node, late))
        inside = late or isinstance(node, ast.FunctionDef | ast.Lambda) or for_types(node)
        waiting += [(child, inside) for child in ast.iter_child_nodes(node)]
    return found


def imports(path: str, source: str) -> Iterator[Import]:
    for node, late in nodes(source):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module_of(path).split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            yield Import(module_of(path), name, f"{path}:{node.lineno}", late)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def part_of(module: str) -> str:
    return max((part for part in ARROWS if within(module, (part,))), key=len)


def against_an_arrow(found: Import) -> str | None:
    part, top = part_of(found.importer), found.name.split(".")[0]
    # The bare package is its version.
    if within(found.name, (part,)) or found.name in ("monitor", "monitor.__version__"):
        return None
    concrete = within(found.name, CONCRETE) and part not in ("reports", "monitor.wiring")
    rules = {
        "rules are handed the outside": part in RULES and top not in PURE,
        "only monitor.wiring names concrete classes": concrete,
        f"{part} may import of ours only {', '.join(ARROWS[part]) or 'itself'}": (
            top in OURS and not within(found.name, ARROWS[part])
        ),
        f"only {DOORS.get(top)} imports it": (
            top in DOORS and not within(found.importer, (DOORS[top],))
        ),
    }
    return next((rule for rule, broken in rules.items() if broken), None)


def clocks_read(path: str, source: str) -> Iterator[str]:
    for node, _ in nodes(source) if within(module_of(path), RULES) else ():
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if any(f".{called}".endswith(f".{clock}") for clock in CLOCKS):
                yield f"{path}:{node.lineno} calls {called}: time is an argument"


def violations(sources: Mapping[str, str]) -> list[str]:
    wrong = []
    for path, source in sources.items():
        wrong += [
            f"{found.place} imports {found.name}: {rule}"
            for found in imports(path, source)
            if (rule := against_an_arrow(found)) is not None
        ]
        wrong += clocks_read(path, source)
    return wrong


def heavy_chains(
    sources: Mapping[str, str], start: str, heavy: Collection[str] = HEAVY
) -> list[str]:
    """What is imported with a module, before any function runs, and should not be."""
    eager: dict[str, list[Import]] = {}
    for path, source in sources.items():
        eager[module_of(path)] = [i for i in imports(path, source) if not i.late]
    wrong, seen, waiting = [], {start}, [start]
    while waiting:
        for found in eager[waiting.pop()]:
            if found.name.split(".")[0] in heavy:
                wrong.append(f"{found.place} imports {found.name}, and {start} imports it")
            parents = [found.name.rsplit(".", n)[0] for n in range(found.name.count(".") + 1)]
            for module in parents:
                if module in eager and module not in seen:
                    seen.add(module)
                    waiting.append(module)
    return wrong


def test_no_import_turns_an_arrow_of_the_design():
    assert not (wrong := violations(SOURCES)), "\n".join(wrong)


def test_the_agent_starts_without_database_numbers_settings_or_command_line():
    assert not (wrong := heavy_chains(SOURCES, "collectors.agent")), "\n".join(wrong)


def test_the_import_of_files_loads_no_numbers_reports_schedule_or_http():
    path = "monitor/cli/imports.py"
    called = "\n".join(f"import {found.name}" for found in imports(path, SOURCES[path]))
    wrong = heavy_chains(SOURCES | {path: called}, module_of(path), HEAVY_FOR_IMPORT)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        ("monitor/domain/new.py", "import sqlalchemy", "handed the outside"),
        ("monitor/domain/new.py", "from monitor.storage import write", "only itself"),
        ("monitor/domain/new.py", "from monitor import ports", "only itself"),
        ("monitor/domain/new.py", "def f():\n    import httpx", "handed the outside"),
        ("monitor/domain/new.py", "late = datetime.now(UTC)", "time is an argument"),
        ("monitor/domain/new.py", "late = dt.date.today()", "time is an argument"),
        ("monitor/domain/new.py", "late = time.time()", "time is an argument"),
        ("monitor/domain/new.py", "text = open('rates').read()", "time is an argument"),
        ("monitor/ports.py", "from monitor.storage.write import Changes", "only monitor.domain"),
        ("collectors/new.py", "import monitor.storage.write", "of ours only"),
        ("collectors/new.py", "from reports import weekly", "of ours only"),
        ("collectors/new.py", "from reports.channels import smtp", "only monitor.wiring"),
        ("collectors/new.py", "import httpx", "only collectors.http imports it"),
        ("reports/new.py", "from monitor.storage.figures import read", "of ours only"),
        ("reports/new.py", "from monitor.jobs.report import weekly", "of ours only"),
        ("monitor/storage/new.py", "from collectors import openai", "only monitor.wiring"),
        ("monitor/storage/new.py", "from ..jobs import plan", "of ours only"),
        ("monitor/jobs/new.py", "from collectors.openai import OpenAI", "only monitor.wiring"),
        ("monitor/jobs/new.py", "from monitor.cli import common", "of ours only"),
        ("monitor/jobs/new.py", "from monitor.wiring import database", "of ours only"),
        ("monitor/jobs/new.py", "from reports.channels.smtp import Smtp", "only monitor.wiring"),
        ("monitor/jobs/new.py", "import alembic.command", "only monitor.storage imports it"),
        ("monitor/cli/new.py", "from collectors.openai import OpenAI", "only monitor.wiring"),
        ("monitor/web/new.py", "from monitor.wiring import database", "of ours only"),
    ],
)
def test_the_check_finds_an_arrow_that_turned_and_names_the_line(path, line, said):
    (wrong,) = violations({path: f'"""A module."""\n\n{line}\n'})
    assert wrong.startswith(f"{path}:{3 + line.count(chr(10))} ")
    assert said in wrong


def test_the_check_finds_what_the_agent_imports_through_another_module():
    sources = {
        "collectors/__init__.py": "",
        "collectors/agent.py": "from collectors.new import f",
        "collectors/new.py": "import json\nimport numpy as np\n\ndef f():\n    import typer",
    }
    assert heavy_chains(sources, "collectors.agent") == [
        "collectors/new.py:2 imports numpy, and collectors.agent imports it"
    ]
