"""Reads of the attributes of rooms for front ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.domain.privileges import Privilege
from server.domain.rooms import Room
from server.services.lookup import Found
from server.services.permissions import principal_of
from server.storage.rooms import Rooms


class RoomReading:
    """Reads the attributes of rooms that were found."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def attributes(self, principals: Sequence[Found]) -> Mapping[int, Room]:
        """The attributes of those of these principals that are rooms or equipment, by the id.

        Needs DAV:read on each. Raises `AccessDenied`.
        """
        ids = []
        for found in principals:
            found.require(Privilege.READ)
            principal = principal_of(found)
            if principal.kind in ("room", "resource"):
                ids.append(principal.id)
        return await self._rooms.rooms(ids) if ids else {}
