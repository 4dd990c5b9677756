"""What a storage plugin must offer about who may do what: access control lists, delegates, groups, looking people up.

A sibling of `server.storage` and `server.storage.directory`, whose rules hold here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from server.domain.changes import Cause, Unchanged
from server.domain.contents import Views
from server.domain.grants import AccessList, Ace, DelegateRights, Delegation, ShareRights
from server.domain.objects import Collection, Home
from server.domain.principal_search import PrincipalSearch
from server.domain.principals import Principal, PrincipalKind
from server.storage.reads import SharedObject


@runtime_checkable
class Access(Protocol):
    """Access control lists, delegates, groups and the search for principals."""

    async def access_list(self, home: Home, collection: Collection | None) -> AccessList:
        """What was granted on a collection, or on every collection that lies in the home."""

    async def set_acl(
        self,
        home: Home,
        collection: Collection,
        aces: Sequence[Ace],
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """Replace the access control list of a home's own collection; returns the revision.

        Raises `WriteConflict`, also if one of the states in `unchanged` has changed, and `NotFound`.
        """

    async def share(
        self, home: Home, collection: Collection, principal_id: int, rights: ShareRights | None, cause: Cause
    ) -> None:
        """Share a home's own collection with a person or a group, or end that (None).

        Except for `free-busy` the collection then appears in the homes of all concerned, in batches. Raises `NotFound`
        where there is nothing to end, `WriteConflict` for a calendar whose views are not rendered.
        """

    async def render_views(self, home: Home, collection: Collection, render: Callable[[SharedObject], Views]) -> int:
        """Give a calendar views and render what was not yet, in batches; gives of how many objects.

        From its beginning on, whoever writes an object there renders it.
        """

    async def plan_fan_out(self) -> bool:
        """Store which homes show a collection that has changed; returns whether batches of homes wait."""

    async def fan_out(self) -> bool:
        """Pass changes of shared collections on to the next homes; returns False where none waited.

        A batch is a short transaction. Batches can be stopped at any point and repeated.
        """

    async def delegates(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Delegation]]:
        """Who acts for each of these principals, by name."""

    async def set_delegates(
        self, principal_id: int, rights: DelegateRights, delegates: frozenset[int], cause: Cause
    ) -> None:
        """Replace the delegates of a principal that have these rights. Raises `NotFound`."""

    async def delegators(
        self, principal_ids: Sequence[int], *, through_groups: bool
    ) -> Mapping[int, Sequence[Delegation]]:
        """For whom each of these principals acts, also as a member of groups if so asked, by name."""

    async def all_groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals belongs to, directly and through other groups, by name."""

    async def all_members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """Who belongs to each of these groups, directly and through other groups, those included; by name."""

    async def principals_at(self, uids: Sequence[str], names: Sequence[tuple[PrincipalKind, str]]) -> list[Principal]:
        """The principals that have one of these stable ids, or a name of the kind that it was asked for as."""

    async def search(self, search: PrincipalSearch, limit: int) -> list[Principal]:
        """Principals by name, at most `limit`."""
