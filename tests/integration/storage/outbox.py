"""What consumers of the outbox do, when they may read all of it."""

from __future__ import annotations

import asyncio

from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import Database

_OPEN = "select exists (select from outbox where xid >= pg_snapshot_xmin(pg_current_snapshot()))"


async def all_final(database: Database) -> None:
    """Wait until consumers may read every row.

    Any transaction that changes something in any database of the cluster, as an ANALYZE, delays that.
    """
    async with asyncio.timeout(60):
        while await database.fetchval(_OPEN):
            await asyncio.sleep(0.01)


async def pass_on(access: PostgresAccess) -> None:
    """Do what the consumer does until nothing is left."""
    await all_final(access._database)
    while await access.plan_fan_out() and await access.fan_out():
        pass
