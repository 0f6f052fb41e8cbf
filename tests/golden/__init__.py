"""Mails as they are to read, at a fixed clock, and the comparison with them."""

import os
from pathlib import Path

from monitor.jobs.report import standalone
from tests.browser import shots

FOLDER = Path(__file__).parent


def golden(name, mail):
    """Compare both bodies of a mail with what is kept.

    UPDATE_GOLDEN=1 keeps them anew; UPDATE_PICTURES=1 draws docs/pictures anew.
    """
    for path, found in (
        (FOLDER / f"{name}.txt", f"Subject: {mail.subject}\n\n{mail.text}"),
        (FOLDER / f"{name}.html", mail.html),
    ):
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(found)
        assert found == path.read_text(), f"{path.name} changed: look at it, then UPDATE_GOLDEN=1"
    if os.environ.get("UPDATE_PICTURES"):
        shots.keep(name, standalone(mail))
