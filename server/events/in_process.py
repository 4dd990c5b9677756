"""The bus without a service of its own: consumers read the journal itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from server.domain.events import ANYTHING, JOURNAL, Change
from server.events.consuming import Consumer, consume
from server.events.relay import RELAY
from server.storage.journal import Journal

Subscribe = Callable[[Callable[[Change], Awaitable[None] | None]], Callable[[], None]]
"""`server.storage.Storage.subscribe`."""


class JournalBus:
    """See `server.events.bus.Bus`."""

    def __init__(self, journal: Journal, subscribe: Subscribe) -> None:
        self._journal = journal
        self._subscribe = subscribe

    @asynccontextmanager
    async def reading(self, consumer: Consumer) -> AsyncIterator[_JournalReading]:
        """See `Bus`."""
        # Where another bus was used before, its relay has ended: the journal does not keep entries for it.
        await self._journal.keep_partitions(RELAY, ())
        await self._journal.keep_partitions(consumer.name, (0,))
        reading = _JournalReading(self._journal, consumer)
        unsubscribe = self._subscribe(reading.hear)
        try:
            yield reading
        finally:
            unsubscribe()


class _JournalReading:
    def __init__(self, journal: Journal, consumer: Consumer) -> None:
        self._journal = journal
        self._consumer = consumer
        self._changed = asyncio.Event()

    def hear(self, change: Change) -> None:
        if change.home_id in (JOURNAL.home_id, ANYTHING.home_id):
            self._changed.set()

    async def wait(self, seconds: float) -> None:
        """See `server.events.bus.Reading`."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def take_in(self) -> int:
        """See `server.events.bus.Reading`."""
        self._changed.clear()
        return await consume(self._journal, self._consumer)
