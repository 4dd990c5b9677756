"""How far the consumers of the journal and of the bus have come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
