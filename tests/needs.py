"""What a test needs from the machine: skipped, naming it, where it lacks; a failure in CI."""

import os
import shutil
from ctypes.util import find_library
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"CI must have {what}")
    pytest.skip(f"needs {what}")


def gcc() -> str:
    """The path of a C compiler."""
    path = shutil.which("gcc") or shutil.which("cc")
    if path is None:
        _missing("gcc")
    return str(path)


def chromium() -> str:
    """The path of a Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        _missing("chromium")
    return str(path)


def docker_compose() -> list[str]:
    """The command that reads a compose file without an engine."""
    path = shutil.which("docker-compose")
    if path is None:
        _missing("docker-compose")
    return [str(path)]


def systemd_analyze() -> str:
    """The command that reads systemd units without a running systemd."""
    path = shutil.which("systemd-analyze")
    if path is None:
        _missing("systemd-analyze")
    return str(path)


def alertmanager() -> str:
    """The path of a Prometheus Alertmanager."""
    path = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if path is None:
        _missing("prometheus-alertmanager")
    return str(path)


def shared(path: str) -> Path:
    """A reference file that stands beside the checkout and is not part of it."""
    found = SHARED / path
    if not found.exists():
        _missing(f"../shared/{path}")
    return found


def pango() -> None:
    """The library that lays out text for a PDF."""
    if find_library("pango-1.0") is None or find_library("pangoft2-1.0") is None:
        _missing("libpango-1.0-0 and libpangoft2-1.0-0")
