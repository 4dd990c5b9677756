"""Mail addresses for rooms and equipment that were there before the setting `rooms.mail_domain`."""

from __future__ import annotations

import structlog

from server.domain.actors import Actor
from server.domain.errors import InvalidPrincipal, NameTaken, NotFound, WriteConflict
from server.domain.principals import name_key
from server.domain.rooms import ListedRoom, RoomSearch
from server.services.rooms.addresses import made_address
from server.storage import Storage
from server.storage.directory import Directory, PrincipalChange

_ACTOR = Actor(None, "jobs")
_PAGE = 500

log = structlog.get_logger()


async def give_addresses(storage: Storage, directory: Directory, domain: str) -> int:
    """Give each room and piece of equipment without a mail address the one that its name makes in a domain.

    Returns how many got one. Where the address is taken, or none can be made, it is logged.
    """
    given, after = 0, None
    while page := await storage.rooms_found(RoomSearch(), after=after, limit=_PAGE):
        for each in page:
            if not each.principal.emails:
                given += await _give(directory, each, domain)
        after = name_key(page[-1].principal.name)
    return given


async def _give(directory: Directory, room: ListedRoom, domain: str) -> bool:
    """Give a room its address. Whoever changes the room at the same time has the last word."""
    try:
        address = made_address(room.principal.name, domain)
        change = PrincipalChange(room.principal.id, addresses=(address,), room=room.room)
        await directory.write_principals([change], _ACTOR.cause)
    except (InvalidPrincipal, NameTaken) as error:
        log.warning("room_without_address", principal=room.principal.id, reason=error.message)
        return False
    except (NotFound, WriteConflict):
        return False
    return True
