"""The protocol for queues: writers of one thing, in all workers, take turns.

A queue spares writers the conflicts of compare-and-set. It is no condition of a correct write: whoever does not get a
turn writes without one, and conflicts with others at worst.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Queue(StrEnum):
    """What queues are about; each has one queue for each key."""

    MEETING = "meeting"
    """A meeting; the key is its number (`server.domain.changes.SetDispatch.meeting`)."""
    ROOM = "room"
    """Bookings of a room; the key is its principal's id."""


@runtime_checkable
class Queues(Protocol):
    """Queues of all workers."""

    def turn(self, queue: Queue, key: int | tuple[int, ...], patience: float) -> AbstractAsyncContextManager[bool]:
        """Wait for one's turn in a queue, and keep it until the context ends, the connection breaks or the worker dies.
        Of several keys the turns are waited for in their order; those who give several give them in one order.

        False where the turn has not come within `patience` seconds, or at once where too many of this worker queue. A
        turn does not exclude those who do not queue. Who has a turn must not queue again.

        Raises `Unavailable`.
        """
