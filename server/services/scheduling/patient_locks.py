"""Locks of a worker that nobody waits for longer than they have patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def held(lock: asyncio.Lock, patience: float) -> AsyncIterator[bool]:
    """Hold a lock until the context ends. False where it was not free within `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            await lock.acquire()
    except TimeoutError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
