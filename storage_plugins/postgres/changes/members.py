"""`Storage.apply`: puts, deletes, moves and copies members, and sets their properties and views.

A set of one write, of the two writes of a move, of puts and deletions only, of properties only, or of copies to free
names only, is one statement in one round trip; one of puts and deletions may also set what their homes know of
messages. All other sets, and those that compare other states, are transactions.
These first lock all rows that their statements lock: the existing objects, then the homes, each in the order of ids. So
two sets never wait for each other in a circle, whatever the order of their writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeGuard

import asyncpg

from server.domain.changes import (
    ChangeSet,
    CopyMembers,
    Delete,
    ObjectState,
    Put,
    Remember,
    SetPersonal,
    SetProperties,
    StoredContent,
    Unchanged,
    UnchangedObject,
    UnchangedRoom,
    Write,
    Written,
)
from server.domain.contents import ObjectContent, PlainText
from server.domain.errors import AlreadyReserved, KoyomiError, SchedulingObjectExists, WriteConflict
from server.domain.scheduling import SchedulingRole
from storage_plugins.postgres.changes import dispatches, mails, set_statement
from storage_plugins.postgres.changes.clocks import supplies_clocks
from storage_plugins.postgres.changes.member_statements import Statement, statement
from storage_plugins.postgres.changes.rooms import require_unchanged as require_unchanged_rooms
from storage_plugins.postgres.changes.writing import Writing, call, record, recorded, require_unchanged
from storage_plugins.postgres.database import Connection
from storage_plugins.postgres.jobs import enqueue
from storage_plugins.postgres.sqlstates import domain_error

_LOCK_OBJECTS = "select koyomi_lock_objects_1($1, $2, $3)"
_COPY_MEMBERS = call("koyomi_copy_members_1", 9)
_MAKE_PLAIN = call("koyomi_make_plain_1", 6)
COPY_LEASE = timedelta(seconds=20)
"""How long the job of a copy waits after each set for the next."""
_REMEMBER = "select koyomi_remember_1($1, $2, $3, $4)"
_REMEMBERING = """
    with written as materialized ({sql}), remembered as materialized (
        select koyomi_remember_1(${homes}, ${uids}, ${versions}, ${states}) from (select count(*) from written) as made
    )
    select written.* from written cross join remembered order by 1
"""
"""A statement that makes a set, and then, while it holds the homes, sets what they know."""
_ADD_PROPERTIES = call("koyomi_add_properties_1", 4)
_RELEASE_ROLES = "select koyomi_release_roles_1($1, $2)"
_RELEASE_UIDS = "select koyomi_release_uids_1($1, $2)"


@dataclass(frozen=True, slots=True)
class _Step:
    """A statement that makes a write, or the two of a move."""

    index: int
    """Of the write."""
    write: Write
    deletion: int | None
    """Of a move: the index of the deletion."""
    statement: Statement


class MemberWrites(Writing):
    """The part of the storage that writes members."""

    @supplies_clocks
    async def apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        """Make all writes of a set, or none. Raises as `Storage.apply` says."""
        try:
            return await self._apply(changes)
        except AlreadyReserved as error:
            error.write = _put_in(error.home_id, changes.writes)
            raise
        except SchedulingObjectExists:
            # The object that has the UID may be in a deleted collection.
            homes, uids = _scheduling_uids(changes.writes)
            if not homes or not await self.database.fetchval(_RELEASE_UIDS, homes, uids):
                raise
            return await self._apply(changes)

    async def _apply(self, changes: ChangeSet) -> tuple[Written, ...]:
        writes = changes.writes
        if changes.copied is not None:
            await self._copy(changes.copied, changes)
            return ()
        if len(writes) == 1 and _rests_on_nothing_else(changes) and _is_simple(writes[0]) and not changes.graced:
            row = await self._alone(0, statement(writes[0], changes, self._restore_days), changes)
            return (self._written(writes[0], row),)
        if (len(writes) > 1 or changes.graced) and set_statement.is_plain(writes):
            return await self._at_once(writes, changes)
        if len(writes) > 1 and _rests_on_nothing_else(changes) and set_statement.sets_properties(writes):
            return await self._set_properties(writes, changes)
        if len(writes) > 1 and _rests_on_nothing_else(changes) and set_statement.copies(writes):
            sql, arguments = recorded(*set_statement.of_copies(writes, changes, self._restore_days), changes.cause)
            return self._all_at_once(writes, dict(enumerate(await self.database.fetch(sql, *arguments))))
        steps = self._steps(changes)
        if len(steps) == 1 and _rests_on_nothing_else(changes) and not _has_properties(steps[0].write):
            rows = [await self._alone(steps[0].index, steps[0].statement, changes)]
        else:
            rows = await self._one_by_one(changes, steps)
        return self._all_written(writes, steps, rows)

    async def _copy(self, copied: CopyMembers, changes: ChangeSet) -> None:
        """Copy members into a collection without binding. Other workers are not notified."""
        async with self.database.transaction() as connection:
            await connection.fetchval(
                _COPY_MEMBERS,
                copied.home_id,
                copied.collection_id,
                copied.after,
                copied.position,
                [member.id for member in copied.members],
                [member.revision for member in copied.members],
                copied.names,
                COPY_LEASE,
                changes.limits.quota_bytes,
            )
            await make_plain(connection, copied.home_id, copied.collection_id, copied.plain)

    def _steps(self, changes: ChangeSet) -> list[_Step]:
        """The statements of a set: those that only delete come first, then moves, for a put can follow its move."""
        writes = changes.writes
        moves = _moves(writes)
        steps = [
            _Step(index, write, moves.get(index), statement(write, changes, self._restore_days))
            for index, write in enumerate(writes)
            if index not in moves.values()
        ]
        if len(steps) > 1:
            steps.sort(key=_order)
        return steps

    async def _alone(self, index: int, made: Statement, changes: ChangeSet) -> asyncpg.Record:
        """One statement, which is its own transaction; `index` is that of its write."""
        sql, arguments = recorded(*made, changes.cause)
        try:
            row = await self.database.fetchrow(sql, *arguments)
        except KoyomiError as error:
            error.write = index
            raise
        assert row is not None
        return row

    async def _at_once(self, writes: Sequence[Put | Delete], changes: ChangeSet) -> tuple[Written, ...]:
        """One statement for a set of puts and deletions."""
        sql, arguments = set_statement.statement(writes, changes, self._restore_days)
        if _rests_on_held_homes(changes):
            sql, arguments = _remembering(*recorded(sql, arguments, changes.cause), changes.remembered)
            rows = await self.database.fetch(sql, *arguments)
        else:
            async with self._holding(changes) as connection:
                try:
                    rows = await connection.fetch(sql, *arguments)
                except asyncpg.PostgresError as error:
                    raise domain_error(error) from error
        return self._all_at_once(changes.writes, dict(enumerate(rows)))

    async def _set_properties(self, writes: Sequence[SetProperties], changes: ChangeSet) -> tuple[Written, ...]:
        """One statement for a set that only sets properties."""
        sql, arguments = recorded(*set_statement.of_properties(writes, changes), changes.cause)
        rows = await self.database.fetch(sql, *arguments)
        return tuple(
            Written(self._changed(write.collection.home_id, write.collection.id, row[1]), write.expected.id, None)
            for write, row in zip(writes, rows, strict=True)
        )

    def _all_at_once(self, writes: tuple[Write, ...], rows: Mapping[int, asyncpg.Record]) -> tuple[Written, ...]:
        """What each write has left, in their order; `rows` by their indexes."""
        written = []
        for index, write in enumerate(writes):
            self._changed(write.collection.home_id, write.collection.id, rows[index][1])
            written.append(Written(*rows[index][1:]))
        return tuple(written)

    async def _one_by_one(self, changes: ChangeSet, steps: list[_Step]) -> list[asyncpg.Record]:
        """One transaction of several statements."""
        rows: list[asyncpg.Record] = []
        moved: dict[ObjectState, ObjectState] = {}
        async with self._holding(changes) as connection:
            for step in steps:
                if step.write.expected in moved:
                    write = replace(step.write, expected=moved[step.write.expected])
                    step = replace(step, write=write, statement=statement(write, changes, self._restore_days))
                rows.append(await _make(connection, step, changes.limits.quota_bytes))
                if step.deletion is not None:
                    moved[_stored_in(step.write).state] = ObjectState(rows[-1][1], rows[-1][0])
        return rows

    @contextlib.asynccontextmanager
    async def _holding(self, changes: ChangeSet) -> AsyncIterator[Connection]:
        """A transaction that holds the objects and homes of a set, after the states in `unchanged` were compared."""
        objects = _objects(changes)
        states = [state for state in changes.unchanged if isinstance(state, Unchanged)]
        rooms = [state for state in changes.unchanged if isinstance(state, UnchangedRoom)]
        async with self.database.transaction() as connection:
            await record(connection, changes.cause)
            if rooms:
                await require_unchanged_rooms(connection, rooms)
            columns = zip(*((home_id, id_, revision) for id_, home_id, revision, _ in objects), strict=True)
            if objects and (changed := await connection.fetchval(_LOCK_OBJECTS, *map(list, columns))) is not None:
                raise _of(objects[changed - 1][3], WriteConflict())
            homes = [*_homes(changes.writes), *(each.home_id for each in changes.remembered)]
            homes += [each.home_id for each in changes.dispatches if each.id is None]
            homes += [each.home_id for each in changes.released]
            homes += [each.home_id for each in changes.mails]
            await require_unchanged(connection, states, homes)
            if changes.remembered:
                await _remember(connection, changes.remembered)
            if changes.released:
                places = [each.home_id for each in changes.released], [each.state.id for each in changes.released]
                if await connection.fetchval(_RELEASE_ROLES, *places) != len(changes.released):
                    raise WriteConflict  # the collection was restored
            yield connection
            await dispatches.store(connection, changes.dispatches)
            for sent in changes.mails:
                await mails.store(connection, sent, changes.cause)
            # Last, since a waiting job that takes another in stays locked until the end of the transaction.
            for job in sorted(changes.jobs, key=lambda job: (job.kind, job.queueing_key or "")):
                await enqueue(connection, job)
        if changes.jobs or changes.mails:
            self.announce_jobs()

    def _all_written(
        self, writes: tuple[Write, ...], steps: list[_Step], rows: list[asyncpg.Record]
    ) -> tuple[Written, ...]:
        """The results of all writes, in their order."""
        written: list[Written | None] = [None] * len(writes)
        for step, row in zip(steps, rows, strict=True):
            written[step.index] = self._written(step.write, row)
            if step.deletion is not None:
                source = writes[step.deletion].collection
                written[step.deletion] = Written(self._changed(source.home_id, source.id, row[3]), row[1], None)
        return tuple(one for one in written if one is not None)

    def _written(self, write: Write, row: asyncpg.Record) -> Written:
        """The result of a write, about which other workers are notified."""
        home_id, collection_id = write.collection.home_id, write.collection.id
        match write:
            case Put():
                return Written(self._changed(home_id, collection_id, row[0]), row[1], row[2])
            case SetPersonal():
                return Written(self._changed(row[3], collection_id, row[0]), row[1], row[2])
            case _:
                return Written(self._changed(home_id, collection_id, row[0]), write.expected.id, None)


async def make_plain(
    connection: Connection, home_id: int, collection_id: int, plain: Sequence[tuple[str, PlainText]]
) -> None:
    """Give copies of meetings, by their names in a collection, other texts."""
    if plain:
        texts = [text for _, text in plain]
        columns = [each.uid for each in texts], [each.etag for each in texts], [each.text for each in texts]
        await connection.execute(_MAKE_PLAIN, home_id, collection_id, [name for name, _ in plain], *columns)


def _remembering(sql: str, arguments: tuple[object, ...], remembered: Sequence[Remember]) -> Statement:
    """A statement that makes a set and sets what homes know."""
    if not remembered:
        return sql, arguments
    at = len(arguments)
    places = {name: at + place for place, name in enumerate(("homes", "uids", "versions", "states"), 1)}
    return _REMEMBERING.format(sql=sql, **places), (*arguments, *_remembered_columns(remembered))


def _remembered_columns(remembered: Sequence[Remember]) -> tuple[list[object], ...]:
    columns = zip(*((each.home_id, each.uid, each.version, each.state) for each in remembered), strict=True)
    return tuple(map(list, columns))


async def _remember(connection: Connection, remembered: Sequence[Remember]) -> None:
    try:
        await connection.execute(_REMEMBER, *_remembered_columns(remembered))
    except asyncpg.PostgresError as error:
        raise domain_error(error) from error


async def _make(connection: Connection, step: _Step, quota_bytes: int) -> asyncpg.Record:
    """Make a write whose objects and homes are locked."""
    sql, arguments = step.statement
    write = step.write
    try:
        row = await connection.fetchrow(sql, *arguments)
        assert row is not None
        if _has_properties(write):
            arguments = (write.collection.home_id, row[1], dict(write.properties), quota_bytes)
            await connection.execute(_ADD_PROPERTIES, *arguments)
    except asyncpg.PostgresError as error:
        raise _of(step.index, domain_error(error)) from error
    return row


def _of(index: int | None, error: BaseException) -> BaseException:
    """The error with the index of the write that failed."""
    if isinstance(error, KoyomiError):
        error.write = index
    return error


def _order(step: _Step) -> int:
    """The place of a statement in its set."""
    if isinstance(step.write, Delete):
        return 0
    return 2 if step.deletion is None else 1


def _rests_on_nothing_else(changes: ChangeSet) -> bool:
    """Whether a set compares no states other than those of its writes: then it may be one statement."""
    return not (changes.remembered or _has_more(changes))


def _rests_on_held_homes(changes: ChangeSet) -> bool:
    """Whether a set compares no states but those of its writes, and what their homes know."""
    homes = {write.collection.home_id for write in changes.writes}
    return not _has_more(changes) and all(each.home_id in homes for each in changes.remembered)


def _has_more(changes: ChangeSet) -> bool:
    """Whether a set compares or stores more than its writes, and what homes know."""
    return bool(changes.unchanged or changes.dispatches or changes.mails or changes.jobs or changes.released)


def _is_simple(write: Write) -> bool:
    """Whether a write that is alone in its set is one statement."""
    return not isinstance(write, Put) or not (write.properties or write.keep_id)


def _has_properties(write: Write) -> TypeGuard[Put]:
    """Whether a write sets dead properties beside the content, which needs a second statement."""
    return isinstance(write, Put) and bool(write.properties)


def _moves(writes: tuple[Write, ...]) -> dict[int, int]:
    """The indexes of the writes that move, with those of the deletions of what they move."""
    moved = [(index, write.content) for index, write in enumerate(writes) if isinstance(write, Put) and write.keep_id]
    deletions = {
        (write.collection.id, write.name): index for index, write in enumerate(writes) if isinstance(write, Delete)
    }
    found = {}
    for index, content in moved:
        at = deletions.get((content.collection.id, content.name)) if isinstance(content, StoredContent) else None
        if at is None:
            raise ValueError("A move needs stored content, in a set that deletes what it is stored of.")
        found[index] = at
    return found


def _put_in(home_id: int | None, writes: tuple[Write, ...]) -> int | None:
    """The index of the first write that puts something into a home."""
    return next(
        (
            index
            for index, write in enumerate(writes)
            if isinstance(write, Put) and write.collection.home_id == home_id and write.collection.kind == "calendar"
        ),
        None,
    )


def _scheduling_uids(writes: tuple[Write, ...]) -> tuple[list[int], list[str]]:
    """Homes and UIDs of the scheduling objects that are put."""
    found = [
        (write.collection.home_id, write.content.uid)
        for write in writes
        if isinstance(write, Put)
        and isinstance(write.content, ObjectContent)
        and write.content.scheduling.role in (SchedulingRole.ORGANIZER, SchedulingRole.ATTENDEE)
    ]
    return [home_id for home_id, _ in found], [uid for _, uid in found]


def _homes(writes: tuple[Write, ...]) -> list[int]:
    """The ids of the homes that writes lock."""
    homes = {write.collection.home_id for write in writes}
    homes.update(write.collection.binding_home_id for write in writes if isinstance(write, SetPersonal))
    homes.update(content.collection.home_id for _, content in _stored(writes))
    return sorted(homes)


def _objects(changes: ChangeSet) -> list[tuple[int, int, int, int | None]]:
    """The objects that a set locks, in order: id, home, revision, and the index of the write."""
    found: dict[tuple[int, int], tuple[int, int | None]] = {}
    for read in changes.unchanged:
        if isinstance(read, UnchangedObject):
            found[read.state.id, read.home_id] = read.state.revision, None
    for each in changes.released:
        found[each.state.id, each.home_id] = each.state.revision, None
    for index, content in _stored(changes.writes):
        found[content.state.id, content.collection.home_id] = content.state.revision, index
    for index, write in enumerate(changes.writes):
        if write.expected is not None:
            found[write.expected.id, write.collection.home_id] = write.expected.revision, index
    return sorted((id_, home_id, *state) for (id_, home_id), state in found.items())


def _stored_in(move: Write) -> StoredContent:
    """What a move puts."""
    assert isinstance(move, Put)
    assert isinstance(move.content, StoredContent)
    return move.content


def _stored(writes: tuple[Write, ...]) -> Iterator[tuple[int, StoredContent]]:
    for index, write in enumerate(writes):
        if isinstance(write, Put) and isinstance(write.content, StoredContent):
            yield index, write.content
