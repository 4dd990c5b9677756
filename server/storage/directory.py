"""The protocol for principals, their members and delegates, and their app passwords.

The rules of `server.storage` apply here, too: reads are single statements, each write is one transaction that writes
rows of the outbox, errors are those of `server.domain.errors`.

Names are unique among principals of all kinds, and compared by `name_key`. An address belongs to one principal and is
not the name of another one, so that a sign-in with it is unambiguous.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from server.domain.changes import Cause
from server.domain.grants import DelegateRights
from server.domain.objects import HomeKind
from server.domain.principals import CalendarPlace, ExpandableBy, Office, Principal, PrincipalKind
from server.domain.rooms import Room
from server.domain.scopes import Door


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """All fields of a principal except its credentials."""

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
    """It was deleted, and the data in its homes is kept. It is found by its id only."""
    former_addresses: tuple[str, ...] = ()
    """Former e-mail addresses, the earliest first. In events they mean this principal until another one gets them; they
    are not valid for signing in."""
    has_password: bool = False
    members: frozenset[int] = frozenset()
    """The direct members of a group."""
    delegates: frozenset[tuple[int, DelegateRights]] = frozenset()
    expandable_by: ExpandableBy = "everyone"
    """Whose invitations of a group invite its members."""
    calendar: CalendarPlace = "here"
    office: Office | None = None
    room: Room | None = None
    """The attributes of a room or resource."""


@dataclass(frozen=True, slots=True)
class PrincipalChange:
    """A principal to be made (`id` is None) or changed. Fields that are None stay."""

    id: int | None = None
    uid: str | None = None
    """Only for a new principal."""
    kind: PrincipalKind | None = None
    """Only for a new principal."""
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
    expandable_by: ExpandableBy | None = None
    calendar: CalendarPlace | None = None
    office: Office | None = None
    """An empty one removes it."""
    room: Room | None = None
    """New attributes of a room or resource. `version` is that of the state that they replace, and `principal_id` is not
    looked at; both are of no meaning for a new principal."""
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RelationChange:
    """New members and delegates of a principal. Fields that are None stay."""

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
    doors: frozenset[Door] = frozenset({"apps"})


@dataclass(frozen=True, slots=True)
class Handover:
    """A collection that is handed over from the home of one person to that of another."""

    id: int
    home_id: int
    to_home_id: int
    home: HomeKind
    name: str | None
    """Its name in its home; None for a deleted collection, which can be restored in the other home."""
    members: int


@runtime_checkable
class Directory(Protocol):
    """Reads and writes of principals."""

    # reading principals

    async def principal(self, name: str) -> PrincipalRecord | None:
        """The principal with this name, e-mail address or stable id (in this order)."""

    async def principals(
        self, kinds: Sequence[PrincipalKind], *, after: str | None = None, limit: int = 1000
    ) -> list[PrincipalRecord]:
        """A page of the principals of these kinds, in order of `name_key`, after the key `after`."""

    async def principals_known(
        self, uids: Sequence[str], names: Sequence[str], addresses: Sequence[str]
    ) -> list[PrincipalRecord]:
        """The principals that have one of the ids, names or addresses (`name_key`s)."""

    async def groups_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The groups that each of these principals is a direct member of, in order of names."""

    async def members_of(self, principal_ids: Sequence[int]) -> Mapping[int, Sequence[Principal]]:
        """The direct members of each of these groups, in order of names."""

    async def administrators(self) -> list[Principal]:
        """The principals with the role `admin`, in order of names."""

    # writing principals

    async def write_principals(
        self, changes: Sequence[PrincipalChange], cause: Cause, *, take_over: bool = False
    ) -> list[int]:
        """Make and change principals, all or none. Returns their ids in order.

        A new principal gets its homes with their first collections. A change of the password, name, addresses or
        `disabled` increases the credential version. An address that is removed, and not given to another principal,
        becomes a former address; it ends when another principal gets it. Every change of a room or resource gives it a
        new version. Nobody else gets an address that a principal
        has given up, or had when it was deleted, while a meeting in its calendars names it that is not over, unless
        `take_over`. Raises `NameTaken`, `NotFound`, and `WriteConflict` if the attributes of a room have changed since
        they were read.
        """

    async def write_relations(self, changes: Sequence[RelationChange], cause: Cause) -> None:
        """Set members and delegates, all or none. Raises `NotFound`."""

    async def delete_principal(self, principal_id: int, cause: Cause, *, purge: bool) -> None:
        """Delete a principal: it cannot sign in, it is not found, and its name and addresses become free.

        Without `purge`, the data in its homes stays, invisible to clients, until a later call with `purge`. With
        `purge` all data is removed, in batches of transactions; another call continues an interrupted one. Raises
        `NotFound`.
        """

    async def handovers(self, principal_id: int, to_principal_id: int) -> list[Handover]:
        """The calendars and address books of a person that are not handed over yet, including deleted ones that can be
        restored.

        Raises `InvalidPrincipal` if handing them over to another person was begun.
        """

    async def begin_handover(self, principal_id: int, to_principal_id: int, cause: Cause) -> None:
        """Disable a person whose calendars and address books go to another, with a job (kind `handovers`) that goes on
        with it where the caller does not. Raises `InvalidPrincipal` as `handovers`."""

    def hand_over(self, handover: Handover, owner: str, cause: Cause) -> AsyncIterator[int]:
        """Hand over one collection, in batches of transactions. Yields the number of members that each batch has
        copied.

        The collection appears in the other home when the copy is complete, under a free name, with a displayname that
        names the former `owner`. Sharees keep it. Another call continues an interrupted one. Raises `NotFound`.
        """

    # app passwords

    async def add_app_password(
        self,
        principal_id: int,
        name: str,
        selector: str,
        password_hash: str,
        expires_at: datetime | None,
        doors: frozenset[Door],
        cause: Cause,
    ) -> int:
        """Store an app password that opens `doors`. Returns its id.

        Raises `AlreadyExists` if the person has one with this name.
        """

    async def app_passwords(self, principal_id: int) -> list[AppPassword]:
        """A person's app passwords, oldest first, revoked ones included."""

    async def revoke_app_password(self, principal_id: int, app_password_id: int, cause: Cause) -> None:
        """End an app password at once. Raises `NotFound`."""
