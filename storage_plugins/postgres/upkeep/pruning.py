"""Jobs that remove old rows: tombstones, texts that could be restored, deleted collections.

Each function works in batches of short transactions, may run on several servers at once and can be interrupted at any
point. Tombstones are removed in two steps, at least `_SETTLING` apart: first the sync floor rises, so that no running
sync misses a removal, then the rows are deleted.
"""

from __future__ import annotations

from datetime import timedelta

from storage_plugins.postgres.database import Database

_SETTLING = timedelta(hours=1)

# Deleted rows change the bytes of their home. So the jobs lock homes before the rows in them, as writers do.
_HOMES_OF_TEXTS = """
    select h.id from home h where h.id in (
        select home_id from object where deleted_at < clock_timestamp() - $1::interval and text is not null
        order by deleted_at limit $2
    ) order by h.id for no key update skip locked
"""
_FORGET_TEXTS = """
    update object o set text = null, summary = null, properties = null
    from (
        select home_id, id from object
        where home_id = any($3::bigint[]) and deleted_at < clock_timestamp() - $1::interval and text is not null
        order by deleted_at limit $2 for update skip locked
    ) as old
    where o.home_id = old.home_id and o.id = old.id
"""
_HOMES_OF_TRASH = """
    select h.id from home h where h.id in (
        select home_id from trash where deleted_at < clock_timestamp() - $1::interval order by deleted_at limit $2
    ) order by h.id for no key update skip locked
"""
_FORGET_TRASH = """
    delete from trash where (home_id, id) in (
        select home_id, id from trash
        where home_id = any($3::bigint[]) and deleted_at < clock_timestamp() - $1::interval
        order by deleted_at limit $2 for update skip locked
    )
"""
# A collection without all its members cannot be restored. The lock prevents that it is restored meanwhile.
_MARK_COLLECTIONS = """
    update collection c set members_forgotten = true
    from (
        select home_id, id from collection
        where deleted_at < clock_timestamp() - $1::interval and not members_forgotten
        order by deleted_at limit $2 for no key update skip locked
    ) as old
    where c.home_id = old.home_id and c.id = old.id
"""
_HOMES_OF_MEMBERS = """
    select h.id from home h where h.id in (
        select o.home_id from collection c
        join object o on o.home_id = c.home_id and o.collection_id = c.id
        where c.deleted_at < clock_timestamp() - $1::interval limit $2
    ) order by h.id for no key update skip locked
"""
# A handover holds members before it asks for their home, so the job that holds the home does not wait for members.
_FORGET_MEMBERS = """
    with old as materialized (
        select o.home_id, o.collection_id, o.id, case when o.deleted_revision is null then o.size end as size
        from collection c
        join object o on o.home_id = c.home_id and o.collection_id = c.id
        where c.home_id = any($3::bigint[]) and c.deleted_at < clock_timestamp() - $1::interval and c.members_forgotten
        limit $2 for no key update of c skip locked for update of o skip locked
    ), occurrences as (
        delete from occurrence where (home_id, object_id) in (select home_id, id from old)
    ), alarms as (
        delete from alarm where (home_id, object_id) in (select home_id, id from old)
    ), views as (
        delete from object_view where (home_id, object_id) in (select home_id, id from old)
    ), counts as (
        update collection c set member_count = c.member_count - n.members, used_bytes = c.used_bytes - n.bytes
        from (
            select home_id, collection_id, count(size) as members, coalesce(sum(size), 0) as bytes
            from old group by home_id, collection_id
        ) as n
        where c.home_id = n.home_id and c.id = n.collection_id
    )
    delete from object where (home_id, id) in (select home_id, id from old)
"""
_RAISE_COLLECTION_FLOORS = """
    with old as (
        select home_id, collection_id, max(deleted_revision) as floor from object
        where deleted_at < clock_timestamp() - $1::interval group by home_id, collection_id
    ), homes as materialized (
        select h.id from home h where h.id in (
            select o.home_id from old o join collection c on c.home_id = o.home_id and c.id = o.collection_id
            where o.floor > c.sync_floor
        ) order by h.id limit $2 for no key update
    ), raised as (
        update home h set infinite_sync_floor = greatest(h.infinite_sync_floor, o.floor)
        from (select home_id, max(floor) as floor from old group by home_id) as o
        where h.id = o.home_id and h.id in (select id from homes)
    )
    update collection c set sync_floor = o.floor
    from old o
    where c.home_id = o.home_id and c.id = o.collection_id and o.floor > c.sync_floor
      and c.home_id in (select id from homes)
"""
_HOMES_OF_TOMBSTONES = """
    select h.id from home h where h.id in (
        select o.home_id from object o
        join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where o.deleted_at < clock_timestamp() - $1::interval and o.revision <= c.sync_floor
        order by o.deleted_at limit $2
    ) order by h.id for no key update skip locked
"""
_DROP_TOMBSTONES = """
    delete from object where (home_id, id) in (
        select o.home_id, o.id from object o
        join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where o.home_id = any($3::bigint[]) and o.deleted_at < clock_timestamp() - $1::interval
          and o.revision <= c.sync_floor
        order by o.deleted_at limit $2 for update of o skip locked
    )
"""
_RAISE_HOME_FLOORS = """
    with old as (
        select b.home_id, max(b.deleted_revision) as floor from binding b
        where b.deleted_at < clock_timestamp() - $1::interval group by b.home_id
    ), homes as materialized (
        select h.id from home h
        where h.id in (select o.home_id from old o where o.floor > h.sync_floor)
        order by h.id limit $2 for no key update
    )
    update home h
    set sync_floor = o.floor, infinite_sync_floor = greatest(h.infinite_sync_floor, o.floor)
    from old o where h.id = o.home_id and h.id in (select id from homes)
"""
_DROP_BINDINGS = """
    delete from binding where (home_id, name) in (
        select b.home_id, b.name from binding b join home h on h.id = b.home_id
        where b.deleted_at < clock_timestamp() - $1::interval and b.revision <= h.sync_floor
        order by b.deleted_at limit $2 for update of b skip locked for no key update of h skip locked
    )
"""
_HOMES_OF_COLLECTIONS = """
    select h.id from home h where h.id in (
        select c.home_id from collection c
        where c.deleted_at < clock_timestamp() - $1::interval
          and not exists (select from binding b where b.collection_home_id = c.home_id and b.collection_id = c.id)
          and not exists (select from object o where o.home_id = c.home_id and o.collection_id = c.id)
        limit $2
    ) order by h.id for no key update skip locked
"""
_DROP_COLLECTIONS = """
    with old as materialized (
        select c.home_id, c.id from collection c
        where c.home_id = any($3::bigint[]) and c.deleted_at < clock_timestamp() - $1::interval
          and not exists (select from binding b where b.collection_home_id = c.home_id and b.collection_id = c.id)
          and not exists (select from object o where o.home_id = c.home_id and o.collection_id = c.id)
        limit $2 for update of c skip locked
    ), shares as (
        delete from share where (home_id, collection_id) in (select home_id, id from old)
    ), declined as (
        delete from share_declined where (home_id, collection_id) in (select home_id, id from old)
    ), aces as (
        delete from ace where (home_id, collection_id) in (select home_id, id from old)
    ), views as (
        delete from collection_view where (home_id, collection_id) in (select home_id, id from old)
    ), texts as (
        delete from trash where (home_id, collection_id) in (select home_id, id from old)
    )
    delete from collection where (home_id, id) in (select home_id, id from old)
"""

_FORGET_MESSAGES = """
    delete from scheduling_memory m
    where (m.home_id, m.uid) in (
        select f.home_id, f.uid from scheduling_memory f
        where f.modified_at < now() - $1::interval
          and not exists (
              select from collection c
              join object o on o.home_id = c.home_id and o.collection_id = c.id and o.uid = f.uid
              where c.home_id = f.home_id and o.deleted_revision is null
          )
        order by f.modified_at limit $2
    )
"""
"""Arguments: how old, at most how many."""
_FORGET_DISPATCHES = """
    delete from scheduling_dispatch d
    where (d.home_id, d.id) in (
        select f.home_id, f.id from scheduling_dispatch f
        where not f.waiting and not f.failing and f.modified_at < now() - $1::interval
        order by f.modified_at limit $2
    )
"""
"""Arguments: how old, at most how many."""
_FORGET_JOURNAL_TEXTS = """
    delete from journal_text where id in (
        select id from journal_text where at < now() - $1::interval order by at limit $2
    )
"""
_FORGET_MAILS = """
    with old as materialized (
        select f.home_id, f.id from outgoing_mail_batch f
        where f.created_at < now() - $1::interval and not exists (
            select from outgoing_mail m
            where m.home_id = f.home_id and m.batch_id = f.id and m.status in ('waiting', 'sending')
        )
        order by f.created_at limit $2 for update of f skip locked
    ), kept as (
        insert into mailed_meeting as k (home_id, uid, mailed_at)
        select m.home_id, m.uid, max(m.created_at)
        from old o join outgoing_mail m on m.home_id = o.home_id and m.batch_id = o.id
        where m.created_at >= (select restored_at from installation)
        group by m.home_id, m.uid order by m.home_id, m.uid
        on conflict (home_id, uid) do update set mailed_at = greatest(k.mailed_at, excluded.mailed_at)
    )
    delete from outgoing_mail_batch b using old o where b.home_id = o.home_id and b.id = o.id
"""
"""Arguments: how old, at most how many. What was mailed about since the last restore is kept by its UID."""

_FORGET_MAILED = """
    delete from mailed_meeting k
    where (k.home_id, k.uid) in (
        select f.home_id, f.uid from mailed_meeting f
        where f.mailed_at < now() - $1::interval and (
            f.mailed_at < (select restored_at from installation)
            or not exists (
                select from object o
                where o.home_id = f.home_id and o.uid = f.uid and o.scheduling in (1, 2) and o.deleted_revision is null
            )
        )
        order by f.mailed_at limit $2
    )
"""
"""Arguments: how old, at most how many."""
_MAILED_AGE = timedelta(days=366)
"""How long it is remembered that a meeting which its organizer has deleted was mailed about."""

_FORGET_NOTICES = """
    delete from notice n
    where (n.home_id, n.object_id, n.recipient_id) in (
        select f.home_id, f.object_id, f.recipient_id from notice f
        where f.created_at < now() - $1::interval order by f.created_at limit $2
    )
"""
"""Arguments: how old, at most how many."""

_FORGET_CHECK_INS = """
    delete from check_in c
    where (c.home_id, c.object_id, c.recurrence_id, c.starts_at, c.ends_at) in (
        select f.home_id, f.object_id, f.recurrence_id, f.starts_at, f.ends_at from check_in f
        where f.starts_at < now() - $1::interval order by f.starts_at limit $2
    )
"""
"""Arguments: how old, at most how many."""
_FORGET_CHECK_IN_LINKS = """
    delete from check_in_link l
    where (l.home_id, l.object_id) in (
        select f.home_id, f.object_id from check_in_link f
        where f.expires_at < now() - $1::interval order by f.expires_at limit $2
    )
"""
"""Arguments: how old, at most how many."""


async def forget_deleted(database: Database, restore: timedelta, *, batch: int = 500) -> int:
    """Remove texts and members that were deleted more than `restore` ago. Returns their number."""
    forgotten = await repeat_in_homes(database, _HOMES_OF_TEXTS, _FORGET_TEXTS, restore, batch)
    forgotten += await repeat_in_homes(database, _HOMES_OF_TRASH, _FORGET_TRASH, restore, batch)
    await repeat(database, _MARK_COLLECTIONS, restore, batch)
    return forgotten + await repeat_in_homes(database, _HOMES_OF_MEMBERS, _FORGET_MEMBERS, restore, batch)


async def forget_messages(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Remove the states of scheduling messages about UIDs without object in the home, if they are older than `age`.

    Returns the number of UIDs.
    """
    return await repeat(database, _FORGET_MESSAGES, age, batch)


async def forget_dispatches(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Remove what became of deliveries by jobs that ended more than `age` ago. Returns the number of changes."""
    return await repeat(database, _FORGET_DISPATCHES, age, batch)


async def forget_journal_texts(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Erase the texts of entries of the journal that are older than `age`. Returns their number."""
    return await repeat(database, _FORGET_JOURNAL_TEXTS, age, batch)


async def forget_mails(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Remove mails to people elsewhere that are older than `age`, if none of their change waits, and notices.

    Returns the number of changes and of notices.
    """
    forgotten = await repeat(database, _FORGET_MAILS, age, batch)
    await repeat(database, _FORGET_MAILED, _MAILED_AGE, batch)
    return forgotten + await repeat(database, _FORGET_NOTICES, age, batch)


async def forget_check_ins(database: Database, age: timedelta, *, batch: int = 500) -> int:
    """Remove what became of bookings that began more than `age` ago, and links to check in. Returns the number of
    both."""
    forgotten = await repeat(database, _FORGET_CHECK_INS, age, batch)
    return forgotten + await repeat(database, _FORGET_CHECK_IN_LINKS, age, batch)


async def prune_tombstones(database: Database, retention: timedelta, *, batch: int = 500) -> int:
    """Invalidate sync tokens older than `retention`, and delete the tombstones that only these needed. Returns their
    number.

    Members that can be restored must be younger than `retention`.
    """
    await repeat(database, _RAISE_COLLECTION_FLOORS, retention, batch)
    await repeat(database, _RAISE_HOME_FLOORS, retention, batch)
    dropped = await repeat_in_homes(database, _HOMES_OF_TOMBSTONES, _DROP_TOMBSTONES, retention + _SETTLING, batch)
    dropped += await repeat(database, _DROP_BINDINGS, retention + _SETTLING, batch)
    await repeat_in_homes(database, _HOMES_OF_COLLECTIONS, _DROP_COLLECTIONS, retention + _SETTLING, batch)
    return dropped


async def repeat_in_homes(database: Database, homes: str, sql: str, age: timedelta, batch: int) -> int:
    """Run a statement on old rows in batches, each with the locks of their homes; returns the number of rows."""
    total = 0
    while True:
        async with database.transaction() as connection:
            held = [row[0] for row in await connection.fetch(homes, age, batch)]
            done = int((await connection.execute(sql, age, batch, held)).rsplit(" ", 1)[-1]) if held else 0
        total += done
        if not done:
            return total


async def repeat(database: Database, sql: str, age: timedelta, batch: int) -> int:
    """Run a statement on old rows in batches; returns the number of rows."""
    total = 0
    while True:
        async with database.transaction() as connection:
            done = int((await connection.execute(sql, age, batch)).rsplit(" ", 1)[-1])
        total += done
        if done < batch:
            return total
