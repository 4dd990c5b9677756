"""What a storage plugin must offer: values, and the protocol that services call.

A *home* belongs to a principal and is of one kind (calendars or address books). Its revision counter orders every
change of everything in it. A *binding* is the name under which a home shows a collection, a *member* is an object
resource of a collection. All methods raise the domain errors of `server.domain.errors`; an absent or overloaded
database is `Unavailable`.

Reads are single statements. Members are written by change sets (`Changes.apply`). Writes are compare-and-set: they
carry the state that the caller's decision was based on and raise `WriteConflict` when it has changed since; the caller
reads again and repeats. Each write is one transaction that leaves its rows in `outbox` and `audit` and takes the
home's revision last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from server.domain.events import Change
from server.storage.changes import Changes
from server.storage.reads import Reads
from server.storage.scheduling import Scheduling


@runtime_checkable
class Storage(Reads, Changes, Scheduling, Protocol):
    """What services need of a database."""

    def subscribe(self, listener: Callable[[Change], Awaitable[None] | None]) -> Callable[[], None]:
        """Hear of the commits of all workers; gives a function that ends the subscription."""

    async def ready(self) -> bool:
        """Whether the database answers and the schema is this version's."""
