"""Copies of collections: in one transaction if the members fit in one set, otherwise set by set.

A copy of many sets is made in a collection without binding, which is bound at the end. Members are copied in the order
of their revisions, and copied again if they change meanwhile: the finished copy equals the source at one moment. The
request makes the copy. If it is interrupted, a job (kind `copies`) continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.domain.changes import Cause, ChangeSet, CopyMembers, CopyUnderWay, ObjectState, Unchanged, WriteLimits
from server.domain.contents import PlainText
from server.domain.errors import NotFound, QuotaExceeded, TooManyCollections, WriteConflict
from server.domain.jobs import Job
from server.domain.objects import Collection, Home, Target
from storage_plugins.postgres.changes.clocks import supplies_clocks
from storage_plugins.postgres.changes.members import COPY_LEASE, MemberWrites, make_plain
from storage_plugins.postgres.changes.writing import binding, by, call, record, require_unchanged
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.jobs import enqueue

AsPlain = Callable[[str], PlainText | None]
"""Makes the text of an event of the text of a meeting."""
SET_MEMBERS = 300
SET_BYTES = 8 * 1024 * 1024
SET_OCCURRENCES = 20_000
"""Bounds of one set. A member that exceeds them is a set of its own."""
_TRIES = 20
"""How often in a row a set may find that a member has changed since it was read."""
_NEWEST = 2**63 - 1
"""Greater than any revision."""

# What a set takes next. Tombstones concern a copy only if members were deleted after it began.
_NEXT = """
    select p.name, p.id, p.revision, p.live, p.found
    from (
        select n.name, n.id, n.revision, n.live, row_number() over w as number, sum(n.size) over w as bytes,
               sum(r.rows) over w as rows, count(*) over () as found
        from (
            select o.name, o.id, o.revision, o.deleted_revision is null as live, o.size
            from object o
            where o.home_id = $1 and o.collection_id = $2 and o.revision > $3
              and (o.deleted_revision is null or o.revision > $4)
            order by o.revision limit $5
        ) as n
        cross join lateral (
            select count(*) as rows from occurrence x where x.home_id = $1 and x.object_id = n.id
        ) as r
        window w as (order by n.revision)
    ) as p
    where p.number = 1 or (p.number < $5 and p.bytes <= $6 and p.rows <= $7)
    order by p.revision
"""
_MEETINGS = """
    select o.name, case when p.id is null then o.text else coalesce(v.text, o.neutral_text, o.text) end
    from unnest($2::bigint[]) as m (id)
    join object o on o.home_id = $1 and o.id = m.id
    left join (select h.principal_id as id from home h where h.id = $3 and h.id <> $1) as p on true
    left join object_view v on v.home_id = o.home_id and v.object_id = o.id and v.principal_id = p.id
    where o.organizer is not null and o.component in ('VEVENT', 'VTODO')
    order by o.name
"""
_COPY_PARTS = """
    select i.id, koyomi_copy_parts_1($1, i.id, $2, $3, $4, $5, null)
    from (select nextval(pg_get_serial_sequence('collection', 'id')) as id) as i
"""
_COPY_COLLECTION = call("koyomi_copy_collection_3", 17)
_BEGIN = call("koyomi_begin_copy_1", 17)
_FINISH = call("koyomi_finish_copy_1", 3)
_DROP = "select koyomi_drop_copy_1($1, $2, $3, $4)"
_FIND = """
    select c.home_id, c.collection_id, c.source_home_id, c.source_id, c.begun_revision, c.copied_revision, c.abandoned,
           c.principal_id, c.origin, c.request_id, c.acting_for, coalesce(c.trace, '')
    from collection_copy c where c.home_id = $1 and c.collection_id = $2
"""
_UNDER_WAY = """
    select p.uid, h.kind, c.source_name, case when c.replaced_home_id = c.home_id then c.replaced_id end,
           c.principal_id, c.origin, c.request_id, c.acting_for, coalesce(c.trace, '')
    from collection_copy c join home h on h.id = c.home_id join principal p on p.id = h.principal_id
    where c.home_id = $1 and c.collection_id = $2
"""
_SHOWN = """
    select b.revision from binding b
    where b.home_id = $1 and b.collection_home_id = $1 and b.collection_id = $2 and b.deleted_revision is null
"""
_WITHOUT_JOB = """
    select c.home_id, c.collection_id from collection_copy c where not exists (select from job j where j.id = c.job_id)
"""


@dataclass(frozen=True, slots=True)
class _Next:
    """The next members to copy."""

    members: tuple[ObjectState, ...]
    gone: bool
    """Whether members were deleted after the copy began."""
    names: tuple[str, ...]
    """Names of the members, and of deleted ones."""
    position: int
    """The last revision."""
    whole: bool
    """Whether these are all."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy that is under way, as it is stored."""

    home_id: int
    collection_id: int
    source_home_id: int
    source_id: int
    begun: int
    """The revision of the source when it began."""
    copied: int
    """The revision up to which members have been copied."""
    abandoned: bool
    cause: Cause


class CopyWrites(MemberWrites):
    """The part of the storage that copies collections."""

    @supplies_clocks
    async def copy_collection(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        limits: WriteLimits,
        cause: Cause,
        *,
        with_members: bool,
        unchanged: Sequence[Unchanged] = (),
        as_plain: AsPlain | None = None,
        jobs: Sequence[Job] = (),
    ) -> int:
        """Copy a collection under another name of its home; `replaced` is deleted, with `jobs`, when the copy
        appears."""
        found = _Next((), False, (), 0, True)
        if with_members:
            found = await self._next(collection.home_id, collection.id, 0, _NEWEST)
        target = (name, replaced, limits, cause, unchanged)
        if found.whole:
            plain = await self._plain(as_plain, collection.home_id, home.id, found.members)
            revision = await self._copy_at_once(home, collection, found, *target, jobs, plain)
        else:
            revision = await self._go_on(await self._begin(home, collection, *target), limits, as_plain, jobs)
        if jobs:
            self.announce_jobs()
        if replaced is not None:
            self._changed(home.id, replaced.id, revision)
        return self._changed(home.id, None, revision)

    async def copy_under_way(self, home_id: int, collection_id: int) -> CopyUnderWay | None:
        """See `Changes`."""
        row = await self.database.fetchrow(_UNDER_WAY, home_id, collection_id)
        if row is None:
            return None
        uid, kind, name, replaced, *cause = row
        return CopyUnderWay(Target(uid, "uid", kind, name), Cause(*cause), replaced)

    async def give_up_copy(self, home_id: int, collection_id: int) -> None:
        """See `Changes`."""
        await _drop(self.database, home_id, collection_id)

    @supplies_clocks
    async def resume_copy(
        self,
        home_id: int,
        collection_id: int,
        limits: WriteLimits,
        *,
        as_plain: AsPlain | None = None,
        jobs: Sequence[Job] = (),
    ) -> None:
        """Continue an interrupted copy. A copy that is not possible is removed."""
        copy = await self._find(home_id, collection_id)
        if copy is None:
            return
        if copy.abandoned:
            await _drop(self.database, copy.home_id, copy.collection_id)
            return
        try:
            revision = await self._go_on(copy, limits, as_plain, jobs)
        except (NotFound, QuotaExceeded, TooManyCollections, WriteConflict):
            return
        self._changed(home_id, None, revision)
        if jobs:
            self.announce_jobs()

    # -- at once ------------------------------------------------------------------------------------------------------

    async def _copy_at_once(
        self,
        home: Home,
        collection: Collection,
        found: _Next,
        name: str,
        replaced: Collection | None,
        limits: WriteLimits,
        cause: Cause,
        unchanged: Sequence[Unchanged],
        jobs: Sequence[Job],
        plain: Sequence[tuple[str, PlainText]],
    ) -> int:
        """One transaction; the home is locked after the occurrences have been copied."""
        members = [member for _, member in sorted(zip(found.names, found.members, strict=True))]
        ids, revisions = [one.id for one in members], [one.revision for one in members]
        async with self.database.transaction() as connection:
            await record(connection, cause)
            parts = await connection.fetchrow(_COPY_PARTS, home.id, collection.home_id, collection.id, ids, revisions)
            assert parts is not None
            if unchanged:
                await require_unchanged(connection, unchanged, (home.id,))
            revision: int = await connection.fetchval(
                _COPY_COLLECTION,
                *binding(home, collection),
                name,
                parts[0],
                ids,
                parts[1],
                *_replaced(replaced),
                limits.quota_bytes,
                limits.max_collections,
                *by(cause),
            )
            await make_plain(connection, home.id, parts[0], plain)
            for job in jobs:
                await enqueue(connection, job)
        return revision

    # -- set by set ---------------------------------------------------------------------------------------------------

    async def _begin(
        self,
        home: Home,
        collection: Collection,
        name: str,
        replaced: Collection | None,
        limits: WriteLimits,
        cause: Cause,
        unchanged: Sequence[Unchanged],
    ) -> _Copy:
        """Make the new collection, and the job that continues an interrupted copy."""
        async with self.database.transaction() as connection:
            if unchanged:
                await require_unchanged(connection, unchanged, (home.id,))
            collection_id = await connection.fetchval(
                _BEGIN,
                *binding(home, collection),
                name,
                *_replaced(replaced),
                limits.quota_bytes,
                limits.max_collections,
                COPY_LEASE,
                *by(cause),
                cause.acting_for,
                cause.trace or None,
            )
        copy = await self._find(home.id, collection_id)
        if copy is None:
            raise WriteConflict
        return copy

    async def _go_on(self, copy: _Copy, limits: WriteLimits, as_plain: AsPlain | None, jobs: Sequence[Job]) -> int:
        """Copy the remaining members and bind the copy. Returns its revision. A copy that is not possible is removed.

        Raises `NotFound`, `QuotaExceeded`, `TooManyCollections`, `WriteConflict`.
        """
        try:
            revision = None
            while revision is None:
                copy = await self._copy_rest(copy, limits, as_plain)
                revision = await self._finish(copy, limits, jobs)
        except (NotFound, QuotaExceeded, TooManyCollections, WriteConflict):
            # Another process may have made it.
            shown: int | None = await self.database.fetchval(_SHOWN, copy.home_id, copy.collection_id)
            if shown is None:
                await _drop(self.database, copy.home_id, copy.collection_id)
                raise
            return shown
        return revision

    async def _copy_rest(self, copy: _Copy, limits: WriteLimits, as_plain: AsPlain | None) -> _Copy:
        conflicts = 0
        while (found := await self._next(copy.source_home_id, copy.source_id, copy.copied, copy.begun)).names:
            # Nothing was copied before of what has not changed since the beginning.
            names = found.names if found.gone or found.position > copy.begun else None
            plain = await self._plain(as_plain, copy.source_home_id, copy.home_id, found.members)
            place = copy.home_id, copy.collection_id
            members = CopyMembers(*place, found.members, names, copy.copied, found.position, tuple(plain))
            try:
                await self.apply(ChangeSet((), limits, copy.cause, copied=members))
            except WriteConflict:
                conflicts += 1
                stored = await self._find(copy.home_id, copy.collection_id)
                if stored is None or conflicts == _TRIES:
                    raise
                copy = stored
            else:
                copy, conflicts = replace(copy, copied=found.position), 0
        return copy

    async def _finish(self, copy: _Copy, limits: WriteLimits, jobs: Sequence[Job]) -> int | None:
        """Bind a copy. Returns its revision, or None if the source has changed."""
        arguments = copy.home_id, copy.collection_id, limits.max_collections
        async with self.database.transaction() as connection:
            await record(connection, copy.cause)
            found: int | None = await connection.fetchval(_FINISH, *arguments)
            for job in jobs if found is not None else ():
                await enqueue(connection, job)
        return found

    async def _plain(
        self, as_plain: AsPlain | None, source_home_id: int, home_id: int, members: Sequence[ObjectState]
    ) -> list[tuple[str, PlainText]]:
        """The texts that the copies of meetings get, in the view of the owner of the home that they go to."""
        if as_plain is None:
            return []
        rows = await self.database.fetch(_MEETINGS, source_home_id, [each.id for each in members], home_id)
        texts = await asyncio.to_thread(lambda: [(name, as_plain(text)) for name, text in rows])
        return [(name, plain) for name, plain in texts if plain is not None]

    async def _next(self, home_id: int, collection_id: int, after: int, begun: int) -> _Next:
        bounds = SET_MEMBERS + 1, SET_BYTES, SET_OCCURRENCES
        rows = await self.database.fetch(_NEXT, home_id, collection_id, after, begun, *bounds)
        members = tuple(ObjectState(id_, revision) for _, id_, revision, live, _ in rows if live)
        return _Next(
            members,
            gone=len(members) < len(rows),
            names=tuple(row[0] for row in rows),
            position=rows[-1][2] if rows else after,
            whole=not rows or len(rows) == rows[0][4],
        )

    async def _find(self, home_id: int, collection_id: int) -> _Copy | None:
        row = await self.database.fetchrow(_FIND, home_id, collection_id)
        if row is None:
            return None
        cause: tuple[Any, ...] = row[7:]
        return _Copy(row[0], row[1], row[2], row[3], row[4], row[5], row[6], Cause(*cause))


async def drop_without_job(database: Database) -> int:
    """Remove the copies whose jobs an administrator has dropped. Returns their number."""
    rows = await database.fetch(_WITHOUT_JOB)
    for home_id, collection_id in rows:
        await _drop(database, home_id, collection_id)
    return len(rows)


async def _drop(database: Database, home_id: int, collection_id: int) -> None:
    """Remove an unfinished copy, in short transactions."""
    while await database.fetchval(_DROP, home_id, collection_id, SET_MEMBERS, COPY_LEASE):
        pass


def _replaced(collection: Collection | None) -> tuple[int | None, ...]:
    return (None,) * 3 if collection is None else (collection.home_id, collection.id, collection.incarnation)
