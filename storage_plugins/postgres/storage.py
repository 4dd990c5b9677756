"""`server.storage.Storage` on PostgreSQL. Every method is one statement, in one round trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self, cast
from uuid import UUID

import asyncpg

from server.calendar.filter_plan import UidSearch
from server.domain.errors import DatabaseError, NotFound, Unavailable
from server.domain.events import Change
from server.domain.objects import Collection, Home, Target
from server.domain.occurrences import DueAlarm
from server.domain.resolution import Resolution
from server.domain.rows import MemberColumn, Row
from server.storage.queues import Queue
from server.storage.reads import (
    MAX_TIMINGS,
    BusyTimes,
    Overlapping,
    SharedObject,
    StoredRecurrence,
    Timings,
)
from server.storage.reminders import AlarmPlace
from storage_plugins.postgres.changes import views
from storage_plugins.postgres.changes.collection_copies import CopyWrites
from storage_plugins.postgres.changes.collections import CollectionWrites
from storage_plugins.postgres.check_ins import CheckInStorage
from storage_plugins.postgres.database import DEFAULT_LIMITS, Database, DatabaseLimits
from storage_plugins.postgres.mails import MailStorage
from storage_plugins.postgres.migrations import schema_state
from storage_plugins.postgres.notifier import Notifier
from storage_plugins.postgres.queues import WorkerQueues
from storage_plugins.postgres.reads import alarms as alarm_reads
from storage_plugins.postgres.reads import busy_times as busy_reads
from storage_plugins.postgres.reads import columnwise, members, owners, resolve
from storage_plugins.postgres.reads import occurrences as occurrence_reads
from storage_plugins.postgres.reads.due_alarms import due_alarms
from storage_plugins.postgres.rooms import RoomStorage
from storage_plugins.postgres.scheduling_reads import SchedulingReads
from storage_plugins.postgres.upkeep.statistics import Statistics

_SHOWN = (
    "binding b join collection c on c.home_id = b.collection_home_id and c.id = b.collection_id "
    "left join collection_view w on w.home_id = c.home_id and w.collection_id = c.id and w.principal_id = $2"
)
_COLLECTIONS = (
    f"select {resolve.COLLECTION} from {_SHOWN} "  # noqa: S608
    "where b.home_id = $1 and b.deleted_revision is null and c.deleted_at is null order by b.name"
)
_HOME_CHANGES = (
    f"select {resolve.HOME_REVISION}, h.incarnation, h.sync_floor, h.infinite_sync_floor, {resolve.COLLECTION} "  # noqa: S608
    f"from home h left join ({_SHOWN}) on b.home_id = h.id and {resolve.BINDING_REVISION} > $3 "
    "and (b.deleted_revision is not null or c.deleted_at is null) "
    f"where h.id = $1 order by {resolve.BINDING_REVISION}"
)


class PostgresStorage(CopyWrites, CollectionWrites, MailStorage, RoomStorage, CheckInStorage, SchedulingReads):
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
        """`restore_days`: how long deleted members can be restored. Without `notify` it sends and receives no
        notifications."""
        self.database = Database(dsn, limits, application=application)
        self._notifier = Notifier(dsn, application=application) if notify else None
        self._statistics = Statistics(self.database)
        self._queues = WorkerQueues(self.database)
        self._principals = resolve.PrincipalCache()
        self._restore_days = restore_days

    async def open(self) -> None:
        """Connect. Raises `Unavailable` or `DatabaseError` when that fails."""
        await self.database.open()
        if self._notifier is not None:
            await self._notifier.open()

    async def close(self) -> None:
        """Send pending notifications, and close all connections."""
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
        """Read the viewer (the id of a principal) and the resources that `target` names."""
        own = self._principals.is_own(viewer, target)
        sql, arguments = resolve.query(viewer, target, text=text, own=own)
        row = await self.database.fetchrow(sql, *arguments)
        if row is None and own:
            # They were renamed or deleted.
            sql, arguments = resolve.query(viewer, target, text=text)
            row = await self.database.fetchrow(sql, *arguments)
        if row is None:
            return Resolution(None)
        asking, owner = self._principals.named(row)
        if missing := resolve.missing(row, asking, owner):
            read = [self._principals.add(found) for found in await self.database.fetch(resolve.PRINCIPALS, missing)]
            by_id = {principal.id: principal for principal in read}
            asking, owner = asking or by_id.get(row[0]), owner or by_id.get(row[2])
        found = resolve.resolution(row, target, asking, owner)
        if found.collection is None or found.collection.view is None:
            return found
        return await self._in_view(found, found.collection, text=text)

    async def seen_by(self, found: Resolution, sharee: int, *, text: bool = False) -> Resolution:
        """The result of `resolve` in the home of a calendar's owner, in the view of a sharee."""
        if found.collection is None:
            return found
        latest = await self.database.fetchval(
            resolve.VIEW_REVISION, found.collection.home_id, found.collection.id, sharee
        )
        collection = replace(found.collection, view=sharee, revision=max(found.collection.revision, latest or 0))
        return await self._in_view(found, collection, text=text)

    async def _in_view(self, found: Resolution, collection: Collection, *, text: bool) -> Resolution:
        """The result of a lookup in another person's calendar, with the object as the collection shows it."""
        if found.object is None:
            return replace(found, collection=collection)
        place = collection.home_id, collection.id, found.object.name
        sql = resolve.in_mode(views.mode_of(collection), text=text)
        row = await self.database.fetchrow(sql, *place, *_viewer(collection))
        return replace(found, collection=collection, object=None if row is None else resolve.member(row))

    async def with_blocks(self, found: Resolution, *, text: bool = False) -> Resolution:
        """The result of `resolve` for somebody who does not see the whole of private members."""
        if found.collection is None:
            return found
        collection = replace(found.collection, blocks=True)
        if found.object is None or not found.object.private:
            return replace(found, collection=collection)
        return await self._in_view(found, collection, text=text)

    async def installation(self) -> UUID:
        """The id of this installation's data."""
        found = await self.database.fetchval("select id from installation")
        if not isinstance(found, UUID):
            raise DatabaseError("The database has no row in `installation`.")
        return UUID(int=found.int)

    async def mail_secret(self) -> bytes:
        """The key of the signatures in tagged mail addresses."""
        found: bytes = await self.database.fetchval("select mail_secret from installation")
        return found

    async def collections(self, home: Home, viewer: int) -> list[Collection]:
        """The collections that a home shows, by name, in the viewer's view."""
        rows = await self.database.fetch(_COLLECTIONS, home.id, viewer)
        return [resolve.collection(row, home.principal_id) for row in rows]

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
        return now, [resolve.collection(row[4:], home.principal_id) for row in rows if row[4] is not None]

    async def members(
        self,
        collection: Collection,
        columns: Sequence[MemberColumn],
        *,
        after: str | None,
        limit: int,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """A page of the members, in order of names, after the name `after`."""
        sql = members.page(columns, views.mode_of(collection), of_components=components is not None)
        more = (*_viewer(collection), *_component_types(components))
        return await self._page(columns, sql, collection.home_id, collection.id, after or "", limit, *more)

    async def members_named(
        self, named: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn]
    ) -> Mapping[tuple[int, str], Row]:
        """The members with these names that exist, by (collection id, name)."""
        by_view: dict[tuple[views.Mode, int | None], list[tuple[Collection, str]]] = {}
        for collection, name in named:
            by_view.setdefault((views.mode_of(collection), collection.view), []).append((collection, name))
        rows: list[asyncpg.Record] = []
        for (mode, _), asked in by_view.items():
            rows += await self._named(asked, columns, mode)
        return {(row[0], row[1]): row[2:] for row in rows}

    async def _named(
        self, asked: Sequence[tuple[Collection, str]], columns: Sequence[MemberColumn], mode: views.Mode
    ) -> Sequence[asyncpg.Record]:
        first = asked[0][0]
        names = [name for _, name in asked]
        whose = _viewer(first)
        if all(collection.id == first.id for collection, _ in asked):
            sql = members.named(columns, mode)
            return await self.database.fetch(sql, first.home_id, first.id, names, *whose)
        return await self.database.fetch(
            members.named_anywhere(columns, mode),
            [collection.home_id for collection, _ in asked],
            [collection.id for collection, _ in asked],
            names,
            *whose,
        )

    async def members_changed(
        self, collection: Collection, columns: Sequence[MemberColumn], *, after: int, up_to: int, limit: int
    ) -> Sequence[Row]:
        """Members with `after` < revision <= `up_to`, tombstones included, by revision."""
        sql = members.changed(columns, views.mode_of(collection))
        whose = _viewer(collection)
        return await self._page(columns, sql, collection.home_id, collection.id, after, up_to, limit, *whose)

    async def _page(self, columns: Sequence[MemberColumn], statement: str, *arguments: object) -> Sequence[Row]:
        names = tuple(columns)
        if not columnwise.is_columnwise(names):
            return _rows(await self.database.fetch(statement, *arguments))
        page = await self.database.fetchrow(columnwise.aggregate(names, statement), *arguments)
        return columnwise.rows(names, page)

    async def timings(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Timings | None:
        """The occurrences of a calendar in `window`, and those of floating times in `floating`."""
        rows = await self.database.fetch(
            occurrence_reads.TIMINGS, collection.home_id, collection.id, *window, *floating
        )
        return occurrence_reads.timings(rows) if len(rows) <= MAX_TIMINGS else None

    async def overlapping(
        self, collection: Collection, window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Overlapping:
        """The objects of a calendar that overlap `window`, and floating times in `floating`."""
        return occurrence_reads.overlapping(
            await self.database.fetch(
                occurrence_reads.OVERLAPPING, collection.home_id, collection.id, *window, *floating
            )
        )

    async def ringing(self, collection: Collection, window: tuple[datetime, datetime]) -> Sequence[int]:
        """Ids of the objects of a calendar that may have an alarm in a window. All other objects have none."""
        sql = alarm_reads.RINGING if collection.view is None else alarm_reads.RINGING_IN_VIEW
        rows = await self.database.fetch(sql, collection.home_id, collection.id, *window, *_viewer(collection))
        return [row[0] for row in rows]

    async def due_alarms(
        self, since: datetime, until: datetime, *, after: AlarmPlace | None = None, limit: int = 500
    ) -> tuple[Sequence[DueAlarm], AlarmPlace | None]:
        """Alarms of all homes that ring in a window: the first ring of each. A page, and the place after it."""
        return await due_alarms(self.database, since, until, after, limit)

    async def busy_times(
        self, calendars: Sequence[Collection], window: tuple[datetime, datetime], floating: tuple[datetime, datetime]
    ) -> Sequence[BusyTimes]:
        """The busy times of each calendar in `window`, and those of floating times in `floating`."""
        places = (
            [item.home_id for item in calendars],
            [item.id for item in calendars],
            [item.view for item in calendars],
        )
        own = all(item.view is None for item in calendars)
        sql = busy_reads.OWN_BUSY_TIMES if own else busy_reads.BUSY_TIMES
        rows = await self.database.fetch(sql, *places, *window, *floating)
        return busy_reads.busy_times(rows, len(calendars))

    async def recurrences(
        self, collection: Collection, ids: Sequence[int], *, components: Sequence[str] | None = None
    ) -> Sequence[StoredRecurrence]:
        """The recurrences of the objects with these ids, except those without one and those with a very long one."""
        sql = occurrence_reads.recurrences(viewed=collection.view is not None)
        only = None if components is None else list(components)
        whose = _viewer(collection)
        rows = await self.database.fetch(sql, collection.home_id, collection.id, list(ids), only, *whose)
        return occurrence_reads.stored_recurrences(rows)

    async def owner_addresses(self, home_id: int) -> frozenset[str]:
        """The calendar user addresses of a home's owner."""
        row = await self.database.fetchrow(owners.OF_HOME, home_id)
        return frozenset() if row is None else owners.addresses(*row)

    async def owners_target(self, collection: Collection) -> Target | None:
        """The collection in the home of its owner."""
        return owners.target(await self.database.fetchrow(owners.OWN_NAME, collection.home_id, collection.id))

    async def members_by_id(
        self,
        collection: Collection,
        ids: Sequence[int],
        columns: Sequence[MemberColumn],
        *,
        components: Sequence[str] | None = None,
    ) -> Sequence[Row]:
        """The members with these ids that still exist, in order of names."""
        sql = members.by_id(columns, views.mode_of(collection), of_components=components is not None)
        more = (*_viewer(collection), *_component_types(components))
        return _rows(await self.database.fetch(sql, collection.home_id, collection.id, list(ids), *more))

    async def shared_object(self, collection: Collection, object_id: int) -> SharedObject | None:
        """The stored texts of an object in a calendar with views."""
        row = await self.database.fetchrow(views.SHARED_OBJECT, collection.home_id, collection.id, object_id)
        return None if row is None else views.shared_object(row)

    async def uids(self, collection: Collection, search: UidSearch | None) -> Sequence[Row]:
        """Id and UID of the members whose UID a search finds; None: of all members."""
        sql, arguments = members.uids(search, inbox=collection.kind == "inbox")
        return _rows(await self.database.fetch(sql, collection.home_id, collection.id, *arguments))

    async def uid_holder(self, collection: Collection, uid: str) -> str | None:
        """The name of the member with this UID; None in an inbox."""
        row = await self.database.fetchrow(members.UID_HOLDER, collection.home_id, collection.id, uid)
        return None if row is None else str(row[0])

    def turn(self, queue: Queue, key: int | tuple[int, ...], patience: float) -> AbstractAsyncContextManager[bool]:
        """`server.storage.queues.Queues.turn`."""
        return self._queues.turn(queue, key, patience)

    # -- hearing ------------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[Change], Awaitable[None] | None]) -> Callable[[], None]:
        """Call a listener after commits of all workers. Returns a function that ends the subscription."""
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
        """Notify other workers of a change that another part of this plugin has committed. Returns the revision."""
        return self._changed(home_id, collection_id, revision)


def _viewer(collection: Collection) -> tuple[int, ...]:
    """The last argument of statements that read a view."""
    return () if collection.view is None else (collection.view,)


def _component_types(components: Sequence[str] | None) -> tuple[list[str], ...]:
    """The last argument of statements that read members of some component types."""
    return () if components is None else (list(components),)


def _rows(records: list[asyncpg.Record]) -> Sequence[Row]:
    return cast("Sequence[Row]", records)
