"""Service tokens: `koyomi_` and a selector, a hyphen and 256 random bits, sent as `Authorization: Bearer …` (RFC 6750).

The selector finds the row. A secret of 256 random bits needs no slow hash: the SHA-256 of it is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_TOKEN = re.compile(r"koyomi_([0-9a-f]{16})-([A-Za-z0-9_-]{43})")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_NOBODYS = bytes(32)
"""What is compared where there is no token with a selector."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A token as a client sends it."""

    selector: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The whole token."""
        return f"koyomi_{self.selector}-{self.secret}"

    @property
    def digest(self) -> bytes:
        """What is stored of it."""
        return hashlib.sha256(self.secret.encode()).digest()


def generate() -> Secret:
    """A new token."""
    return Secret(secrets.token_hex(8), secrets.token_urlsafe(32))


def in_header(header: str) -> Secret | None:
    """The token in an Authorization header; None for another scheme, and for what cannot be a token."""
    bearer = _BEARER.fullmatch(header.strip()) if len(header) < 200 else None
    found = None if bearer is None else _TOKEN.fullmatch(bearer[1])
    return None if found is None else Secret(found[1], found[2])


def fits(token: Secret, digest: bytes | None) -> bool:
    """Whether a token is the one of a stored digest; None: there is none, and the answer takes the same time."""
    return hmac.compare_digest(token.digest, digest or _NOBODYS) and digest is not None
