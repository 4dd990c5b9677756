"""The job (kind `handovers`) that goes on with a handover where the command for it was broken off.

Each batch puts the job off, so that it begins only where nobody else goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from server.domain.errors import InvalidPrincipal
from server.domain.jobs import Job
from server.storage.jobs import HANDOVERS
from storage_plugins.postgres.database import Connection, Database
from storage_plugins.postgres.jobs import enqueue

BEGUN = "It was begun to hand everything over to somebody else: end that first, with the same --transfer-to."
LEASE = timedelta(seconds=30)
"""How long the job waits after each batch for the next."""
# One for somebody who is gone does not count.
_OTHER = """
    select exists (
        select from job j join principal p on p.id = (j.payload ->> 'to')::bigint and p.deleted_at is null
        where j.lock_key = $1 and j.state in ('queued', 'running') and p.id <> $2
    )
"""
_TOTAL = "update job set total = $2 where lock_key = $1 and state in ('queued', 'running')"
# A job that runs is at it itself.
_PUT_OFF = """
    update job set done = coalesce(done, 0) + $2,
                   not_before = case when state = 'queued' then clock_timestamp() + $3::interval else not_before end
    where lock_key = $1 and state in ('queued', 'running')
"""
# The runner settles a job that runs.
_END = """
    delete from job
    where (lock_key = $1 and state = 'queued') or (kind = $2 and queueing_key = $1 and state = 'failed')
"""
_PEOPLE = "select p.uid, t.uid from principal p, principal t where p.id = $1 and t.id = $2"


def _key(principal_id: int) -> str:
    return f"handover {principal_id}"


async def begin(connection: Connection, principal_id: int, to_principal_id: int, members: int) -> None:
    """Store the job, in the caller's transaction. Raises `InvalidPrincipal` where there is one for somebody else."""
    key = _key(principal_id)
    if await connection.fetchval(_OTHER, key, to_principal_id):
        raise InvalidPrincipal(BEGUN)
    await end(connection, principal_id)
    payload = {"person": principal_id, "to": to_principal_id}
    await enqueue(connection, Job(HANDOVERS, payload, lock_key=key, queueing_key=key, delay=LEASE))
    await connection.execute(_TOTAL, key, members)


async def copied(connection: Connection, home_id: int, members: int) -> None:
    """Note that members of a home were copied, and let the job wait."""
    principal_id = await connection.fetchval("select principal_id from home where id = $1", home_id)
    await connection.execute(_PUT_OFF, _key(principal_id), members, LEASE)


async def removed(database: Database, principal_id: int) -> None:
    """Let the job wait while what is left of the person is removed."""
    await database.fetch(_PUT_OFF, _key(principal_id), 0, LEASE)


async def end(connection: Connection, principal_id: int) -> None:
    """Remove the job of a handover that is over."""
    await connection.execute(_END, _key(principal_id), HANDOVERS)


async def people(database: Database, payload: Mapping[str, int]) -> tuple[str, str] | None:
    """The ids for front ends (uid) of the person and of the other; None where one of them is gone."""
    row = await database.fetchrow(_PEOPLE, payload["person"], payload["to"])
    return None if row is None else (row[0], row[1])
