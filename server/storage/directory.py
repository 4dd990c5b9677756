"""What a storage plugin must offer about principals: who they are, who belongs to whom, their app passwords.

A sibling of `server.storage` and `server.storage.sign_in`, whose rules hold here too: reads are single statements, each
write is one transaction that leaves its rows in `outbox` and `audit`, errors are those of `server.domain.errors`.

Names are one name space for all kinds and compare by `name_key`; an address belongs to one principal and is never the
name of another, so that whoever signs in with it is one person.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from server.domain.changes import Cause
from server.domain.grants import DelegateRights
from server.domain.objects import HomeKind
from server.domain.principals import Principal, PrincipalKind


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """All that is known of a principal but for its credentials."""

    id: int
    uid: str
    kind: PrincipalKind
    name: str
    display_name: str
    addresses: tuple[str, ...]
    roles: frozenset[str]
    disabled_at: datetime | None
    quota_bytes: int | None
    auto_schedule: Mapping[str, Any] | None
    place: Mapping[str, Any] | None
    created_at: datetime
    deleted: bool = False
    """It is gone but for what is in its homes (and found by its id alone)."""
    former_addresses: tuple[str, ...] = ()
    """E-mail addresses that it had, the earliest first: in events they mean this principal until another gets them.
    Nobody signs in with them."""
    has_password: bool = False
    members: frozenset[int] = frozenset()
    """Of a group: the principals directly in it."""
    delegates: frozenset[tuple[int, DelegateRights]] = frozenset()


@dataclass(frozen=True, slots=True)
class PrincipalChange:
    """A principal to be made (`id` is None) or changed. What is None stays as it is."""

    id: int | None = None
    uid: str | None = None
    """Only of a new one."""
    kind: PrincipalKind | None = None
    """Only of a new one."""
    name: str | None = None
    display_name: str | None = None
    addresses: tuple[str, ...] | None = None
    roles: frozenset[str] | None = None
    disabled: bool | None = None
    quota_bytes: int | None = None
    auto_schedule: Mapping[str, Any] | None = None
    """An empty one removes it."""
    place: Mapping[str, Any] | None = None
    """An empty one removes it."""
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RelationChange:
    """Who belongs to a principal from now on. What is None stays as it is."""

    id: int
    members: frozenset[int] | None = None
    delegates: frozenset[tuple[int, DelegateRights]] | None = None


@dataclass(frozen=True, slots=True)
class AppPassword:
    """A named password for one app or device."""

    id: int
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Handover:
    """A collection that goes from the home of one person to that of another."""

    id: int
    home_id: int
    to_home_id: int
    home: HomeKind
    name: str | None
    """How its own home shows it; None of one that was deleted and goes over to be restored there."""
    members: int


@runtime_checkable
class Directory(Protocol):
    """What the care of principals needs of a database."""

    # reading principals

    async def principal(self, name: str) -> PrincipalRecord | None:
        """Who has this name, e-mail address or stable id (in this order)."""

    async def principals(
        self, kinds: Sequence[PrincipalKind], *, after: str | None = None, limit: int = 1000
    ) -> list[PrincipalRecord]:
        """A page of the principals of these kinds in order of `name_key`, those behind the key `after`."""

    async def principals_known(
        self, uids: Sequence[str], names: Sequence[str], addresses: Sequence[str]
    ) -> list[PrincipalRecord]:
        """The principals that have one of the ids, names or addresses (`name_key`s)."""

    async def groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals is a direct member of, by name."""

    async def members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The direct members of each of these groups, by name."""

    async def administrators(self) -> list[Principal]:
        """Everybody who has the role `admin`, by name."""

    # writing principals

    async def write_principals(self, changes: Sequence[PrincipalChange], cause: Cause) -> list[int]:
        """Make and change principals, all or none; gives their ids in order.

        A new one gets its homes with the collections that they come with. Passwords, names, addresses and `disabled`
        move the credential version when they change. An address that is given up and not given to another becomes a
        former one; whoever gets a former one takes it over. Raises `NameTaken`, `NotFound`.
        """

    async def write_relations(self, changes: Sequence[RelationChange], cause: Cause) -> None:
        """Set members and delegates, all or none. Raises `NotFound`."""

    async def delete_principal(self, principal_id: int, cause: Cause, *, purge: bool) -> None:
        """Delete a principal; it can neither sign in nor be found any more, and its name and addresses are free.

        Without `purge` what is in its homes stays, where no client reaches it, until a later call with `purge`. With it
        everything goes, in batches of transactions; a call that was broken off is ended by another. Raises `NotFound`.
        """

    async def handovers(self, principal_id: int, to_principal_id: int) -> list[Handover]:
        """The calendars and address books of a person that are still to go to another, deleted ones that can be
        restored among them. Raises `InvalidPrincipal` when handing them over to somebody else was begun."""

    def hand_over(self, handover: Handover, owner: str, cause: Cause) -> AsyncIterator[int]:
        """Hand over one collection, in batches of transactions; yields how many members each has copied.

        It appears in the other home when it is whole, under a free name, with a displayname that names the `owner`
        whose it was; whoever it is shared with keeps it. What was broken off is ended by another call. Raises
        `NotFound`.
        """

    # app passwords

    async def add_app_password(
        self, principal_id: int, name: str, selector: str, password_hash: str, expires_at: datetime | None, cause: Cause
    ) -> int:
        """Store an app password; gives its id. Raises `AlreadyExists` when the person has one of this name."""

    async def app_passwords(self, principal_id: int) -> list[AppPassword]:
        """A person's app passwords, oldest first, revoked ones included."""

    async def revoke_app_password(self, principal_id: int, app_password_id: int, cause: Cause) -> None:
        """End an app password at once. Raises `NotFound`."""
