"""A process that runs jobs until it is killed; `python -m tests.integration.storage.job_process DSN`.

A job notes its number in the table `witness` when it is done. While it runs it holds an advisory lock of its lock key;
where another process holds that lock it notes a violation.
"""

from __future__ import annotations

import asyncio
import random
import sys

import asyncpg
import uvloop

from server.jobs.runner import Kind, Result, Runner, Timing
from server.observe.metrics import Metrics
from server.storage.jobs import TakenJob
from storage_plugins.postgres.database import Database, DatabaseLimits
from storage_plugins.postgres.jobs import PostgresJobs

TIMING = Timing(lease=6.0, beat=0.5, poll=0.3, first_pause=0.05, longest_pause=0.2)
"""The lease is much longer than pauses of a busy machine, so that only processes that were killed lose jobs."""
FAILING = 0.1
"""Share of the runs that fail."""


async def main(dsn: str) -> None:
    async def handle(job: TakenJob) -> Result:
        connection = await asyncpg.connect(dsn)
        try:
            key = job.payload["key"]
            if key and not await connection.fetchval("select pg_try_advisory_lock($1)", key):
                await connection.execute("insert into violation (id, key) values ($1, $2)", job.id, key)
            await asyncio.sleep(random.choice((0.0, 0.0, 0.02, 0.1)))
            if random.random() < FAILING:
                raise ValueError
            await connection.execute("insert into witness (number, key) values ($1, $2)", job.payload["number"], key)
        finally:
            await connection.close()
        return Result()

    queue = Database(dsn, DatabaseLimits(connections=1, acquire_timeout=30.0), synchronous_commit=False)
    await queue.open()
    kinds = [Kind("witness", handle, tries=1000), Kind("tick", handle_tick(dsn), every=0.5, lock_key="tick")]
    await Runner(PostgresJobs(queue), kinds, Metrics(), timing=TIMING).run()


def handle_tick(dsn: str):
    async def handle(job: TakenJob) -> Result:
        connection = await asyncpg.connect(dsn)
        try:
            if not await connection.fetchval("select pg_try_advisory_lock(1000000)"):
                await connection.execute("insert into violation (id, key) values ($1, 1000000)", job.id)
            await connection.execute("insert into tick default values")
        finally:
            await connection.close()
        return Result()

    return handle


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
