"""Check-ins in PostgreSQL (`server.storage.check_ins.CheckIns`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from server.domain.objects import Target
from server.storage.check_ins import BookedObject, BookingId, CheckInState, Missed, RoomBooking
from server.storage.mails import RELEASED
from storage_plugins.postgres.database import Database

_STATE = """
    select c.state from check_in c
    where c.home_id = v.home_id and c.object_id = v.object_id and c.recurrence_id = v.recurrence_id
      and c.starts_at = v.starts_at and (c.ends_at = v.ends_at or c.state = 'CHECKED_IN')
    order by c.state limit 1
"""
"""CHECKED_IN counts more than NO_SHOW."""
# OFFSET 0 keeps the planner from reading all reservations first where it takes the table for small.
_BOOKING = f"""
    h.id, v.object_id, v.recurrence_id, v.starts_at, v.ends_at, h.principal_id, min(v.reserved_at),
    coalesce(({_STATE}), 'BOOKED'),
    (select l.sent_at from check_in_link l where l.home_id = h.id and l.object_id = v.object_id),
    (select l.expires_at from check_in_link l where l.home_id = h.id and l.object_id = v.object_id)
"""  # noqa: S608
_GROUPED = "group by h.id, v.home_id, v.object_id, v.recurrence_id, v.starts_at, v.ends_at, h.principal_id"
RUNNING = f"""
    select {_BOOKING}
    from (
        select r.principal_id from room r where r.policy ->> 'release_no_shows' = 'true' offset 0
    ) as r
    join principal p on p.id = r.principal_id and p.deleted_at is null
    join home h on h.principal_id = p.id and h.kind = 'calendar'
    cross join lateral unnest(koyomi_taken_with_1(p.id)) as t (id)
    cross join lateral (
        select v.* from reservation v
        where v.resource_id = t.id and v.during && tstzrange($1::timestamptz, $1::timestamptz, '[]')
        offset 0
    ) as v
    where v.home_id = h.id and v.starts_at <= $1 and v.ends_at > $1
      and (h.id, v.object_id, v.recurrence_id) > ($2::bigint, $3::bigint, $4::text)
      and coalesce(({_STATE}), '') <> 'CHECKED_IN'
    {_GROUPED}
    order by h.id, v.object_id, v.recurrence_id
    limit $5
"""  # noqa: S608
"""Arguments: the time, the last home, object and recurrence id, the number of rows."""
TO_CHECK_IN = f"""
    select {_BOOKING}
    from home h
    cross join lateral unnest(koyomi_taken_with_1(h.principal_id)) as t (id)
    cross join lateral (
        select v.* from reservation v
        where v.resource_id = t.id and v.during && tstzrange($2::timestamptz, $3::timestamptz, '[]')
        offset 0
    ) as v
    where h.principal_id = $1 and h.kind = 'calendar' and v.home_id = h.id
      and v.ends_at > $2 and v.starts_at <= $3 and ($4::bigint is null or v.object_id = $4)
    {_GROUPED}
    order by v.starts_at, v.object_id, v.recurrence_id
    limit 1000
"""  # noqa: S608
"""Arguments: the room, the window, the object or null."""
BOOKED_OBJECT = """
    select p.uid, b.name, o.name, o.home_id, o.id, p.id,
           (select max(v.ends_at) from reservation v where v.home_id = o.home_id and v.object_id = o.id),
           (select l.expires_at from check_in_link l where l.home_id = o.home_id and l.object_id = o.id)
    from object o
    join home h on h.id = o.home_id
    join principal p on p.id = h.principal_id and p.deleted_at is null
    join binding b
        on b.home_id = h.id and b.collection_home_id = h.id and b.collection_id = o.collection_id
        and b.rights = 'owner' and b.deleted_revision is null
    join collection c on c.home_id = h.id and c.id = o.collection_id and c.kind = 'calendar'
    where o.home_id = $1 and o.deleted_revision is null and {}
"""
BOOKED_BY_ID = BOOKED_OBJECT.format("o.id = $2")
BOOKED_BY_NAME = BOOKED_OBJECT.format("b.home_id = $1 and o.name = $2")
_SETTLED = """
    with booked as (
        select v.home_id, v.object_id, v.recurrence_id, v.starts_at, v.ends_at
        from reservation v
        where v.home_id = $1 and v.object_id = $2 and v.recurrence_id = $3 and v.starts_at = $4 and v.ends_at = $5
        for update
    ), settled as (
        insert into check_in (home_id, object_id, recurrence_id, starts_at, ends_at, state, at)
        select distinct b.*, $6::text, $7::timestamptz from booked b
        where not exists (
            select from check_in c
            where c.home_id = $1 and c.object_id = $2 and c.recurrence_id = $3 and c.starts_at = $4
              and c.state = 'CHECKED_IN'
        )
        on conflict do nothing
        returning home_id, object_id, starts_at, ends_at
    )
"""
"""Whoever moves or deletes the booking waits meanwhile."""
CHECK_IN = f"{_SETTLED} select exists (select from booked), exists (select from settled)"  # noqa: S608
MISS = f"""
    {_SETTLED}, told as (
        insert into job (kind, payload)
        select '{RELEASED}', jsonb_build_object(
            'home', s.home_id, 'object', s.object_id, 'start', extract(epoch from s.starts_at)::bigint,
            'end', extract(epoch from s.ends_at)::bigint
        )
        from settled s
    )
    select exists (select from booked), exists (select from settled)
"""  # noqa: S608
STATE = f"""
    select ({_STATE})
    from (values ($1::bigint, $2::bigint, $3::text, $4::timestamptz, $5::timestamptz))
        as v (home_id, object_id, recurrence_id, starts_at, ends_at)
"""  # noqa: S608
MISSES = """
    select count(*) from check_in c
    where c.home_id = $1 and c.object_id = $2 and c.state = 'NO_SHOW' and not exists (
        select from check_in d
        where d.home_id = $1 and d.object_id = $2 and d.state = 'CHECKED_IN' and d.starts_at > c.starts_at
    )
"""
LINK_SENT = """
    insert into check_in_link (home_id, object_id, sent_at, expires_at)
    select o.home_id, o.id, $3, $4 from object o where o.home_id = $1 and o.id = $2
    on conflict (home_id, object_id) do update set sent_at = excluded.sent_at, expires_at = excluded.expires_at
"""
MISSED = """
    with recursive above (id) as (
        select $1::bigint
        union
        select r.parent_id
        from above a
        cross join lateral (select r.parent_id from room r where r.principal_id = a.id offset 0) as r
        where r.parent_id is not null
    )
    select c.object_id, c.starts_at, c.ends_at
    from above a
    join home h on h.principal_id = a.id and h.kind = 'calendar'
    join check_in c on c.home_id = h.id
    where c.state = 'NO_SHOW' and c.starts_at >= $2 and c.starts_at < $3
    order by c.starts_at, c.object_id
"""
"""Arguments: the room, the window."""


class CheckInStorage:
    """The part of the storage that knows who came."""

    database: Database

    async def running_bookings(
        self, now: datetime, *, after: tuple[int, int, str] = (0, 0, ""), limit: int = 500
    ) -> list[RoomBooking]:
        """See `server.storage.check_ins`."""
        return [_booking(row) for row in await self.database.fetch(RUNNING, now, *after, limit)]

    async def bookings_to_check_in(
        self, principal_id: int, now: datetime, until: datetime, *, object_id: int | None = None
    ) -> list[RoomBooking]:
        """See `server.storage.check_ins`."""
        rows = await self.database.fetch(TO_CHECK_IN, principal_id, now, until, object_id)
        return [_booking(row) for row in rows]

    async def booked_object(self, home_id: int, *, object_id: int = 0, name: str = "") -> BookedObject | None:
        """See `server.storage.check_ins`."""
        if object_id:
            row = await self.database.fetchrow(BOOKED_BY_ID, home_id, object_id)
        else:
            row = await self.database.fetchrow(BOOKED_BY_NAME, home_id, name)
        return None if row is None else BookedObject(Target(row[0], "uid", "calendar", row[1], row[2]), *row[3:])

    async def check_in(self, booking: BookingId, now: datetime) -> CheckInState | None:
        """See `server.storage.check_ins`."""
        return await self._settle(CHECK_IN, booking, "CHECKED_IN", now)

    async def miss(self, booking: BookingId, now: datetime) -> CheckInState | None:
        """See `server.storage.check_ins`."""
        return await self._settle(MISS, booking, "NO_SHOW", now)

    async def _settle(
        self, statement: str, booking: BookingId, state: CheckInState, now: datetime
    ) -> CheckInState | None:
        place = booking.home_id, booking.object_id, booking.instance, booking.start, booking.end
        row = await self.database.fetchrow(statement, *place, state, now)
        assert row is not None
        booked, settled = row
        if not booked:
            return None
        # Where somebody else was first, a statement of its own sees it.
        return state if settled else cast("CheckInState | None", await self.database.fetchval(STATE, *place))

    async def misses_in_a_row(self, home_id: int, object_id: int) -> int:
        """See `server.storage.check_ins`."""
        return int(await self.database.fetchval(MISSES, home_id, object_id))

    async def link_sent(self, home_id: int, object_id: int, now: datetime, expires_at: datetime) -> None:
        """See `server.storage.check_ins`."""
        await self.database.fetch(LINK_SENT, home_id, object_id, now, expires_at)

    async def missed(self, principal_id: int, start: datetime, end: datetime) -> list[Missed]:
        """See `server.storage.check_ins`."""
        return [Missed(*row) for row in await self.database.fetch(MISSED, principal_id, start, end)]


def _booking(row: Any) -> RoomBooking:
    return RoomBooking(BookingId(*row[:5]), *row[5:])
