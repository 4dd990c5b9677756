"""Handing over what a deleted person had to somebody else: a collection is copied in batches into the other home, where
nothing shows it, and what changes meanwhile is copied again; then, in one transaction, the copy takes its place.

Objects and collections keep their ids, and with them DAV:resource-id. Whoever the collection was shared with goes on
seeing it under the name that it has there, as a new incarnation. What is broken off at any point is ended by another
call with the same homes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from html import escape
from typing import Any

from server.directory import Handover
from server.errors import InvalidPrincipal, NotFound
from server.storage import Cause
from storage_plugins.postgres.database import Connection, Database

BATCH = 500
"""Members that one transaction copies."""
_DISPLAYNAME = "{DAV:}displayname"
_OF_OBJECTS = ("occurrence", "alarm", "object_view")
"""What hangs on an object, found by its id."""
_OF_COLLECTION = ("ace", "share", "share_declined", "collection_view")
"""What hangs on a collection."""
_BEGUN = "It was begun to hand everything over to somebody else: end that first, with the same --transfer-to."


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
        raise InvalidPrincipal(_BEGUN)
    return [Handover(*row[:6]) for row in rows]


async def require_none(connection: Connection, principal_id: int) -> None:
    """Raise `InvalidPrincipal` while some collection of a person is half handed over."""
    if await connection.fetchval(
        """
        select exists (
            select from handover v join home h on h.id = v.home_id where h.principal_id = $1 and v.finished_at is null
        )
        """,
        principal_id,
    ):
        raise InvalidPrincipal(_BEGUN)


async def hand_over(
    database: Database, handover: Handover, owner: str, cause: Cause, *, batch: int = BATCH
) -> AsyncIterator[int]:
    """See `Directory.hand_over`."""
    async with database.transaction() as connection:
        await _begin(connection, handover)
    copied = batch
    while copied == batch:
        async with database.transaction() as connection:
            copied = 0
            if await _lock(connection, handover):
                await _hold_members(connection, handover, batch)
                copied = await _copy_members(connection, handover, batch)
        yield copied
    async with database.transaction() as connection:
        if await _lock(connection, handover):
            await _take_place(connection, handover, owner, cause, batch)


async def _begin(connection: Connection, handover: Handover) -> None:
    # Who locks two homes locks the one with the lower id first.
    homes = await connection.fetch(
        "select id from home where id = any($1::bigint[]) order by id for no key update",
        [handover.home_id, handover.to_home_id],
    )
    if len(homes) != 2:
        raise NotFound("There is no such home.")
    begun = await connection.fetchval(
        """
        insert into handover (home_id, collection_id, to_home_id) values ($1, $2, $3)
        on conflict do nothing returning collection_id
        """,
        handover.home_id,
        handover.id,
        handover.to_home_id,
    )
    if begun is not None:
        await _copy(
            connection,
            "collection",
            "s.home_id = $1 and s.id = $3",
            [handover.home_id, handover.to_home_id, handover.id],
            {"revision": "0", "member_count": "0", "used_bytes": "0", "sync_floor": "0"},
        )


async def _lock(connection: Connection, handover: Handover) -> bool:
    """Let others that do the same wait; gives whether it is still to be done."""
    return bool(
        await connection.fetchval(
            """
            select 1 from handover where home_id = $1 and collection_id = $2 and to_home_id = $3
            and finished_at is null for update
            """,
            handover.home_id,
            handover.id,
            handover.to_home_id,
        )
    )


async def _hold_members(connection: Connection, handover: Handover, limit: int | None) -> None:
    """Lock the members that `_copy_members` copies next.

    So that nobody computes occurrences anew between the copy of an object and that of its occurrences: the copy would
    claim to be expanded where it is not. Objects are locked before homes.
    """
    await connection.execute(
        """
        with next as materialized (
            select o.id from handover v join object o on o.home_id = v.home_id and o.collection_id = v.collection_id
            where v.home_id = $1 and v.collection_id = $2 and o.revision > v.copied_revision
            order by o.revision limit $3
        )
        select from object o where o.home_id = $1 and o.id in (select id from next) order by o.id for no key update
        """,
        handover.home_id,
        handover.id,
        limit,
    )


async def _copy_members(connection: Connection, handover: Handover, limit: int) -> int:
    """Copy the members that changed since the last copying, at most `limit`; gives how many those were."""
    home_id, to_home_id = handover.home_id, handover.to_home_id
    batch = await connection.fetchrow(
        """
        select array_agg(o.id) as ids, array_agg(o.name) as names, max(o.revision) as revision, count(*) as members
        from (
            select o.id, o.name, o.revision
            from handover v join object o on o.home_id = v.home_id and o.collection_id = v.collection_id
            where v.home_id = $1 and v.collection_id = $2 and o.revision > v.copied_revision
            order by o.revision limit $3
        ) as o
        """,
        home_id,
        handover.id,
        limit,
    )
    assert batch is not None
    if not batch["members"]:
        return 0
    # Earlier copies of them, and of what had their names.
    earlier = await connection.fetchrow(
        """
        with gone as (
            delete from object
            where home_id = $1 and collection_id = $2 and (id = any($3::bigint[]) or name = any($4::text[]))
            returning id, size, deleted_revision
        )
        select coalesce(array_agg(id), '{}') as ids, count(*) filter (where deleted_revision is null) as members,
               coalesce(sum(size) filter (where deleted_revision is null), 0) as bytes
        from gone
        """,
        to_home_id,
        handover.id,
        batch["ids"],
        batch["names"],
    )
    assert earlier is not None
    await _remove_parts(connection, to_home_id, earlier["ids"])
    parts = "s.home_id = $1 and s.object_id = any($3::bigint[])"
    await _copy(connection, "occurrence", parts, [home_id, to_home_id, batch["ids"]])
    await _copy(connection, "alarm", f"{parts} and s.viewer_id = 0", [home_id, to_home_id, batch["ids"]])
    last = await connection.fetchval(
        "update home set revision = revision + $2, modified_at = clock_timestamp() where id = $1 returning revision",
        to_home_id,
        batch["members"],
    )
    # What is deleted is worth copying only where it can be restored.
    await _copy(
        connection,
        "object",
        "s.home_id = $1 and s.id = any($3::bigint[]) and s.text is not null",
        [home_id, to_home_id, batch["ids"], last - batch["members"]],
        {
            # Whether the new owner has declined an event is computed anew.
            "time_key": "case when s.component = 'VEVENT' then '' else s.time_key end",
            "created_revision": "$4 + row_number() over (order by s.revision)",
            "revision": "$4 + row_number() over (order by s.revision)",
            "deleted_revision": "case when s.deleted_revision is not null then "
            "$4 + row_number() over (order by s.revision) end",
        },
    )
    await connection.execute(
        """
        with copied as (
            select count(*) as members, coalesce(sum(size), 0) as bytes from object
            where home_id = $1 and id = any($3::bigint[]) and deleted_revision is null
        ), used as (
            -- Earlier copies in a deleted collection are counted out by a trigger.
            update home h set
                used_bytes = h.used_bytes + case when t.deleted_at is null then c.bytes - $5 else 0 end,
                kept_bytes = h.kept_bytes + case when t.deleted_at is null then 0 else c.bytes end
            from copied c, collection t
            where h.id = $1 and t.home_id = $1 and t.id = $2
        )
        update collection t
        set member_count = t.member_count + c.members - $4, used_bytes = t.used_bytes + c.bytes - $5, revision = $6
        from copied c where t.home_id = $1 and t.id = $2
        """,
        to_home_id,
        handover.id,
        batch["ids"],
        earlier["members"],
        earlier["bytes"],
        last,
    )
    await connection.execute(
        "update handover set copied_revision = $3 where home_id = $1 and collection_id = $2",
        home_id,
        handover.id,
        batch["revision"],
    )
    return int(batch["members"])


async def _remove_parts(connection: Connection, home_id: int, objects: list[int]) -> None:
    for table in _OF_OBJECTS:
        await connection.execute(
            f"delete from {table} where home_id = $1 and object_id = any($2::bigint[])",  # noqa: S608
            home_id,
            objects,
        )


async def _take_place(connection: Connection, handover: Handover, owner: str, cause: Cause, batch: int) -> None:
    """Copy what is left and put the copy in the place of the collection."""
    home_id, id_, to_home_id = handover.home_id, handover.id, handover.to_home_id
    await _hold_members(connection, handover, None)
    # Whoever shares the collection, or stops, waits; so does every writer in a home that is concerned.
    await connection.execute("select pg_advisory_xact_lock($1::bigint)", id_)
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
    while await _copy_members(connection, handover, batch) == batch:
        pass
    await _copy_views(connection, handover)
    for table in _OF_COLLECTION:
        await _copy(connection, table, "s.home_id = $1 and s.collection_id = $3", [home_id, to_home_id, id_])
    await _copy(
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
    # What was shared with the new owner is no longer shared with them.
    view = await connection.fetchval(
        """
        with person as (
            select principal_id as id from home where id = $1
        ), shares as (
            delete from share s using person p
            where s.home_id = $1 and s.collection_id = $2 and s.principal_id = p.id
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
    """The properties of a collection for its new owner, with a displayname that tells whose it was.

    `view` is what the new owner had set for themselves while it was shared with them; that holds.
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
    """What people other than the owner changed in objects for themselves. The new owner's own views end."""
    objects = "s.home_id = $1 and s.object_id in (select id from object where home_id = $1 and collection_id = $3)"
    others = "<> (select principal_id from home where id = $2)"
    arguments = [handover.home_id, handover.to_home_id, handover.id]
    latest = {"revision": "(select revision from home where id = $2)"}
    await _copy(connection, "object_view", f"{objects} and s.principal_id {others}", arguments, latest)
    await _copy(connection, "alarm", f"{objects} and s.viewer_id <> 0 and s.viewer_id {others}", arguments)


async def _show(connection: Connection, handover: Handover, alive: bool, cause: Cause) -> int:
    """Bind the copy in its new home: as what was shared with its owner so far, or under a free name."""
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
    if alive:
        changed = {to_home_id: revision}
        await _trace(connection, "collection-created", "collection-handed-over", changed, id_, cause)
    return revision


async def _free_name(connection: Connection, home_id: int, name: str) -> str:
    """A name that no collection of a home has: as it was, or with a number."""
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
    """Let the homes of all with whom the collection is shared show the copy."""
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
    """Delete the collection where it was; what it held goes when the person is purged."""
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
    for table in _OF_COLLECTION:
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
    """Rows in `outbox` and `audit` for the homes that changed, by their revisions."""
    await connection.execute(
        """
        with changed as (
            select home_id, revision from unnest($1::bigint[], $2::bigint[]) as c (home_id, revision) order by home_id
        ), told as (
            insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
            select home_id, revision, $3, $5::bigint, $6::bigint, $7, $8 from changed
        )
        insert into audit (home_id, revision, action, collection_id, principal_id, origin, request_id)
        select home_id, revision, $4, $5::bigint, $6::bigint, $7, $8 from changed
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


async def _copy(
    connection: Connection,
    table: str,
    condition: str,
    arguments: list[Any],
    replaced: Mapping[str, str] | None = None,
    *,
    without: tuple[str, ...] = (),
) -> None:
    """Insert copies of the rows `s` of a table that hold a condition, in the home $2, some columns `replaced`."""
    rows = await connection.fetch(
        """
        select attname from pg_attribute
        where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
        """,
        table,
    )
    columns = [row[0] for row in rows if row[0] not in without]
    values = {"home_id": "$2::bigint", **(replaced or {})}
    await connection.execute(
        f"insert into {table} ({', '.join(columns)}) overriding system value "  # noqa: S608
        f"select {', '.join(values.get(column, f's.{column}') for column in columns)} from {table} s where {condition}",
        *arguments,
    )
