"""Handing over the collections of a deleted person to somebody else.

A collection is copied in batches into the other home (`handover_copies`). Then, in one transaction, the copy replaces
the collection. Objects and collections keep their ids, and so their DAV:resource-id. Sharees keep the collection under
its name in their homes, with a new incarnation. A handover may be interrupted at any point; another call with the same
homes continues it, and so does a job (`handover_jobs`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from html import escape

from server.domain.changes import Cause
from server.domain.errors import InvalidPrincipal, NotFound
from server.storage.directory import Handover
from storage_plugins.postgres import advisory_locks
from storage_plugins.postgres.advisory_locks import Lock
from storage_plugins.postgres.changes import handover_jobs
from storage_plugins.postgres.changes.handover_copies import (
    begin,
    copy_members,
    copy_rows,
    hold_members,
    lock,
    next_members,
)
from storage_plugins.postgres.changes.writing import record
from storage_plugins.postgres.database import Connection, Database

BATCH = 300
"""Members that one transaction copies."""
_DISPLAYNAME = "{DAV:}displayname"
_OF_COLLECTION = ("ace", "share", "share_declined", "collection_view")
"""Tables with the rows of a collection, beside its members."""


async def handovers(database: Database, principal_id: int, to_principal_id: int) -> list[Handover]:
    """See `Directory.handovers`."""
    rows = await database.fetch(
        """
        select c.id, c.home_id, t.id, h.kind, b.name, c.member_count, v.to_home_id
        from home h
        join home t on t.kind = h.kind and t.principal_id = $2
        join collection c on c.home_id = h.id and c.kind = h.kind
        left join binding b on b.home_id = h.id and b.collection_home_id = h.id and b.collection_id = c.id
            and b.deleted_revision is null
        left join handover v on v.home_id = c.home_id and v.collection_id = c.id
        where h.principal_id = $1 and v.finished_at is null and (b.name is not null or c.deleted_at is not null)
        order by h.kind desc, c.id
        """,
        principal_id,
        to_principal_id,
    )
    if any(row[6] is not None and row[6] != row[2] for row in rows):
        raise InvalidPrincipal(handover_jobs.BEGUN)
    return [Handover(*row[:6]) for row in rows]


async def require_none(connection: Connection, principal_id: int) -> None:
    """Raise `InvalidPrincipal` if the handover of a collection was begun and is not finished."""
    if await connection.fetchval(
        """
        select exists (
            select from handover v join home h on h.id = v.home_id where h.principal_id = $1 and v.finished_at is null
        )
        """,
        principal_id,
    ):
        raise InvalidPrincipal(handover_jobs.BEGUN)


async def hand_over(
    database: Database, handover: Handover, owner: str, cause: Cause, *, batch: int | None = None
) -> AsyncIterator[int]:
    """See `Directory.hand_over`; `batch` instead of `BATCH`."""
    batch = batch or BATCH
    async with database.transaction() as connection:
        await begin(connection, handover)
    copied = batch
    while copied:
        async with database.transaction() as connection:
            copied = 0
            if await lock(connection, handover):
                size = await next_members(connection, handover, batch)
                await hold_members(connection, handover, size)
                copied = await copy_members(connection, handover, size)
                await handover_jobs.copied(connection, handover.home_id, copied)
        yield copied
    async with database.transaction() as connection:
        if await lock(connection, handover):
            await record(connection, cause)
            await _take_place(connection, handover, owner, cause, batch)


async def _take_place(connection: Connection, handover: Handover, owner: str, cause: Cause, batch: int) -> None:
    """Copy the remaining members, and replace the collection by the copy."""
    home_id, id_, to_home_id = handover.home_id, handover.id, handover.to_home_id
    await hold_members(connection, handover, None)
    # Calls that change the sharing of the collection wait, and so do all writers in these homes.
    await advisory_locks.lock(connection, Lock.SHARING, id_)
    await connection.execute(
        """
        select from home
        where id in ($1, $3) or id in (
            select b.home_id from binding b where b.collection_home_id = $1 and b.collection_id = $2
        )
        order by id for no key update
        """,
        home_id,
        id_,
        to_home_id,
    )
    while await copy_members(connection, handover, batch) == batch:
        pass
    await _copy_views(connection, handover)
    for table in _OF_COLLECTION:
        await copy_rows(connection, table, "s.home_id = $1 and s.collection_id = $3", [home_id, to_home_id, id_])
    await copy_rows(
        connection, "trash", "s.home_id = $1 and s.collection_id = $3", [home_id, to_home_id, id_], without=("id",)
    )
    source = await connection.fetchrow(
        """
        update handover v set finished_at = clock_timestamp() from collection c
        where v.home_id = $1 and v.collection_id = $2 and c.home_id = v.home_id and c.id = v.collection_id
        returning c.deleted_at, c.properties, c.timezone, c.source, c.components, c.views
        """,
        home_id,
        id_,
    )
    if source is None:
        raise NotFound("There is no such collection.")
    # The new owner is no sharee of the collection any more.
    view = await connection.fetchval(
        """
        with person as (
            select principal_id as id from home where id = $1
        ), shares as (
            delete from share s using person p
            where s.home_id = $1 and s.collection_id = $2 and s.principal_id = p.id
        ), inviting as (
            -- Nobody may send in the name of the new owner, who has not said so.
            update share s set may_invite = false from person p
            where s.home_id = $1 and s.collection_id = $2 and s.principal_id <> p.id and s.may_invite
        ), aces as (
            delete from ace e using person p where e.home_id = $1 and e.collection_id = $2 and e.principal_id = p.id
        ), declined as (
            delete from share_declined d using person p
            where d.home_id = $1 and d.collection_id = $2 and d.principal_id = p.id
        )
        delete from collection_view w using person p
        where w.home_id = $1 and w.collection_id = $2 and w.principal_id = p.id
        returning w.properties
        """,
        to_home_id,
        id_,
    )
    properties = _properties(source["properties"] or {}, view or {}, handover.name, owner)
    revision = await _show(connection, handover, source["deleted_at"] is None, cause)
    await connection.execute(
        """
        with before as (
            select deleted_at is null as alive, used_bytes from collection where home_id = $1 and id = $2
        ), used as (
            -- It may have been deleted, or restored, since the copying began.
            update home h set used_bytes = h.used_bytes + case
                when b.alive = ($8::timestamptz is null) then 0 when b.alive then -b.used_bytes else b.used_bytes end
            from before b where h.id = $1
        )
        update collection set revision = $3, modified_at = clock_timestamp(), properties = $4, timezone = $5,
            source = $6, components = $7, deleted_at = $8,
            -- What was copied before it was shared is rendered by a job.
            views = $9, views_rendered = false
        where home_id = $1 and id = $2
        """,
        to_home_id,
        id_,
        revision,
        properties or None,
        source["timezone"],
        source["source"],
        source["components"],
        source["deleted_at"],
        source["views"],
    )
    await _move_bindings(connection, handover, cause)
    await _leave(connection, handover, cause)


def _properties(properties: Mapping[str, str], view: Mapping[str, str], name: str | None, owner: str) -> dict[str, str]:
    """The properties of a collection for its new owner, with a displayname that names the former owner.

    `view` are the properties that the new owner had set as a sharee; they stay.
    """
    found = {**properties, **view}
    if _DISPLAYNAME not in view:
        value = found.get(_DISPLAYNAME, "")
        start, _, end = value.rpartition("</")
        suffix = f" ({escape(owner, quote=False)})"
        if start:
            found[_DISPLAYNAME] = f"{start}{suffix}</{end}"
        elif name is not None:
            title = escape(name, quote=False)
            found[_DISPLAYNAME] = f'<displayname xmlns="DAV:">{title}{suffix}</displayname>'
    return found


async def _copy_views(connection: Connection, handover: Handover) -> None:
    """Copy the views of sharees. Those of the new owner end."""
    objects = "s.home_id = $1 and s.object_id in (select id from object where home_id = $1 and collection_id = $3)"
    others = "<> (select principal_id from home where id = $2)"
    arguments = [handover.home_id, handover.to_home_id, handover.id]
    # The revision of the copied object, so that no two changes that a sharee synchronises have one revision.
    latest = {"revision": "(select o.revision from object o where o.home_id = $2 and o.id = s.object_id)"}
    await copy_rows(connection, "object_view", f"{objects} and s.principal_id {others}", arguments, latest)
    await copy_rows(connection, "alarm", f"{objects} and s.viewer_id <> 0 and s.viewer_id {others}", arguments)


async def _show(connection: Connection, handover: Handover, alive: bool, cause: Cause) -> int:
    """Bind the copy in its new home: by the binding of the shared collection if there is one, otherwise under a free
    name."""
    to_home_id, id_ = handover.to_home_id, handover.id
    revision: int = await connection.fetchval(
        """
        update home set revision = revision + 1, modified_at = clock_timestamp(),
            -- The members come with revisions that infinite tokens have seen without them.
            infinite_sync_floor = revision + 1
        where id = $1 returning revision
        """,
        to_home_id,
    )
    shown = await connection.fetch(
        """
        update binding set
            collection_home_id = home_id, rights = 'owner', incarnation = incarnation + 1, view_revision = 0,
            revision = case when deleted_revision is null then $4 else revision end
        where home_id = $1 and collection_home_id = $2 and collection_id = $3
        returning deleted_revision
        """,
        to_home_id,
        handover.home_id,
        id_,
        revision,
    )
    if alive and not any(row[0] is None for row in shown):
        name = await _free_name(connection, to_home_id, handover.name or "restored")
        await connection.execute(
            """
            with earlier as (
                delete from binding where home_id = $1 and name = $2 returning incarnation
            )
            insert into binding (
                home_id, name, collection_home_id, collection_id, incarnation, created_revision, revision
            )
            select $1, $2, $1, $3, 1 + coalesce((select incarnation from earlier), 0), $4, $4
            """,
            to_home_id,
            name,
            id_,
            revision,
        )
        await connection.execute(
            "update home set collection_count = collection_count + 1 where id = $1",
            to_home_id,
        )
    # Sharees follow in both cases: a deletion may not have been passed on to them yet.
    kind = "collection-created" if alive else "collection-deleted"
    await _trace(connection, kind, "collection-handed-over", {to_home_id: revision}, id_, cause)
    return revision


async def _free_name(connection: Connection, home_id: int, name: str) -> str:
    """A free name in a home: the given name, with a number if it is taken."""
    taken = {
        row[0]
        for row in await connection.fetch(
            "select name from binding where home_id = $1 and deleted_revision is null", home_id
        )
    }
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


async def _move_bindings(connection: Connection, handover: Handover, cause: Cause) -> None:
    """Let the homes of all sharees show the copy."""
    rows = await connection.fetch(
        """
        with shown as (
            select home_id from binding
            where collection_home_id = $1 and collection_id = $2 and home_id <> $1 and deleted_revision is null
        ), homes as (
            update home set revision = revision + 1, modified_at = clock_timestamp()
            where id in (select home_id from shown) returning id, revision
        )
        select id, revision from homes order by id
        """,
        handover.home_id,
        handover.id,
    )
    changed = {row[0]: row[1] for row in rows}
    await connection.execute(
        """
        update binding b set
            collection_home_id = $3,
            incarnation = b.incarnation + 1,
            view_revision = 0,
            revision = case when b.deleted_revision is null then h.revision else b.revision end
        from home h
        where b.collection_home_id = $1 and b.collection_id = $2 and b.home_id <> $1 and h.id = b.home_id
        """,
        handover.home_id,
        handover.id,
        handover.to_home_id,
    )
    await _trace(connection, "binding", "binding", changed, handover.id, cause)


async def _leave(connection: Connection, handover: Handover, cause: Cause) -> None:
    """Delete the collection in its old home; its members are removed when the person is purged."""
    revision: int = await connection.fetchval(
        """
        with gone as (
            update collection set deleted_at = clock_timestamp()
            where home_id = $1 and id = $2 and deleted_at is null returning used_bytes
        ), unbound as (
            update binding set deleted_at = clock_timestamp(),
                deleted_revision = (select revision + 1 from home where id = $1),
                revision = (select revision + 1 from home where id = $1)
            where home_id = $1 and collection_home_id = $1 and collection_id = $2 and deleted_revision is null
            returning 1
        )
        update home set revision = revision + 1, modified_at = clock_timestamp(),
            used_bytes = used_bytes - coalesce((select used_bytes from gone), 0),
            collection_count = collection_count - (select count(*)::integer from unbound)
        where id = $1 returning revision
        """,
        handover.home_id,
        handover.id,
    )
    for table in (*_OF_COLLECTION, "reservation"):
        await connection.execute(
            f"delete from {table} where home_id = $1 and collection_id = $2",  # noqa: S608
            handover.home_id,
            handover.id,
        )
    changed = {handover.home_id: revision}
    await _trace(connection, "collection-deleted", "collection-handed-over", changed, handover.id, cause)


async def _trace(
    connection: Connection, kind: str, action: str, revisions: Mapping[int, int], collection_id: int, cause: Cause
) -> None:
    """Rows of the outbox for the homes that changed, by their revisions."""
    await connection.execute(
        """
        insert into outbox (home_id, revision, kind, action, collection_id, principal_id, origin, request_id)
        select home_id, revision, $3, nullif($4, $3), $5::bigint, $6::bigint, $7, $8
        from unnest($1::bigint[], $2::bigint[]) as c (home_id, revision) order by home_id
        """,
        list(revisions),
        list(revisions.values()),
        kind,
        action,
        collection_id,
        cause.principal_id,
        cause.origin,
        cause.request_id,
    )
