"""Deleted members and collections that can be restored: texts in tombstones and in the trash, collections without
binding."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.domain.changes import Cause
from server.domain.objects import HomeKind
from storage_plugins.postgres.changes.clocks import supplied
from storage_plugins.postgres.changes.writing import by, call, recorded
from storage_plugins.postgres.database import Database

# A collection's name: that of its binding, whether it is a tombstone or not.
_NAME = """
    (select b.name from binding b
     where b.home_id = c.home_id and b.collection_home_id = c.home_id and b.collection_id = c.id
     order by b.deleted_at desc nulls first limit 1)
"""
_OBJECTS = f"""
    select d.id, h.kind, d.collection, d.collection_alive, d.name, d.uid, d.component, d.deleted_at,
           case when $2::bigint is null then '' else d.text end, d.properties
    from home h cross join lateral (
        select o.id, {_NAME} as collection, c.deleted_at is null as collection_alive, o.name, o.uid, o.component,
               o.deleted_at, o.text, o.properties
        from object o join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where o.home_id = h.id and o.deleted_at >= clock_timestamp() - $3::interval and o.text is not null
        union all
        select t.object_id, {_NAME}, c.deleted_at is null, t.name, t.uid, t.component, t.deleted_at,
               t.text, t.properties
        from trash t join collection c on c.home_id = t.home_id and c.id = t.collection_id
        where t.home_id = h.id and t.deleted_at >= clock_timestamp() - $3::interval
    ) as d
    where h.principal_id = $1 and ($2::bigint is null or d.id = $2)
    order by d.deleted_at desc, d.id
"""  # noqa: S608 - no value of anybody's
_COLLECTIONS = f"""
    select c.id, h.id, h.kind, {_NAME}, c.kind, c.member_count, c.deleted_at
    from home h join collection c on c.home_id = h.id
    where h.principal_id = $1 and c.deleted_at >= clock_timestamp() - $3::interval and not c.members_forgotten
      and ($2::bigint is null or c.id = $2)
    order by c.deleted_at desc, c.id
"""  # noqa: S608
_RESTORE = call("koyomi_restore_collection_2", 7)


@dataclass(frozen=True, slots=True)
class DeletedObject:
    """A deleted member, whose name may have been used again."""

    id: int
    home: HomeKind
    collection: str | None
    """Its name; None if the name was used again after the collection was deleted."""
    collection_alive: bool
    name: str
    uid: str
    component: str
    deleted_at: datetime
    text: str
    """Empty in a list of all, so that not all texts are in memory."""
    properties: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class DeletedCollection:
    """A deleted collection."""

    id: int
    home_id: int
    home: HomeKind
    name: str | None
    """Its last name; None if the name was used again."""
    kind: str
    members: int
    deleted_at: datetime


async def deleted_objects(
    database: Database, principal_id: int, restore_days: int, object_id: int | None = None
) -> list[DeletedObject]:
    """The members that a principal deleted within `restore_days`, latest first; or the one with an id."""
    rows = await database.fetch(_OBJECTS, principal_id, object_id, timedelta(days=restore_days))
    return [DeletedObject(*row) for row in rows]


async def deleted_collections(
    database: Database, principal_id: int, restore_days: int, collection_id: int | None = None
) -> list[DeletedCollection]:
    """The collections that a principal deleted within `restore_days` and that still have all their members.

    Latest first; or the one with an id.
    """
    rows = await database.fetch(_COLLECTIONS, principal_id, collection_id, timedelta(days=restore_days))
    return [DeletedCollection(*row) for row in rows]


async def restore_collection(
    database: Database, deleted: DeletedCollection, name: str, restore_days: int, cause: Cause
) -> None:
    """Bind a deleted collection to a name, with all its members.

    Raises `AlreadyExists` if the name is taken, `AlreadyReserved` if others have the times of a room's bookings, and
    `NotFound` if the collection was restored already, or deleted too long ago.
    """
    arguments = (deleted.home_id, deleted.id, name, restore_days, *by(cause))
    sql, values = recorded(_RESTORE, arguments, cause)
    await supplied(database, lambda: database.fetch(sql, *values))
