"""What the tests of sources share."""

import pytest

from collectors.http import Limits

QUICK = Limits(backoff_s=0.0, attempts=2)
"""No test waits for a second attempt."""


@pytest.fixture
def opened():
    """Keeps a source until the test is over, and closes it."""
    made = []

    def keep(source):
        made.append(source)
        return source

    yield keep
    for each in made:
        each.close()
