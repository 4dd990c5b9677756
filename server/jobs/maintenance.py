"""The periodic jobs of a server: pruning, sealing the journal, rolling occurrences ahead, completing the schema."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from server.events.seal_heads import line, write
from server.events.seal_key import key_at
from server.jobs.runner import Kind, Result
from server.services.views import alarms_of, render
from server.settings.model import Settings
from server.storage.jobs import MAINTENANCE, OWNERS, TakenJob
from storage_plugins.postgres.changes.collection_copies import drop_without_job
from storage_plugins.postgres.changes.views import prune_views, render_shared, store_alarms
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.migrations import run_online_steps
from storage_plugins.postgres.upkeep.journal_files import detach
from storage_plugins.postgres.upkeep.journal_partitions import keep_partitions
from storage_plugins.postgres.upkeep.next_alarms import move_alarms_on
from storage_plugins.postgres.upkeep.occurrence_jobs import follow_zone_data, roll_horizon
from storage_plugins.postgres.upkeep.pruning import (
    forget_check_ins,
    forget_deleted,
    forget_dispatches,
    forget_journal_texts,
    forget_mails,
    forget_messages,
    prune_tombstones,
)
from storage_plugins.postgres.upkeep.rederivation import any_outdated, follow_owners, rederive
from storage_plugins.postgres.upkeep.seals import heads_due, heads_written, last_key, seal

INTERVAL = 600.0
"""Seconds between two runs of a job."""
CONSUMER_LAG = timedelta(days=30)
"""Age of an entry of the journal from which a consumer that has not read it starts again from the tables."""
_MESSAGE_AGE = timedelta(days=366)
"""How long a home remembers the messages about an event that its owner has deleted, so that no old message restores
it."""
_OUTCOME_AGE = timedelta(days=30)
"""How long it is kept what became of scheduling messages that jobs delivered, or sent by mail."""
_CHECK_IN_AGE = timedelta(days=800)
"""How long it is kept which bookings of rooms were checked in: twice the longest time of a report."""
_MARKING = 30.0
"""Seconds of a run in which events of people with other addresses are marked, to be computed again."""
_REDERIVING = 60.0
"""Seconds of a run in which objects of an older version are computed again, and until the next run if some are left."""
_DERIVED = "derived"
"""Kind of the job that computes objects again."""
_ROLLING = 60.0
"""Seconds of a run in which stored occurrences are rolled ahead: a tenth of the time between two runs."""

_HEADS = 1000
"""Heads of seals that are written at a time."""

_ALARMS = 60.0
"""Seconds between two runs in which alarms get the time of their next ring."""
_MOVING = 30.0
"""Seconds of such a run."""

log = structlog.get_logger()


def kinds(database: Database, dsn: str, settings: Settings) -> list[Kind]:
    """The periodic jobs, on a separate pool of connections. `dsn` is that of the same database."""
    restore = timedelta(days=settings.retention.restore_days)
    # A member that can be restored needs its tombstone.
    retention = max(timedelta(days=settings.retention.sync_token_days), restore + timedelta(days=1))
    jobs: dict[str, Callable[[], Awaitable[int]]] = {
        "zone_data": lambda: follow_zone_data(database, datetime.now(UTC)),
        OWNERS: lambda: _follow_owners(database),
        "horizon": lambda: roll_horizon(database, datetime.now(UTC), seconds=_ROLLING),
        "journal": lambda: _keep_journal(database, settings),
        "deleted": lambda: forget_deleted(database, restore),
        "shared": lambda: render_shared(database, render),
        "alarms": lambda: store_alarms(database, alarms_of),
        "views": lambda: prune_views(database, restore),
        "tombstones": lambda: prune_tombstones(database, retention),
        "messages": lambda: forget_messages(database, _MESSAGE_AGE),
        "dispatches": lambda: forget_dispatches(database, _OUTCOME_AGE),
        "mails": lambda: forget_mails(database, _OUTCOME_AGE),
        "check_ins": lambda: forget_check_ins(database, _CHECK_IN_AGE),
        "sign_in_failures": lambda: PostgresDirectory(database).forget_failures(settings.sign_in.window),
        "dropped_copies": lambda: drop_without_job(database),
        "seals": lambda: _seal(database, settings),
    }
    found = [Kind(name, _handler(job), every=INTERVAL, lock_key=MAINTENANCE) for name, job in jobs.items()]
    # These run beside the others: after an update some may take hours, and alarms do not wait.
    found.append(Kind("online_steps", _handler(lambda: _complete_schema(dsn)), every=INTERVAL))
    found.append(Kind("next_alarms", _handler(lambda: _move_alarms_on(database)), every=_ALARMS))
    found.append(Kind(_DERIVED, lambda _: _rederive(database), every=INTERVAL))
    return found


def _handler(job: Callable[[], Awaitable[int]]) -> Callable[[TakenJob], Awaitable[Result]]:
    async def handle(_: TakenJob) -> Result:
        return Result(await job())

    return handle


async def _follow_owners(database: Database) -> int:
    marked = await follow_owners(database, seconds=_MARKING)
    if marked:
        await PostgresJobs(database).hasten(_DERIVED)
    return marked


async def _rederive(database: Database) -> Result:
    computed = await rederive(database, datetime.now(UTC), seconds=_REDERIVING)
    return Result(computed, next_run=_REDERIVING if await any_outdated(database) else None)


async def _move_alarms_on(database: Database) -> int:
    return await move_alarms_on(database, datetime.now(UTC), seconds=_MOVING)


async def _keep_journal(database: Database, settings: Settings) -> int:
    now, journal = datetime.now(UTC), settings.journal
    await forget_journal_texts(database, timedelta(days=journal.text_days))
    dropped = await keep_partitions(database, now, timedelta(days=journal.echo_days), CONSUMER_LAG)
    key, folder = journal.key_in(settings.storage.data), journal.folder_in(settings.storage.data)
    files = await detach(database, key_at(key), folder, now - timedelta(days=journal.act_days))
    for file in files:
        log.info("journal_partition_detached", file=str(file))
    return dropped + len(files)


async def _seal(database: Database, settings: Settings) -> int:
    key = key_at(settings.journal.key_in(settings.storage.data))
    before = await last_key(database)
    made = await seal(database, key)
    if made and before not in (None, key.key_id):
        log.warning("journal_key_differs", key=key.key_id, before=before)
    for each in made:
        log.info(
            "journal_sealed", seal=each.number, last_seq=each.last_seq, rows=each.row_count, digest=each.digest.hex()
        )
    if settings.journal.heads:
        await write_heads(database, settings.journal.heads)
    return len(made)


async def write_heads(database: Database, place: str) -> None:
    """Write the heads of all seals that the second place does not have. Raises `ConfigurationError` if it takes none;
    the next run writes them then."""
    while due := await heads_due(database, place, _HEADS):
        lines = [line(s.number, s.last_seq, s.digest, s.key_id, s.signature, s.sealed_at) for s in due]
        await asyncio.to_thread(write, place, lines)
        # After the lines: a crash in between writes them twice, and none never.
        await heads_written(database, place, due[-1].number)


async def _complete_schema(dsn: str) -> int:
    """Run the online steps of migrations that are pending, unless a command runs them."""
    done = await run_online_steps(dsn, wait=False) or ()
    for name in done:
        log.info("online_step_done", migration=name)
    return len(done)
