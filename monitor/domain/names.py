"""Names that come from outside: stripped of control characters and capped, once, at the door."""

from __future__ import annotations

import unicodedata

NAME_CAP = 200

# Controls, format characters (which include the bidirectional overrides that make a name read
# backwards), surrogates, and the two separators that mail headers treat as line ends.
_STRIPPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean_name(text: str, cap: int = NAME_CAP) -> str:
    """An external name made safe to store, to print and to put into a mail header."""
    # No more is looked at than a name can need, however much came.
    text = text[: 8 * cap]
    if text.isascii() and text.isprintable():
        return text.strip()[:cap]
    kept = "".join(" " if unicodedata.category(c) in _STRIPPED else c for c in text)
    return " ".join(kept.split())[:cap]
