"""The protocol for what the storage keeps of a bus that is not the journal itself.

The rules of `server.storage` apply here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol

from server.domain.messages import Message
from server.domain.values import value
from server.storage.journal import Position, Transaction


@value
class DeadLetter:
    """A message that a consumer could not take in."""

    id: int
    consumer: str
    error: str
    """The class of the error."""
    message: Message


class BusRecords(Protocol):
    """What is known of the bus: how it is divided, who reads it, and what could not be taken in."""

    async def layout(self) -> Mapping[str, int]:
        """How many partitions each topic has, as the relay has taken it up last; topics by their names."""

    async def set_layout(self, transaction: Transaction, layout: Mapping[str, int]) -> None:
        """Store how many partitions each topic has, as a part of a transaction. Who reads the bus at that time
        conflicts, and begins again."""

    async def consumers(self) -> Sequence[str]:
        """The names of the consumers that read the bus."""

    async def positions(self, consumer: str) -> Sequence[Position]:
        """The positions of a consumer on the bus, by partition."""

    async def divide(self, positions: Sequence[Position], seq: int, month: date, count: int) -> None:
        """Replace all positions of a consumer on the bus by those of another number of partitions, at `seq`.

        Raises `WriteConflict`, without effect, if one of them is not as given any more.
        """

    async def unsent(self, limit: int) -> Sequence[DeadLetter]:
        """Dead letters that are not on the bus yet, the oldest first, at most `limit`."""

    async def sent(self, letters: Sequence[DeadLetter]) -> None:
        """Remember that these are on the bus."""
