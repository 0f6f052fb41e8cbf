"""Mail addresses that every server takes."""

from __future__ import annotations

import re

_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"

# RFC 5321's mailbox in ASCII, without its quoted local parts and address literals.
_MAILBOX = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*", re.ASCII)

# More forgiving than RFC 5322: `Crossover, Inc. <reports@example.org>` needs no quotes.
_NAMED = re.compile(r"([^<>\r\n]*)<([^<>]*)>")


def split(text: str) -> tuple[str, str]:
    """Display name and address of `ann@example.org` or `Ann <ann@example.org>`.

    The address is '' if there is none, more than one, or one that is not plain ASCII.
    """
    named = _NAMED.fullmatch(text.strip())
    name, bare = named.groups() if named else ("", text.strip())
    return name.strip().strip('"'), bare if _MAILBOX.fullmatch(bare) else ""
