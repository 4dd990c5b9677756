"""Reads of principals for front ends: groups, delegates, grants.

Each method demands a privilege on each principal, collection or home, and raises `AccessDenied` if the actor lacks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.domain.actors import Actor
from server.domain.errors import NotFound
from server.domain.grants import NOTHING_GRANTED, AccessList, Delegation
from server.domain.principal_search import PrincipalSearch
from server.domain.principals import Principal, PrincipalKind
from server.domain.privileges import Privilege
from server.services.lookup import Found, principal_as_seen
from server.services.permissions import home_of, principal_of
from server.storage.access import Access
from server.storage.directory import Directory


class People:
    """Reads principals. Lists are in order of names."""

    def __init__(self, directory: Directory, access: Access) -> None:
        self._directory = directory
        self._access = access

    async def principals_at(
        self, actor: Actor, uids: Sequence[str], names: Sequence[tuple[PrincipalKind, str]]
    ) -> list[Found]:
        """The principals with one of these stable ids, or one of these kinds and names, that the actor may read."""
        return _readable(actor, await self._access.principals_at(uids, names))

    async def named(self, actor: Actor, name: str) -> Found:
        """The principal with a name, e-mail address or id.

        Raises `NotFound`, also if the actor may not read the principal.
        """
        record = await self._directory.principal(name)
        found = [] if record is None else await self.principals_at(actor, [record.uid], [])
        if not found:
            raise NotFound(f"There is no principal named {name}.")
        return found[0]

    async def search(self, actor: Actor, search: PrincipalSearch, limit: int) -> list[Found]:
        """The principals that a search finds and the actor may read; at most `limit` are found."""
        return _readable(actor, await self._access.search(search, limit))

    async def groups_of(self, principals: Sequence[Found]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals is a direct member of, by its id."""
        return await self._directory.groups_of(_ids(principals))

    async def members_of(self, groups: Sequence[Found]) -> Mapping[int, Sequence[Principal]]:
        """The direct members of each of these groups, by its id."""
        return await self._directory.members_of(_ids(groups))

    async def all_groups_of(self, principals: Sequence[Found]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals belongs to, directly and through other groups, by its id."""
        return await self._access.all_groups_of(_ids(principals))

    async def all_members_of(self, groups: Sequence[Found]) -> Mapping[int, Sequence[Principal]]:
        """The members of each of these groups, directly and through other groups, and those groups, by its id."""
        return await self._access.all_members_of(_ids(groups))

    async def delegates(self, principals: Sequence[Found]) -> Mapping[int, Sequence[Delegation]]:
        """The delegates of each of these principals, by the id of the principal."""
        return await self._access.delegates(_ids(principals))

    async def delegators(
        self, principals: Sequence[Found], *, through_groups: bool
    ) -> Mapping[int, Sequence[Delegation]]:
        """The principals of which each of these is a delegate, by its id.

        `through_groups`: also those of which a group that it belongs to is a delegate.
        """
        return await self._access.delegators(_ids(principals), through_groups=through_groups)

    async def administrators(self, found: Found) -> list[Principal]:
        """All people with the role `admin`, who have every privilege on the found resource. Needs DAV:read-acl."""
        found.require(Privilege.READ_ACL)
        return await self._directory.administrators()

    async def access_list(self, found: Sequence[Found]) -> AccessList:
        """The grants on found collections of one home; if the home itself is among the found resources, on all its
        collections. Those on the outbox include the shares that let somebody invite.

        Needs DAV:read-acl on each.
        """
        for each in found:
            each.require(Privilege.READ_ACL)
        home = home_of(found[0])
        own = {each.collection.id: each.collection for each in found if each.collection is not None}
        whole = any(each.collection is None for each in found)
        own = {id_: item for id_, item in own.items() if item.home_id == home.id}
        outbox = any(item.kind == "outbox" for item in own.values())
        if not own and not whole:
            return NOTHING_GRANTED  # The access control list of a shared collection belongs to its owner's home.
        granted = await self._access.access_list(home, None if whole or len(own) > 1 else next(iter(own.values())))
        if whole:
            return granted
        return AccessList(
            tuple(entry for entry in granted.entries if entry.collection_id in own),
            tuple(share for share in granted.shares if share.collection_id in own or (share.may_invite and outbox)),
        )


def _readable(actor: Actor, principals: Sequence[Principal]) -> list[Found]:
    found = [principal_as_seen(actor.principal, principal) for principal in principals]
    return [each for each in found if Privilege.READ in each.privileges]


def _ids(principals: Sequence[Found]) -> list[int]:
    """The ids of the principals that were found. Raises `AccessDenied`, `NotFound`."""
    ids = []
    for found in principals:
        found.require(Privilege.READ)
        ids.append(principal_of(found).id)
    return ids
