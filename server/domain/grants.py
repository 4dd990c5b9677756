"""Grants of owners to others: delegates, shares and access control entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.domain.principals import Principal
from server.domain.privileges import Privilege

DelegateRights = Literal["read", "write"]
ShareRights = Literal["write", "read", "free-busy"]
PrincipalClass = Literal["all", "authenticated", "unauthenticated", "owner"]


@dataclass(frozen=True, slots=True)
class Ace:
    """An access control entry of a collection (RFC 3744 §5.5)."""

    collection_id: int
    whom: int | PrincipalClass
    """The id of a principal, or a class of them."""
    grants: bool
    """Whether it grants or denies the privileges."""
    privileges: tuple[Privilege, ...]
    """As the client has set them."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The grants in a home that may concern one viewer; the policy decides what follows from them.

    They are those on the requested collection, or on all collections of the home if the home was requested. Empty for
    the owner, for whom they are not read.
    """

    groups: frozenset[int] = frozenset()
    """The groups that the viewer belongs to, directly and through other groups."""
    delegates: tuple[tuple[int, DelegateRights], ...] = ()
    """Delegates of the home's owner, by id."""
    shares: tuple[tuple[int, int, ShareRights], ...] = ()
    """Collection id, principal id, rights."""
    aces: tuple[Ace, ...] = ()
    """In their order within each collection."""
    inviting: tuple[tuple[int, int], ...] = ()
    """Collection id, principal id: the shares by which somebody may send messages in the owner's name. Always of all
    calendars of the home."""


NO_GRANTS = Grants()


@dataclass(frozen=True, slots=True)
class AclEntry:
    """An access control entry with the principal that it names."""

    collection_id: int
    whom: Principal | PrincipalClass
    grants: bool
    privileges: tuple[Privilege, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """A sharing of a collection with a person or a group."""

    collection_id: int
    whom: Principal
    rights: ShareRights
    may_invite: bool = False
    """Whether they may send scheduling messages in the owner's name; only with the rights to write."""


@dataclass(frozen=True, slots=True)
class AccessList:
    """All grants in a home, except the privileges that its owner and administrators always have."""

    entries: tuple[AclEntry, ...]
    """In their order within each collection."""
    shares: tuple[Share, ...]


NOTHING_GRANTED = AccessList((), ())


@dataclass(frozen=True, slots=True)
class Delegation:
    """A principal for whom somebody acts, or who acts for somebody."""

    principal: Principal
    rights: DelegateRights
