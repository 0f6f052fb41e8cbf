"""Amazon's JSON APIs: questions that botocore signs and `Http` asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import msgspec

from collectors.extras import extra
from collectors.http import Dialect, Http, Limits, Question, Signed, Verdict
from monitor.domain.errors import SourceError

_THROTTLED = ("Throttl", "LimitExceeded", "RequestLimitExceeded", "TooManyRequests")
_REFUSED = (
    *("AccessDenied", "UnrecognizedClient", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    *("MissingAuthenticationToken", "IncompleteSignature", "ExpiredToken", "InvalidSignature"),
    *("OptInRequired", "NotAuthorized"),
)


class Api(NamedTuple):
    """How one of the services is called."""

    service: str
    """As signatures name it."""
    target: str
    version: str
    """Of the JSON protocol."""
    cursor: str
    """The field that leads on to the next page."""


class Login:
    """Who asks: a key of the configuration, else what the AWS libraries find on this machine.

    Args:
        source: the source's configured name, for errors.
        key: `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, with `:SESSION_TOKEN` where it is a session's;
            empty: the environment, the shared files, the role of this container or machine.
        profile: of the shared files; empty: the usual one.
    """

    def __init__(self, source: str, key: str, profile: str) -> None:
        self._source, self._key, self._profile = source, key, profile

    def __repr__(self) -> str:
        return f"Login({self._source!r})"

    @cached_property
    def _found(self) -> Any:
        with extra(self._source, "aws"):
            credentials = import_module("botocore.credentials")
            session = import_module("botocore.session")
        if self._key:
            parts = self._key.split(":")
            if len(parts) not in (2, 3) or not all(parts):
                raise SourceError(
                    self._source,
                    "its key is not written as ACCESS_KEY_ID:SECRET_ACCESS_KEY",
                    "Join both with a colon, and a session token behind another",
                    permanent=True,
                )
            return credentials.Credentials(*parts)
        return self._of_machine(session)

    def _of_machine(self, session: Any) -> Any:
        errors = import_module("botocore.exceptions")
        try:
            found = session.Session(profile=self._profile or None).get_credentials()
        except errors.BotoCoreError as error:
            raise SourceError(
                self._source, f"no AWS credentials: {error}", permanent=True
            ) from None
        if found is None:
            raise SourceError(
                self._source,
                "no AWS credentials were found on this machine",
                "Set admin_key, the environment, a profile or a role, as the AWS libraries want it",
                permanent=True,
            )
        return found

    def sign(self, question: Question, api: Api, region: str) -> Signed:
        """The headers of one request, by Signature Version 4.

        Raises:
            SourceError: there are no credentials.
        """
        found = self._frozen()
        # It logs what it signs, a session's token included.
        logging.getLogger("botocore.auth").setLevel(logging.WARNING)
        auth, request = import_module("botocore.auth"), import_module("botocore.awsrequest")
        kept = ("content-type", "x-amz-target")
        headers = {name: question.headers[name] for name in kept if name in question.headers}
        asked = request.AWSRequest(
            method=question.method, url=question.url, data=question.body, headers=headers
        )
        auth.SigV4Auth(found, api.service, region).add_auth(asked)
        made = {name: value for name, value in asked.headers.items() if name not in kept}
        known = (found.access_key, found.secret_key, found.token)
        return Signed(made, [secret for secret in known if secret])

    def _frozen(self) -> Any:
        """The credentials of now: those of a role are renewed by the library."""
        found = self._found
        errors = import_module("botocore.exceptions")
        try:
            return found.get_frozen_credentials()
        except errors.BotoCoreError as error:
            raise SourceError(
                self._source,
                f"its AWS role gave no credentials: {error}",
                "It is tried again at the next poll",
            ) from None


class Amazon(Http):
    """One service of one region; the further arguments are those of `Http`.

    Args:
        login: who asks.
        api: the service.
        region: of the service, as signatures name it.
    """

    def __init__(
        self,
        source: str,
        base_url: str,
        login: Login,
        api: Api,
        region: str,
        *,
        denied: str,
        limits: Limits,
    ) -> None:
        super().__init__(
            source,
            base_url,
            sign=lambda question: login.sign(question, api, region),
            dialect=Dialect(_verdict),
            denied=denied,
            limits=limits,
        )
        self.region = region
        self._api = api

    def asking(
        self, operation: str, document: Mapping[str, object]
    ) -> Callable[[str | None], bytes]:
        """What asks for the page of an operation's answer at a cursor; raises HttpError."""
        headers = {
            "content-type": f"application/x-amz-json-{self._api.version}",
            "x-amz-target": f"{self._api.target}.{operation}",
        }

        def ask(cursor: str | None) -> bytes:
            following = {} if cursor is None else {self._api.cursor: cursor}
            return self.post("", {**document, **following}, headers=headers)

        return ask


class _Kind(msgspec.Struct):
    kind: str = msgspec.field(name="__type")


def _verdict(status: int, body: bytes) -> Verdict:
    """Amazon answers 400 to throttled calls and to wrong keys alike: the type says which it is."""
    if status >= 500:
        return ""
    try:
        kind = msgspec.json.decode(body, type=_Kind).kind
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return "passes" if _any(kind, _THROTTLED) else "denied" if _any(kind, _REFUSED) else ""


def _any(kind: str, words: Sequence[str]) -> bool:
    return any(word in kind for word in words)
