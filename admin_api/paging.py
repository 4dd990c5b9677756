"""Cursors: where the next page of a list begins. Clients give them back as they are."""

from __future__ import annotations

import base64
import binascii
import json

from server.domain.errors import InvalidRequest


def cursor_of(key: str | int) -> str:
    """The cursor of the page after the item with a key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def text_key(cursor: str | None) -> str | None:
    """The key of a text in a cursor; None without one. Raises `InvalidRequest`."""
    key = None if cursor is None else _key(cursor)
    if key is not None and (not isinstance(key, str) or "\0" in key or not _is_unicode(key)):
        raise _foreign()
    return key


def number_key(cursor: str | None) -> int:
    """The key of a number in a cursor; 0 without one. Raises `InvalidRequest`."""
    key = 0 if cursor is None else _key(cursor)
    if type(key) is not int or not 0 <= key < 1 << 63:
        raise _foreign()
    return key


def _key(cursor: str) -> object:
    try:
        found: object = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise _foreign() from None
    return found


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _foreign() -> InvalidRequest:
    return InvalidRequest((("cursor", "This is not a cursor of this list."),))
