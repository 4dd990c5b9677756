"""Links to check in: tokens that name a booking of a room, signed by the installation as the tags of its mails are.

A token is base64 for URLs (RFC 4648 §5) without padding. Whoever has it may check the booking in until it expires.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from datetime import UTC, datetime

_HOME, _OBJECT, _TIME, _SIGNATURE = 6, 8, 5, 16
"""Bytes. A signature has 128 bits."""
_LENGTH = _HOME + _OBJECT + _TIME + _SIGNATURE
_TOKEN = re.compile(r"[A-Za-z0-9_-]{47}")


@dataclass(frozen=True, slots=True)
class CheckInLink:
    """What a token names."""

    home_id: int
    """Of the room."""
    object_id: int
    """The event in the room's calendar."""
    expires_at: datetime
    """In UTC, in whole seconds."""


def token_of(link: CheckInLink, secret: bytes) -> str:
    """The token of a link. The same for the same link.

    :param secret: known to this installation alone, 32 bytes or more: that of the mail tags.
    """
    named = link.home_id.to_bytes(_HOME, "big") + link.object_id.to_bytes(_OBJECT, "big")
    named += int(link.expires_at.timestamp()).to_bytes(_TIME, "big")
    return urlsafe_b64encode(named + _signature(named, secret)).decode().rstrip("=")


def read_token(token: str, secret: bytes) -> CheckInLink | None:
    """What a token names, whether it has expired or not; None of one that this installation has not signed."""
    if _TOKEN.fullmatch(token) is None:
        return None
    try:
        value = urlsafe_b64decode(token + "=")
    except Error:
        return None
    named, signature = value[:-_SIGNATURE], value[-_SIGNATURE:]
    if len(value) != _LENGTH or not hmac.compare_digest(signature, _signature(named, secret)):
        return None
    home, object_, time = named[:_HOME], named[_HOME : _HOME + _OBJECT], named[_HOME + _OBJECT :]
    try:
        expires_at = datetime.fromtimestamp(int.from_bytes(time, "big"), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return CheckInLink(int.from_bytes(home, "big"), int.from_bytes(object_, "big"), expires_at)


def _signature(named: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"check-in\n" + named, "sha256")[:_SIGNATURE]
