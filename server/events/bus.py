"""The bus: carries the messages of the journal to consumers, at least once, and in their order within a home.

What a consumer sees is the same on every bus. Its positions are rows of the database (`server.storage.journal`), so
that an effect there happens once, whatever comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from server.domain.messages import Message
from server.events.consuming import Consumer
from server.storage.bus import DeadLetter


class Reading(Protocol):
    """A consumer that runs."""

    async def wait(self, seconds: float) -> None:
        """Wait until there may be something to take in, but not longer than this."""

    async def take_in(self) -> int:
        """Take in the next messages, if there are some. Returns how many were read; 0: there are no more now.

        Raises `WriteConflict`, without effect, if somebody else runs the consumer, `BusUnavailable`, and what the
        handler raises. After an error the context must be left.
        """


class Bus(Protocol):
    """Carries messages to consumers."""

    def reading(self, consumer: Consumer) -> AbstractAsyncContextManager[Reading]:
        """Run a consumer within the context. Of several that run it, one takes in each message; the others conflict.

        Raises `BusUnavailable`.
        """


class Publisher(Protocol):
    """Puts messages onto a bus that is not the journal itself."""

    async def start(self) -> Mapping[str, int]:
        """Connect, unless that has been done, and make topics that are missing.

        Returns the number of partitions of each topic, which counts until the connections end. Raises `BusUnavailable`.
        """

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send messages, and wait until all have been stored. Those of one key are stored in their order.

        Raises `BusUnavailable`; some may have been stored then, of each partition the first ones. They have to be sent
        again, before any later ones. The connections have ended then.
        """

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """Send dead letters, and wait until all have been stored. Raises as `publish`."""

    async def lags(self, consumers: Sequence[str]) -> Mapping[str, int]:
        """How many messages on the bus each consumer has not read. Raises `BusUnavailable`."""

    async def close(self) -> None:
        """End the connections."""
