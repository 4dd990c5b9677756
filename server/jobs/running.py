"""The runner of a worker, with the connections that its jobs work on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from server.jobs.maintenance import kinds
from server.jobs.runner import Runner
from server.observe.metrics import Metrics
from server.settings.model import Settings
from server.storage import Storage
from storage_plugins.postgres.database import Database, DatabaseLimits
from storage_plugins.postgres.jobs import PostgresJobs

_QUEUE = DatabaseLimits(connections=1, acquire_timeout=10.0)
"""The queue has a connection of its own, so that neither requests nor handlers delay heartbeats."""
_HANDLERS = DatabaseLimits(connections=2, acquire_timeout=60.0, connect_timeout=10.0, statement_timeout=300.0)
CONNECTIONS = _QUEUE.connections + _HANDLERS.connections
"""Connections to the database that a worker's jobs hold at most, but for one of online steps of a migration."""


@contextlib.asynccontextmanager
async def running_jobs(dsn: str, storage: Storage, settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Run jobs as long as the context lasts. Raises `Unavailable` or `DatabaseError` where the database is away."""
    # A job whose last state a crash loses runs once more: no commit of the queue needs to wait for the disk.
    queue = Database(dsn, _QUEUE, application="koyomi jobs", synchronous_commit=False)
    handlers = Database(dsn, _HANDLERS, application="koyomi job handlers")
    async with contextlib.AsyncExitStack() as stack:
        for database in (queue, handlers):
            await database.open()
            stack.push_async_callback(database.close)
        runner = Runner(PostgresJobs(queue), kinds(handlers, dsn, settings), metrics)
        stack.callback(storage.subscribe(runner.hear))
        running = asyncio.create_task(runner.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait([running])
