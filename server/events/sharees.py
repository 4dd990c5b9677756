"""The consumer that passes changes of shared collections on to the sharees' homes."""

from __future__ import annotations

import asyncio
import time

from server.domain.events import ANYTHING, JOURNAL, Change
from server.events.consuming import BATCH, Consumer, consume
from server.storage import Storage
from server.storage.access import Access
from server.storage.journal import Journal

STAY = 60.0
"""Seconds that a call lasts."""
PAUSE = 0.25
"""Seconds for which changes are collected before they are passed on."""
POLL = 2.0
"""Seconds after which the journal is read even if nothing was announced."""


def bindings(access: Access) -> Consumer:
    """The consumer that stores which homes are to be updated."""
    return Consumer("bindings", access.plan_fan_out, access.plan_fan_out_anew)


async def keep_informed(access: Access, journal: Journal, storage: Storage) -> None:
    """Pass changes on for `STAY` seconds. One process at a time does so."""
    changed = asyncio.Event()

    def hear(change: Change) -> None:
        if change.home_id in (JOURNAL.home_id, ANYTHING.home_id):
            changed.set()

    end = time.monotonic() + STAY
    unsubscribe = storage.subscribe(hear)
    try:
        while time.monotonic() < end:
            changed.clear()
            if not await inform(access, journal):
                await _wait(changed)
    finally:
        unsubscribe()


async def inform(access: Access, journal: Journal) -> bool:
    """Read what has changed and pass it on for `PAUSE` seconds; returns whether there is more to do."""
    await plan(access, journal)
    until = time.monotonic() + PAUSE
    while await access.fan_out():
        if time.monotonic() > until:
            return True
    return False


async def plan(access: Access, journal: Journal) -> None:
    """Store which homes are to be updated after all changes that are in the journal."""
    while await consume(journal, bindings(access)) == BATCH:
        pass


async def _wait(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL):
            await changed.wait()
    except TimeoutError:
        return
    await asyncio.sleep(PAUSE)
