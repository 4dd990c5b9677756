"""Meetings for administrators: those that somebody organizes, and all that is stored of a UID in all calendar homes.

The latter is slow, since it looks into each home.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.domain.scheduling import SchedulingRole
from server.storage.mails import MailRecord
from server.storage.scheduling import Dispatch, MeetingCopy, MeetingPlace, OrganizedMeeting
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads.dispatches import DISPATCHES, dispatch
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal

_STORED = """
    from home h
    join principal p on p.id = h.principal_id
    join collection c on c.home_id = h.id and c.kind in ('calendar', 'inbox') and c.deleted_at is null
    join binding b
        on b.home_id = h.id and b.collection_home_id = h.id and b.collection_id = c.id and b.deleted_revision is null
    cross join lateral (
        select o.name, o.scheduling, o.modified_at, o.text, o.id from object o
        where o.home_id = h.id and o.collection_id = c.id and o.uid = $1 and o.deleted_revision is null
          and o.scheduling <> 3
        union all
        select o.name, o.scheduling, o.modified_at, o.text, o.id from object o
        where c.kind = 'inbox' and o.home_id = h.id and o.collection_id = c.id and o.uid = $1
          and o.deleted_revision is null and o.scheduling = 3
    ) as o
    where h.kind = 'calendar'
"""
COPIES = f"""
    select b.name, o.name, o.scheduling, o.modified_at, o.text, {PRINCIPAL} {_STORED}
    order by p.id, o.modified_at, o.id
"""
"""Argument: the UID."""
PLACES = f"""
    select b.name, o.name, o.id, {PRINCIPAL} {_STORED} and p.id >= $2 and (p.id, o.id) > ($2, $3)
    order by p.id, o.id limit $4
"""
"""Arguments: the UID, owner and object after which the page starts, at most how many."""
OBJECT_PLACE = f"""
    select b.name, o.name, o.id, {PRINCIPAL}
    from object o
    join home h on h.id = o.home_id and h.kind = 'calendar'
    join principal p on p.id = h.principal_id and p.deleted_at is null
    join collection c
        on c.home_id = o.home_id and c.id = o.collection_id and c.kind = 'calendar' and c.deleted_at is null
    join binding b
        on b.home_id = c.home_id and b.collection_home_id = c.home_id and b.collection_id = c.id
        and b.deleted_revision is null
    where o.home_id = $1 and o.id = $2 and o.deleted_revision is null
"""  # noqa: S608
"""Arguments: the home, the object."""
SENT = f"""
    {DISPATCHES}
    where d.home_id = any(array(
        select h.id from home h
        where exists (select from scheduling_dispatch e where e.home_id = h.id and e.uid = $1)
    )) and d.uid = $1
    order by d.id
"""  # noqa: S608
"""Argument: the UID."""

MAILS = """
    select m.created_at, p.name, m.address, m.method, m.status, m.tries, m.sent_at, m.error
    from home h
    join principal p on p.id = h.principal_id
    join outgoing_mail m on m.home_id = h.id and m.uid = $1
    where h.kind = 'calendar'
    order by m.id
"""
"""Argument: the UID."""

UIDS = """
    with homes as materialized (select h.id from home h where h.principal_id = $1 and h.kind = 'calendar')
    select f.uid from homes h cross join lateral (
        (
            select o.uid from object o
            where o.home_id = h.id and o.scheduling in (1, 2) and o.deleted_revision is null and o.uid > $2
            order by o.uid limit $3
        )
        union
        (select m.uid from scheduling_memory m where m.home_id = h.id and m.uid > $2 order by m.uid limit $3)
    ) as f
    order by f.uid limit $3
"""
"""Arguments: the principal, the UID after which the page starts, at most how many."""
ORGANIZED = """
    select b.name, o.name, o.uid, o.text
    from home h
    join object o on o.home_id = h.id and o.scheduling in (1, 2) and o.deleted_revision is null and o.uid > $3
    join collection c on c.home_id = h.id and c.id = o.collection_id and c.deleted_at is null
    join binding b
        on b.home_id = h.id and b.collection_home_id = h.id and b.collection_id = c.id and b.deleted_revision is null
    where h.principal_id = $1 and h.kind = 'calendar' and o.scheduling = 1
      and (o.endless or o.span_end is null or o.span_end > $2)
    order by o.uid limit $4
"""
"""Arguments: the principal, the time after which the meetings end, the UID after which the page starts, at most how
many."""


async def copies(database: Database, uid: str) -> Sequence[MeetingCopy]:
    """The objects and inbox items of a UID, by owner and in the order of their changes."""
    return [
        MeetingCopy(principal(row[5:]), row[0], row[1], SchedulingRole(row[2]), row[3], row[4])
        for row in await database.fetch(COPIES, uid)
    ]


async def sent(database: Database, uid: str) -> Sequence[Dispatch]:
    """What jobs deliver or have delivered about a UID, in order."""
    return list(map(dispatch, await database.fetch(SENT, uid)))


async def mails(database: Database, uid: str) -> Sequence[MailRecord]:
    """The mails to people elsewhere about a UID, in order."""
    return [MailRecord(*row) for row in await database.fetch(MAILS, uid)]


def place(row: Any) -> MeetingPlace:
    """A row of `PLACES`."""
    return MeetingPlace(principal(row[3:]), *row[:3])


def organized_meeting(row: Any) -> OrganizedMeeting:
    """A row of `ORGANIZED`."""
    return OrganizedMeeting(*row)
