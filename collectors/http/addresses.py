"""Where an address leads, and whether a key may go there."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

import httpx

from monitor.domain.errors import SourceError

# Names and IPv6 addresses; the resolver's codec raises on labels outside this length.
_HOST = re.compile(r"(?=.{1,253}$)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|[\da-f:.]*:[\da-f:.]*", re.ASCII)


class Place(NamedTuple):
    """Where an address leads."""

    host: str
    port: int
    secured: bool
    """Whether it begins with TLS."""


def place(url: str) -> Place | None:
    """Where an address leads; None: it is none of http or https."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    if target.scheme not in ("http", "https") or not target.host:
        return None
    secured = target.scheme == "https"
    return Place(target.host, target.port or (443 if secured else 80), secured)


def callable_address(url: str) -> bool:
    """Whether an address that may hold a key can be called: https, or this machine."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if target.scheme == "https":
        return bool(target.host)
    return target.scheme == "http" and _is_loopback(target.host)


def checked_url(source: str, base_url: str) -> httpx.URL:
    """The address, if nothing secret is in it and a key may be sent to it."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    written_well = url.scheme in {"https", "http"} and _HOST.fullmatch(url.raw_host.decode())
    if not written_well or url.userinfo or url.query:
        raise SourceError(
            source,
            "base_url is not an https address of a host and a path",
            "Write it as https://host/path, without a user, a password or a query",
            permanent=True,
        )
    if url.scheme == "http" and not _is_loopback(url.host):
        raise SourceError(
            source,
            f"base_url is plain http to {url.host}, which would send the key in the clear",
            "Use https; plain http is allowed to this machine only",
            permanent=True,
        )
    return url


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
