"""Hashes of passwords: argon2id (RFC 9106), computed in threads.

Parameters: 19 MiB, 3 passes, 1 lane (OWASP's memory with one more pass; about 30 ms on a current core). RFC 9106's 64
MiB would be needed for each thread, and a small machine needs its memory for the database. A hash with other parameters
is verified with these, and replaced at the next sign-in of its owner.

The number of threads bounds the verifications that run at the same time, and so their memory: 19 MiB for each thread.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher as Argon2
from argon2 import Type
from argon2.exceptions import Argon2Error, InvalidHashError

from server.domain.errors import InvalidPrincipal

TIME_COST = 3
MEMORY_COST = 19 * 1024
"""KiB."""
PARALLELISM = 1
THREADS = 2
MIN_LENGTH = 8
"""Characters of a password that a person chooses."""
MAX_LENGTH = 1024
"""Bytes of a password in UTF-8; longer ones are wrong without being hashed."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password matches a hash."""

    fits: bool
    replacement: str | None = None
    """A hash of the same password to be stored instead, when the parameters have changed."""


def prepare(password: str) -> bytes:
    """The bytes that are hashed: NFC (RFC 8265 §4.2.2), because keyboards and clients compose characters
    differently."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def check(password: str, *, chosen: bool) -> None:
    """Raise `InvalidPrincipal` for a password that cannot be set. `chosen`: also for one that is too short."""
    if not password:
        raise InvalidPrincipal("A password may not be empty.")
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in password):
        raise InvalidPrincipal("A password may not contain control characters.")
    if len(prepare(password)) > MAX_LENGTH:
        raise InvalidPrincipal(f"A password may have at most {MAX_LENGTH} bytes.")
    if chosen and len(password) < MIN_LENGTH:
        raise InvalidPrincipal(f"A password needs at least {MIN_LENGTH} characters.")


class PasswordHasher:
    """Hashes and verifies in a bounded number of threads."""

    def __init__(
        self,
        *,
        time_cost: int = TIME_COST,
        memory_cost: int = MEMORY_COST,
        parallelism: int = PARALLELISM,
        threads: int = THREADS,
    ) -> None:
        self.threads = threads
        self._argon2 = Argon2(time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism, type=Type.ID)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self.nobodys = self._argon2.hash(secrets.token_bytes(16))
        """A hash that no password matches."""

    async def hash(self, password: str) -> str:
        """The hash of a password in the PHC string format."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._argon2.hash, prepare(password))

    async def hash_all(self, passwords: Sequence[str]) -> list[str]:
        """The hashes of many passwords, in order."""
        return list(await asyncio.gather(*map(self.hash, passwords)))

    async def verify(self, stored: str | None, password: str) -> Verification:
        """Whether a password matches. With `stored` None it does not match, and takes the same time."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.verify_now, stored, password)

    def verify_now(self, stored: str | None, password: str) -> Verification:
        """As `verify`, in this thread. Every call computes exactly one hash."""
        prepared = prepare(password)
        if len(prepared) > MAX_LENGTH:
            stored, prepared = None, b""
        if stored is None:
            self._fits(self.nobodys, prepared)
            return Verification(False)
        try:
            if not self._fits(stored, prepared):
                return Verification(False)
        except InvalidHashError:
            self._fits(self.nobodys, prepared)
            return Verification(False)
        replacement = self._argon2.hash(prepared) if self._argon2.check_needs_rehash(stored) else None
        return Verification(True, replacement)

    def _fits(self, stored: str, prepared: bytes) -> bool:
        try:
            return self._argon2.verify(stored, prepared)
        except InvalidHashError:
            raise
        except Argon2Error:
            return False

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)
