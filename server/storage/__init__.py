"""The protocols that a storage plugin implements and services call, with their values.

A *home* belongs to a principal and is of one kind (calendars or address books). Its revision counter orders all changes
in it. A *binding* is the name under which a home shows a collection, a *member* is an object resource of a collection.

All methods raise the domain errors of `server.domain.errors`, and `Unavailable` if the database does not answer or is
overloaded. Reads are single statements. Members are written by change sets (`Changes.apply`). Writes are
compare-and-set: they carry the state that the caller's decision was based on, and raise `WriteConflict` if it has
changed since; the caller then reads and decides again. Each write is one transaction, which writes rows of the outbox
and takes the home's revision last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from server.domain.events import Change
from server.storage.changes import Changes
from server.storage.check_ins import CheckIns
from server.storage.mails import Mails
from server.storage.queues import Queues
from server.storage.reads import Reads
from server.storage.reservations import Reservations
from server.storage.rooms import Rooms
from server.storage.scheduling import Scheduling


@runtime_checkable
class Storage(Reads, Changes, Scheduling, Mails, Queues, Rooms, Reservations, CheckIns, Protocol):
    """What services need of a database."""

    def subscribe(self, listener: Callable[[Change], Awaitable[None] | None]) -> Callable[[], None]:
        """Call a listener after commits of all workers. Returns a function that ends the subscription."""

    async def ready(self) -> bool:
        """Whether the database answers and the schema is this version's."""
