"""`server.storage.rooms.Rooms` in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.domain.principals import name_key
from server.domain.rooms import ListedRoom, Room, RoomSearch
from tests.unit.services.memory_storage import seen
from tests.unit.services.memory_storage.tables import Tables


class RoomReads:
    """Reads of rooms."""

    tables: Tables

    async def rooms(self, principal_ids: Sequence[int]) -> Mapping[int, Room]:
        return {id_: room for id_, room in self._living().items() if id_ in principal_ids}

    async def rooms_found(
        self, search: RoomSearch, *, after: str | None = None, limit: int = 1000
    ) -> Sequence[ListedRoom]:
        rows = [(self.tables.principals[id_], room) for id_, room in self._living().items() if _has(room, search)]
        rows = sorted((pair for pair in rows if pair[0].key > (after or "")), key=lambda pair: pair[0].key)
        return [ListedRoom(seen.principal(row), room) for row, room in rows[:limit]]

    async def parts_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[int]]:
        rooms = sorted(self._living().items())
        return {whole: [id_ for id_, room in rooms if room.parent == whole] for whole in principal_ids}

    async def guarded(self, principal_ids: Sequence[int]) -> frozenset[int]:
        tables = self.tables
        listed = {id_ for id_, aces in tables.aces.items() if aces}
        homes = {row.home_id for row in tables.collections.values() if row.id in listed and row.kind == "inbox"}
        owners = {home.principal_id for home in tables.homes.values() if home.id in homes}
        return frozenset(owners.intersection(principal_ids))

    def _living(self) -> dict[int, Room]:
        tables = self.tables
        return {id_: room for id_, room in tables.rooms.items() if tables.principals[id_].deleted_at is None}


def _has(room: Room, search: RoomSearch) -> bool:
    texts = (search.site, room.site), (search.building, room.building), (search.floor, room.floor)
    return (
        (not search.types or room.type in search.types)
        and all(not wanted or name_key(wanted) == name_key(there) for wanted, there in texts)
        and (search.least_capacity is None or (room.capacity is not None and room.capacity >= search.least_capacity))
        and search.features <= room.features
    )
