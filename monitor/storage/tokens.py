"""Access tokens of whoever sends to the HTTP intake: kept as digests, shown once."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from monitor.domain.errors import InputError
from monitor.domain.intake import KIND, Sender
from monitor.ports import StreamSpec
from monitor.storage import setup
from monitor.storage.tables import access_token, source

USE_SECONDS = 60
"""The last use is written at most so often."""

_BYTES = 32
_PREFIX = "xo_"
_FORM = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")


class TokenSetup(NamedTuple):
    """What a new token is to be."""

    name: str
    source: str
    scopes: Sequence[str]
    account: str = ""
    project: str = ""
    label: str = ""


class Token(NamedTuple):
    """A token as it is listed; the secret itself is nowhere."""

    name: str
    source: str
    scopes: str
    account: str
    project: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def create(conn: Connection, wanted: TokenSetup, configured: Mapping[str, str], now: int) -> str:
    """Make a token and its source; returns the secret, which is not kept.

    Args:
        conn: a writing transaction.
        wanted: the token.
        configured: the kinds of sources that are read, by name, as the configuration has them.
        now: epoch seconds.

    Raises:
        InputError: the name is taken, or the source is one that is read and not pushed to.
    """
    stored = conn.scalar(select(source.c.kind).where(source.c.name == wanted.source))
    kind = configured.get(wanted.source, stored)
    if kind not in (None, KIND):
        raise InputError(
            f"the source {wanted.source!r} is read as {kind}: what is sent to it too would count"
            " twice",
            "Name another one with --source.",
        )
    setup.put_stream(conn, wanted.source, KIND, StreamSpec("events", "usage", 1))
    secret = _PREFIX + secrets.token_urlsafe(_BYTES)
    row = wanted._asdict() | {"scopes": " ".join(wanted.scopes), "digest": _digest(secret)}
    try:
        with conn.begin_nested():
            conn.execute(
                access_token.insert().values(created_at=datetime.fromtimestamp(now, UTC), **row)
            )
    except IntegrityError:
        raise InputError(
            f"there is a token {wanted.name!r} already",
            "Choose another name; a revoked token keeps its own.",
        ) from None
    return secret


def well_formed(secret: str) -> bool:
    """Whether it could be a token at all, for which nothing is looked up."""
    return _FORM.fullmatch(secret) is not None


def sender(conn: Connection, secret: str) -> Sender | None:
    """Whose token this is; None: nobody's, or it was revoked."""
    digest = _digest(secret)
    row = conn.execute(
        select(access_token).where(
            access_token.c.digest == digest, access_token.c.revoked_at.is_(None)
        )
    ).first()
    if row is None or not hmac.compare_digest(row.digest, digest):
        return None
    return Sender(
        row.id,
        row.name,
        row.source,
        frozenset(row.scopes.split()),
        row.account,
        row.project,
        row.label,
    )


def note_use(conn: Connection, token_ids: Iterable[int], now: int) -> None:
    """Write when tokens were used last."""
    for token_id in token_ids:
        conn.execute(
            access_token.update()
            .where(access_token.c.id == token_id)
            .values(last_used_at=datetime.fromtimestamp(now, UTC))
        )


def listed(conn: Connection) -> list[Token]:
    """Every token, the revoked ones too, by name."""
    columns = [access_token.c[name] for name in Token._fields]
    return [Token(*row) for row in conn.execute(select(*columns).order_by(access_token.c.name))]


def revoke(conn: Connection, name: str, now: int) -> None:
    """End a token: the next request with it is refused.

    Raises:
        InputError: there is none of that name that is in force.
    """
    changed = conn.execute(
        access_token.update()
        .where(access_token.c.name == name, access_token.c.revoked_at.is_(None))
        .values(revoked_at=datetime.fromtimestamp(now, UTC))
    )
    if changed.rowcount == 0:
        raise InputError(
            f"there is no token {name!r} in force", "`crossover tokens list` names them."
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
