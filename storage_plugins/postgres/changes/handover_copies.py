"""The first part of a handover: copies of a collection and its members in another home, without binding.

Members are copied in batches by their revisions. A member that has changed since it was copied is copied again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.domain.errors import NotFound
from server.storage.directory import Handover
from storage_plugins.postgres.changes.collection_copies import SET_BYTES, SET_OCCURRENCES
from storage_plugins.postgres.database import Connection

_OF_OBJECTS = ("occurrence", "alarm", "object_view")
"""Tables with the rows of an object, found by its id."""


async def begin(connection: Connection, handover: Handover) -> None:
    """Store that a handover has begun, and copy the collection without members. Raises `NotFound` without the homes."""
    # All transactions lock homes in the order of their ids.
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
        await copy_rows(
            connection,
            "collection",
            "s.home_id = $1 and s.id = $3",
            [handover.home_id, handover.to_home_id, handover.id],
            {"revision": "0", "member_count": "0", "used_bytes": "0", "sync_floor": "0"},
        )


async def lock(connection: Connection, handover: Handover) -> bool:
    """Lock a handover. Returns False if it is finished."""
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


async def next_members(connection: Connection, handover: Handover, limit: int) -> int:
    """How many members, of at most `limit`, the next transaction may copy: they are bounded in bytes and occurrences,
    too."""
    found: int = await connection.fetchval(
        """
        select count(*) from (
            select row_number() over w as number, sum(n.size) over w as bytes, sum(r.rows) over w as rows
            from (
                select o.id, o.home_id, o.size, o.revision
                from handover v join object o on o.home_id = v.home_id and o.collection_id = v.collection_id
                where v.home_id = $1 and v.collection_id = $2 and o.revision > v.copied_revision
                order by o.revision limit $3
            ) as n
            cross join lateral (
                select count(*) as rows from occurrence x where x.home_id = n.home_id and x.object_id = n.id
            ) as r
            window w as (order by n.revision)
        ) as p
        where p.number = 1 or (p.bytes <= $4 and p.rows <= $5)
        """,
        handover.home_id,
        handover.id,
        limit,
        SET_BYTES,
        SET_OCCURRENCES,
    )
    return found


async def hold_members(connection: Connection, handover: Handover, limit: int | None) -> None:
    """Lock the members that `copy_members` copies next.

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


async def copy_members(connection: Connection, handover: Handover, limit: int) -> int:
    """Copy the members that have changed since the last batch, at most `limit`. Returns their number."""
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
    # Remove earlier copies of them, and of earlier members with their names.
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
    await copy_rows(connection, "occurrence", parts, [home_id, to_home_id, batch["ids"]])
    await copy_rows(connection, "alarm", f"{parts} and s.viewer_id = 0", [home_id, to_home_id, batch["ids"]])
    last = await connection.fetchval(
        "update home set revision = revision + $2, modified_at = clock_timestamp() where id = $1 returning revision",
        to_home_id,
        batch["members"],
    )
    # Deleted members are copied only if they can be restored.
    await copy_rows(
        connection,
        "object",
        "s.home_id = $1 and s.id = any($3::bigint[]) and s.text is not null",
        [home_id, to_home_id, batch["ids"], last - batch["members"]],
        {
            # Values that depend on the owner's addresses are derived again: declined events, and scheduling roles.
            "time_key": "case when s.component = 'VEVENT' then '' else s.time_key end",
            "derived": "case when s.component = 'VEVENT' or s.organizer is not null then 0 else s.derived end",
            "scheduling": "0",
            "reserved": "false",
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


async def copy_rows(
    connection: Connection,
    table: str,
    condition: str,
    arguments: list[Any],
    replaced: Mapping[str, str] | None = None,
    *,
    without: tuple[str, ...] = (),
) -> None:
    """Insert copies of the rows `s` of a table that meet a condition, in the home $2, with some columns `replaced`."""
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
