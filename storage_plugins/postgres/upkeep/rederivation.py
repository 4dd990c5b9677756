"""Deriving objects again whose columns come from an older version of the code (`server.calendar.derivation`), or from
former addresses of their owner.

This takes no revision, as all of `storage_plugins.postgres.upkeep.occurrence_jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from server.calendar.derivation import VERSION
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.upkeep.occurrence_jobs import PAGE, compute, groups

_OUTDATED = """
    select o.home_id, o.id, o.size from object o
    where o.derived < $1 and o.component <> 'VCARD' and o.deleted_revision is null limit $2
"""
_COUNT_OUTDATED = """
    select count(*) from object o
    where o.derived < $1 and o.component <> 'VCARD' and o.deleted_revision is null
"""
_ANY_OUTDATED = """
    select exists (
        select from object o where o.derived < $1 and o.component <> 'VCARD' and o.deleted_revision is null
    )
"""
_ADDRESSES = """
    array(
        select p.name from principal p where p.id = h.principal_id
        union all
        (select a.address from principal_address a where a.principal_id = h.principal_id order by a.position)
        union all
        (select f.address from former_address f where f.principal_id = h.principal_id order by f.address_key)
    )
"""
_OTHER_OWNERS = f"""
    select h.id, o.addresses from home h cross join lateral (select {_ADDRESSES} as addresses) as o
    where h.kind = 'calendar' and h.id > $1 and h.owner_addresses <> o.addresses order by h.id limit $2
"""  # noqa: S608
# Homes without events, such as those of new people, need no more.
_SET_OWNERS_WITHOUT_EVENTS = f"""
    update home h set owner_addresses = {_ADDRESSES}
    where h.id in (
        select e.id from home e
        where e.id = any($1::bigint[])
          and not exists (
              select from object o where o.home_id = e.id and (o.component = 'VEVENT' or o.organizer is not null)
          )
        order by e.id for no key update
    )
    returning h.id
"""  # noqa: S608
_MARK_EVENTS = """
    with events as (
        select o.home_id, o.id from object o
        where o.home_id = $1 and o.id > $2 and (o.component = 'VEVENT' or o.organizer is not null)
          and o.deleted_revision is null
        order by o.id limit $3 for no key update
    ), marked as (
        update object o set time_key = '', derived = 0 from events e where o.home_id = e.home_id and o.id = e.id
    )
    select max(id), count(*) from events
"""
_SET_OWNER = "update home set owner_addresses = $2 where id = $1"


async def outdated(database: Database) -> int:
    """The number of objects whose columns an older version of the code derived."""
    return int(await database.fetchval(_COUNT_OUTDATED, VERSION))


async def any_outdated(database: Database) -> bool:
    """Whether there is an object whose columns an older version of the code derived."""
    return bool(await database.fetchval(_ANY_OUTDATED, VERSION))


async def rederive(
    database: Database,
    now: datetime,
    *,
    seconds: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Derive the objects again whose columns an older version of the code derived. Returns their number.

    Stops after `seconds`. Can be interrupted at any point and called again: derived objects have the new version.
    """
    done, end = 0, None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        rows = await database.fetch(_OUTDATED, VERSION, PAGE)
        computed = 0
        for group in groups(rows):
            computed += await compute(database, group, now, end)
            progress(done + computed)
            if end is not None and time.monotonic() >= end:
                break
        done += computed
        # The next call derives objects that servers of an older version write meanwhile.
        if len(rows) < PAGE or not computed:
            break
    return done


async def follow_owners(database: Database, *, seconds: float | None = None) -> int:
    """Mark the events of people whose name or addresses have changed for `rederive`. Returns the number of events.

    The new addresses decide which events the person has declined. Stops after `seconds`. Can be interrupted at any
    point and called again.
    """
    marked, place, end = 0, 0, None if seconds is None else time.monotonic() + seconds
    while homes := await database.fetch(_OTHER_OWNERS, place, PAGE):
        ids = [row[0] for row in homes]
        empty = {row[0] for row in await database.fetch(_SET_OWNERS_WITHOUT_EVENTS, ids)}
        for home_id, addresses in homes:
            if home_id in empty:
                continue
            if end is not None and time.monotonic() >= end:
                return marked
            last, found = 0, PAGE
            while found == PAGE:
                row = await database.fetchrow(_MARK_EVENTS, home_id, last, PAGE)
                assert row is not None
                last, found = row[0] or last, row[1]
                marked += found
            await database.fetch(_SET_OWNER, home_id, addresses)
        place = ids[-1]
    return marked
