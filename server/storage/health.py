"""The protocol for monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work that follows from changes and is not done yet."""

    fan_out: int
    """Shared collections with changes that not all sharees' homes show yet."""
    oldest: float
    """Age in seconds of the oldest row of the outbox, which waits for the sequencer; 0 for none."""
    lags: Mapping[str, float]
    """By consumer of the journal, the age in seconds of the first entry that it has not read; 0 for none."""
    dead: Mapping[str, int]
    """By consumer, the messages that it could not take in; consumers without any are missing."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The state of the tables."""

    usable: bool
    """Whether this version runs on them."""
    pending: tuple[str, ...]
    """Migrations of this version that the database has not had."""
    newer: tuple[str, ...]
    """Migrations of a newer version that it has had, and that servers of this version do not survive."""


class StorageHealth(Protocol):
    """The state of the database."""

    async def answers(self) -> None:
        """Send a statement that reads no table. Raises `Unavailable`, `DatabaseError`."""

    async def ready(self) -> bool:
        """Whether the database answers and the schema is this version's."""

    async def schema(self) -> Schema:
        """Compare the tables with those of this version. Raises `Unavailable`, `DatabaseError`."""

    async def backlog(self) -> Backlog:
        """The work that is not done yet. Raises `Unavailable`, `DatabaseError`."""
