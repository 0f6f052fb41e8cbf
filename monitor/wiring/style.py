"""How reports look and speak."""

from __future__ import annotations

from pathlib import Path

from monitor.config import Settings
from monitor.domain.errors import ConfigError, InputError
from reports import pdf, workbook
from reports.clothes import Logo, look, read_logo
from reports.language import Second, Style


def report_style(settings: Settings) -> Style:
    """In which words reports speak, where an audience names no language of its own."""
    chosen = settings.organisation
    second = None if chosen.currency == "USD" else Second(chosen.currency, None, "")
    return Style(chosen.language, chosen.timezone, second, look=look(chosen.colour, logo(settings)))


def logo(settings: Settings) -> Logo | None:
    """The logo that reports show; None: they name Crossover instead.

    Raises:
        ConfigError: it cannot be read, or is no picture for a mail.
    """
    path = settings.organisation.logo
    if not path:
        return None
    where = f"organisation.logo ({path})"
    try:
        return read_logo(Path(path).read_bytes(), where)
    except OSError as error:
        raise ConfigError([f"{where} cannot be read: {error.strerror}"]) from None
    except InputError as error:
        raise ConfigError([error.message], error.remedy) from None


def require_extras(settings: Settings) -> None:
    """Raises InputError where a file is asked for that needs a package which is not there."""
    chosen, audiences = settings.report, settings.report.audience
    if chosen.pdf or any(audience.pdf for audience in audiences):
        pdf.require()
    if chosen.xlsx or any(audience.xlsx for audience in audiences):
        workbook.require()
