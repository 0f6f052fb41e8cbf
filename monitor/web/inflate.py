"""Bodies as they were before they were compressed, never larger than the caller allows.

A megabyte of zeros takes a kilobyte when it is compressed: what comes out is counted while it
comes, and the rest is never made.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import zstandard

from monitor.domain.errors import IntakeError

ENCODINGS = ("identity", "gzip", "zstd")

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 2**16
# A frame may ask for this much memory before its first byte comes out.
_WINDOW = 8 * 2**20


def inflated(body: bytes, encoding: str, most: int) -> bytes:
    """The body without its encoding.

    Args:
        body: as it was sent.
        encoding: one of ENCODINGS.
        most: bytes that may come out.

    Raises:
        IntakeError: 413, more would come out; 400, it is not of that encoding, or cut off.
    """
    if encoding == "identity":
        return body
    if encoding == "gzip":
        return _gzip(body, most)
    return _zstd(body, most)


def _gzip(body: bytes, most: int) -> bytes:
    out = bytearray()
    while body:
        member = zlib.decompressobj(_GZIP)
        try:
            out += member.decompress(body, most - len(out) + 1)
        except zlib.error:
            raise _broken("gzip") from None
        if len(out) > most:
            raise _too_large(most)
        if not member.eof:
            raise _broken("gzip")
        # Members may follow each other, as files that were joined do.
        body = member.unused_data
    return bytes(out)


def _zstd(body: bytes, most: int) -> bytes:
    try:
        if _zstd_size(body, most) > most:
            raise _too_large(most)
        return b"".join(_zstd_frames(body))
    except zstandard.ZstdError:
        raise _broken("zstd") from None


def _zstd_size(body: bytes, most: int) -> int:
    """How much comes out, counted up to what is too much."""
    # Of the two ways to decompress only this one gives pieces of a bounded size, and only the
    # other tells a frame that is cut off.
    reader = _zstd_decompressor().stream_reader(body, read_across_frames=True)
    size = 0
    while size <= most and (piece := reader.read(_PIECE)):
        size += len(piece)
    return size


def _zstd_frames(body: bytes) -> Iterator[bytes]:
    while body:
        frame = _zstd_decompressor().decompressobj()
        yield frame.decompress(body)
        if not frame.eof:
            raise _broken("zstd")
        body = frame.unused_data


def _zstd_decompressor() -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW)


def _broken(encoding: str) -> IntakeError:
    return IntakeError(400, f"the body is not complete {encoding}")


def _too_large(most: int) -> IntakeError:
    return IntakeError(413, f"a body has at most {most} bytes when it is inflated")
