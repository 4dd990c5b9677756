"""Rooms from rows."""

from __future__ import annotations

from typing import Any

from server.domain.principals import name_key
from server.domain.rooms import Position, Room, RoomSearch, default_type
from server.storage.rooms import Booked
from storage_plugins.postgres.reads.text_pages import fits

ROOM = (
    "p.id, p.kind, r.type, r.site, r.building, r.floor, r.number, r.capacity, r.features, r.accessibility, r.latitude, "
    "r.longitude, r.photograph, r.contact, r.time_zone, r.opening_times, r.metadata, r.buffer_before, r.buffer_after, "
    "r.pieces, r.allowed_overlaps, r.parent_id, r.policy, r.version"
)
"""Columns of the room `r` of a principal `p`, as `room` reads them; `r` may be joined from the left."""
ROOM_WIDTH = 24
"""How many columns these are."""

ROOMS = (
    f"select {ROOM} from principal p left join room r on r.principal_id = p.id "  # noqa: S608
    "where p.id = any($1::bigint[]) and p.kind in ('room', 'resource') and p.deleted_at is null"
)
PARTS = """
    select r.parent_id, r.principal_id from room r join principal p on p.id = r.principal_id and p.deleted_at is null
    where r.parent_id = any($1::bigint[]) order by 1, 2
"""

GUARDED = """
    select distinct h.principal_id from home h
    join collection c on c.home_id = h.id and c.kind = 'inbox'
    join ace a on a.home_id = c.home_id and a.collection_id = c.id
    where h.principal_id = any($1::bigint[]) and h.kind = 'calendar'
"""
"""Argument: principals. Those whose inbox has an access control list."""
_IN_WINDOW = "r.during && tstzrange($2, $3) and r.starts_at < $3 and r.ends_at > $2"
BOOKED = f"""
    with booked as (
        -- Two branches, each by its index: with one condition the planner may walk through all reservations in order.
        select b.home_id, b.object_id from (
            select r.home_id, r.object_id from reservation r
            where r.resource_id = $1 and {_IN_WINDOW}
            union
            select r.home_id, r.object_id from reservation r
            where r.home_id = (select h.id from home h where h.principal_id = $1 and h.kind = 'calendar')
              and {_IN_WINDOW}
        ) as b
        where (b.home_id, b.object_id) > ($4, $5)
        order by 1, 2 limit $6
    ), sized as (
        select o.home_id, o.id, {fits("o.size", "o.home_id, o.id")} as fits
        from booked b join object o on o.home_id = b.home_id and o.id = b.object_id
    )
    select s.home_id, s.id, case when s.fits then o.text end, t.starts, t.ends, t.recurrence_ids
    from sized s
    join object o on o.home_id = s.home_id and o.id = s.id
    cross join lateral (
        select array_agg(i.starts_at order by i.starts_at, i.recurrence_id) as starts,
               array_agg(i.ends_at order by i.starts_at, i.recurrence_id) as ends,
               array_agg(i.recurrence_id order by i.starts_at, i.recurrence_id) as recurrence_ids
        from (
            select distinct r.starts_at, r.ends_at, r.recurrence_id from reservation r
            where r.home_id = s.home_id and r.object_id = s.id and r.starts_at < $3 and r.ends_at > $2
        ) as i
    ) as t
    order by 1, 2
"""  # noqa: S608
"""Arguments: a room, a window, the ids of the home and the object after which the page begins, its length."""


def booked(row: Any) -> Booked:
    """An object that takes a room, from a row of `BOOKED`."""
    home_id, object_id, text, starts, ends, recurrence_ids = row
    return Booked((home_id, object_id), text, list(zip(starts, ends, recurrence_ids, strict=True)))


def room(row: Any) -> Room:
    """A room from the columns of `ROOM`."""
    id_, kind, of_type, site, building, floor, number = row[:7]
    capacity, features, accessibility, latitude, longitude, photograph, contact, zone, opening = row[7:16]
    metadata, before, after, pieces, overlaps, parent, policy, version = row[16:ROOM_WIDTH]
    if version is None:
        return Room(id_, default_type(kind))
    position = None if latitude is None else Position(latitude, longitude)
    return Room(
        id_,
        of_type,
        site,
        building,
        floor,
        number,
        capacity=capacity,
        features=frozenset(features),
        accessibility=accessibility,
        position=position,
        photograph=photograph,
        contact=contact,
        time_zone=zone,
        opening_times=opening,
        metadata=metadata,
        buffer_before=before,
        buffer_after=after,
        pieces=pieces,
        allowed_overlaps=overlaps,
        parent=parent,
        policy=policy,
        version=version,
    )


def found(search: RoomSearch) -> tuple[str, list[object]]:
    """The condition that finds rooms `r` of principals `p`, with its arguments from $3 on."""
    conditions, arguments = ["p.kind in ('room', 'resource')", "p.deleted_at is null"], list[object]()

    def demand(condition: str, argument: object) -> None:
        arguments.append(argument)
        conditions.append(condition.format(f"${len(arguments) + 2}"))

    if search.types:
        default = "coalesce(r.type, case p.kind when 'resource' then 'EQUIPMENT' else 'ROOM' end)"
        demand(default + " = any({}::text[])", sorted(search.types))
    for column, text in (("site", search.site), ("building", search.building), ("floor", search.floor)):
        if text:
            demand(f"r.{column}_key = {{}}", name_key(text))
    if search.least_capacity is not None:
        demand("r.capacity >= {}", search.least_capacity)
    if search.features:
        demand("r.features @> {}::text[]", sorted(search.features))
    return " and ".join(conditions), arguments
