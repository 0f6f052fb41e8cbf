"""What the tests of sources share."""

from collectors.http import Limits

QUICK = Limits(backoff_s=0.0, attempts=2)
"""No test waits for a second attempt."""
