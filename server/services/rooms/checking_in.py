"""Checking bookings of rooms in: by the link of a mail, and by name for commands and panels at the rooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.actors import Actor
from server.domain.errors import InvalidPrincipal, NotFound
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.domain.rooms import Room
from server.imip.check_in_links import read_token
from server.services.principals.changes import demand_in_directory
from server.services.rooms.rooms import find_room
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.room_policies import policy_of
from server.storage import Storage
from server.storage.check_ins import RoomBooking
from server.storage.directory import Directory

State = Literal["nothing", "too_early", "open", "checked_in", "no_show"]
_FAR = timedelta(days=800)


@dataclass(frozen=True, slots=True)
class CheckInView:
    """The booking that can be checked in, or the next one."""

    room: str
    """The name of the room."""
    zone: Zone
    """Of the room."""
    state: State
    times: tuple[datetime, datetime] | None = None
    """Of the booking, in UTC; None without one."""
    opens_at: datetime | None = None


class CheckingIn:
    """The use cases."""

    def __init__(
        self, storage: Storage, settings: RoomSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._storage, self._now = storage, now
        self._opens = timedelta(minutes=settings.check_in_opens_minutes)
        self._secret: bytes | None = None

    async def by_link(self, token: str) -> CheckInView:
        """What the link of a mail is about. Raises `NotFound` for one that is not valid, or has expired."""
        principal, room, bookings = await self._of_link(token)
        return self._view(principal.display_name or principal.name, room, self._chosen(bookings))

    async def check_in_by_link(self, token: str) -> CheckInView:
        """Check in what the link of a mail is about, if it is time. Raises as `by_link`."""
        principal, room, bookings = await self._of_link(token)
        return await self._checked_in(principal.display_name or principal.name, room, self._chosen(bookings))

    async def check_in_room(
        self, actor: Actor, directory: Directory, name: str, at: datetime | None = None
    ) -> CheckInView:
        """Check in the booking of a room that lasts or is next.

        :param at: when the booking begins; None: it is not asked.

        Raises `NotFound`, `AccessDenied`, and `InvalidPrincipal` for a room without check-in.
        """
        demand_in_directory(actor, Privilege.WRITE_PROPERTIES)
        record, room = await find_room(actor, directory, name)
        policy = policy_of(room)
        if policy is None or policy.check_in == "off":
            raise InvalidPrincipal(f"The policy of {record.name} has no check_in.")
        bookings = await self._bookings(record.id, None)
        if at is not None:
            bookings = [each for each in bookings if each.id.start == at]
        return await self._checked_in(record.name, room, self._chosen(bookings))

    async def _of_link(self, token: str) -> tuple[Principal, Room, Sequence[RoomBooking]]:
        if self._secret is None:
            self._secret = await self._storage.mail_secret()
        # A token that is not valid costs no statement.
        link = read_token(token, self._secret)
        if link is None or link.expires_at <= self._now():
            raise NotFound
        place = await self._storage.booked_object(link.home_id, object_id=link.object_id)
        if place is None:
            raise NotFound
        principal = (await self._storage.resolve(place.principal_id, None)).viewer
        room = (await self._storage.rooms([place.principal_id])).get(place.principal_id)
        policy = None if room is None else policy_of(room)
        if principal is None or room is None or policy is None or policy.check_in == "off":
            raise NotFound
        return principal, room, await self._bookings(place.principal_id, link.object_id)

    async def _bookings(self, principal_id: int, object_id: int | None) -> Sequence[RoomBooking]:
        now = self._now()
        found = await self._storage.bookings_to_check_in(principal_id, now, now + self._opens, object_id=object_id)
        if found or object_id is None:
            return found
        return await self._storage.bookings_to_check_in(principal_id, now, now + _FAR, object_id=object_id)

    def _chosen(self, bookings: Sequence[RoomBooking]) -> RoomBooking | None:
        """The one that waits for its check-in, or else the first; they are ascending."""
        ready = [each for each in bookings if each.id.start - self._opens <= self._now()]
        waiting = [each for each in ready if each.state == "BOOKED"]
        return next(iter([*waiting, *bookings]), None)

    def _view(self, name: str, room: Room, booking: RoomBooking | None) -> CheckInView:
        zone = (iana_zone(room.time_zone) if room.time_zone else None) or UTC_ZONE
        if booking is None:
            return CheckInView(name, zone, "nothing")
        state: State
        times, opens_at = (booking.id.start, booking.id.end), booking.id.start - self._opens
        if booking.state == "BOOKED":
            state = "open" if opens_at <= self._now() else "too_early"
        else:
            state = "checked_in" if booking.state == "CHECKED_IN" else "no_show"
        return CheckInView(name, zone, state, times, opens_at)

    async def _checked_in(self, name: str, room: Room, booking: RoomBooking | None) -> CheckInView:
        seen = self._view(name, room, booking)
        if booking is None or seen.state != "open":
            return seen
        state = await self._storage.check_in(booking.id, self._now())
        if state is None:
            return CheckInView(name, seen.zone, "nothing")
        return CheckInView(
            name, seen.zone, "checked_in" if state == "CHECKED_IN" else "no_show", seen.times, seen.opens_at
        )
