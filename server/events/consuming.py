"""Durable consumers of the journal: each has one position, and its effects become visible together with the position.

A consumer is a name and two functions that do their work in the transaction that moves the position (`Consumer`).
Whoever else runs the same consumer at the same time conflicts, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from server.storage.journal import Effect, Entry, Journal, Transaction

BATCH = 500
"""Entries that one transaction takes in."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer whose effects lie in the database."""

    name: str
    handle: Callable[[Transaction, Sequence[Entry]], Awaitable[None]]
    """Does what follows from entries, as a part of a `Transaction`. An entry is a hint: the handler reads the truth."""
    begin_anew: Effect
    """Does what could follow from any entry: the consumer does not know what it has missed."""


async def consume(journal: Journal, consumer: Consumer, *, batch: int = BATCH) -> int:
    """Take in the next entries. Returns their number; less than `batch` means that there are no more.

    Raises `WriteConflict`, without effect, if somebody else runs the consumer, and what the handler raises.
    """
    position = await journal.position(consumer.name)
    if position.anew:
        log.warning("consumer_starts_anew", consumer=consumer.name, position=position.seq)
        # What happens meanwhile has numbers above the end that is read before.
        position = await journal.move(position, *await journal.end(), consumer.begin_anew)
    entries = await journal.entries(position, batch)
    if entries:
        last = entries[-1]
        await journal.move(position, last.seq, last.month, lambda transaction: consumer.handle(transaction, entries))
    return len(entries)
