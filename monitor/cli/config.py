"""`crossover config`: what is in force."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import common

app = typer.Typer(help="What is configured.", no_args_is_help=True)


@app.command()
def show(
    ctx: typer.Context,
    form: Annotated[common.Format, typer.Option("--format")] = common.Format.TABLE,
) -> None:
    """Print every setting in force, with the file, the environment and defaults put together.

    Secrets appear by name, as they were written; passwords inside URLs are hidden.

    Example: crossover config show --format json
    """
    settings = common.settings(ctx)
    common.show(
        [{"setting": k, "value": v} for k, v in _flat("", settings.model_dump(by_alias=True))], form
    )


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        items = [(f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = [(f"{prefix}.{number}", item) for number, item in enumerate(value)]
    else:
        return [(prefix, _without_password(str(value)))]
    return [pair for name, item in items for pair in _flat(name, item)]


def _without_password(text: str) -> str:
    import re

    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
