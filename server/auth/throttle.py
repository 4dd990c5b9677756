"""How failed attempts to sign in are counted, and under which names.

The counts lie in the database, per client address and per account, so that all workers see them. What happens after how
many failures is `server.directory.ThrottleRules`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b

from server.errors import Unavailable

MAX_WAITING = 256
"""Attempts that may wait for a slot in one process."""
MAX_WAIT = 10.0
"""Seconds that an attempt may wait for a slot."""


def account_key(principal_id: int) -> str:
    """The key of a principal's failures, whichever of its names was used."""
    return str(principal_id)


def unknown_account_key(login_key: str) -> str:
    """The key of the failures of a name that nobody has.

    They are counted like others', so that a delay tells nothing about who exists; hashed, since people type passwords
    in the wrong field.
    """
    return "?" + blake2b(login_key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Slots:
    """Lets few attempts be decided at once, each from reading the failures to counting its own.

    So the limits are exact but for the attempts that are being decided in other slots at the same moment, and what is
    waiting is bounded in number and time.
    """

    def __init__(self, slots: int) -> None:
        self._semaphore = asyncio.Semaphore(slots)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A slot. Raises `Unavailable` when too many wait or it takes too long."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in.")
        self._waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._semaphore.acquire()
        except TimeoutError:
            raise Unavailable("Too many people are signing in.") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._semaphore.release()
