"""Access control lists and delegates, as owners set them."""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.actors import Actor
from server.domain.changes import Unchanged
from server.domain.errors import AccessDenied, NotFound
from server.domain.grants import Ace, DelegateRights
from server.domain.privileges import Privilege
from server.services.lookup import Found
from server.services.permissions import collection_of, home_of
from server.storage.access import Access


class Granting:
    """Grants privileges to others. Each method raises `AccessDenied` if the actor may not grant them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def set_acl(
        self, actor: Actor, found: Found, aces: Sequence[Ace], *, unchanged: Sequence[Unchanged] = ()
    ) -> None:
        """Replace the access control list of a collection, which must have been found in the home of its owner.

        Raises `WriteConflict`, also if one of the states in `unchanged` has changed.
        """
        home, collection = home_of(found), collection_of(found)
        found.require(Privilege.WRITE_ACL)
        if collection.home_id != home.id:
            raise AccessDenied("", Privilege.WRITE_ACL)
        await self._access.set_acl(home, collection, aces, actor.cause, unchanged=unchanged)

    async def set_delegates(
        self, actor: Actor, found: Found, rights: DelegateRights, delegates: frozenset[int]
    ) -> None:
        """Replace those delegates of the principal that have these rights. `delegates` are ids of principals."""
        found.require(Privilege.WRITE_PROPERTIES)
        if found.owner is None:
            raise NotFound
        await self._access.set_delegates(found.owner.id, rights, delegates, actor.cause)
