"""Durable consumers: their positions are rows of the database, and effects become visible together with a position.

A consumer is a name and two functions that do their work in the transaction that moves the position (`Consumer`).
Whoever else runs the same consumer at the same time conflicts, and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from server.domain.errors import Unavailable, WriteConflict
from server.domain.messages import EVENTS, Message, Topic, topics_of
from server.observe.background import failed
from server.storage.journal import Effect, Journal, Position, Transaction

BATCH = 500
"""Entries that one transaction takes in."""

PAUSES = (0.1, 1.0)
"""Seconds before each further try with a message that could not be taken in."""
TRANSIENT = (Unavailable, WriteConflict)
"""Errors that say nothing about a message."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer whose effects lie in the database."""

    name: str
    handle: Callable[[Transaction, Sequence[Message]], Awaitable[None]]
    """Does what follows from messages, as a part of a `Transaction`. They are hints: the handler reads the truth."""
    begin_anew: Effect
    """Does what could follow from any entry: the consumer does not know what it has missed."""
    topic: Topic = EVENTS
    """What it reads."""


async def consume(journal: Journal, consumer: Consumer, *, batch: int = BATCH) -> int:
    """Take in the next entries of the journal. Returns their number; less than `batch` means that there are no more.

    Raises `WriteConflict`, without effect, if somebody else runs the consumer, and what the handler raises.
    """
    position = await journal.position(consumer.name)
    if position.anew:
        position = await start_anew(journal, consumer, position)
    entries = await journal.entries(position, batch)
    wanted = [entry for entry in entries if consumer.topic in topics_of(entry.kind)]
    position = await take_in(journal, consumer, position, wanted)
    if entries and entries[-1].seq > position.seq:
        await journal.move(position, entries[-1].seq, entries[-1].month, no_effect)
    return len(entries)


async def no_effect(_: Transaction) -> None:
    """What moves a position over messages from which nothing follows."""


async def start_anew(journal: Journal, consumer: Consumer, position: Position) -> Position:
    """Do what could follow from any message, and go on behind the end of the journal. Raises `WriteConflict`."""
    log.warning("consumer_starts_anew", consumer=consumer.name, partition=position.partition, position=position.seq)
    # What happens meanwhile has numbers above the end that is read before.
    return await journal.move(position, *await journal.end(), consumer.begin_anew)


async def take_in(journal: Journal, consumer: Consumer, position: Position, messages: Sequence[Message]) -> Position:
    """Take in those of some messages, in their order, that are above a position. Returns the position behind them.

    A message that the handler fails with again and again is buried: the consumer goes on behind it.

    Raises `WriteConflict`, without effect, if the position is not as given any more, `Unavailable`, and what the
    handler raises when there are too many buried messages.
    """
    new, reached = [], position.seq
    for message in messages:
        # What was sent again comes a second time.
        if message.seq > reached:
            new.append(message)
            reached = message.seq
    if not new:
        return position
    try:
        return await _handle(journal, consumer, position, new)
    except TRANSIENT:
        raise
    except Exception:
        if len(new) > 1:
            # One of them may keep the others from being taken in.
            for message in new:
                position = await take_in(journal, consumer, position, [message])
            return position
    return await _insist(journal, consumer, position, new[0])


async def _handle(journal: Journal, consumer: Consumer, position: Position, messages: Sequence[Message]) -> Position:
    last = messages[-1]
    return await journal.move(
        position, last.seq, last.month, lambda transaction: consumer.handle(transaction, messages)
    )


async def _insist(journal: Journal, consumer: Consumer, position: Position, message: Message) -> Position:
    """Try again with a message that could not be taken in; then bury it."""
    pauses = list(PAUSES)
    while True:
        await asyncio.sleep(pauses.pop(0))
        try:
            return await _handle(journal, consumer, position, [message])
        except TRANSIENT:
            raise
        except Exception as error:
            failed("consumer", error)
            if not pauses:
                return await _bury(journal, consumer, position, message, error)


async def _bury(
    journal: Journal, consumer: Consumer, position: Position, message: Message, error: Exception
) -> Position:
    name = type(error).__name__

    async def effect(transaction: Transaction) -> None:
        if not await journal.bury(transaction, consumer.name, message, name):
            raise error

    position = await journal.move(position, message.seq, message.month, effect)
    log.error("message_buried", consumer=consumer.name, seq=message.seq, reason=name)
    return position
