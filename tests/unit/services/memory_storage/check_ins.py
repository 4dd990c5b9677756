"""`server.storage.check_ins.CheckIns` in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from server.domain.jobs import Job
from server.domain.objects import Target
from server.storage.check_ins import BookedObject, BookingId, CheckInState, Missed, RoomBooking
from server.storage.mails import RELEASED
from tests.unit.services.memory_storage.reservations import ReservationReads, Reserved


class CheckInStorage(ReservationReads):
    """Check-ins of the reservations that are computed. An event has reserved all its times when it was created."""

    async def running_bookings(
        self, now: datetime, *, after: tuple[int, int, str] = (0, 0, ""), limit: int = 500
    ) -> Sequence[RoomBooking]:
        releasing = {id_ for id_, room in self.tables.rooms.items() if room.policy.get("release_no_shows") is True}
        found = [
            each
            for each in self._bookings(now, now)
            if each.principal_id in releasing and each.state != "CHECKED_IN" and _place(each.id) > after
        ]
        return sorted(found, key=lambda each: _place(each.id))[:limit]

    async def bookings_to_check_in(
        self, principal_id: int, now: datetime, until: datetime, *, object_id: int | None = None
    ) -> Sequence[RoomBooking]:
        found = [
            each
            for each in self._bookings(now, until)
            if each.principal_id == principal_id and object_id in (None, each.id.object_id)
        ]
        return sorted(found, key=lambda each: (each.id.start, each.id.object_id, each.id.instance))

    async def booked_object(self, home_id: int, *, object_id: int = 0, name: str = "") -> BookedObject | None:
        for row in self.tables.objects.values():
            wanted = row.id == object_id if object_id else row.name == name
            collection = self.tables.live_collection(row.collection_id)
            if not wanted or row.home_id != home_id or row.deleted_revision is not None:
                continue
            if collection is None or collection.kind != "calendar":
                continue
            owner = self.tables.homes[home_id].principal_id
            binding = next(each for each in self.tables.bindings.values() if each.collection_id == collection.id)
            target = Target(self.tables.principals[owner].uid, "uid", "calendar", binding.name, row.name)
            ends = [each.end for each in self._of(row)]
            _, expires_at = self.tables.check_in_links.get((home_id, row.id), (None, None))
            return BookedObject(target, home_id, row.id, owner, max(ends, default=None), expires_at)
        return None

    async def check_in(self, booking: BookingId, now: datetime) -> CheckInState | None:
        return self._settled(booking, "CHECKED_IN")[1]

    async def miss(self, booking: BookingId, now: datetime) -> CheckInState | None:
        settled, state = self._settled(booking, "NO_SHOW")
        if settled:
            times = {"start": int(booking.start.timestamp()), "end": int(booking.end.timestamp())}
            self.tables.jobs.append(Job(RELEASED, {"home": booking.home_id, "object": booking.object_id, **times}))
        return state

    async def misses_in_a_row(self, home_id: int, object_id: int) -> int:
        known = sorted(
            (booking.start, state)
            for booking, state in self.tables.check_ins.items()
            if (booking.home_id, booking.object_id) == (home_id, object_id)
        )
        last = max((start for start, state in known if state == "CHECKED_IN"), default=None)
        return sum(state == "NO_SHOW" and (last is None or start >= last) for start, state in known)

    async def link_sent(self, home_id: int, object_id: int, now: datetime, expires_at: datetime) -> None:
        self.tables.check_in_links[home_id, object_id] = now, expires_at

    async def missed(self, principal_id: int, start: datetime, end: datetime) -> Sequence[Missed]:
        owners = {principal_id}
        while more := {self._room(each).parent for each in owners} - owners - {None}:
            owners |= {each for each in more if each is not None}
        return sorted(
            (
                Missed(each.object_id, each.start, each.end)
                for each, state in self.tables.check_ins.items()
                if state == "NO_SHOW"
                and self.tables.homes[each.home_id].principal_id in owners
                and start <= each.start < end
            ),
            key=lambda each: (each.start, each.object_id),
        )

    def _settled(self, booking: BookingId, state: CheckInState) -> tuple[bool, CheckInState | None]:
        """Whether the booking has its state from now on only, and the state."""
        if booking not in {_id(each) for each in self.reserved()}:
            return False, None
        before = self._state(booking)
        if before != "BOOKED":
            return False, before
        self.tables.check_ins[booking] = state
        return True, state

    def _state(self, booking: BookingId) -> CheckInState:
        for each, state in self.tables.check_ins.items():
            place = each.home_id, each.object_id, each.instance, each.start
            if state == "CHECKED_IN" and place == (*_place(booking), booking.start):
                return state
        return self.tables.check_ins.get(booking, "BOOKED")

    def _bookings(self, start: datetime, end: datetime) -> list[RoomBooking]:
        ids = {_id(each) for each in self.reserved() if each.start <= end and each.end > start}
        return [self._booking(each) for each in ids]

    def _booking(self, id_: BookingId) -> RoomBooking:
        owner = self.tables.homes[id_.home_id].principal_id
        reserved_at = self.tables.objects[id_.object_id].created_at
        link = self.tables.check_in_links.get((id_.home_id, id_.object_id), (None, None))
        return RoomBooking(id_, owner, reserved_at, self._state(id_), *link)


def _place(booking: BookingId) -> tuple[int, int, str]:
    return booking.home_id, booking.object_id, booking.instance


def _id(each: Reserved) -> BookingId:
    return BookingId(each.home_id, each.object_id, each.recurrence_id, each.start, each.end)
