"""The counting of failed attempts to sign in.

The counters are in the database, so that all workers share them: per client address, per account from one address, and
per account. `server.storage.sign_in.ThrottleRules` has the numbers of failures and the delays.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b

from server.domain.errors import SignInDelayed, Unavailable

MAX_WAITING = 256
"""Attempts that may wait for a slot in one process."""
MAX_WAIT = 10.0
"""Seconds that an attempt may wait for a slot."""


def account_key(principal_id: int) -> str:
    """The key of a principal's failures, whichever of its names was used."""
    return str(principal_id)


def key_of(principal_id: int | None, unknown_key: str) -> str:
    """The key of an account's failures; `unknown_key` if there is no such account."""
    return unknown_key if principal_id is None else account_key(principal_id)


def unknown_account_key(login_key: str) -> str:
    """The key of the failures of a name that does not exist.

    They are counted like those of existing names, so that a delay does not show which names exist. The key is hashed,
    because people type passwords in the wrong field.
    """
    return "?" + blake2b(login_key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


MAX_IN_LANE = 16
"""Attempts on one account that may wait in its slow lane in one process."""


class SlowLanes:
    """Serialises the attempts on one account, with a pause before each."""

    def __init__(self, pause: float) -> None:
        """`pause` is in seconds."""
        self._pause = pause
        self._lanes: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, account_key: str) -> AsyncIterator[None]:
        """Wait for the account's slow lane. Raises `SignInDelayed` if too many attempts wait."""
        lock, waiting = self._lanes.get(account_key, (asyncio.Lock(), 0))
        if waiting >= MAX_IN_LANE:
            raise SignInDelayed(math.ceil(MAX_IN_LANE * self._pause) or 1)
        self._lanes[account_key] = lock, waiting + 1
        try:
            async with lock:
                await asyncio.sleep(self._pause)
                yield
        finally:
            lock, waiting = self._lanes.pop(account_key)
            if waiting > 1:
                self._lanes[account_key] = lock, waiting - 1


class Slots:
    """Bounds the attempts that are decided at the same time.

    An attempt holds its slot from reading the failures until its own failure is counted. So the limits are exact,
    except for the attempts in other slots at the same moment. The waiting attempts are bounded in number and time.
    """

    def __init__(self, slots: int) -> None:
        self._semaphore = asyncio.Semaphore(slots)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot. Raises `Unavailable` if too many attempts wait or the wait takes too long."""
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
