"""The address book with the cards of rooms and equipment, which everybody reads and nobody writes.

It belongs to a principal of the kind `directory`, which no search and no folder shows. A change of a room writes a job
in its transaction (`server.storage.jobs.ROOM_CARDS`), whose handler brings the cards up to date: so they are members as
any others, and clients synchronise them.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from server.contacts.room_cards import room_card
from server.domain.actors import Actor
from server.domain.errors import KoyomiError, NameTaken, NotFound, WriteConflict
from server.domain.objects import Target
from server.domain.principals import DIRECTORY, name_key
from server.domain.privileges import Privilege
from server.domain.rooms import ListedRoom, RoomSearch
from server.process.computing import computed
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.reading import Reading
from server.storage import Storage
from server.storage.directory import Directory, PrincipalChange

BOOK = Target(DIRECTORY, "uid", "addressbook", "addressbook")
_ACTOR = Actor(None, "jobs")
_PAGE = 200

log = structlog.get_logger()


class DirectoryBook:
    """Writes the cards."""

    def __init__(self, storage: Storage, directory: Directory, objects: Objects) -> None:
        self._storage, self._directory, self._objects = storage, directory, objects
        self._lookup, self._reading = Lookup(storage), Reading(storage, _PAGE)

    async def follow(self) -> int:
        """Bring all cards up to date; returns the number of those that changed. The address book is made before."""
        if not await self._is_there():
            return 0
        found = await self._lookup.find(_ACTOR, BOOK, Privilege.READ)
        stored: dict[str, str] = {
            row[0]: row[1] async for page in self._reading.pages(found, ("name", "text")) for row in page
        }
        changed, after = 0, None
        while page := await self._storage.rooms_found(RoomSearch(), after=after, limit=_PAGE):
            for name, text in await computed(_cards, page):
                if stored.pop(name, None) != text:
                    changed += await self._set(name, text)
            after = name_key(page[-1].principal.name)
        for name in stored:
            changed += await self._set(name, None)
        return changed

    async def _is_there(self) -> bool:
        """Make the principal with its address book, unless it is there."""
        known = await self._directory.principals_known([DIRECTORY], [], [])
        if known:
            return known[0].kind == "directory"
        try:
            change = PrincipalChange(
                uid=DIRECTORY, kind="directory", name=DIRECTORY, display_name="Rooms and equipment"
            )
            await self._directory.write_principals([change], _ACTOR.cause)
        except NameTaken as error:
            log.warning("directory_not_made", reason=error.message)
            return False
        return True

    async def _set(self, name: str, text: str | None) -> int:
        """Put a card, or delete it (None); returns 1 if that was done. A card that cannot be written stays as it is."""
        target = Target(DIRECTORY, "uid", "addressbook", BOOK.collection, name)
        try:
            found = await self._lookup.find(_ACTOR, target, Privilege.READ)
            if text is not None:
                await self._objects.put(_ACTOR, found, text.encode())
            elif found.object is not None:
                await self._objects.delete(_ACTOR, found)
        except (NotFound, WriteConflict):
            raise
        except KoyomiError as error:
            log.warning("card_not_written", card=name, reason=error.message)
            return 0
        return 1


def _cards(page: Iterable[ListedRoom]) -> list[tuple[str, str]]:
    return [(f"{each.principal.id}.vcf", room_card(each)) for each in page]
