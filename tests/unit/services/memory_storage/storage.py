"""All protocols together, on one set of tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from server.domain.events import Change
from server.services.scheduling.patient_locks import held
from server.storage import Storage
from server.storage.access import Access
from server.storage.directory import Directory
from server.storage.journal import Journal
from server.storage.queues import Queue
from tests.unit.services.memory_storage.access import MemoryAccess
from tests.unit.services.memory_storage.check_ins import CheckInStorage
from tests.unit.services.memory_storage.collection_writes import CollectionWrites
from tests.unit.services.memory_storage.directory import MemoryDirectory
from tests.unit.services.memory_storage.journal import MemoryJournal
from tests.unit.services.memory_storage.mails import MailStorage
from tests.unit.services.memory_storage.member_sets import MemberSets
from tests.unit.services.memory_storage.reads import MemoryReads
from tests.unit.services.memory_storage.rooms import RoomReads
from tests.unit.services.memory_storage.tables import Tables, now


class MemoryStorage(MemoryReads, MemberSets, CollectionWrites, MailStorage, RoomReads, CheckInStorage):
    """A `server.storage.Storage` in memory.

    It decides as the storage on PostgreSQL does: `tests/integration/storage/test_memory_storage.py` plays the same
    calls on both. It does not keep deleted texts for a number of days but always, and tells no listener.
    """

    def subscribe(self, listener: Callable[[Change], Awaitable[None] | None]) -> Callable[[], None]:
        return lambda: None

    async def ready(self) -> bool:
        return True

    @asynccontextmanager
    async def turn(self, queue: Queue, key: int | tuple[int, ...], patience: float) -> AsyncIterator[bool]:
        async with AsyncExitStack() as turns:
            locks = self.tables.queues
            for each in (key,) if isinstance(key, int) else key:
                lock = locks.setdefault((queue, each), asyncio.Lock())
                if not await turns.enter_async_context(held(lock, patience)):
                    await turns.aclose()
                    yield False
                    return
            yield True


@dataclass(frozen=True, slots=True)
class Memory:
    """A database in memory: what services need of one."""

    storage: Storage
    access: Access
    directory: Directory
    journal: Journal
    tables: Tables


def memory(clock: Callable[[], datetime] = now) -> Memory:
    """An empty database in memory."""
    tables = Tables(clock)
    storage = MemoryStorage(tables)
    access = MemoryAccess(storage)
    return Memory(storage, access, MemoryDirectory(access), MemoryJournal(tables), tables)
