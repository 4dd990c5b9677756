"""Running the periodic jobs of a server in a test."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from server.jobs import maintenance
from server.jobs.runner import Kind, Result, Runner, Timing
from server.observe.metrics import Metrics
from server.settings.model import Settings
from server.storage.jobs import TakenJob
from storage_plugins.postgres.database import Database, DatabaseLimits
from storage_plugins.postgres.jobs import PostgresJobs

SOON = Timing(beat=0.2, poll=0.05, first_pause=600.0, grace=30.0)
"""What fails is not tried again before the test ends."""

_DUE = """
    select count(*) from job
    where state = 'running' or (state = 'queued' and every is null and not_before <= now())
"""
"""Jobs that run, and those that others asked for. A periodic one may be due again at once."""


async def run_all(dsn: str, metrics: Metrics | None = None, *, servers: int = 1) -> dict[str, int]:
    """Run every periodic job once, and jobs that others asked for until none is due, in one or more runners; gives the
    number of rows for each that succeeded."""
    database = Database(dsn, DatabaseLimits(connections=3, statement_timeout=60.0))
    await database.open()
    done: dict[str, int] = {}
    ended: set[str] = set()

    def noted(kind: Kind) -> Kind:
        async def handle(job: TakenJob) -> Result:
            try:
                result = await kind.handler(job)
            finally:
                ended.add(kind.name)
            done[kind.name] = result.rows
            return result

        return replace(kind, handler=handle)

    try:
        kinds = [noted(kind) for kind in maintenance.kinds(database, dsn, Settings())]
        counted = metrics or Metrics()
        runners = [
            asyncio.create_task(Runner(PostgresJobs(database), kinds, counted, timing=SOON).run())
            for _ in range(servers)
        ]
        try:
            async with asyncio.timeout(60):
                while await database.fetchval("select count(*) from job") < len(kinds):
                    await asyncio.sleep(0.02)
                await database.fetch("update job set not_before = now() where state = 'queued'")
                while ended < {kind.name for kind in kinds} or await _due(database):
                    await asyncio.sleep(0.02)
        finally:
            for runner in runners:
                runner.cancel()
            await asyncio.wait(runners)
    finally:
        await database.close()
    return done


async def _due(database: Database) -> int:
    return int(await database.fetchval(_DUE))
