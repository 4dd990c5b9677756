"""Deleting principals: they are hidden at once; their data are removed in batches, so that no transaction is long."""

from __future__ import annotations

from server.domain.changes import Cause
from server.domain.errors import NotFound
from storage_plugins.postgres.changes import handover_jobs, held_addresses
from storage_plugins.postgres.changes.fan_out import HOMES
from storage_plugins.postgres.changes.principals import leave_trace, lock, membership_job
from storage_plugins.postgres.changes.rooms import CARDS_JOB
from storage_plugins.postgres.database import Connection, Database
from storage_plugins.postgres.jobs import enqueue

BATCH = 1000
"""Rows that one transaction removes."""
_IN_BATCHES = {
    "reservation": "id",
    "alarm": "object_id",
    "occurrence": "object_id",
    "object_view": "object_id",
    "object": "id",
    "trash": "id",
}
"""Tables of a home without foreign keys to rows that are removed before them, and the column that finds their rows."""

# Personal copies in the homes of others, home by home: their bytes count in that home, whose row is locked first.
_ADDRESSES = """
    select address_key from principal_address where principal_id = $1
    union all select address_key from former_address where principal_id = $1
"""
_RELEASE_PARTS = "update room set parent_id = null, version = version + 1 where parent_id = $1"
_REMOVE_COPIES = "select koyomi_remove_copies_1($1, $2)"


async def hide(connection: Connection, principal_id: int, cause: Cause) -> None:
    """Take away name, addresses, credentials and relations, in the caller's transaction."""
    await lock(connection)
    found = await connection.fetchrow(
        """
        update principal set
            deleted_at = coalesce(deleted_at, now()),
            disabled_at = coalesce(disabled_at, now()),
            name_key = null,
            credential_version = credential_version + 1,
            modified_at = now()
        where id = $1
        returning kind
        """,
        principal_id,
    )
    if found is None:
        raise NotFound("There is no such principal.")
    if found["kind"] in ("room", "resource"):
        await connection.execute(_RELEASE_PARTS, principal_id)
        await enqueue(connection, CARDS_JOB)
    # Meetings that invite a group follow its members.
    groups = await connection.fetch("select group_id from membership where member_id = $1 order by 1", principal_id)
    for row in groups:
        await enqueue(connection, membership_job(row["group_id"]))
    rows = await connection.fetch(_ADDRESSES, principal_id)
    await held_addresses.hold(connection, [(principal_id, row[0]) for row in rows])
    for table, column in (
        ("principal_address", "principal_id"),
        ("former_address", "principal_id"),
        ("password", "principal_id"),
        ("app_password", "principal_id"),
        ("service_token", "principal_id"),
        ("identity", "principal_id"),
        ("membership", "group_id"),
        ("membership", "member_id"),
        ("delegate", "principal_id"),
        ("delegate", "delegate_id"),
    ):
        await connection.execute(f"delete from {table} where {column} = $1", principal_id)  # noqa: S608
    await leave_trace(connection, "principal-deleted", principal_id, cause)


async def purge(database: Database, principal_id: int, cause: Cause) -> None:
    """Remove everything of a principal that `hide` has hidden. Each batch is a transaction of its own."""
    rows = await database.fetch("select id from home where principal_id = $1", principal_id)
    homes = [int(row["id"]) for row in rows]
    for home_id in homes:
        for table, column in _IN_BATCHES.items():
            await _remove_in_batches(database, table, column, home_id, principal_id)
    while await database.fetchval(_REMOVE_COPIES, principal_id, BATCH):
        await handover_jobs.removed(database, principal_id)
    while await _unbind(database, homes):
        await handover_jobs.removed(database, principal_id)
    async with database.transaction() as connection:
        await _remove_homes(connection, homes)
        await connection.execute("delete from principal where id = $1", principal_id)
        await connection.execute("delete from journal_text where principal_ids @> array[$1::bigint]", principal_id)
        await handover_jobs.end(connection, principal_id)
        await leave_trace(connection, "principal-purged", principal_id, cause)


async def _remove_in_batches(database: Database, table: str, column: str, home_id: int, principal_id: int) -> None:
    """Remove a home's rows in order of a column, all rows of one value together; a handover's job waits meanwhile."""
    statement = f"""
        with batch as (
            select max({column}) as last
            from (select {column} from {table} where home_id = $1 order by {column} limit {BATCH}) as rows
        ), gone as (
            delete from {table} where home_id = $1 and {column} <= (select last from batch)
        )
        select last from batch
    """  # noqa: S608
    while await database.fetchval(statement, home_id) is not None:
        await handover_jobs.removed(database, principal_id)


async def _unbind(database: Database, homes: list[int]) -> int:
    """Remove the bindings of these homes' collections in the next homes of others. Returns the number of homes.

    Clients of the others begin a new synchronisation.
    """
    async with database.transaction() as connection:
        others = await connection.fetch(
            """
            select h.id from home h where h.id in (
                select b.home_id from binding b
                where b.collection_home_id = any($1::bigint[]) and b.home_id <> b.collection_home_id
                order by b.home_id limit $2
            ) order by h.id for no key update
            """,
            homes,
            HOMES,
        )
        await connection.execute(
            """
            with gone as (
                delete from binding b
                where b.home_id = any($2::bigint[]) and b.collection_home_id = any($1::bigint[])
                  and b.home_id <> b.collection_home_id
                returning b.home_id, b.deleted_revision
            )
            update home h set revision = h.revision + 1, sync_floor = h.revision + 1,
                infinite_sync_floor = h.revision + 1, collection_count = h.collection_count - g.live
            from (
                select home_id, count(*) filter (where deleted_revision is null) as live from gone group by home_id
            ) as g
            where h.id = g.home_id
            """,
            homes,
            [row[0] for row in others],
        )
    return len(others)


async def _remove_homes(connection: Connection, homes: list[int]) -> None:
    """Remove homes and their collections."""
    await connection.execute("select from home where id = any($1::bigint[]) order by id for update", homes)
    # This also removes rows that running requests have written since the batches.
    await connection.execute("delete from handover where to_home_id = any($1::bigint[])", homes)
    for table in (
        *_IN_BATCHES,
        "fan_out",
        "share",
        "share_declined",
        "ace",
        "collection_view",
        "binding",
        "collection_copy",
        "collection",
    ):
        await connection.execute(f"delete from {table} where home_id = any($1::bigint[])", homes)  # noqa: S608
    await connection.execute("delete from home where id = any($1::bigint[])", homes)
