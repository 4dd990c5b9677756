"""A free room like one that cannot be booked."""

from __future__ import annotations

from datetime import datetime

from server.booking.finding import Candidate, Needs, alternative
from server.booking.free_time import Period
from server.domain.actors import Actor
from server.domain.rooms import Room, RoomSearch
from server.services.lookup import Lookup
from server.services.rooms.candidates import candidates, place_of
from server.storage import Storage


async def room_like(
    storage: Storage, lookup: Lookup, actor: Actor, room: Room, period: Period, people: int, now: datetime
) -> Candidate | None:
    """A room in the same building that is free in a period, with the features of another, which the actor may book.

    It is as large, or else large enough for so many people; of several it is the nearest (`alternative`). None if the
    period is over or has no length.
    """
    start, end = period
    if not now < start < end:
        return None
    like = Candidate("", "", room.type, room.capacity, room.features, bool(room.accessibility), place_of(room))
    needs = Needs(people, like.features, like.accessible, like.place, like.type)
    search = RoomSearch(frozenset((room.type,)), room.site or None, room.building or None, features=room.features)
    found = await candidates(storage, lookup, actor, search, needs, end - start, period, now, besides=room.principal_id)
    return alternative(like, found, period, people)
