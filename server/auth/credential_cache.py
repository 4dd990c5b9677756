"""A cache of verified credentials, so that most requests compute no argon2 hash.

Keys are keyed hashes of the header, with a random key in each process: the cache holds no password, and no hash that
could be attacked elsewhere. An entry has the version of the person's credentials (`credential_version`) that it was
verified with. The caller compares it with the database, so that a changed password takes effect at once.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from hashlib import blake2b

from server.http.sign_in import SignIn


@dataclass(frozen=True, slots=True)
class _Entry:
    sign_in: SignIn
    until: float
    """`time.monotonic` after which the credentials are verified again."""
    expires_at: float | None
    """`time.time` at which the credentials themselves end."""


class CredentialCache:
    """At most `size` entries, each for `seconds`; the oldest go first."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size if seconds > 0 else 0
        self._seconds = seconds
        self._key = secrets.token_bytes(32)
        self._entries: dict[bytes, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, kind: bytes, text: str) -> bytes:
        """The key for a header's value; `kind` (at most 16 bytes) says which header."""
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32, key=self._key, person=kind).digest()

    def get(self, key: bytes) -> SignIn | None:
        """The verified sign-in with this key."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until < time.monotonic() or (entry.expires_at is not None and entry.expires_at <= time.time()):
            self._entries.pop(key, None)
            return None
        return entry.sign_in

    def put(self, key: bytes, sign_in: SignIn, expires_at: float | None = None) -> SignIn:
        """Store a verified sign-in. Returns it with the key that `forget` needs."""
        kept = replace(sign_in, key=key)
        if not self._size:
            return kept
        self._entries.pop(key, None)
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = _Entry(kept, time.monotonic() + self._seconds, expires_at)
        return kept

    def forget(self, sign_in: SignIn) -> None:
        """Remove an entry, unless it has been verified again since."""
        entry = self._entries.get(sign_in.key)
        if entry is not None and entry.sign_in == sign_in:
            del self._entries[sign_in.key]
