"""The protocol for the journal: what happened, in one order without gaps, for consumers and as a record.

A change writes its rows into an outbox, in its transaction. The sequencer moves them into the journal and gives each
its `seq`. Within a home the numbers are in the order of commits; across homes a change has a greater number than those
that it could see. A reader that has seen a number has seen all below it (docs/events.md).

The rules of `server.storage` apply here, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from server.domain.messages import Message
from server.domain.values import value

Transaction = Any
"""A transaction of the storage, for effects that belong to a move of a position. Only the storage looks into it."""

Effect = Callable[[Transaction], Awaitable[None]]
"""What a consumer does as a part of a transaction."""


@value
class Entry(Message):
    """A row of the journal: a message, and what only the journal has."""

    details: Mapping[str, Any] | None


@value
class Position:
    """How far a consumer has come in one partition of its work. It moves only from a state that is known."""

    consumer: str
    partition: int
    generation: int
    """A new generation ends what earlier owners of the partition still do."""
    seq: int
    """The number of the last entry that has taken effect."""
    month: date
    """The month of that entry."""
    anew: bool
    """Whether the consumer has to start again from the tables, and to go on behind the last entry."""
    reread_to: int | None = None
    """On another bus than the journal: up to this number it reads the journal, as the bus gave it these once."""


@dataclass(frozen=True, slots=True)
class Sequenced:
    """The result of one run of the sequencer."""

    led: bool
    """Whether this worker has the turn."""
    moved: int = 0
    last_seq: int = 0
    more: bool = False
    """Whether rows were left for the next run."""
    longest: float = 0.0
    """The longest time in seconds that one of the rows waited."""


class Sequencer(Protocol):
    """Moves rows of the outbox into the journal. One worker of all servers has the turn; others take it when it
    ends."""

    async def run(self, *, forced: bool = False) -> Sequenced:
        """Move the rows that are visible, if this worker has the turn or can take it. `forced`: another worker has the
        turn and seems to be stopped; it loses the turn if it is idle.

        Raises `Unavailable`, `DatabaseError`.
        """

    async def close(self) -> None:
        """Give up the turn."""


class Turn(Protocol):
    """What one worker of all servers does at a time. When it dies or is stopped, another one takes the turn."""

    async def take(self) -> bool:
        """Whether this worker has the turn now, or could take it. Raises `Unavailable`, `DatabaseError`."""

    async def give_up(self) -> None:
        """Let another worker take the turn."""


class Journal(Protocol):
    """The journal, for consumers.

    Partition 0 of a consumer is the journal itself; those above are partitions of another bus, from 1.
    """

    async def position(self, consumer: str, partition: int = 0) -> Position:
        """The position of a consumer. One that has none yet gets the beginning of the journal."""

    async def keep_partitions(self, consumer: str, partitions: Sequence[int]) -> None:
        """Keep the positions of a consumer in these partitions, and drop its others. New ones start anew."""

    async def start_anew_behind(self, transaction: Transaction) -> None:
        """Let all consumers start anew that read another bus than the journal, as a part of a transaction."""

    async def bury(self, transaction: Transaction, consumer: str, message: Message, error: str) -> bool:
        """Keep a message as one that a consumer could not take in, as a part of a transaction; `error` is the class of
        the error. False, without effect, if there are as many as may be."""

    async def take_over(self, position: Position) -> Position:
        """Begin a new generation of a position: earlier owners cannot move it any more. Raises `WriteConflict`."""

    async def entries(self, after: Position, limit: int) -> Sequence[Entry]:
        """The next entries behind a position, at most `limit`."""

    async def end(self) -> tuple[int, date]:
        """The number and the month of the last entry."""

    async def move(self, position: Position, seq: int, month: date, effect: Effect) -> Position:
        """Move a position, with the effect of the entries up to there in the same transaction.

        Raises `WriteConflict`, without effect, if the position is not as given any more.
        """
