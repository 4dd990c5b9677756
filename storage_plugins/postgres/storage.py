"""`server.storage.Storage` on PostgreSQL. Every method is one statement, in one round trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, cast
from uuid import UUID

import asyncpg

from server.calendar.occurrences import Occurrence
from server.errors import BadRequest, DatabaseError, NotFound, Unavailable
from server.storage import (
    PERSONAL_PROPERTIES,
    BusyTimes,
    Cause,
    Change,
    Collection,
    Home,
    MemberColumn,
    NewCollection,
    ObjectContent,
    ObjectState,
    PropertyChanges,
    Resolution,
    Row,
    Target,
    WriteLimits,
    Written,
)
from storage_plugins.postgres import columnwise, members, occurrence_reads, occurrence_rows, resolve
from storage_plugins.postgres.database import DEFAULT_LIMITS, Database, DatabaseLimits
from storage_plugins.postgres.migrations import schema_state
from storage_plugins.postgres.notifier import Notifier
from storage_plugins.postgres.statistics import Statistics


def _call(function: str, arguments: int) -> str:
    return f"select * from {function}({', '.join(f'${n}' for n in range(1, arguments + 1))})"  # noqa: S608


_SHOWN = (
    "binding b join collection c on c.home_id = b.collection_home_id and c.id = b.collection_id "
    "left join collection_view w on w.home_id = c.home_id and w.collection_id = c.id and w.principal_id = $2"
)
_COLLECTIONS = (
    f"select {resolve.COLLECTION} from {_SHOWN} "  # noqa: S608
    "where b.home_id = $1 and b.deleted_revision is null and c.deleted_at is null order by b.name"
)
_HOME_CHANGES = (
    f"select h.revision, h.incarnation, h.sync_floor, h.infinite_sync_floor, {resolve.COLLECTION} "  # noqa: S608
    f"from home h left join ({_SHOWN}) on b.home_id = h.id and {resolve.BINDING_REVISION} > $3 "
    "and (b.deleted_revision is not null or c.deleted_at is null) "
    f"where h.id = $1 order by {resolve.BINDING_REVISION}"
)
_PUT_OBJECT = _call("koyomi_put_object_1", 40)
_DELETE_OBJECT = _call("koyomi_delete_object_1", 10)
_TRANSFER_OBJECT = _call("koyomi_transfer_object_1", 21)
_SET_OBJECT_PROPERTIES = _call("koyomi_set_object_properties_1", 12)
_CREATE_COLLECTION = _call("koyomi_create_collection_1", 11)
_SET_COLLECTION_PROPERTIES = _call("koyomi_set_collection_properties_1", 15)
_SET_HOME_PROPERTIES = _call("koyomi_set_home_properties_1", 6)
_DELETE_COLLECTION = _call("koyomi_delete_collection_1", 14)
_COPY_COLLECTION = _call("koyomi_copy_collection_1", 15)
_MOVE_COLLECTION = _call("koyomi_move_collection_1", 12)


class PostgresStorage:
    """The storage of one worker; use between `open` and `close`, or as an asynchronous context manager."""

    def __init__(
        self,
        dsn: str,
        limits: DatabaseLimits = DEFAULT_LIMITS,
        *,
        restore_days: int = 30,
        application: str = "koyomi",
        notify: bool = True,
    ) -> None:
        """`restore_days`: how long what is deleted can be restored. Without `notify` it tells and hears nothing."""
        self.database = Database(dsn, limits, application=application)
        self._notifier = Notifier(dsn, application=application) if notify else None
        self._statistics = Statistics(self.database)
        self._principals = resolve.PrincipalCache()
        self._restore_days = restore_days

    async def open(self) -> None:
        """Connect. Raises `Unavailable` or `DatabaseError` when that fails."""
        await self.database.open()
        if self._notifier is not None:
            await self._notifier.open()

    async def close(self) -> None:
        """Tell what is still to be told and close all connections."""
        await self._statistics.close()
        if self._notifier is not None:
            await self._notifier.close()
        await self.database.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    async def resolve(self, viewer: int | None, target: Target | None, *, text: bool = False) -> Resolution:
        """Who asks (principal id `viewer`) and what `target` names."""
        sql, arguments = resolve.query(viewer, target, text=text)
        row = await self.database.fetchrow(sql, *arguments)
        if row is None:
            return Resolution(None)
        asking, owner = self._principals.named(row)
        if missing := resolve.missing(row, asking, owner):
            read = [self._principals.add(found) for found in await self.database.fetch(resolve.PRINCIPALS, missing)]
            by_id = {principal.id: principal for principal in read}
            asking, owner = asking or by_id.get(row[0]), owner or by_id.get(row[2])
        return resolve.resolution(row, target, asking, owner)

    async def installation(self) -> UUID:
        """The id of this installation's data."""
        found = await self.database.fetchval("select id from installation")
        if not isinstance(found, UUID):
            raise DatabaseError("The database has no row in `installation`.")
        return UUID(int=found.int)

    async def collections(self, home: Home, viewer: int) -> list[Collection]:
        """The collections that a home shows, by name, in the viewer's view."""
        return [resolve.collection(row) for row in await self.database.fetch(_COLLECTIONS, home.id, viewer)]

    async def home_changes(self, home: Home, viewer: int, after: int) -> tuple[Home, list[Collection]]:
        """A home, and its collections that changed after a revision, in one snapshot."""
        rows = await self.database.fetch(_HOME_CHANGES, home.id, viewer, after)
        if not rows:
            raise NotFound
        revision, incarnation, sync_floor, infinite_sync_floor = rows[0][:4]
        now = replace(
            home,
            revision=revision,
            incarnation=incarnation,
            sync_floor=sync_floor,
            infinite_sync_floor=infinite_sync_floor,
        )
        return now, [resolve.collection(row[4:]) for row in rows if row[4] is not None]

    async def members(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: str | None, limit: int
    ) -> Sequence[Row]:
        """A page of the members in order of names, those behind the name `after`."""
        return await self._page(columns, members.page(columns), collection.home_id, collection.id, after or "", limit)

    async def members_named(
        self, named: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The members of those names that exist, by (collection id, name)."""
        if not named:
            return {}
        first = named[0][0]
        names = [name for _, name in named]
        if all(collection.id == first.id for collection, _ in named):
            rows = await self.database.fetch(members.named(columns), first.home_id, first.id, names)
        else:
            rows = await self.database.fetch(
                members.named_anywhere(columns),
                [collection.home_id for collection, _ in named],
                [collection.id for collection, _ in named],
                names,
            )
        return {(row[0], row[1]): row[2:] for row in rows}

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""
        statement = members.changed(columns)
        return await self._page(columns, statement, collection.home_id, collection.id, after, up_to, limit)

    async def _page(self, columns: Sequence[MemberColumn], statement: str, *arguments: object) -> Sequence[Row]:
        names = tuple(columns)
        if not columnwise.is_columnwise(names):
            return _rows(await self.database.fetch(statement, *arguments))
        page = await self.database.fetchrow(columnwise.aggregate(names, statement), *arguments)
        return columnwise.rows(names, page)

    async def occurrences(
        self, collection: Collection, start: datetime | None, end: datetime | None
    ) -> tuple[Sequence[tuple[int, Occurrence]], Sequence[int]]:
        """What may lie in a window, by object id; and the objects whose stored occurrences do not cover it."""
        return occurrence_reads.occurrences(
            await self.database.fetch(
                occurrence_reads.IN_WINDOW, collection.home_id, collection.id, *occurrence_reads.window(start, end)
            )
        )

    async def busy_times(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> BusyTimes:
        """When the objects of a calendar are busy in `window`; floating times are looked for in `floating`."""
        rows = await self.database.fetch(
            occurrence_reads.BUSY_IN_WINDOW, collection.home_id, collection.id, *window, *floating
        )
        return occurrence_reads.busy(rows)

    async def members_by_id(
        self, collection: Collection, ids: Sequence[int], columns: Sequence[MemberColumn]
    ) -> Sequence[Row]:
        """The members with these ids that still exist, in order of names."""
        return _rows(
            await self.database.fetch(occurrence_reads.by_id(columns), collection.home_id, collection.id, list(ids))
        )

    async def members_of_component(
        self, collection: Collection, component: str, columns: Sequence[MemberColumn]
    ) -> Sequence[Row]:
        """All members that hold a component of a rare type, in order of names."""
        return _rows(
            await self.database.fetch(members.of_component(columns, component), collection.home_id, collection.id)
        )

    async def uid_holder(self, collection: Collection, uid: str) -> str | None:
        """The name of the member that has this UID."""
        row = await self.database.fetchrow(members.UID_HOLDER, collection.home_id, collection.id, uid)
        return None if row is None else str(row[0])

    # -- writing members ----------------------------------------------------------------------------------------------

    async def put_object(
        self,
        collection: Collection,
        name: str,
        content: ObjectContent,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        """Create or replace a member. Raises as `Storage.put_object` says."""
        row = await self._write(
            _PUT_OBJECT,
            *_place(collection),
            name,
            *_state(expected),
            content.uid,
            content.component,
            content.etag,
            content.schedule_tag,
            content.size,
            content.time_key,
            content.text,
            dict(content.summary) or None,
            content.tzids or None,
            limits.quota_bytes,
            limits.max_members,
            self._restore_days,
            *_by(cause),
            *occurrence_rows.arguments(content.materialised),
        )
        return self._written(collection, row)

    async def delete_object(self, collection: Collection, name: str, expected: ObjectState, cause: Cause) -> int:
        """Make a member a tombstone; gives the revision."""
        row = await self._write(_DELETE_OBJECT, *_place(collection), name, *_state(expected), *_by(cause))
        return self._changed(collection.home_id, collection.id, row[0])

    async def move_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        """Move a member, which keeps its id and dead properties; may replace what has the name."""
        return await self._transfer(True, source, source_name, source_state, destination, name, expected, limits, cause)

    async def copy_object(
        self,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        """Copy a member with its dead properties and occurrences; may replace what has the name."""
        return await self._transfer(
            False, source, source_name, source_state, destination, name, expected, limits, cause
        )

    async def set_object_properties(
        self, collection: Collection, name: str, state: ObjectState, changes: PropertyChanges, cause: Cause
    ) -> int:
        """Set dead properties of a member; the ETag stays, the revision moves."""
        row = await self._write(
            _SET_OBJECT_PROPERTIES,
            *_place(collection),
            name,
            *_state(state),
            *_split(changes.properties),
            *_by(cause),
        )
        return self._changed(collection.home_id, collection.id, row[0])

    async def _transfer(
        self,
        move: bool,
        source: Collection,
        source_name: str,
        source_state: ObjectState,
        destination: Collection,
        name: str,
        expected: ObjectState | None,
        limits: WriteLimits,
        cause: Cause,
    ) -> Written:
        if (source.id, source_name) == (destination.id, name):
            raise BadRequest("Source and destination are the same.")
        row = await self._write(
            _TRANSFER_OBJECT,
            move,
            *_place(source),
            source_name,
            *_state(source_state),
            *_place(destination),
            name,
            *_state(expected),
            limits.quota_bytes,
            limits.max_members,
            self._restore_days,
            *_by(cause),
        )
        if move:
            self._changed(source.home_id, source.id, row[3])
        return self._written(destination, row)

    # -- writing collections ------------------------------------------------------------------------------------------

    async def create_collection(self, home: Home, new: NewCollection, limits: WriteLimits, cause: Cause) -> Collection:
        """Make a collection. Raises `AlreadyExists`, `TooManyCollections`."""
        row = await self._write(_CREATE_COLLECTION, home.id, *_new(new), limits.max_collections, *_by(cause))
        id_, revision, incarnation, now = row
        self._changed(home.id, id_, revision)
        return Collection(
            home_id=home.id,
            id=id_,
            name=new.name,
            kind=new.kind,
            rights="owner",
            components=new.components,
            revision=revision,
            binding_revision=revision,
            incarnation=incarnation,
            sync_floor=0,
            member_count=0,
            used_bytes=0,
            created_at=now,
            modified_at=now,
            timezone=new.timezone,
            source=new.source,
            properties=dict(new.properties),
        )

    async def set_collection_properties(
        self, home: Home, collection: Collection, changes: PropertyChanges, viewer: int, cause: Cause
    ) -> int:
        """Set properties, in the viewer's view of another's collection; gives the revision."""
        shared, personal = changes.properties, None
        if viewer != home.principal_id or collection.rights != "owner":
            personal = {name: value for name, value in shared.items() if name in PERSONAL_PROPERTIES}
            shared = {name: value for name, value in shared.items() if name not in PERSONAL_PROPERTIES}
        row = await self._write(
            _SET_COLLECTION_PROPERTIES,
            *_binding(home, collection),
            *_split(shared),
            changes.timezone,
            changes.source,
            viewer if personal else None,
            *_split(personal or {}),
            *_by(cause),
        )
        revision, collection_revision = row
        if collection_revision is not None:
            self._changed(collection.home_id, collection.id, collection_revision)
        return self._changed(home.id, collection.id, revision)

    async def set_home_properties(self, home: Home, changes: PropertyChanges, cause: Cause) -> int:
        """Set dead properties of a home; gives the revision."""
        row = await self._write(_SET_HOME_PROPERTIES, home.id, *_split(changes.properties), *_by(cause))
        return self._changed(home.id, None, row[0])

    async def delete_collection(
        self, home: Home, collection: Collection, cause: Cause, *, replacement: NewCollection | None = None
    ) -> int:
        """Unbind a collection, with `replacement` in the same transaction; gives the last revision.

        Raises `WriteConflict` too when an address-book home would be left without an address book.
        """
        row = await self._write(
            _DELETE_COLLECTION,
            *_binding(home, collection),
            *((None,) * 6 if replacement is None else _new(replacement)),
            *_by(cause),
        )
        return self._changed(home.id, collection.id, row[0])

    async def move_collection(
        self, home: Home, collection: Collection, name: str, replaced: Collection | None, cause: Cause
    ) -> int:
        """Give a collection another name in its home; `replaced` is deleted in the same transaction."""
        row = await self._write(
            _MOVE_COLLECTION,
            *_binding(home, collection),
            name,
            *((None,) * 3 if replaced is None else (replaced.home_id, replaced.id, replaced.incarnation)),
            *_by(cause),
        )
        if replaced is not None:
            self._changed(home.id, replaced.id, row[0])
        return self._changed(home.id, collection.id, row[0])

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
    ) -> int:
        """Copy a collection under another name of its home; `replaced` is deleted in the same transaction."""
        row = await self._write(
            _COPY_COLLECTION,
            *_binding(home, collection),
            name,
            with_members,
            *((None,) * 3 if replaced is None else (replaced.home_id, replaced.id, replaced.incarnation)),
            limits.quota_bytes,
            limits.max_collections,
            *_by(cause),
        )
        if replaced is not None:
            self._changed(home.id, replaced.id, row[0])
        return self._changed(home.id, None, row[0])

    # -- hearing ------------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[Change], Awaitable[None] | None]) -> Callable[[], None]:
        """Hear of the commits of all workers; gives a function that ends the subscription."""
        if self._notifier is None:
            return lambda: None
        return self._notifier.subscribe(listener)

    async def ready(self) -> bool:
        """Whether the database answers and the schema is one that this version runs on."""
        try:
            async with self.database.transaction() as connection:
                return (await schema_state(connection)).usable
        except (Unavailable, DatabaseError):
            return False

    def announce(self, home_id: int, collection_id: int | None, revision: int) -> int:
        """Tell other workers of a change that another part of this plugin has committed; gives the revision."""
        return self._changed(home_id, collection_id, revision)

    async def _write(self, sql: str, *arguments: object) -> asyncpg.Record:
        row = await self.database.fetchrow(sql, *arguments)
        if row is None:
            raise NotFound
        return row

    def _written(self, collection: Collection, row: asyncpg.Record) -> Written:
        revision, id_, modified_at = row[:3]
        self._changed(collection.home_id, collection.id, revision)
        return Written(revision, id_, modified_at)

    def _changed(self, home_id: int, collection_id: int | None, revision: Any) -> int:
        self._statistics.written()
        if self._notifier is not None:
            self._notifier.announce(Change(home_id, collection_id, revision))
        return int(revision)


def _rows(records: list[asyncpg.Record]) -> Sequence[Row]:
    return cast("Sequence[Row]", records)


# -- arguments --------------------------------------------------------------------------------------------------------


def _place(collection: Collection) -> tuple[object, ...]:
    return collection.home_id, collection.id, collection.name, collection.incarnation


def _binding(home: Home, collection: Collection) -> tuple[object, ...]:
    return home.id, collection.name, collection.home_id, collection.id, collection.incarnation


def _state(state: ObjectState | None) -> tuple[int | None, int | None]:
    return (None, None) if state is None else (state.id, state.revision)


def _by(cause: Cause) -> tuple[object, ...]:
    return cause.principal_id, cause.origin, cause.request_id


def _new(new: NewCollection) -> tuple[object, ...]:
    return new.name, new.kind, new.components, new.timezone, new.source, dict(new.properties) or None


def _split(properties: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    """What to set and what to remove."""
    return (
        {name: value for name, value in properties.items() if value is not None},
        [name for name, value in properties.items() if value is None],
    )
