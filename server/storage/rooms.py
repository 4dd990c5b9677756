"""The protocol for reading rooms, equipment and parking.

Their attributes are written with the principal (`Directory.write_principals`, `PrincipalChange.room`). A change set
that was decided on a room names its version (`server.domain.changes.UnchangedRoom`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from server.domain.rooms import ListedRoom, Room, RoomSearch


@runtime_checkable
class Rooms(Protocol):
    """Reads of rooms. Deleted principals are left out."""

    async def rooms(self, principal_ids: Sequence[int]) -> Mapping[int, Room]:
        """The attributes of these principals that are of the kind room or resource, by their ids."""

    async def rooms_found(
        self, search: RoomSearch, *, after: str | None = None, limit: int = 1000
    ) -> Sequence[ListedRoom]:
        """A page of the rooms that a search finds, in order of `name_key`, after the key `after`."""

    async def parts_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[int]]:
        """The ids of the direct parts of each of these rooms, in order; empty for one without parts."""
