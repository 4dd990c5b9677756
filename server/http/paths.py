"""Paths of URLs: how they are read, and how they are written.

A path is decoded whole, empty segments are dropped (`//` is `/`) and written anew in one spelling, so that a resource
has one path, however a client spells it.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import Self
from urllib.parse import quote, unquote_to_bytes, urlsplit

from server.domain.errors import BadRequest
from server.domain.values import value

MAX_SEGMENT = 1000
"""Bytes of a segment in UTF-8, decoded."""
_PLAIN = re.compile(r"[A-Za-z0-9._~@-]+\Z")
_PLAIN_CHARACTERS = (ascii_letters + digits + "._~@-").encode()
_USUAL = re.compile(r"(?:/(?!\.)[A-Za-z0-9._~@-]{1,200})+(/?)\Z")
"""Paths that stand in their one spelling as they are, as nearly all do."""
_FORBIDDEN = re.compile(r"[/\x00-\x1f\x7f]")
"""Characters that a decoded segment may not have."""


def is_plain(text: str) -> bool:
    """Whether segments with these characters stand in hrefs as they are."""
    return _PLAIN.match(text) is not None


def is_plain_but(text: str, others: bytes) -> bool:
    """Whether a long text has such characters only, and those named."""
    return not text.encode("utf-8", "surrogatepass").translate(None, _PLAIN_CHARACTERS + others)


def encode(segment: str) -> str:
    """A decoded segment as it is written in an href."""
    return segment if is_plain(segment) else quote(segment, safe="@~!$'()*+,;=:")


@value
class UrlPath:
    """A path: its segments, decoded."""

    segments: tuple[str, ...]
    slash: bool
    """Whether the path ended with a slash."""
    href: str
    """The path in its one spelling, without a slash at the end except for the root."""

    @classmethod
    def of(cls, segments: tuple[str, ...], slash: bool) -> Self:
        """The path with these segments."""
        return cls(segments, slash, "/" + "/".join(map(encode, segments)))

    @classmethod
    def parse(cls, raw: str, prefix: str = "") -> Self:
        """The path of a request target or href: origin form, or absolute form whose scheme and host are dropped.

        `prefix` is the path under which a proxy shows this server (without a slash at its end); it is taken off where
        it stands. Raises `BadRequest`.
        """
        if not raw.startswith("/"):
            try:
                parts = urlsplit(raw)
            except ValueError:
                raise BadRequest("This is not a URL.") from None
            if parts.scheme not in ("http", "https"):
                raise BadRequest("This is not an absolute path or URL.")
            raw = parts.path or "/"
        else:
            raw = raw.partition("?")[0].partition("#")[0]
        if prefix and (raw == prefix or raw.startswith(prefix + "/")):
            raw = raw[len(prefix) :] or "/"
        if usual := _USUAL.match(raw):
            href = raw[:-1] if usual[1] else raw
            return cls(tuple(href[1:].split("/")), bool(usual[1]), href)
        segments = []
        for part in raw.split("/"):
            if not part:
                continue
            segment = part if "%" not in part and part.isascii() else _decode(part)
            if segment in (".", ".."):
                raise BadRequest("A path may not have dot segments.")
            size = len(segment) if segment.isascii() else len(segment.encode())
            if size > MAX_SEGMENT or _FORBIDDEN.search(segment):
                raise BadRequest("A path segment is too long or has a character that is not allowed.")
            segments.append(segment)
        return cls.of(tuple(segments), raw.endswith("/"))

    @property
    def url(self) -> str:
        """The path in its one spelling, with a slash at the end where it was asked for with one."""
        return self.href + "/" if self.slash and self.segments else self.href

    def parent(self) -> Self:
        """The path one segment shorter."""
        return self.of(self.segments[:-1], True)


def _decode(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode("utf-8")
    except UnicodeError:  # also of raw bytes, which aiohttp gives as surrogates
        raise BadRequest("A path segment is not UTF-8.") from None
