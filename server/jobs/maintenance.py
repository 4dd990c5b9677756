"""The jobs that a server runs every ten minutes: pruning, sealing the audit, and keeping occurrences ahead of now.

All workers of all servers try; the one that holds an advisory lock runs them. A job that fails is logged and counted;
the others run all the same, and it runs again in the next round.

Beside them, one worker runs the online steps of migrations.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from server.domain.errors import KoyomiError
from server.observe.background import run_forever
from server.observe.metrics import Metrics
from server.services.views import alarms_of, render
from server.settings.model import Settings
from storage_plugins.postgres.changes.views import prune_views, render_shared, store_alarms
from storage_plugins.postgres.database import Connection, Database, DatabaseLimits, connect
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.migrations import run_online_steps
from storage_plugins.postgres.sqlstates import domain_error
from storage_plugins.postgres.upkeep.audit_chain import seal
from storage_plugins.postgres.upkeep.occurrence_jobs import follow_owners, follow_zone_data, rederive, roll_horizon
from storage_plugins.postgres.upkeep.outbox import prune_outbox
from storage_plugins.postgres.upkeep.pruning import forget_deleted, prune_tombstones

INTERVAL = 600.0
"""Seconds between two rounds."""
OUTBOX_AGE = timedelta(days=7)
"""How long rows of the outbox are kept at least."""
CONSUMER_LAG = timedelta(days=30)
"""How long rows are kept at most for a consumer that does not read them. Then it starts again from the tables."""
_FIRST = 20.0
"""Seconds after its start before which a worker tries for the first time."""
_MARKING = 30.0
"""Seconds of a round in which events of people with other addresses are marked, to be computed again."""
_REDERIVING = 120.0
"""Seconds of a round in which objects of an older version are computed again; the other jobs wait meanwhile."""
_ROLLING = 60.0
"""Seconds of a round in which stored occurrences are rolled ahead: a tenth of the time between two rounds."""
_LOCK = 0x6B6F796F6D6A
"""Key of the advisory lock."""
_LIMITS = DatabaseLimits(connections=2, acquire_timeout=30.0, connect_timeout=10.0, statement_timeout=300.0)

log = structlog.get_logger()


async def keep(dsn: str, settings: Settings, metrics: Metrics) -> None:
    """Maintain a database until cancelled."""
    await asyncio.sleep(_FIRST * (0.5 + random.random()))  # noqa: S311 - no secret

    async def step() -> None:
        await maintain(dsn, settings, metrics)
        await asyncio.sleep(INTERVAL * (0.8 + 0.4 * random.random()))  # noqa: S311

    await run_forever("maintenance", step)


async def complete_schema(dsn: str) -> None:
    """Run the online steps of migrations, until cancelled; another worker goes on with those of a worker that ended."""
    await asyncio.sleep(_FIRST * (0.5 + random.random()))  # noqa: S311 - no secret

    async def step() -> None:
        for name in await run_online_steps(dsn, wait=False) or ():
            log.info("online_step_done", migration=name)
        await asyncio.sleep(INTERVAL * (0.8 + 0.4 * random.random()))  # noqa: S311

    await run_forever("online_steps", step)


async def maintain(dsn: str, settings: Settings, metrics: Metrics) -> dict[str, int] | None:
    """Run all jobs once; returns for each that succeeded how many rows it changed.

    Returns None where another process runs them. Raises domain errors where the database cannot be reached.
    """
    try:
        lock = await connect(dsn, application="koyomi maintenance")
        try:
            if not await lock.fetchval("select pg_try_advisory_lock($1)", _LOCK):
                return None
            database = Database(dsn, _LIMITS, application="koyomi maintenance")
            await database.open()
            try:
                return await _round(database, settings, lock, metrics)
            finally:
                await database.close()
        finally:
            await lock.close(timeout=5.0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise domain_error(error) from error


async def _run(name: str, job: Callable[[], Awaitable[int]], metrics: Metrics) -> int | None:
    """Run one job; returns how many rows it dealt with, None where it failed."""
    began = time.monotonic()
    try:
        count = await job()
    except Exception as error:
        metrics.maintained(name, time.monotonic() - began, succeeded=False)
        expected = isinstance(error, KoyomiError)
        log.error("maintenance_job_failed", job=name, reason=type(error).__name__, exc_info=None if expected else error)
        return None
    metrics.maintained(name, time.monotonic() - began, succeeded=True)
    return count


async def _seal(database: Database) -> int:
    made = await seal(database)
    for each in made:
        # Kept elsewhere, it proves that nobody has made the whole chain anew.
        log.info("audit_sealed", last_id=each.last_id, rows=each.row_count, digest=each.digest.hex())
    return len(made)


async def _round(database: Database, settings: Settings, lock: Connection, metrics: Metrics) -> dict[str, int]:
    now = datetime.now(UTC)
    restore = timedelta(days=settings.restore_days)
    # What can be restored needs its tombstone.
    retention = max(timedelta(days=settings.sync_token_days), restore + timedelta(days=1))
    jobs: dict[str, Callable[[], Awaitable[int]]] = {
        "zone_data": lambda: follow_zone_data(database, now),
        "owners": lambda: follow_owners(database, seconds=_MARKING),
        "derived": lambda: rederive(database, now, seconds=_REDERIVING),
        "horizon": lambda: roll_horizon(database, now, seconds=_ROLLING),
        "outbox": lambda: prune_outbox(database, OUTBOX_AGE, CONSUMER_LAG),
        "deleted": lambda: forget_deleted(database, restore),
        "shared": lambda: render_shared(database, render),
        "alarms": lambda: store_alarms(database, alarms_of),
        "views": lambda: prune_views(database, restore),
        "tombstones": lambda: prune_tombstones(database, retention),
        "sign_in_failures": lambda: PostgresDirectory(database).forget_failures(settings.sign_in_window),
        # Last, since it waits for transactions that are under way.
        "audit": lambda: _seal(database),
    }
    done: dict[str, int] = {}
    for name, job in jobs.items():
        if lock.is_closed():
            # Another may hold it by now.
            break
        count = await _run(name, job, metrics)
        if count is not None:
            done[name] = count
    if any(done.values()):
        log.info("maintained", **{name: count for name, count in done.items() if count})
    return done
