"""The protocol for monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work that follows from changes and is not done yet."""

    fan_out: int
    """Shared collections with changes that not all sharees' homes show yet."""
    oldest: float
    """Age of the oldest row of the outbox in seconds; 0 for none."""
    unsettled: float
    """Age of the oldest row of the outbox that waits for an open transaction to end, in seconds; 0 for none."""


class StorageHealth(Protocol):
    """The state of the database."""

    async def answers(self) -> None:
        """Send a statement that reads no table. Raises `Unavailable`, `DatabaseError`."""

    async def ready(self) -> bool:
        """Whether the database answers and the schema is this version's."""

    async def backlog(self) -> Backlog:
        """The work that is not done yet. Raises `Unavailable`, `DatabaseError`."""
