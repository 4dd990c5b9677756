"""Reads of the attributes of rooms for front ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.domain.actors import Actor
from server.domain.objects import Target
from server.domain.principals import DIRECTORY
from server.domain.privileges import Privilege
from server.domain.rooms import Room
from server.services.lookup import Found, Lookup
from server.services.permissions import principal_of
from server.services.rooms.settings import RoomSettings
from server.storage import Storage

_INSTALLATION = Actor(None, "caldav")


class RoomReading:
    """Reads the attributes of rooms that were found."""

    def __init__(
        self,
        storage: Storage,
        settings: RoomSettings = RoomSettings(),  # noqa: B008 - a value
    ) -> None:
        self._rooms = storage
        self.directory_in_home_set = settings.directory_in_home_set
        """Whether the home of the directory is shown with people's own address books."""
        self._lookup = Lookup(storage)
        self._has_directory = False

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

    async def has_directory(self) -> bool:
        """Whether there is an address book of rooms. Once there is one, it stays; until then this is asked anew."""
        if not self._has_directory:
            target = Target(DIRECTORY, "uid", "addressbook", "addressbook")
            found = await self._lookup.find(_INSTALLATION, target, Privilege.READ)
            self._has_directory = found.collection is not None
        return self._has_directory
