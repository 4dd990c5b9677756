"""How rooms are used in a window: per room, building and hour of the day. Pure.

    utilisation(rooms, bookings, start, end) -> Utilisation

The utilisation is the part of the opening time that was booked. A pool of several pieces is open for that many times as
long. What was booked outside of the opening times counts as booked, and not for the utilisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.booking.free_time import Period
from server.calendar.zones import Zone

_HOUR = timedelta(hours=1)
_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class ReportedRoom:
    """A room of a report."""

    uid: str
    name: str
    zone: Zone
    """Of its hours of the day."""
    open: Sequence[Period]
    """Its opening times in the window, merged and ascending."""
    building: str = ""
    capacity: int | None = None
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class Booking:
    """An instance for which a room was booked. Times are aware."""

    room: str
    """`ReportedRoom.uid`."""
    start: datetime
    end: datetime
    people: int | None = None
    """Who were to come, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Missed:
    """An instance that nobody checked in."""

    room: str
    """`ReportedRoom.uid`."""
    start: datetime


@dataclass(slots=True)
class Usage:
    """What was booked. A booking counts in each group that it touches, its time as far as it lies in the window."""

    bookings: int = 0
    open: timedelta = _NOTHING
    booked: timedelta = _NOTHING
    booked_open: timedelta = _NOTHING
    """In the opening times."""
    people: int = 0
    """Of the bookings with a known number, in rooms with a known capacity."""
    seats: int = 0
    """The capacity, for each of these bookings."""
    sized: int = 0
    """How many these bookings are."""
    no_shows: int = 0
    """Bookings that nobody checked in, in the group in which each begins."""

    @property
    def utilisation(self) -> float | None:
        """The part of the opening time that was booked; None without opening time."""
        return self.booked_open / self.open if self.open else None

    @property
    def seats_filled(self) -> float | None:
        """The part of the seats that were needed; None where no size is known."""
        return self.people / self.seats if self.seats else None


@dataclass(frozen=True, slots=True)
class Utilisation:
    """How rooms were used."""

    rooms: Mapping[str, Usage]
    """By `ReportedRoom.uid`, in the order of the rooms."""
    buildings: Mapping[str, Usage]
    """In the order of the alphabet; the empty name is that of rooms without a building."""
    hours: Mapping[int, Usage]
    """Each hour of the day, from 0 on, by the clocks of the rooms."""
    total: Usage


def utilisation(
    rooms: Iterable[ReportedRoom],
    bookings: Iterable[Booking],
    start: datetime,
    end: datetime,
    missed: Iterable[Missed] = (),
) -> Utilisation:
    """How the rooms were used in a window. Bookings of other rooms, and outside of the window, are left out.

    :param missed: those that nobody checked in; `bookings` has them, too, up to their release.
    """
    known = {room.uid: room for room in rooms}
    of_rooms = {uid: Usage() for uid in known}
    of_buildings = {name: Usage() for name in sorted({room.building for room in known.values()})}
    of_hours = {hour: Usage() for hour in range(24)}
    total = Usage()
    hours_open = _HoursOpen(start, end)
    for uid, room in known.items():
        open_for = sum((last - first for first, last in _within(room.open, start, end)), _NOTHING) * room.pieces
        for usage in (of_rooms[uid], of_buildings[room.building], total):
            usage.open += open_for
        for hour, length in hours_open.of(room).items():
            of_hours[hour].open += length * room.pieces
    for booking in bookings:
        room_ = known.get(booking.room)
        begins, ends = max(booking.start, start), min(booking.end, end)
        if room_ is None or begins >= ends:
            continue
        in_hours = _within(room_.open, begins, ends)
        booked_open = sum((last - first for first, last in in_hours), _NOTHING)
        for usage in (of_rooms[booking.room], of_buildings[room_.building], total):
            _count(usage, booking, room_)
            usage.booked += ends - begins
            usage.booked_open += booked_open
        touched = _by_hour([(begins, ends)], room_.zone)
        open_hours = _by_hour(in_hours, room_.zone)
        for hour, length in touched.items():
            usage = of_hours[hour]
            _count(usage, booking, room_)
            usage.booked += length
            usage.booked_open += open_hours.get(hour, _NOTHING)
    for each in missed:
        room_ = known.get(each.room)
        if room_ is not None and start <= each.start < end:
            hour = room_.zone.to_local(each.start).hour
            for usage in (of_rooms[each.room], of_buildings[room_.building], of_hours[hour], total):
                usage.no_shows += 1
    return Utilisation(of_rooms, of_buildings, of_hours, total)


class _HoursOpen:
    """The opening time of rooms by hours of the day. Rooms with equal opening times share the work."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self._window = start, end
        self._known: dict[tuple[tuple[Period, ...], Zone], Mapping[int, timedelta]] = {}

    def of(self, room: ReportedRoom) -> Mapping[int, timedelta]:
        key = tuple(room.open), room.zone
        if key not in self._known:
            self._known[key] = _by_hour(_within(room.open, *self._window), room.zone)
        return self._known[key]


def _count(usage: Usage, booking: Booking, room: ReportedRoom) -> None:
    usage.bookings += 1
    if booking.people is not None and room.capacity is not None:
        usage.people += booking.people
        usage.seats += room.capacity
        usage.sized += 1


def _within(periods: Iterable[Period], start: datetime, end: datetime) -> list[Period]:
    return [(max(first, start), min(last, end)) for first, last in periods if first < end and last > start]


def _by_hour(periods: Iterable[Period], zone: Zone) -> dict[int, timedelta]:
    found: dict[int, timedelta] = {}
    for start, end in periods:
        for hour, length in _hours(start, end, zone):
            found[hour] = found.get(hour, _NOTHING) + length
    return found


def _hours(start: datetime, end: datetime, zone: Zone) -> Iterator[tuple[int, timedelta]]:
    """The parts of a period that lie in one hour each, by the clock of a zone."""
    while start < end:
        local = zone.to_local(start)
        left = _HOUR - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        yield local.hour, min(left, end - start)
        start += left
