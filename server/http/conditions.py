"""Conditional requests: If-Match, If-None-Match and the conditions on dates (RFC 9110 §13)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from server.domain.errors import PreconditionFailed
from server.http.headers import Headers, listed

CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")

_TAG = re.compile(r'\s*(?:(\*)|((?:W/)?"[^"]*"))\s*(?:,|$)')


def unmodified(headers: Headers, method: str, etag: str | None, modified: datetime | None) -> bool:
    """Whether a GET or HEAD may be answered with 304.

    `etag` has its quotes, and is None where nothing exists; `modified` is None for what has no time. Raises
    `PreconditionFailed`.
    """
    reading = method in ("GET", "HEAD")
    if "If-Match" in headers:
        tags = tags_of(headers, "If-Match")
        if etag is None or ("*" not in tags and etag not in tags):
            raise PreconditionFailed("The ETag is not one of If-Match.")
    elif "If-Unmodified-Since" in headers:
        since = date_of(headers["If-Unmodified-Since"])
        if since is not None and modified is not None and modified.replace(microsecond=0) > since:
            raise PreconditionFailed("The resource was modified since.")
    if "If-None-Match" in headers:
        tags = frozenset(tag.removeprefix("W/") for tag in tags_of(headers, "If-None-Match"))
        if etag is not None and ("*" in tags or etag in tags):
            if reading:
                return True
            raise PreconditionFailed("The resource exists, or has an ETag of If-None-Match.")
    elif reading and "If-Modified-Since" in headers:
        since = date_of(headers["If-Modified-Since"])
        return since is not None and modified is not None and modified.replace(microsecond=0) <= since
    return False


def tags_of(headers: Headers, name: str) -> frozenset[str]:
    """The entity tags of a header, with their quotes, and `*`; what is not a quoted tag matches nothing."""
    found: set[str] = set()
    position = 0
    value = listed(headers, name).strip()
    while position < len(value):
        match = _TAG.match(value, position)
        if match is None:
            return frozenset(found)
        found.add(match[1] or match[2])
        position = match.end()
    return frozenset(found)


def date_of(value: str) -> datetime | None:
    """An HTTP date; None for what is none, which is ignored (RFC 9110 §13.1.3)."""
    try:
        parsed = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
