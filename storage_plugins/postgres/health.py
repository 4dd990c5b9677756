"""The state of the database, for monitoring."""

from __future__ import annotations

from server.storage.health import Backlog, Schema
from storage_plugins.postgres.migrations import schema_state
from storage_plugins.postgres.storage import PostgresStorage

_BACKLOG = """
    select
        (select count(*) from (select distinct home_id, collection_id from fan_out) as waiting),
        (select extract(epoch from clock_timestamp() - at) from outbox order by id limit 1)
"""
# The time since the first entry that a consumer has not read; of entries it reads the latest months only.
_LAGS = """
    select p.consumer, coalesce(max((
        select extract(epoch from clock_timestamp() - j.at) from journal j
        where j.month >= p.month and j.seq > p.position order by j.seq limit 1
    )), 0)
    from journal_position p where p.partition = 0 group by p.consumer
"""
_DEAD = "select consumer, count(*) from dead_message group by consumer"


class PostgresHealth:
    """See `server.storage.health.StorageHealth`."""

    def __init__(self, storage: PostgresStorage) -> None:
        self._storage = storage

    async def answers(self) -> None:
        """See `StorageHealth`."""
        await self._storage.database.fetchval("select 1")

    async def ready(self) -> bool:
        """See `StorageHealth`."""
        return await self._storage.ready()

    async def schema(self) -> Schema:
        """See `StorageHealth`."""
        async with self._storage.database.transaction() as connection:
            state = await schema_state(connection)
        return Schema(state.usable, tuple(each.title for each in state.pending), state.newer)

    async def backlog(self) -> Backlog:
        """See `StorageHealth`."""
        waiting, oldest = (await self._storage.database.fetch(_BACKLOG))[0]
        lags = await self._storage.database.fetch(_LAGS)
        dead = await self._storage.database.fetch(_DEAD)
        return Backlog(
            waiting, float(oldest or 0), {row[0]: float(row[1]) for row in lags}, {row[0]: row[1] for row in dead}
        )
