"""The consumer that counts what people do, for metrics."""

from __future__ import annotations

import asyncio
import time

from server.events.bus import Bus
from server.events.consuming import Consumer
from server.storage.business import Business
from server.storage.journal import Transaction

STAY = 60.0
"""Seconds that a call lasts."""
PAUSE = 2.0
"""Seconds for which changes are collected before they are counted."""
POLL = 5.0
"""Seconds after which the bus is read even if nothing was announced."""


def counting(business: Business) -> Consumer:
    """The consumer. What it has missed when it starts anew stays uncounted."""

    async def begin_anew(_: Transaction) -> None:
        """Keep the counts: nothing tells what they lack."""

    return Consumer("business", business.count, begin_anew)


async def keep_counting(business: Business, bus: Bus) -> None:
    """Count for `STAY` seconds. One process at a time does so."""
    end = time.monotonic() + STAY
    async with bus.reading(counting(business)) as reading:
        while time.monotonic() < end:
            while await reading.take_in():
                pass
            await reading.wait(POLL)
            await asyncio.sleep(PAUSE)
