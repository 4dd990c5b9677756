"""Turns of those who book one room, so that they decide one after the other.

Requests of a worker that invite a room queue in the worker before they read, which costs no statement. Who has met a
booking of another worker then queues among all workers, too (`server.storage.queues`), and keeps the turn over
reading, deciding and applying. Several rooms are taken in the order of their ids. No turn is needed for a
correct write.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, MutableMapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from server.services.scheduling.patient_locks import held
from server.storage.queues import Queue, Queues

IN_WORKER = 2.0
"""Seconds for which a request waits for its turn in the worker, at most. Then it goes on without."""
AMONG_WORKERS = 0.5
"""The same among all workers. Less than the time after which the database looks for deadlocks: who waits may have the
turn of a meeting that another one waits for."""
PAUSE = 0.02
"""Seconds between two tries of somebody who cannot queue, at most."""


class RoomTurns:
    """The queues of rooms, as one worker takes part in them."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._in_worker: MutableMapping[int, asyncio.Lock] = WeakValueDictionary()

    def of(self, rooms: Iterable[int] = ()) -> Booking:
        """A booking of rooms, by the ids of their principals."""
        return Booking(self._queues, self._in_worker, rooms)


class Booking:
    """Somebody who books rooms: an asynchronous context manager that keeps the turns."""

    def __init__(self, queues: Queues, in_worker: MutableMapping[int, asyncio.Lock], rooms: Iterable[int]) -> None:
        self._queues, self._in_worker = queues, in_worker
        self._rooms = set(rooms)
        self._queued: frozenset[int] = frozenset()
        """The rooms of which it has the turn among all workers."""
        self._turns = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._queue_in_worker()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._turns.aclose()

    async def conflicted(self, room: int) -> None:
        """Others took the time of a room: queue among all workers, or wait a moment where it has the turn already."""
        self._rooms.add(room)
        if room in self._queued:
            await asyncio.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret
            return
        await self._turns.aclose()  # the room may come before those whose turns it has
        self._queued = frozenset()
        await self._queue_in_worker()
        turn = self._queues.turn(Queue.ROOM, tuple(sorted(self._rooms)), AMONG_WORKERS)
        if await self._turns.enter_async_context(turn):
            self._queued = frozenset(self._rooms)
        else:
            # Where too many of this worker queue, the refusal comes at once.
            await asyncio.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret

    async def _queue_in_worker(self) -> None:
        for room in sorted(self._rooms):
            lock = self._in_worker.setdefault(room, asyncio.Lock())
            await self._turns.enter_async_context(held(lock, IN_WORKER))
