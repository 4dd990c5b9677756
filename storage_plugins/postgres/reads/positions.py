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
_START_ANEW = """
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


async def start_anew(database: Database, consumer: str) -> int:
    """Let a consumer start anew. Who runs it now conflicts, and begins again. Returns the number of its partitions."""
    return len(await database.fetch(_START_ANEW, consumer))
