"""`crossover init`: a commented configuration to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import common


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("crossover.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a commented configuration; then edit it and run `crossover check`.

    Example: crossover init /etc/crossover/crossover.toml
    """
    from importlib.resources import files

    from monitor.domain.errors import InputError

    text = files("monitor").joinpath("crossover.example.toml").read_text("utf-8")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError(f"{path} is already there", "Edit it, or add --force.") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}", "Name another file.") from None
    common.note(f"wrote {path}; edit it, then run `crossover check`")
