"""Queues of writers, among workers that have connections of their own, and in the tests' storage."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.domain.errors import WriteConflict
from server.storage.queues import Queue, Queues
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.queues import MOST
from storage_plugins.postgres.storage import PostgresStorage
from tests.integration.storage.conftest import Person
from tests.unit.services.memory_storage.storage import memory

LONG = 30.0
_keys = itertools.count(2**40)


@pytest.fixture
def key() -> int:
    return next(_keys)


@pytest_asyncio.fixture(loop_scope="session")
async def other(storage_dsn: str) -> AsyncIterator[PostgresStorage]:
    """The storage of another worker."""
    async with PostgresStorage(storage_dsn, DatabaseLimits(connections=4), notify=False) as opened:
        yield opened


async def has_turn(queues: Queues, key: int, patience: float = 0.01) -> bool:
    async with queues.turn(Queue.MEETING, key, patience) as came:
        return came


@pytest.mark.parametrize("in_memory", [False, True])
async def test_turns_come_one_after_the_other(
    storage: PostgresStorage, other: PostgresStorage, key: int, in_memory: bool
) -> None:
    first, second = (memory().storage,) * 2 if in_memory else (storage, other)
    came = asyncio.Event()
    order: list[str] = []

    async def queue(queues: Queues, name: str) -> None:
        async with queues.turn(Queue.MEETING, key, LONG) as has:
            assert has
            order.append(name)
            came.set()
            await asyncio.sleep(0.05)
            order.append(name)

    one = asyncio.create_task(queue(first, "a"))
    await came.wait()
    assert not await has_turn(second, key), "its time is over before the turn comes"
    assert await has_turn(second, key + 2**41), "another meeting has another queue"
    await asyncio.gather(one, queue(second, "b"), queue(first, "c"))
    assert order[:2] == ["a", "a"]
    assert order[2::2] == order[3::2]
    assert await has_turn(first, key)


async def test_few_connections_of_a_worker_queue(storage_dsn: str, other: PostgresStorage, key: int) -> None:
    async with other.turn(Queue.MEETING, key, LONG), other.turn(Queue.MEETING, key + 1, LONG):
        assert MOST == 2
        assert not await has_turn(other, key + 2, LONG)
    assert await has_turn(other, key + 2, LONG)
    async with PostgresStorage(storage_dsn, DatabaseLimits(connections=1), notify=False) as small:
        assert not await has_turn(small, key, LONG), "it would leave no connection to those who write"
    two = DatabaseLimits(connections=2)
    async with (
        PostgresStorage(storage_dsn, two, notify=False) as small,
        small.turn(Queue.MEETING, key, LONG) as came,
    ):
        assert came
        assert await small.ready()
        assert not await has_turn(small, key + 1, LONG)


async def test_recipients_tell_whether_somebody_has_a_turn(
    storage: PostgresStorage, other: PostgresStorage, person: Person, key: int
) -> None:
    async def taken(meeting: int | None) -> bool:
        (mailbox,) = await storage.mailboxes(person.id, [person.id], "m", meeting)
        return mailbox.taken

    assert not await taken(key)
    async with other.turn(Queue.MEETING, key, LONG):
        assert await taken(key)
        assert not await taken(key + 1)
        assert not await taken(None)
    assert not await taken(key)


async def test_an_error_within_a_turn_ends_it_alone(storage: PostgresStorage, other: PostgresStorage, key: int) -> None:
    pid = "select pg_backend_pid()"
    before = await other.database.fetchval(pid)
    with pytest.raises(WriteConflict):
        async with other.turn(Queue.MEETING, key, LONG):
            raise WriteConflict
    async with storage.turn(Queue.MEETING, key, LONG) as came:
        assert came
        assert not await has_turn(other, key)
    assert await other.database.fetchval(pid) == before, "its connection goes on"


async def test_what_is_done_in_a_turn_holds_where_its_connection_breaks(
    storage: PostgresStorage, other: PostgresStorage, key: int
) -> None:
    kill = """
        select pg_terminate_backend(pid) from pg_locks
        where locktype = 'advisory' and objsubid = 2 and granted and pid <> pg_backend_pid()
            and objid = (hashint8($1)::bigint & 4294967295)::oid
    """
    async with other.turn(Queue.MEETING, key, LONG) as came:
        assert came
        assert len(await storage.database.fetch(kill, key)) == 1
        async with storage.turn(Queue.MEETING, key, LONG) as next_one:
            assert next_one


async def test_the_turn_of_a_killed_process_passes_on(storage_dsn: str, storage: PostgresStorage, key: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.storage.queue_process", storage_dsn, str(key),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"True\n"
        assert not await has_turn(storage, key)
        waiting = asyncio.create_task(has_turn(storage, key, LONG))
    finally:
        process.kill()
        await process.wait()
    assert await waiting
