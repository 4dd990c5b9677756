"""How far the consumers of the journal and of the bus have come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.domain.errors import NotFound
from storage_plugins.postgres.database import Database

_POSITIONS = """
    select p.consumer, p.partition, p.generation, p.position, p.anew, p.moved_at,
           case when p.partition = 0 then greatest(l.last - p.position, 0) end as behind
    from journal_position p
    cross join (select greatest(coalesce(max(seq), 0), 0) as last from journal) as l
    order by p.consumer, p.partition
"""
_DEAD = "select consumer, seq, home_id, kind, error, at from dead_message order by id limit $1"
_START_ANEW = """
    with forgotten as (delete from dead_message where consumer = $1)
    update journal_position set anew = true, generation = generation + 1 where consumer = $1 returning partition
"""
_FIRST = "select seq, month from journal where seq >= $1 and seq > 0 order by seq limit 1"
_READ_AGAIN = """
    with forgotten as (delete from dead_message where consumer = $1 and seq >= $2)
    update journal_position set position = least(position, $2 - 1), month = least(month, $3),
        generation = generation + 1,
        reread_to = case when partition > 0 and position >= $2 then greatest(reread_to, position) else reread_to end
    where consumer = $1 returning partition
"""
_INTERRUPT = "update journal_position set generation = generation + 1 where consumer = $1"


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """A position, as an administrator sees it."""

    consumer: str
    partition: int
    """0: the journal; those above are partitions of another bus, from 1."""
    generation: int
    seq: int
    anew: bool
    """Whether the consumer is to start anew."""
    moved_at: datetime
    behind: int | None
    """How many entries of the journal come after it; None on another bus, where most are of other partitions."""


async def positions(database: Database) -> list[StoredPosition]:
    """All positions."""
    return [StoredPosition(*row) for row in await database.fetch(_POSITIONS)]


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that a consumer could not take in."""

    consumer: str
    seq: int
    home_id: int
    kind: str
    error: str
    """The class of the error."""
    at: datetime


async def dead_messages(database: Database, limit: int) -> list[DeadMessage]:
    """Messages that consumers could not take in, the oldest first."""
    return [DeadMessage(*row) for row in await database.fetch(_DEAD, limit)]


async def start_anew(database: Database, consumer: str) -> int:
    """Let a consumer start anew, and forget the messages that it could not take in.

    Returns the number of its partitions. Who runs it now conflicts, and begins again.
    """
    return len(await database.fetch(_START_ANEW, consumer))


async def read_again(database: Database, consumer: str, seq: int) -> int:
    """Let a consumer take in again what it has read from this number on, and forget what of that it could not take in.

    Returns the number of its partitions. Who runs it now conflicts, and begins again. Raises `NotFound` if the journal
    has no such entry any more, or not yet.
    """
    entry = await database.fetchrow(_FIRST, seq)
    first = await database.fetchrow(_FIRST, 1)
    if first is None or entry is None:
        raise NotFound(f"The journal has no entry {seq} yet.")
    if seq < first[0]:
        raise NotFound(f"The journal begins at {first[0]}. Without --from the consumer starts anew.")
    return len(await database.fetch(_READ_AGAIN, consumer, seq, entry[1]))


async def interrupt(database: Database, consumer: str) -> None:
    """Let the process that runs a consumer conflict, and begin again at the position."""
    await database.fetch(_INTERRUPT, consumer)
