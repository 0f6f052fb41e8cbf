"""Azure's management API: questions with a token that azure-identity keeps fresh."""

from __future__ import annotations

import logging
import re
from functools import cached_property
from importlib import import_module
from typing import Any

from collectors.extras import extra
from collectors.http import REDACTED, Dialect, Http, Limits, Question, Signed
from monitor.domain.errors import InputError, SourceError
from monitor.domain.names import clean_name

BASE_URL = "https://management.azure.com"
AUTHORITY = "login.microsoftonline.com"
_WORDS_CAP = 300
_BOUNDS = {"retry_total": 2, "connection_timeout": 10, "read_timeout": 30}
"""Of the exchanges with the token's issuer."""
_WAIT = re.compile(r"x-ms-ratelimit-microsoft\.costmanagement-.+-retry-after")


class Login:
    """Who asks: an application of the configuration, else what this machine is.

    Args:
        source: the source's configured name, for errors.
        key: the application's client secret; empty: the environment, a workload or managed
            identity, as the Azure libraries find it.
        tenant: the directory that the application is in.
        client_id: the application.
        authority: the host that issues tokens.
        base_url: what the token is for.

    Raises:
        InputError: one of `tenant` and `client_id` is missing beside the other or is no text.
    """

    def __init__(
        self, source: str, key: str, tenant: str, client_id: str, authority: str, base_url: str
    ) -> None:
        named = {"tenant": tenant, "client_id": client_id, "authority": authority}
        for option, value in named.items():
            if not isinstance(value, str):
                raise InputError(f"source {source}: {option} is {value!r}", "Write a text")
        if bool(tenant) != bool(client_id):
            raise InputError(
                f"source {source}: of tenant and client_id one is missing",
                "Write both, as the application's page shows them",
            )
        self._source, self._key = source, key
        self._scope = "/".join(base_url.split("/", 3)[:3]) + "/.default"
        self._tenant, self._client_id, self._authority = tenant, client_id, authority

    def __repr__(self) -> str:
        return f"Login({self._source!r})"

    @cached_property
    def _found(self) -> Any:
        with extra(self._source, "azure"):
            identity = import_module("azure.identity")
        # It logs the issuer's words as they come; ours say the same without the secret.
        logging.getLogger("azure.identity").setLevel(logging.ERROR)
        if not self._key:
            return identity.DefaultAzureCredential(authority=self._authority, **_BOUNDS)
        if not self._tenant:
            raise SourceError(
                self._source,
                "its key is an application's secret, and the application is not named",
                "Set tenant and client_id in the options",
                permanent=True,
            )
        try:
            return identity.ClientSecretCredential(
                self._tenant, self._client_id, self._key, authority=self._authority, **_BOUNDS
            )
        except ValueError as error:
            raise SourceError(self._source, self._words(error), permanent=True) from None

    def sign(self, question: Question) -> Signed:
        """The token of one request, renewed before it expires; raises SourceError."""
        del question
        found = self._found
        errors = import_module("azure.core.exceptions")
        try:
            token = found.get_token(self._scope).token
        except errors.AzureError as error:
            raise SourceError(
                self._source,
                f"Azure gave no token: {self._words(error)}",
                "Check tenant, client_id and the secret, which may have expired",
                permanent=isinstance(error, errors.ClientAuthenticationError),
            ) from None
        secrets = [secret for secret in (token, self._key) if secret]
        return Signed({"authorization": f"Bearer {token}"}, secrets)

    def close(self) -> None:
        """Release what the library holds."""
        if "_found" in vars(self):
            self._found.close()

    def _words(self, error: Exception) -> str:
        said = str(error).replace(self._key, REDACTED) if self._key else str(error)
        return clean_name(said.partition("\n")[0], _WORDS_CAP).rstrip(".")


class Management(Http):
    """A client of the management API; the arguments are those of `Http`."""

    def __init__(
        self, source: str, base_url: str, login: Login, *, denied: str, limits: Limits
    ) -> None:
        dialect = Dialect(wait_headers=_WAIT)
        super().__init__(
            source, base_url, sign=login.sign, dialect=dialect, denied=denied, limits=limits
        )
        self._login = login

    def close(self) -> None:
        """Release the connection, and what the login holds."""
        super().close()
        self._login.close()
