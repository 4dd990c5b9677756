"""Secrets of app passwords: `k3vqz-…`, five groups of five letters and digits.

The first group selects the row, so that one attempt to sign in costs one hash however many app passwords a person has;
the other four (100 bits) are what is secret. Case, hyphens and spaces do not matter, since people type them.
"""

from __future__ import annotations

import re
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS = 5
_GROUP = 5
_SECRET = re.compile(f"[{_ALPHABET}]{{{_GROUPS * _GROUP}}}")


def generate() -> str:
    """A new secret, as it is shown."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def normalise(password: str) -> str | None:
    """The secret without what does not matter, as it is hashed; None when this cannot be an app password."""
    if len(password) > 3 * _GROUPS * _GROUP:
        return None
    plain = password.lower().replace("-", "").replace(" ", "")
    return plain if _SECRET.fullmatch(plain) else None


def selector(secret: str) -> str:
    """The key that selects the row of a normalised secret."""
    return secret[:_GROUP]
