"""Content codings (RFC 9110 §8.4): those that bodies of requests come in, and the one that answers may have."""

from __future__ import annotations

import re
import zlib

from server.domain.errors import BadRequest, ResourceTooLarge
from server.http.errors import Refused

_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's window size, which also says what the data is wrapped in."""

_REFUSED = re.compile(r"q=0(\.0*)?\Z")


def decode(body: bytes, codings: str, limit: int) -> bytes:
    """A body without its codings, the value of Content-Encoding.

    Raises `Refused` (415) for a coding that is not known, `BadRequest` for data that is not so coded,
    `ResourceTooLarge` for more than `limit` bytes.
    """
    for coding in reversed([part.strip().lower() for part in codings.split(",")]):
        if coding in ("", "identity"):
            continue
        if coding not in _WINDOW:
            raise Refused(415, message=f"The content coding {coding[:40]!r} is not known.")
        body = _inflate(body, _WINDOW[coding], limit)
    return body


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        found = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest("The body is not in the content coding that is declared.") from None
    if len(found) > limit:
        raise ResourceTooLarge
    if not inflater.eof:
        raise BadRequest("The coded body ends too early.")
    return found


def accepts_gzip(accepted: str) -> bool:
    """Whether the value of Accept-Encoding allows gzip (RFC 9110 §12.5.3)."""
    if "gzip" not in accepted.lower():
        return False
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return not _REFUSED.match(weight.replace(" ", ""))
    return False
