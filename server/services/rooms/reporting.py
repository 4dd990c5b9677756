"""How rooms are used: from their reservations, and the texts that say how many people come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

from server.auth import policy
from server.booking.opening_times import open_times
from server.booking.utilisation import Booking, Missed, ReportedRoom, Utilisation, utilisation
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, BadRequest, InvalidData
from server.domain.privileges import Privilege
from server.domain.rooms import RoomSearch
from server.itip.participants import DECLINED, partstat, token
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import read_object
from server.process.computing import computed
from server.services.rooms.candidates import BookableRoom, bookable_rooms
from server.storage import Storage
from server.storage.rooms import Booked

MAX_WINDOW = timedelta(days=400)
"""The longest time of a report."""
_PAGE = 100


async def report(
    storage: Storage, actor: Actor, search: RoomSearch, start: datetime, end: datetime
) -> tuple[list[ReportedRoom], Utilisation]:
    """How the rooms that a search finds were used in a window, with the rooms in order of names.

    What somebody has declined, not answered or cancelled is not booked. Raises `AccessDenied` if the actor does not
    administrate the directory, and `BadRequest` for too long a window.
    """
    if Privilege.READ not in policy.on_directory(actor.principal):
        raise AccessDenied("", Privilege.READ)
    if not timedelta(0) < end - start <= MAX_WINDOW:
        raise BadRequest(f"A report is about at most {MAX_WINDOW.days} days.")
    found = await bookable_rooms(storage, search)
    rooms = [_reported(each, start, end) for each in found]
    bookings: list[Booking] = []
    missed: list[Missed] = []
    for each in found:
        principal = each.listed.principal
        missed += [Missed(principal.uid, one.start) for one in await storage.missed(principal.id, start, end)]
        async for page in _pages(storage, principal.id, start, end):
            bookings += await computed(_bookings, principal.uid, page)
    return rooms, await computed(utilisation, rooms, bookings, start, end, missed)


def _reported(room: BookableRoom, start: datetime, end: datetime) -> ReportedRoom:
    principal, attributes = room.listed.principal, room.listed.room
    opened = open_times(room.closed(start, end), start, end)
    return ReportedRoom(
        principal.uid,
        principal.display_name,
        room.zone,
        opened,
        attributes.building,
        attributes.capacity,
        attributes.pieces,
    )


async def _pages(storage: Storage, room: int, start: datetime, end: datetime) -> AsyncIterator[Sequence[Booked]]:
    after = 0, 0
    while True:
        rows = await storage.booked(room, start, end, after=after, limit=_PAGE)
        left_out = next((number for number, each in enumerate(rows) if each.text is None), len(rows))
        page = rows[:left_out]
        if page:
            yield page
            after = page[-1].id
        if len(rows) < _PAGE and len(page) == len(rows):
            return


def _bookings(room: str, page: Sequence[Booked]) -> list[Booking]:
    found = []
    for booked in page:
        people = people_of(booked.text or "")
        of_series = people.get(MASTER)
        found += [Booking(room, start, end, people.get(instance, of_series)) for start, end, instance in booked.times]
    return found


def people_of(text: str) -> Mapping[str, int]:
    """How many people come to the instances that an object describes, as far as is known; by instance."""
    try:
        return {each.instance: _people(each) for each in read_object(text).components}
    except InvalidData:
        return {}


def _people(component: SchedulingComponent) -> int:
    """Those who have not declined, with the organizer."""
    people = {
        line.value.strip().casefold()
        for line in component.all("ATTENDEE")
        if token(line, "CUTYPE", "INDIVIDUAL") not in ("ROOM", "RESOURCE", "GROUP") and partstat(line) != DECLINED
    }
    organizer = component.first("ORGANIZER")
    return len(people if organizer is None else people | {organizer.value.strip().casefold()})
