"""The state of the database, for monitoring."""

from __future__ import annotations

from server.storage.health import Backlog
from storage_plugins.postgres.storage import PostgresStorage

_BACKLOG = """
    select
        (select count(*) from (select distinct home_id, collection_id from fan_out) as waiting),
        (select extract(epoch from clock_timestamp() - at) from outbox order by xid, id limit 1),
        (select extract(epoch from clock_timestamp() - at) from outbox
         where xid >= pg_snapshot_xmin(pg_current_snapshot()) order by xid, id limit 1)
"""


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

    async def backlog(self) -> Backlog:
        """See `StorageHealth`."""
        waiting, oldest, unsettled = (await self._storage.database.fetch(_BACKLOG))[0]
        return Backlog(waiting, float(oldest or 0), float(unsettled or 0))
