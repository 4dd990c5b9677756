"""The protocol for access: access control lists, shares, delegates, groups, the search for principals.

The rules of `server.storage` and `server.storage.directory` apply here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from server.domain.changes import Cause, Unchanged
from server.domain.contents import Views
from server.domain.grants import AccessList, Ace, DelegateRights, Delegation, ShareRights
from server.domain.messages import Message
from server.domain.objects import Collection, Home
from server.domain.principal_search import PrincipalSearch
from server.domain.principals import Principal, PrincipalKind
from server.storage.journal import Transaction
from server.storage.reads import SharedObject


@runtime_checkable
class Access(Protocol):
    """Access control lists, delegates, groups and the search for principals."""

    async def access_list(self, home: Home, collection: Collection | None) -> AccessList:
        """The grants on a collection, or on all collections of the home."""

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
        self,
        home: Home,
        collection: Collection,
        principal_id: int,
        rights: ShareRights | None,
        cause: Cause,
        *,
        may_invite: bool = False,
    ) -> None:
        """Share one of a home's own collections with a person or a group. `rights` None: end the sharing. `may_invite`
        is as in `Share`.

        With other rights than `free-busy`, the collection then appears in the homes of the person or of all members, in
        batches. Raises `NotFound` if there is no sharing to end, and `WriteConflict` if the views of the calendar are
        not rendered.
        """

    async def render_views(self, home: Home, collection: Collection, render: Callable[[SharedObject], Views]) -> int:
        """Give a calendar views, and render its objects in batches. Returns the number of objects that were rendered.

        As soon as it has begun, every write of an object in the calendar renders the object.
        """

    async def plan_fan_out(self, transaction: Transaction, messages: Sequence[Message]) -> None:
        """Store, in a transaction, which shared collections changed by these entries of the journal: `fan_out` then
        updates the homes that show them."""

    async def plan_fan_out_anew(self, transaction: Transaction) -> None:
        """Store, in a transaction, that any shared collection may have changed."""

    async def fan_out(self) -> bool:
        """Update the next batch of homes that show changed collections. Returns False if there was none.

        A batch is a short transaction. It can be interrupted at any point and repeated.
        """

    async def delegates(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Delegation]]:
        """The delegates of each of these principals, in order of names."""

    async def set_delegates(
        self, principal_id: int, rights: DelegateRights, delegates: frozenset[int], cause: Cause
    ) -> None:
        """Replace the delegates of a principal that have these rights. Raises `NotFound`."""

    async def delegators(
        self, principal_ids: Sequence[int], *, through_groups: bool
    ) -> Mapping[int, Sequence[Delegation]]:
        """The principals of which each of these is a delegate, in order of names.

        `through_groups`: also those of which a group that it belongs to is a delegate.
        """

    async def all_groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals belongs to, directly and through other groups, in order of names."""

    async def all_members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The members of each of these groups, directly and through other groups, and those groups, in order of
        names."""

    async def principals_at(self, uids: Sequence[str], names: Sequence[tuple[PrincipalKind, str]]) -> list[Principal]:
        """The principals with one of these stable ids, or with one of these kinds and names."""

    async def search(self, search: PrincipalSearch, limit: int) -> list[Principal]:
        """The principals that a search finds, in order of names, at most `limit`."""
