"""The module `pynvml` as nvidia-ml-py installs it, imported when a GPU is first looked for."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

from monitor.domain.errors import SourceError

DISTRIBUTION = "nvidia-ml-py"
# Others that install a module of the same name, one that knows fewer calls.
CLASHING = ("pynvml", "nvidia-ml-py3")
REMEDY = f"Run: pip uninstall -y {' '.join(CLASHING)}; pip install --force-reinstall {DISTRIBUTION}"


def load(source: str) -> Any:
    """The binding; raises SourceError where it is missing or another package's."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        message, remedy = "the Python module pynvml is missing", f"Run: pip install {DISTRIBUTION}"
        raise SourceError(source, message, remedy, permanent=True) from None
    file = str(nvml.__file__)
    owners = [name for name in (DISTRIBUTION, *CLASHING) if owns(name, file)]
    if owners != [DISTRIBUTION]:
        found = " and ".join(owners) or "an unknown package"
        message = f"the Python module {file} belongs to {found}"
        raise SourceError(source, message, REMEDY, permanent=True)
    return nvml


def owns(distribution: str, file: str) -> bool:
    """Whether an installed distribution lists this file as its own."""
    try:
        files = metadata.distribution(distribution).files or []
    except metadata.PackageNotFoundError:
        return False
    return any(Path(str(f.locate())).resolve() == Path(file).resolve() for f in files)
