"""The consumer that passes changes of shared collections on to the sharees' homes."""

from __future__ import annotations

import asyncio
import time

from server.events.bus import Bus, Reading
from server.events.consuming import BATCH, Consumer, consume
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


async def keep_informed(access: Access, bus: Bus) -> None:
    """Pass changes on for `STAY` seconds. One process at a time does so."""
    end = time.monotonic() + STAY
    async with bus.reading(bindings(access)) as reading:
        while time.monotonic() < end:
            if not await inform(access, reading):
                await reading.wait(POLL)
                await asyncio.sleep(PAUSE)


async def inform(access: Access, reading: Reading) -> bool:
    """Read what has changed and pass it on for `PAUSE` seconds; returns whether there is more to do."""
    while await reading.take_in():
        pass
    until = time.monotonic() + PAUSE
    while await access.fan_out():
        if time.monotonic() > until:
            return True
    return False


async def plan(access: Access, journal: Journal) -> None:
    """Store which homes are to be updated after all changes that are in the journal."""
    while await consume(journal, bindings(access)) == BATCH:
        pass
