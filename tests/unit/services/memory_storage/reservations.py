"""`server.storage.reservations.Reservations` in memory: reservations are computed whenever somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.booking.free_time import Period, crowded, merged
from server.calendar.clock import zone_named
from server.domain.changes import Put, Write
from server.domain.errors import AlreadyReserved
from server.domain.objects import Target
from server.domain.occurrences import Busy, resolve
from server.domain.rooms import Room
from server.storage.reservations import Clash, Unplaced
from server.storage.rooms import Booked
from tests.unit.services.memory_storage.conditions import of_write
from tests.unit.services.memory_storage.tables import ObjectRow, Tables


@dataclass(frozen=True, slots=True)
class Reserved:
    """A row of the table `reservation`."""

    home_id: int
    object_id: int
    resource: int
    start: datetime
    end: datetime
    during: Period
    recurrence_id: str


class ReservationReads:
    """Computes reservations."""

    tables: Tables

    async def taken_times(
        self, rooms: Sequence[int], start: datetime, end: datetime, *, besides: int | None = None
    ) -> Mapping[int, Sequence[Period]]:
        rows = [each for each in self.reserved() if each.object_id != besides]
        found = {}
        for id_ in rooms:
            room, periods = self._room(id_), list[Period]()
            for part in self._parts(id_) if self._most(id_) is not None else ():
                at_once = self._most(part)
                if at_once is not None:
                    here = [each.during for each in rows if each.resource == part]
                    periods += crowded(here, at_once)
            widened = [(first - room.buffer_after, last + room.buffer_before) for first, last in periods]
            found[id_] = [each for each in merged(widened) if each[0] < end and each[1] > start]
        return found

    async def unplaced(self, home_id: int, object_id: int) -> Unplaced | None:
        """Of two that overlap, the one that was made later has no reservation."""
        row, tables = self.tables.objects.get(object_id), self.tables
        if row is None:
            return None
        older = [each for each in self.reserved() if each.object_id < object_id]
        clashes = {
            Clash(
                each.recurrence_id, (each.start, each.end),
                self._target(tables.objects[one.object_id]), one.recurrence_id, (one.start, one.end),
            )
            for each in self._of(row)
            for one in older
            if each.resource == one.resource and _meet(each.during, one.during)
        }  # fmt: skip
        in_order = sorted(clashes, key=lambda each: (each.time, each.kept_time, each.instance))
        instances = frozenset(each.instance for each in in_order)
        return Unplaced(self._target(row), instances, tuple(in_order)) if instances else None

    def _target(self, row: ObjectRow) -> Target:
        binding = next(each for each in self.tables.bindings.values() if each.collection_id == row.collection_id)
        uid = self.tables.principals[self.tables.homes[row.home_id].principal_id].uid
        return Target(uid, "uid", "calendar", binding.name, row.name)

    async def booked(
        self, principal_id: int, start: datetime, end: datetime, *, after: tuple[int, int] = (0, 0), limit: int = 100
    ) -> Sequence[Booked]:
        found: dict[tuple[int, int], set[tuple[datetime, datetime, str]]] = {}
        for each in self.reserved():
            place, owner = (each.home_id, each.object_id), self.tables.homes[each.home_id].principal_id
            if principal_id in (each.resource, owner) and each.start < end and each.end > start and place > after:
                found.setdefault(place, set()).add((each.start, each.end, each.recurrence_id))
        texts = {row.id: row.content.text for row in self.tables.objects.values()}
        return [Booked(place, texts[place[1]], sorted(times)) for place, times in sorted(found.items())[:limit]]

    def reserved(self) -> list[Reserved]:
        """All reservations."""
        return [each for row in self.tables.objects.values() for each in self._of(row)]

    def _require_free_times(self, writes: Sequence[Write]) -> None:
        """Raises `AlreadyReserved` if something that was put overlaps what others have reserved."""
        puts = [(index, write) for index, write in enumerate(writes) if isinstance(write, Put)]
        if not any(self._is_room(write.collection.home_id) for _, write in puts):
            return
        rows = self.reserved()
        for index, write in puts:
            named = self.tables.named(write.collection.id, write.name)
            for each in () if named is None else self._of(named):
                at_once = self._most(each.resource)
                if at_once is None or self._most(self.tables.homes[each.home_id].principal_id) is None:
                    continue
                others = [one for one in rows if one.resource == each.resource and one.object_id != each.object_id]
                full = crowded([one.during for one in others], at_once)
                if any(first < each.during[1] and last > each.during[0] for first, last in full):
                    met = [one for one in others if _meet(one.during, each.during)]
                    error = AlreadyReserved(min(one.start for one in met), min(one.end for one in met))
                    raise of_write(index, error)

    def _of(self, row: ObjectRow) -> Iterator[Reserved]:
        tables = self.tables
        collection = tables.live_collection(row.collection_id)
        made = row.content.materialised
        if row.deleted_revision is not None or collection is None or collection.kind != "calendar" or made is None:
            return
        if row.content.component != "VEVENT" or not self._is_room(row.home_id):
            return
        owner = tables.homes[row.home_id].principal_id
        room = self._room(owner)
        zone = zone_named(room.time_zone or collection.timezone or "")
        for each in made.occurrences:
            each = resolve(each, zone)
            if each.busy is Busy.FREE or each.component < 0 or each.start >= each.end:
                continue
            during = each.start - room.buffer_before, each.end + room.buffer_after
            for part in self._parts(owner):
                yield Reserved(row.home_id, row.id, part, each.start, each.end, during, each.recurrence_id)

    def _is_room(self, home_id: int) -> bool:
        home = self.tables.homes[home_id]
        return home.kind == "calendar" and self.tables.principals[home.principal_id].kind in ("room", "resource")

    def _room(self, id_: int) -> Room:
        return self.tables.rooms.get(id_) or Room(id_, buffer_before=timedelta())

    def _parts(self, id_: int) -> list[int]:
        below = [other for other, room in self.tables.rooms.items() if room.parent == id_]
        return [part for each in below for part in self._parts(each)] if below else [id_]

    def _most(self, id_: int) -> int | None:
        room, mode = self._room(id_), (self.tables.principals[id_].auto_schedule or {}).get("mode")
        if room.policy.get("allow_conflicts") if room.policy else mode == "accept-always":
            return None
        return room.pieces + room.allowed_overlaps


def _meet(one: Period, other: Period) -> bool:
    return one[0] < other[1] and one[1] > other[0]
