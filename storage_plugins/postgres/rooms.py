"""Reads of rooms in PostgreSQL (`server.storage.rooms.Rooms`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from server.booking.free_time import Period
from server.domain.objects import Target
from server.domain.rooms import ListedRoom, Room, RoomSearch
from server.storage.reservations import MAX_CLASHES, Unplaced
from server.storage.rooms import Booked
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, PRINCIPAL_WIDTH, principal
from storage_plugins.postgres.reads.rooms import BOOKED, GUARDED, PARTS, ROOM, ROOMS, booked, found, room
from storage_plugins.postgres.reads.taken_times import CLASHES, TAKEN_TIMES, UNPLACED, clash, taken_times


class RoomStorage:
    """The part of the storage that reads rooms."""

    database: Database

    async def rooms(self, principal_ids: Sequence[int]) -> dict[int, Room]:
        """The attributes of these principals that are of the kind room or resource, by their ids."""
        rows = await self.database.fetch(ROOMS, list(principal_ids))
        return {row[0]: room(row) for row in rows}

    async def rooms_found(self, search: RoomSearch, *, after: str | None = None, limit: int = 1000) -> list[ListedRoom]:
        """A page of the rooms that a search finds, in order of `name_key`, after the key `after`."""
        condition, arguments = found(search)
        rows = await self.database.fetch(
            f"select {PRINCIPAL}, {ROOM} from principal p left join room r on r.principal_id = p.id "  # noqa: S608
            f"where p.name_key > $1 and {condition} order by p.name_key limit $2",
            after or "",
            limit,
            *arguments,
        )
        return [ListedRoom(principal(row), room(row[PRINCIPAL_WIDTH:])) for row in rows]

    async def parts_of(self, principal_ids: Sequence[int]) -> dict[int, list[int]]:
        """The ids of the direct parts of each of these rooms, in order; empty for one without parts."""
        parts: dict[int, list[int]] = {id_: [] for id_ in principal_ids}
        for row in await self.database.fetch(PARTS, list(principal_ids)):
            parts[row[0]].append(row[1])
        return parts

    async def guarded(self, principal_ids: Sequence[int]) -> frozenset[int]:
        """Those of these principals whose scheduling inbox has an access control list."""
        return frozenset(row[0] for row in await self.database.fetch(GUARDED, list(principal_ids)))

    async def booked(
        self, principal_id: int, start: datetime, end: datetime, *, after: tuple[int, int] = (0, 0), limit: int = 100
    ) -> list[Booked]:
        """See `server.storage.rooms`."""
        return [booked(row) for row in await self.database.fetch(BOOKED, principal_id, start, end, *after, limit)]

    async def taken_times(
        self, rooms: Sequence[int], start: datetime, end: datetime, *, besides: int | None = None
    ) -> Mapping[int, Sequence[Period]]:
        """See `server.storage.reservations`."""
        return taken_times(rooms, await self.database.fetch(TAKEN_TIMES, list(rooms), start, end, besides))

    async def unplaced(self, home_id: int, object_id: int) -> Unplaced | None:
        """See `server.storage.reservations`."""
        row = await self.database.fetchrow(UNPLACED, home_id, object_id)
        if row is None:
            return None
        rows = await self.database.fetch(CLASHES, home_id, object_id, MAX_CLASHES)
        return Unplaced(Target(row[0], "uid", "calendar", row[1], row[2]), frozenset(row[3]), tuple(map(clash, rows)))
