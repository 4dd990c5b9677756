"""What a storage plugin must offer for scheduling.

A sibling of `server.storage`, whose rules hold here too: reads are single statements, errors are those of
`server.domain.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Scheduling(Protocol):
    """Reads for scheduling."""

    async def addressed(self, search: AddressSearch) -> Sequence[AddressedPrincipal]:
        """The principals that have one of the addresses, now or formerly, in order of their ids."""
