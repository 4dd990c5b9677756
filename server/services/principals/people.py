"""What front ends read of principals: groups, delegates, and what was granted to whom.

Whoever is signed in reads principals; what was granted in a home is read by who has DAV:read-acl there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.domain.grants import AccessList, Delegation
from server.domain.objects import Collection, Home
from server.domain.principal_search import PrincipalSearch
from server.domain.principals import Principal, PrincipalKind
from server.storage.access import Access
from server.storage.directory import Directory


class People:
    """Reads principals. Lists are in order of names."""

    def __init__(self, directory: Directory, access: Access) -> None:
        self._directory = directory
        self._access = access

    async def principals_at(self, uids: Sequence[str], names: Sequence[tuple[PrincipalKind, str]]) -> list[Principal]:
        """The principals that have one of these stable ids, or a name of the kind that it was asked for as."""
        return await self._access.principals_at(uids, names)

    async def search(self, search: PrincipalSearch, limit: int) -> list[Principal]:
        """The principals that a search finds, at most `limit`."""
        return await self._access.search(search, limit)

    async def administrators(self) -> list[Principal]:
        """Everybody who has the role `admin`."""
        return await self._directory.administrators()

    async def groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals is a direct member of."""
        return await self._directory.groups_of(principal_ids)

    async def members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The direct members of each of these groups."""
        return await self._directory.members_of(principal_ids)

    async def all_groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals belongs to, directly and through other groups."""
        return await self._access.all_groups_of(principal_ids)

    async def all_members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """Who belongs to each of these groups, directly and through other groups, those included."""
        return await self._access.all_members_of(principal_ids)

    async def delegates(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Delegation]]:
        """Who acts for each of these principals."""
        return await self._access.delegates(principal_ids)

    async def delegators(
        self, principal_ids: Sequence[int], *, through_groups: bool
    ) -> Mapping[int, Sequence[Delegation]]:
        """For whom each of these principals acts, also as a member of groups if so asked."""
        return await self._access.delegators(principal_ids, through_groups=through_groups)

    async def access_list(self, home: Home, collection: Collection | None) -> AccessList:
        """What was granted on a collection, or on every collection that lies in the home."""
        return await self._access.access_list(home, collection)
