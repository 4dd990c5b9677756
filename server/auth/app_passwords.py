"""Secrets of app passwords: `k3vqz-…`, five groups of five letters and digits.

The first group selects the row, so that an attempt to sign in costs one hash, whatever the number of a person's app
passwords. The other four groups (100 bits) are secret. Case, hyphens and spaces are ignored, because people type
secrets by hand.
"""

from __future__ import annotations

import re
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS = 5
_GROUP = 5
_SECRET = re.compile(f"[{_ALPHABET}]{{{_GROUPS * _GROUP}}}")


def generate() -> str:
    """A new secret, in the form that is shown to its owner."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def normalise(password: str) -> str | None:
    """The secret as it is hashed, without case, hyphens and spaces; None if this cannot be an app password."""
    if len(password) > 3 * _GROUPS * _GROUP:
        return None
    plain = password.lower().replace("-", "").replace(" ", "")
    return plain if _SECRET.fullmatch(plain) else None


def selector(secret: str) -> str:
    """The key that selects the row of a normalised secret."""
    return secret[:_GROUP]
