"""The source `focus` over a folder with a bill of which the truth is known."""

import shutil
from contextlib import contextmanager
from pathlib import Path

from collectors.focus import Focus
from monitor.domain.usage import DAY
from tests.contract.kinds import KEY

BILL = Path(__file__).parents[2] / "fixtures/focus/november.csv"


class Served:
    """A folder of files: what needs no key is refused by not being there."""

    start = 1_794_960_000  # 2026-11-18
    now = start + 3 * DAY + 1_800
    truth = {"bill": {"USD": "0.71"}}  # noqa: RUF012 - read only

    def __init__(self, folder):
        self.folder = folder
        shutil.copy(BILL, folder)

    def source(self):
        return Focus("focus-main", "acme", KEY, path=str(self.folder))

    def refuse(self):
        shutil.rmtree(self.folder)

    def was_used(self):
        """There is no far side, and no key is kept."""
        return True


@contextmanager
def served(request):
    yield Served(request.getfixturevalue("tmp_path"))
