"""Sharing calendars and address books with people and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.domain.actors import Actor
from server.domain.errors import BadRequest, NotFound
from server.domain.grants import Share, ShareRights
from server.domain.objects import HomeKind, Target
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.permissions import collection_of, home_of, principal_of
from server.services.principals.people import People
from server.services.views import render
from server.storage import Storage
from server.storage.access import Access
from server.storage.directory import Directory

SHARED_KINDS: tuple[HomeKind, ...] = ("calendar", "addressbook")


class Sharing:
    """Shares the collections of one's own home with people and groups."""

    def __init__(self, storage: Storage, directory: Directory, access: Access) -> None:
        self._lookup = Lookup(storage)
        self._access = access
        self._people = People(directory, access)

    async def _find(self, actor: Actor, place: str, need: Privilege) -> Found:
        """The collection that `OWNER/NAME` names; of a calendar and an address book of one name, the calendar.

        Raises `BadRequest`, `NotFound`, `AccessDenied`.
        """
        owner_name, _, name = place.strip("/").rpartition("/")
        if not owner_name or not name:
            raise BadRequest("A calendar is named by its owner and its own name: OWNER/CALENDAR.")
        owner = principal_of(await self._people.named(actor, owner_name))
        for kind in SHARED_KINDS:
            found = await self._lookup.find(
                replace(actor, acting_for=owner.id), Target(owner.uid, "uid", kind, name), need, or_need=need
            )
            if found.collection is not None:
                found.require(need)
                if found.collection.kind != kind or found.collection.rights != "owner":
                    raise BadRequest(f"{place} cannot be shared: only one's own calendars and address books can.")
                return found
        raise NotFound(f"{owner.name} has no calendar or address book named {name}.")

    async def share(
        self, actor: Actor, place: str, whom: str, rights: ShareRights, *, may_invite: bool = False
    ) -> None:
        """Share a collection; a second time changes the rights.

        `may_invite`: they may send scheduling messages in the owner's name, by what they write in this calendar.

        Raises `BadRequest`, `NotFound`, `AccessDenied`.
        """
        found = await self._find(actor, place, Privilege.WRITE_ACL)
        home, collection = home_of(found), collection_of(found)
        principal = principal_of(await self._people.named(actor, whom))
        if principal.id == home.principal_id:
            raise BadRequest(f"{principal.name} is the owner.")
        if rights == "free-busy" and collection.kind != "calendar":
            raise BadRequest("Only calendars have free-busy time.")
        if may_invite and (collection.kind != "calendar" or rights != "write"):
            raise BadRequest("Only those who may write in a calendar may invite from it.")
        if collection.kind != "calendar" or rights == "free-busy":
            await self._access.share(home, collection, principal.id, rights, actor.cause)
            return

        async def share(_: int) -> None:
            # Conflicts if somebody has ended the last sharing meanwhile, and with it the views.
            await self._access.share(home, collection, principal.id, rights, actor.cause, may_invite=may_invite)

        await change(lambda: self._access.render_views(home, collection, render), share)

    async def unshare(self, actor: Actor, place: str, whom: str) -> None:
        """End the sharing with somebody.

        Raises `NotFound` if the collection is not shared with them, `BadRequest`, `AccessDenied`.
        """
        found = await self._find(actor, place, Privilege.WRITE_ACL)
        home, collection = home_of(found), collection_of(found)
        principal = principal_of(await self._people.named(actor, whom))
        try:
            await self._access.share(home, collection, principal.id, None, actor.cause)
        except NotFound:
            raise NotFound(f"{place} is not shared with {principal.name}.") from None

    async def shares(self, actor: Actor, place: str) -> Sequence[Share]:
        """With whom a collection is shared. Raises `BadRequest`, `NotFound`, `AccessDenied`."""
        found = await self._find(actor, place, Privilege.READ_ACL)
        home, collection = home_of(found), collection_of(found)
        shares = (await self._access.access_list(home, collection)).shares
        return [share for share in shares if share.collection_id == collection.id]
