"""The consumer that passes changes of shared collections on to the sharees' homes."""

from __future__ import annotations

import asyncio
import time

from server.domain.events import Change
from server.storage import Storage
from server.storage.access import Access

STAY = 60.0
"""Seconds that a call lasts."""
PAUSE = 0.25
"""Seconds for which changes are collected before they are passed on."""
POLL = 2.0
"""Seconds after which the outbox is read even if no change was announced: rows become final late."""


async def keep_informed(access: Access, storage: Storage) -> None:
    """Pass changes on for `STAY` seconds. One process at a time does so."""
    changed = asyncio.Event()

    def hear(change: Change) -> None:
        changed.set()

    end = time.monotonic() + STAY
    unsubscribe = storage.subscribe(hear)
    try:
        while time.monotonic() < end:
            changed.clear()
            if not await inform(access):
                await _wait(changed)
    finally:
        unsubscribe()


async def inform(access: Access) -> bool:
    """Read what has changed and pass it on for `PAUSE` seconds; returns whether there is more to do."""
    if not await access.plan_fan_out():
        return False
    until = time.monotonic() + PAUSE
    while await access.fan_out():
        if time.monotonic() > until:
            return True
    return False


async def _wait(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL):
            await changed.wait()
    except TimeoutError:
        return
    await asyncio.sleep(PAUSE)
