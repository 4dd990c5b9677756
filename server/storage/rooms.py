"""The protocol for reading rooms, equipment and parking.

Their attributes are written with the principal (`Directory.write_principals`, `PrincipalChange.room`). A change set
that was decided on a room names its version (`server.domain.changes.UnchangedRoom`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from server.domain.rooms import ListedRoom, Room, RoomSearch


@dataclass(frozen=True, slots=True)
class Booked:
    """An object that takes a room."""

    id: tuple[int, int]
    """Those of the home in which it lies, and of the object."""
    text: str | None
    """None: it does not fit the page (`server.storage.reads.TEXT_PAGE`)."""
    times: Sequence[tuple[datetime, datetime, str]]
    """Start and end of its instances in the window, without buffers, and their recurrence ids; ascending."""


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

    async def guarded(self, principal_ids: Sequence[int]) -> frozenset[int]:
        """Those of these principals whose scheduling inbox has an access control list."""

    async def booked(
        self, principal_id: int, start: datetime, end: datetime, *, after: tuple[int, int] = (0, 0), limit: int = 100
    ) -> Sequence[Booked]:
        """A page of the objects that take a room in a window, in order of `Booked.id`, after one of them.

        These are those in its own calendars, and those of rooms of which it is a part.
        """
