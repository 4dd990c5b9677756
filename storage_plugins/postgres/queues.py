"""`server.storage.queues.Queues` on PostgreSQL: advisory locks of transactions that do nothing else.

A connection that queues, or has its turn, is not free for others meanwhile. So few of a worker's connections do so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.domain.errors import Unavailable
from server.storage.queues import Queue
from storage_plugins.postgres.advisory_locks import QueueLock, lock_within
from storage_plugins.postgres.database import Database

MOST = 2
"""Connections of one worker that queue or have a turn, at most. One connection at least is left to those who write."""
_LOCKS = {Queue.MEETING: QueueLock.MEETINGS, Queue.ROOM: QueueLock.ROOMS}


class WorkerQueues:
    """The queues as one worker takes part in them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free = min(MOST, database.connections - 1)

    @asynccontextmanager
    async def turn(self, queue: Queue, key: int | tuple[int, ...], patience: float) -> AsyncIterator[bool]:
        """As in the protocol."""
        if self._free <= 0:
            yield False
            return
        self._free -= 1
        came = False
        failure: Exception | None = None
        try:
            async with self._database.transaction() as connection:
                for each in (key,) if isinstance(key, int) else key:
                    await lock_within(connection, _LOCKS[queue], each, patience)
                came = True
                try:
                    yield True
                except Exception as error:
                    failure = error
        except Unavailable:
            pass  # The turn has not come in time, or its connection has broken: the lock is gone in both cases.
        finally:
            self._free += 1
        if failure is not None:
            raise failure
        if not came:
            yield False
