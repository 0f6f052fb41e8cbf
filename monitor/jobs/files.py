"""Files that a report brings along besides its tables as CSV: a workbook, and the whole as PDF."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.domain.errors import CrossoverError
from monitor.jobs.editions import Maker
from monitor.jobs.report import standalone
from monitor.storage.figure_sql import CATALOGUE
from reports import pdf, workbook
from reports.model import Rendered, Row
from reports.render import Attachment
from reports.workbook import Sheet

log = logging.getLogger("crossover.files")

PDF = "application/pdf"


def bringing(maker: Maker, name: str, tables: Iterable[str], *, xlsx: bool, as_pdf: bool) -> Maker:
    """The same report with the files that are asked for.

    Args:
        maker: how the report is made.
        name: of the files, without ending.
        tables: those that are attached as CSV.
        xlsx: a workbook of them.
        as_pdf: the report as PDF.
    """
    if not (xlsx or as_pdf):
        return maker
    chosen = list(tables)

    def render(facts: Any) -> Rendered:
        rendered = maker.render(facts)
        files = list(rendered.attachments)
        if xlsx:
            files += workbook_of(facts.tables, chosen, name)
        if as_pdf:
            files += _as_pdf(rendered, name)
        return rendered._replace(attachments=files)

    return maker._replace(render=render)


FORMS = (".html", ".txt", ".pdf")
"""Endings of a report's single file."""


def one_file(rendered: Rendered, ending: str) -> bytes:
    """A report in the form of one of the FORMS.

    Raises:
        InputError: a PDF needs what is not there.
    """
    if ending == ".txt":
        return rendered.text.encode()
    page = standalone(rendered)
    return pdf.make(page) if ending == ".pdf" else page.encode()


def workbook_of(
    tables: Mapping[str, Sequence[Row]], names: Iterable[str], file: str
) -> list[Attachment]:
    """One workbook of the tables that have rows, without the stored documents; none without any."""
    sheets = [Sheet(table, _shown(table), tables[table]) for table in names if tables.get(table)]
    if not sheets:
        return []
    return [Attachment(f"{file}.xlsx", workbook.MEDIA_TYPE, workbook.make(sheets))]


def _shown(table: str) -> dict[str, str]:
    return {name: unit for name, unit in CATALOGUE[table].columns.items() if unit != "json"}


def _as_pdf(rendered: Rendered, name: str) -> list[Attachment]:
    """The PDF, or none: a report whose figures are there does not wait for a layout."""
    try:
        return [Attachment(f"{name}.pdf", PDF, pdf.make(standalone(rendered)))]
    except CrossoverError:
        log.exception("the report leaves without its PDF")
        return []
