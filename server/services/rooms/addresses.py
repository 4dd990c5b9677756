"""The mail addresses of rooms that are given none."""

from __future__ import annotations

import re
import unicodedata

from server.domain.errors import InvalidPrincipal
from server.domain.principals import name_key

_MAX_LOCAL = 64
"""Characters before the @ (RFC 5321 §4.5.3.1.1)."""
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"})


def made_address(name: str, domain: str) -> str:
    """The address that a name gives in a domain: `blue-room@` for Blue Room.

    Raises `InvalidPrincipal` for a name without letters and digits of ASCII, also after accents are removed.
    """
    plain = unicodedata.normalize("NFKD", name_key(name).translate(_LETTERS)).encode("ascii", "ignore").decode()
    local = re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_LOCAL].strip("-")
    if not local:
        raise InvalidPrincipal(f"No mail address can be made of the name {name}: give one.")
    return f"{local}@{domain}"
