"""The parts that all writes share: the call of a function of the database, and the notification of other workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from server.domain.changes import Cause, ObjectState, Unchanged
from server.domain.errors import NotFound, WriteConflict
from server.domain.events import JOBS, Change
from server.domain.jobs import Job
from server.domain.objects import Collection, Home, NewCollection
from storage_plugins.postgres.database import Connection, Database
from storage_plugins.postgres.jobs import enqueue
from storage_plugins.postgres.notifier import Notifier
from storage_plugins.postgres.upkeep.statistics import Statistics

LOCK_HOMES = "select from home h where h.id = any($1::bigint[]) order by h.id for no key update"
_CHANGED = """
    select exists (
        select from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
            as u (home_id, collection_id, revision, viewer)
        where case when u.collection_id is null then
            not exists (select from home h where h.id = u.home_id and h.revision <= u.revision)
        else
            not exists (
                select from collection c
                where c.home_id = u.home_id and c.id = u.collection_id and c.revision <= u.revision
                  and c.deleted_at is null
            ) or exists (
                select from collection_view w
                where w.home_id = u.home_id and w.collection_id = u.collection_id and w.principal_id = u.viewer
                  and w.revision > u.revision
            ) or exists (
                select from home h join binding b on b.home_id = h.id
                where h.principal_id = u.viewer and b.collection_home_id = u.home_id
                  and b.collection_id = u.collection_id and b.deleted_revision is null
                  and b.view_revision > u.revision
            )
        end
    )
"""


_RECORD = (
    "set_config('koyomi.acting_for', coalesce({acting_for}::bigint::text, ''), true), "
    "set_config('koyomi.trace', {trace}::text, true)"
)
"""Defaults of the outbox read these settings of the transaction. So functions need no parameters for them,
and changes without a delegate cost nothing more."""
_RECORD_FIRST = f"select {_RECORD.format(acting_for='$1', trace='$2')}"


class Writing:
    """The part of the storage that all writes share."""

    database: Database
    _notifier: Notifier | None
    _statistics: Statistics
    _restore_days: int

    async def _write(
        self,
        sql: str,
        *arguments: object,
        cause: Cause,
        unchanged: Sequence[Unchanged] = (),
        homes: Sequence[int] = (),
        jobs: Sequence[Job] = (),
    ) -> asyncpg.Record:
        row = await write(self.database, sql, arguments, cause, unchanged, homes, jobs)
        if jobs:
            self.announce_jobs()
        return row

    def _changed(self, home_id: int, collection_id: int | None, revision: Any) -> int:
        """Notify other workers of a commit. Returns the revision."""
        self._statistics.written()
        if self._notifier is not None:
            self._notifier.announce(Change(home_id, collection_id, revision))
        return int(revision)

    def announce_change(self, change: Change) -> None:
        """Notify all workers of what `server.domain.events` names."""
        if self._notifier is not None:
            self._notifier.announce(change)

    def announce_jobs(self) -> None:
        """Notify the runners of all workers that jobs may have become due."""
        if self._notifier is not None:
            self._notifier.announce(JOBS)


async def write(
    database: Database,
    sql: str,
    arguments: tuple[object, ...],
    cause: Cause,
    unchanged: Sequence[Unchanged] = (),
    homes: Sequence[int] = (),
    jobs: Sequence[Job] = (),
) -> asyncpg.Record:
    """Call a function of the database as one transaction, and store jobs in it. `homes` are the ids of those that it
    locks.

    The arguments hold what `by` gives of the cause.

    Raises `WriteConflict` if one of the states in `unchanged` has changed, and what the function raises.
    """
    if not (unchanged or jobs):
        sql, arguments = recorded(sql, arguments, cause)
        row = await database.fetchrow(sql, *arguments)
    else:
        async with database.transaction() as connection:
            await record(connection, cause)
            await require_unchanged(connection, unchanged, homes)
            row = await connection.fetchrow(sql, *arguments)
            for job in jobs:
                await enqueue(connection, job)
    if row is None:
        raise NotFound
    return row


async def require_unchanged(connection: Connection, unchanged: Sequence[Unchanged], homes: Sequence[int]) -> None:
    """Lock homes, and those of the states: every change in a home locks the row of the home.

    Raises `WriteConflict` if one of the states in `unchanged` has changed.
    """
    await connection.execute(LOCK_HOMES, [*homes, *(state.home_id for state in unchanged)])
    if not unchanged:
        return
    columns = zip(*((s.home_id, s.collection_id, s.revision, s.viewer) for s in unchanged), strict=True)
    if await connection.fetchval(_CHANGED, *map(list, columns)):
        raise WriteConflict


def call(function: str, arguments: int) -> str:
    """The statement that calls a function with that many arguments."""
    return f"select * from {function}({', '.join(f'${n}' for n in range(1, arguments + 1))})"  # noqa: S608


def place(collection: Collection) -> tuple[object, ...]:
    """The collection of a member, and the binding that a write is based on."""
    return collection.home_id, collection.id, collection.binding_home_id, collection.name, collection.incarnation


def binding(home: Home, collection: Collection) -> tuple[object, ...]:
    """A collection as a home shows it."""
    return home.id, collection.name, collection.home_id, collection.id, collection.incarnation


def based_on(expected: ObjectState | None) -> tuple[int | None, int | None]:
    """Id and revision that a write is based on."""
    return (None, None) if expected is None else (expected.id, expected.revision)


def by(cause: Cause) -> tuple[object, ...]:
    """The principal, origin and request of a change; `recorded` and `record` add the rest of the cause."""
    return cause.principal_id, cause.origin, cause.request_id


def recorded(sql: str, arguments: tuple[object, ...], cause: Cause) -> tuple[str, tuple[object, ...]]:
    """A statement that calls a function as its own transaction, with the parts of the cause that `by` leaves out."""
    if cause.acting_for is None and not cause.trace:
        return sql, arguments
    count = len(arguments)
    settings = _RECORD.format(acting_for=f"${count + 1}", trace=f"${count + 2}")
    # The left side of a left join is read first, and a volatile function in it is not left out.
    sql = f"select written.* from (select {settings}) as cause left join lateral ({sql}) as written on true"  # noqa: S608
    return sql, (*arguments, cause.acting_for, cause.trace)


async def record(connection: Connection, cause: Cause) -> None:
    """Record the changes of this transaction with the parts of the cause that `by` leaves out."""
    if cause.acting_for is not None or cause.trace:
        await connection.execute(_RECORD_FIRST, cause.acting_for, cause.trace)


def new_collection(new: NewCollection) -> tuple[object, ...]:
    """A collection to be made."""
    return new.name, new.kind, new.components, new.timezone, new.source, dict(new.properties) or None


def split(properties: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    """The properties to set, and the names of those to remove."""
    return (
        {name: value for name, value in properties.items() if value is not None},
        [name for name, value in properties.items() if value is None],
    )
