"""Turns: those who change one meeting queue, in a worker and among workers, so that none of them starves.

Requests of a worker that deliver messages of a meeting queue in the worker, which costs no statement. The queue of all
workers (`server.storage.queues`) is only for who has met a conflict with others, or sees that somebody is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from weakref import WeakValueDictionary

from server.domain.errors import WriteConflict
from server.services.scheduling.patient_locks import held
from server.services.scheduling.room_turns import RoomTurns
from server.storage.queues import Queue, Queues

LONGEST = 2.0
"""Seconds for which a repeated change waits for its turn in each queue, at most. Then it is tried without."""

_held: ContextVar[frozenset[int]] = ContextVar("_held", default=frozenset())
"""Numbers of the meetings of which this task has a turn over reading, deciding and applying."""


class Turns:
    """The queues of meetings, as one worker takes part in them."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._in_worker: MutableMapping[int, asyncio.Lock] = WeakValueDictionary()
        self.rooms = RoomTurns(queues)

    @asynccontextmanager
    async def in_worker(self, meeting: int, patience: float) -> AsyncIterator[bool]:
        """Queue in this worker, until the context ends. False where the turn has not come within `patience` seconds."""
        if self.are_held(meeting):
            yield True
            return
        async with held(self._in_worker.setdefault(meeting, asyncio.Lock()), patience) as came:
            yield came

    @asynccontextmanager
    async def of_all(self, meeting: int, patience: float) -> AsyncIterator[bool]:
        """The same in the queue of all workers. Only who has the turn of the worker queues there."""
        if self.are_held(meeting):
            yield True
            return
        async with self._queues.turn(Queue.MEETING, meeting, patience) as came:
            yield came

    def repeat_in_turn(self, error: WriteConflict, meeting: int) -> None:
        """Let `server.services.changing.change` repeat a change with a turn over reading, deciding and applying."""
        error.turn = partial(self._whole, meeting)

    def are_held(self, meeting: int) -> bool:
        """Whether this task has a turn over reading, deciding and applying."""
        return meeting in _held.get()

    @asynccontextmanager
    async def _whole(self, meeting: int) -> AsyncIterator[None]:
        """Queue in the worker, then among workers. Goes on without a turn that has not come within `LONGEST`."""
        async with AsyncExitStack() as stack:
            if await stack.enter_async_context(self.in_worker(meeting, LONGEST)):
                await stack.enter_async_context(self.of_all(meeting, LONGEST))
                token = _held.set(_held.get() | {meeting})
                stack.callback(_held.reset, token)
            yield
