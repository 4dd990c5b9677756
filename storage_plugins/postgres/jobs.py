"""The queue of jobs in PostgreSQL (`server.storage.jobs.Jobs`): table `job`, one row for each job.

Takers skip rows that others hold (SKIP LOCKED). Two takers that see different rows may both choose a job of one lock
key: a unique index lets only one of them succeed. No statement takes a lock that all writers share.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from server.domain.jobs import Job
from server.storage.jobs import FAILING, KindCounts, Periodic, State, StoredJob, TakenJob
from storage_plugins.postgres.database import Connection, Database

_TAKE_TRIES = 5
"""How often a taker tries again after a conflict with another taker about a lock key."""

# The statement locks a job that takes another in until the transaction ends. So a runner cannot take that job before
# it sees what the transaction has changed.
_ENQUEUE = """
    insert into job as j (kind, payload, lock_key, queueing_key, priority, not_before)
    values ($1, $2, $3, $4, $5, clock_timestamp() + $6::interval)
    on conflict (kind, queueing_key) where state = 'queued' and attempts = 0
    do update set priority = greatest(j.priority, excluded.priority),
                  not_before = least(j.not_before, excluded.not_before)
"""
_DEFINE = """
    insert into job as j (kind, every, lock_key, not_before)
    values ($1, $2, $3, clock_timestamp() + least($2::interval / 10, interval '20 seconds'))
    on conflict (kind) where every is not null
    do update set every = excluded.every, lock_key = excluded.lock_key,
                  not_before = least(j.not_before, clock_timestamp() + excluded.every)
    where (j.every, j.lock_key) is distinct from (excluded.every, excluded.lock_key) and j.state <> 'running'
"""
_TAKE = "select * from koyomi_take_job_1($1)"
_NEXT_DUE = """
    select extract(epoch from j.not_before - now())::float8 from job j
    where j.state = 'queued' and j.not_before > now() and j.kind = any($1::text[])
      and not exists (select from job_hold h where h.kind = j.kind)
    order by j.not_before limit 1
"""
_RENEW = """
    update job set heartbeat_at = clock_timestamp() where id = any($1::bigint[]) and run = any($2::uuid[]) returning run
"""
_RECOVER = """
    update job set state = 'queued', run = null, heartbeat_at = null, not_before = now(), error = 'RunnerDied'
    where id in (
        select id from job where state = 'running' and heartbeat_at < now() - $1::interval
        order by heartbeat_at limit 100 for update skip locked
    )
    returning kind, id
"""
_FINISH = """
    with removed as (
        delete from job where id = $1 and run = $2 and every is null returning id
    ), kept as (
        update job set state = 'queued', run = null, heartbeat_at = null, attempts = 0, error = null, again = false,
                       not_before = clock_timestamp() + case
                           when again then interval '0' else coalesce($3, every * (0.9 + 0.2 * random()))
                       end
        where id = $1 and run = $2 and every is not null returning id
    )
    select exists (select from removed) or exists (select from kept)
"""
# Of failed jobs with one queueing key, only one is kept: they are equal.
_FAIL = """
    with settled as (
        update job set state = case when $4::interval is null and every is null then 'failed' else 'queued' end,
                       run = null, heartbeat_at = null, error = $3, again = false,
                       not_before = clock_timestamp() + coalesce(least($4, every), interval '0')
        where id = $1 and run = $2 returning id, kind, queueing_key, state
    ), replaced as (
        delete from job f using settled s
        where s.state = 'failed' and f.state = 'failed' and f.kind = s.kind and f.queueing_key = s.queueing_key
          and f.id <> s.id
    )
    select exists (select from settled)
"""
_GIVE_BACK = """
    update job set state = 'queued', run = null, heartbeat_at = null, not_before = now(),
                   attempts = greatest(attempts - 1, (queueing_key is not null)::integer)
    where id = $1 and run = $2
"""
_HASTEN = """
    update job set again = state = 'running', not_before = least(not_before, now())
    where kind = $1 and every is not null and not again and (state = 'running' or not_before > now())
"""
_COUNTS = """
    select coalesce(j.kind, h.kind), h.kind is not null,
           count(*) filter (where j.state = 'queued' and j.every is null),
           count(*) filter (where j.state = 'running'), count(*) filter (where j.state = 'failed'),
           count(*) filter (where j.state = 'queued' and j.attempts >= $1),
           coalesce(extract(epoch from now() - min(j.not_before) filter (
               where j.state = 'queued' and j.not_before <= now()
           )), 0)::float8
    from job j full join job_hold h on h.kind = j.kind
    group by j.kind, h.kind order by 1
"""
_JOBS = """
    select j.id, j.kind, j.state, exists (select from job_hold h where h.kind = j.kind), j.attempts, j.not_before,
           j.every, j.error, j.payload, j.done, j.total
    from job j where ($1::text is null or j.kind = $1) and ($2::text is null or j.state = $2)
      and j.id > $4
    order by j.id limit $3
"""
# A job with a queueing key keeps one attempt, since another one that was not tried yet may wait beside it.
_RETRY = """
    update job set state = 'queued', not_before = now(), error = null,
                   attempts = least(attempts, (queueing_key is not null)::integer)
    where id = any($1::bigint[]) and state <> 'running' returning id
"""
_DROP = "delete from job where id = any($1::bigint[]) and state <> 'running' and every is null returning id"
_HOLD = "insert into job_hold (kind) values ($1) on conflict do nothing"
_RELEASE = "delete from job_hold where kind = $1 returning kind"


async def enqueue(connection: Connection, job: Job) -> None:
    """Store a job in the caller's transaction."""
    await connection.execute(
        _ENQUEUE, job.kind, dict(job.payload), job.lock_key, job.queueing_key, job.priority, job.delay
    )


class PostgresJobs:
    """A `Jobs` on a pool of connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def define(self, periodic: Periodic) -> None:
        """See `Jobs`."""
        await self._database.fetch(_DEFINE, periodic.kind, periodic.every, periodic.lock_key)

    async def take(self, kinds: Sequence[str]) -> TakenJob | None:
        """See `Jobs`."""
        for _ in range(_TAKE_TRIES):
            try:
                row = await self._database.fetchrow(_TAKE, list(kinds))
            except asyncpg.UniqueViolationError:
                continue
            return None if row is None else TakenJob(*row)
        return None

    async def next_due(self, kinds: Sequence[str]) -> float | None:
        """See `Jobs`."""
        found: float | None = await self._database.fetchval(_NEXT_DUE, list(kinds))
        return found

    async def renew(self, runs: Sequence[tuple[int, UUID]]) -> frozenset[UUID]:
        """See `Jobs`."""
        rows = await self._database.fetch(_RENEW, [id_ for id_, _ in runs], [run for _, run in runs])
        return frozenset(row[0] for row in rows)

    async def recover(self, lease: timedelta) -> list[tuple[str, int]]:
        """See `Jobs`."""
        return [(row[0], row[1]) for row in await self._database.fetch(_RECOVER, lease)]

    async def finish(self, job: TakenJob, next_run: timedelta | None) -> bool:
        """See `Jobs`."""
        return bool(await self._database.fetchval(_FINISH, job.id, job.run, next_run))

    async def fail(self, job: TakenJob, error: str, retry: timedelta | None) -> bool:
        """See `Jobs`."""
        return bool(await self._database.fetchval(_FAIL, job.id, job.run, error, retry))

    async def give_back(self, job: TakenJob) -> None:
        """See `Jobs`."""
        await self._database.fetch(_GIVE_BACK, job.id, job.run)

    async def hasten(self, kind: str) -> None:
        """See `Jobs`."""
        await self._database.fetch(_HASTEN, kind)

    async def counts(self) -> list[KindCounts]:
        """See `Jobs`."""
        return [KindCounts(*row) for row in await self._database.fetch(_COUNTS, FAILING)]

    async def jobs(self, kind: str | None, state: State | None, limit: int, *, after: int = 0) -> list[StoredJob]:
        """See `Jobs`."""
        return [StoredJob(*row) for row in await self._database.fetch(_JOBS, kind, state, limit, after)]

    async def retry(self, ids: Sequence[int]) -> list[int]:
        """See `Jobs`."""
        return sorted(row[0] for row in await self._database.fetch(_RETRY, list(ids)))

    async def drop(self, ids: Sequence[int]) -> list[int]:
        """See `Jobs`."""
        return sorted(row[0] for row in await self._database.fetch(_DROP, list(ids)))

    async def hold(self, kind: str) -> None:
        """See `Jobs`."""
        await self._database.fetch(_HOLD, kind)

    async def release(self, kind: str) -> bool:
        """See `Jobs`."""
        return bool(await self._database.fetch(_RELEASE, kind))
