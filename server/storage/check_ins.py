"""The protocol for check-ins: which bookings of rooms were used, and which were not (no-shows).

A check-in belongs to the times of an instance. One that was checked in stays so while its start stays; a no-show is one
of both times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from server.domain.objects import Target

CheckInState = Literal["BOOKED", "CHECKED_IN", "NO_SHOW"]


@dataclass(frozen=True, slots=True, order=True)
class BookingId:
    """An instance of an event in a calendar of a room, with its times in UTC, without buffers."""

    home_id: int
    object_id: int
    instance: str
    """Its recurrence id, as in `server.domain.occurrences.Occurrence`."""
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class RoomBooking:
    """A booking, and what is known of its check-in."""

    id: BookingId
    principal_id: int
    """The room in whose calendar it lies."""
    reserved_at: datetime
    """When these times were reserved."""
    state: CheckInState
    link_sent_at: datetime | None = None
    """When the organizer was last sent a link to check in."""
    link_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BookedObject:
    """An event in a calendar of a room."""

    target: Target
    home_id: int
    object_id: int
    principal_id: int
    last_end: datetime | None
    """When its last reservation ends; None without one."""
    link_expires_at: datetime | None
    """When the last link that was sent expires."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A booking that nobody checked in."""

    object_id: int
    start: datetime
    end: datetime


@runtime_checkable
class CheckIns(Protocol):
    """Reads and writes of check-ins."""

    async def running_bookings(
        self, now: datetime, *, after: tuple[int, int, str] = (0, 0, ""), limit: int = 500
    ) -> Sequence[RoomBooking]:
        """A page of the bookings that last at a time, are not checked in, and lie in rooms whose policy releases
        no-shows; in order of home, object and instance, after those of one."""

    async def bookings_to_check_in(
        self, principal_id: int, now: datetime, until: datetime, *, object_id: int | None = None
    ) -> Sequence[RoomBooking]:
        """The bookings in a room's own calendars that end after `now` and begin by `until`, ascending by their start;
        only those of one event, if it is given."""

    async def booked_object(self, home_id: int, *, object_id: int = 0, name: str = "") -> BookedObject | None:
        """An event in a room's calendar, by its id or its name; None if it is gone."""

    async def check_in(self, booking: BookingId, now: datetime) -> CheckInState | None:
        """Check a booking in. Returns its state afterwards: NO_SHOW if it was released before. None if it is booked
        for these times no more."""

    async def miss(self, booking: BookingId, now: datetime) -> CheckInState | None:
        """Make a booking a no-show, unless it was checked in, and store the job that tells the organizer. Returns its
        state afterwards. None if it is booked for these times no more."""

    async def misses_in_a_row(self, home_id: int, object_id: int) -> int:
        """How many instances of an event nobody checked in since the last that somebody did."""

    async def link_sent(self, home_id: int, object_id: int, now: datetime, expires_at: datetime) -> None:
        """Remember that the organizer of an event was sent a link to check in."""

    async def missed(self, principal_id: int, start: datetime, end: datetime) -> Sequence[Missed]:
        """The no-shows of a room that begin in a window, with those of rooms of which it is a part; ascending."""
