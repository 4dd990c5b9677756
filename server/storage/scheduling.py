"""What a storage plugin must offer for scheduling.

A sibling of `server.storage`, whose rules hold here too: reads are single statements, errors are those of
`server.domain.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from server.domain.objects import Collection
from server.domain.principals import Principal


@dataclass(frozen=True, slots=True)
class AddressSearch:
    """Calendar user addresses by what they name. Of several spellings of one address each is looked for."""

    uids: frozenset[str] = frozenset()
    """Stable ids of principals."""
    names: frozenset[str] = frozenset()
    """`server.domain.principals.name_key` of names of principals."""
    emails: frozenset[str] = frozenset()
    """`name_key` of e-mail addresses."""


@dataclass(frozen=True, slots=True)
class AddressedPrincipal:
    """A principal that a calendar user address names."""

    principal: Principal
    former_addresses: tuple[str, ...]
    """E-mail addresses that the principal had, and that nobody else has now."""


@dataclass(frozen=True, slots=True)
class SchedulingObject:
    """Where the scheduling object of a UID lies (RFC 6638 §3.1)."""

    id: int
    collection_id: int
    collection: str | None
    """The name of its collection in the home that it was asked for; None where this home does not show it."""
    name: str


@runtime_checkable
class Scheduling(Protocol):
    """Reads for scheduling."""

    async def addressed(self, search: AddressSearch) -> Sequence[AddressedPrincipal]:
        """The principals that have one of the addresses, now or formerly, in order of their ids."""

    async def scheduling_object(self, collection: Collection, uid: str) -> SchedulingObject | None:
        """The scheduling object that has a UID in the home of a collection's members, by an index.

        None where there is none, or it lies in a deleted collection.
        """
