"""What is known of another bus than the journal (`server.storage.bus`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from server.domain.errors import WriteConflict
from server.domain.messages import Message
from server.storage.bus import DeadLetter
from server.storage.journal import Position
from storage_plugins.postgres.database import Connection, Database

_LAYOUT = "select topic, partitions from bus_topic"
_SET_LAYOUT = """
    insert into bus_topic (topic, partitions) select * from unnest($1::text[], $2::integer[])
    on conflict (topic) do update set partitions = excluded.partitions
"""
_INTERRUPT = "update journal_position set generation = generation + 1 where partition > 0"
_CONSUMERS = "select distinct consumer from journal_position where partition > 0 order by consumer"
_POSITIONS = """
    select consumer, partition, generation, position, month, anew, reread_to from journal_position
    where consumer = $1 and partition > 0 order by partition
"""
_DROP = "delete from journal_position where consumer = $1 and partition > 0 returning partition, generation, position"
_MAKE = """
    insert into journal_position (consumer, partition, generation, position, month)
    select $1, number, $2, $3, $4 from generate_series(1, $5::integer) as number
"""
_UNSENT = """
    select d.id, d.consumer, d.error, j.seq, j.act, j.month, j.at, j.kind, j.home_id, j.revision, j.collection_id,
           j.object_id, j.subject_id, j.principal_id, j.acting_for, j.origin, j.request_id, j.change, j.trace
    from dead_message d join journal j on j.month = d.month and j.seq = d.seq
    where not d.sent order by d.id limit $1
"""
_SENT = "update dead_message set sent = true where id = any($1::bigint[])"


class PostgresBusRecords:
    """See `server.storage.bus.BusRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def layout(self) -> Mapping[str, int]:
        """See `BusRecords`."""
        return {row[0]: row[1] for row in await self._database.fetch(_LAYOUT)}

    async def set_layout(self, transaction: Connection, layout: Mapping[str, int]) -> None:
        """See `BusRecords`."""
        await transaction.execute(_SET_LAYOUT, list(layout), list(layout.values()))
        await transaction.execute(_INTERRUPT)

    async def consumers(self) -> Sequence[str]:
        """See `BusRecords`."""
        return [row[0] for row in await self._database.fetch(_CONSUMERS)]

    async def positions(self, consumer: str) -> Sequence[Position]:
        """See `BusRecords`."""
        return [Position(*row) for row in await self._database.fetch(_POSITIONS, consumer)]

    async def divide(self, positions: Sequence[Position], seq: int, month: date, count: int) -> None:
        """See `BusRecords`."""
        consumer = positions[0].consumer
        async with self._database.transaction() as connection:
            dropped = {tuple(row) for row in await connection.fetch(_DROP, consumer)}
            if dropped != {(each.partition, each.generation, each.seq) for each in positions}:
                raise WriteConflict
            generation = 1 + max(each.generation for each in positions)
            await connection.execute(_MAKE, consumer, generation, seq, month, count)

    async def unsent(self, limit: int) -> Sequence[DeadLetter]:
        """See `BusRecords`."""
        return [
            DeadLetter(row[0], row[1], row[2], Message(*row[3:])) for row in await self._database.fetch(_UNSENT, limit)
        ]

    async def sent(self, letters: Sequence[DeadLetter]) -> None:
        """See `BusRecords`."""
        await self._database.fetch(_SENT, [letter.id for letter in letters])
