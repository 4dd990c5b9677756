"""The statement that reads the data of recipients for the delivery of scheduling messages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from server.domain.scheduling import SchedulingRole
from server.storage.scheduling import Mailbox
from storage_plugins.postgres.advisory_locks import QueueLock, held
from storage_plugins.postgres.reads import owners, resolve, rooms
from storage_plugins.postgres.reads.grants import grants

_OWN_COLLECTIONS = """
    from principal p
    cross join lateral (select {addresses} offset 0) as a
    join home h on h.principal_id = p.id and h.kind = 'calendar'
    cross join lateral (
        select b.* from binding b
        where b.home_id = h.id and b.collection_home_id = h.id and b.rights = 'owner' and b.deleted_revision is null
        offset 0
    ) as b
    join collection c
        on c.home_id = b.collection_home_id and c.id = b.collection_id and c.kind in ({kinds}) and c.deleted_at is null
    left join collection_view w on w.home_id = c.home_id and w.collection_id = c.id and w.principal_id = p.id
"""
"""People (`p`) with the collections that are theirs. `offset 0` keeps the planner from reading the bindings of all
homes, and addresses once for each calendar."""

MAILBOXES = f"""
    select p.id, m.version, m.state,
           case when c.kind = 'inbox' and p.id <> $1 then koyomi_grants_2($1, p.id, h.id, c.id) end,
           exists (select from scheduling_dispatch d where d.meeting = $4 and d.waiting),
           {held(QueueLock.MEETINGS, "$4")},
           p.kind, case when p.disabled_at is null then p.auto_schedule end,
           p.disabled_at is null and p.kind in ('room', 'resource'), {rooms.ROOM},
           p.uid, p.name, a.addresses, {resolve.HOME}, {resolve.COLLECTION}, {resolve.OBJECT}, o.text
    {_OWN_COLLECTIONS.format(addresses=owners.COLUMNS, kinds="'calendar', 'inbox'")}
    left join object o
        on o.home_id = c.home_id and o.collection_id = c.id and o.uid = $3 and o.deleted_revision is null
        and o.scheduling <> 3 and c.kind = 'calendar'
    left join room r on r.principal_id = p.id
    left join scheduling_memory m on m.home_id = h.id and m.uid = $3
    where p.id = any($2::bigint[]) and p.deleted_at is null
    order by p.id, c.id
"""  # noqa: S608
"""Arguments: the sender's id, the recipients' ids, the UID, the meeting. A row for each inbox and calendar."""

_NO_ROOM = ", ".join(["null"] * rooms.ROOM_WIDTH)

INBOXES = f"""
    select p.id, null::bigint, null::jsonb, case when p.id <> $1 then koyomi_grants_2($1, p.id, h.id, c.id) end, false,
           false,
           p.kind, null::jsonb, false, {_NO_ROOM},
           p.uid, p.name, a.addresses, {resolve.HOME}, {resolve.COLLECTION}, null::bigint
    {_OWN_COLLECTIONS.format(addresses=owners.COLUMNS, kinds="'inbox'")}
    where p.id = any($2::bigint[]) and p.deleted_at is null
    order by p.id, c.id
"""
"""Arguments: the sender's id, the people's ids. A row for each inbox."""

OLDEST_MEMBERS = """
    select o.name, o.id, o.revision from object o
    where o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null
    order by o.id limit $3
"""
"""Arguments: home, collection, at most how many."""
INBOX_ITEMS = """
    select o.name, o.id, o.revision from object o
    where o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null and o.uid = $3
    order by o.id
"""
"""Arguments: home, inbox, UID. Reads the members of the inbox, of which there are few."""

_ROOM_AT = 9
_ADDRESSES_AT = _ROOM_AT + rooms.ROOM_WIDTH
_HOME_AT = _ADDRESSES_AT + 3
_COLLECTION_AT = _HOME_AT + 11
_OBJECT_AT = _COLLECTION_AT + 21


def mailboxes(rows: Iterable[Any]) -> list[Mailbox]:
    """The recipients from the rows of `MAILBOXES`."""
    return [_mailbox(principal_id, list(found)) for principal_id, found in groupby(rows, lambda row: int(row[0]))]


def _mailbox(principal_id: int, rows: list[Any]) -> Mailbox:
    inbox = collection = held = None
    calendars = []
    granted = grants(None)
    for row in rows:
        shown = resolve.collection(row[_COLLECTION_AT:_OBJECT_AT], principal_id)
        if shown.kind == "inbox":
            inbox, granted = shown, grants(row[3])
            continue
        calendars.append(shown)
        if row[_OBJECT_AT] is None:
            continue
        found = resolve.member(row[_OBJECT_AT:])
        if held is None or (held.role is SchedulingRole.NONE and found.role is not SchedulingRole.NONE):
            collection, held = shown, found
    first = rows[0]
    return Mailbox(
        principal_id,
        resolve.home(first[_HOME_AT:_COLLECTION_AT], "calendar", principal_id),
        inbox,
        tuple(calendars),
        owners.addresses(*first[_ADDRESSES_AT:_HOME_AT]),
        collection,
        held,
        granted,
        first[2],
        first[1] or 0,
        first[6],
        first[7],
        first[4],
        first[5],
        rooms.room(first[_ROOM_AT:_ADDRESSES_AT]) if first[_ROOM_AT - 1] else None,
    )
