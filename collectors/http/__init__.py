"""HTTP outwards: bounded in time and size, retried, silent about secrets.

Nothing outside this package imports httpx, so a change of client costs this package.
"""

from collectors.http.addresses import Place, callable_address, place
from collectors.http.client import (
    DEFAULT_LIMITS,
    Http,
    HttpError,
    Limits,
    Question,
    Signed,
    recorded,
)
from collectors.http.dialect import Dialect, Verdict
from collectors.http.once import post
from collectors.http.scrub import REDACTED, basic

__all__ = [
    "DEFAULT_LIMITS",
    "REDACTED",
    "Dialect",
    "Http",
    "HttpError",
    "Limits",
    "Place",
    "Question",
    "Signed",
    "Verdict",
    "basic",
    "callable_address",
    "place",
    "post",
    "recorded",
]
