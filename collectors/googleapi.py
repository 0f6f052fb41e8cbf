"""Google's REST APIs: questions with an access token that google-auth keeps fresh."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property, partial
from importlib import import_module
from typing import Any

from collectors.extras import extra
from collectors.http import Dialect, Question, Signed, Verdict
from monitor.domain.errors import SourceError
from monitor.domain.names import clean_name

TOKEN_SECONDS = 30
"""The longest wait for one answer of the token's issuer."""
_WORDS_CAP = 300
_PASSING = (b"rateLimitExceeded", b"RATE_LIMIT_EXCEEDED", b"quotaExceeded", b"RESOURCE_EXHAUSTED")


class Login:
    """Who asks: the service account of the configuration, else what this machine is.

    Args:
        source: the source's configured name, for errors.
        key: the JSON of a service account's key; empty: the application default credentials.
        scope: what the token is for.
    """

    def __init__(self, source: str, key: str, scope: str) -> None:
        self._source, self._key, self._scope = source, key, scope

    def __repr__(self) -> str:
        return f"Login({self._source!r})"

    @cached_property
    def _found(self) -> Any:
        with extra(self._source, "google"):
            accounts = import_module("google.oauth2.service_account")
            auth = import_module("google.auth")
            import_module("google.auth.transport.requests")
        if not self._key:
            return self._of_machine(auth)
        make = accounts.Credentials.from_service_account_info
        try:
            return make(json.loads(self._key), scopes=[self._scope])
        # The library's own words may quote parts of the key.
        except (ValueError, TypeError, AttributeError, KeyError):
            raise SourceError(
                self._source,
                "its key is not the JSON of a service account's key",
                "Store the whole file that Google made, as it is",
                permanent=True,
            ) from None

    def _of_machine(self, auth: Any) -> Any:
        errors = import_module("google.auth.exceptions")
        try:
            return auth.default(scopes=[self._scope])[0]
        except errors.GoogleAuthError:
            raise SourceError(
                self._source,
                "no Google credentials were found on this machine",
                "Set admin_key to a service account's key, or GOOGLE_APPLICATION_CREDENTIALS",
                permanent=True,
            ) from None

    def sign(self, question: Question) -> Signed:
        """The token of one request, renewed shortly before it expires; raises SourceError."""
        del question
        found = self._found
        if not found.valid:
            self._renew(found)
        return Signed({"authorization": f"Bearer {found.token}"}, [found.token])

    def _renew(self, found: Any) -> None:
        errors = import_module("google.auth.exceptions")
        transport = import_module("google.auth.transport.requests").Request()
        try:
            found.refresh(partial(_bounded, transport))
        except errors.GoogleAuthError as error:
            raise SourceError(
                self._source,
                f"Google gave no token: {clean_name(str(error.args[0]), _WORDS_CAP)}",
                "Check that the service account and its key exist",
                permanent=not (error.retryable or isinstance(error, errors.TransportError)),
            ) from None
        finally:
            transport.session.close()


def _bounded(transport: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return transport(*args, **{**named, "timeout": TOKEN_SECONDS})


def _verdict(status: int, body: bytes) -> Verdict:
    """Google says 403 of a quota that is used up, too."""
    return "passes" if status == 403 and any(word in body for word in _PASSING) else ""


DIALECT = Dialect(_verdict)
