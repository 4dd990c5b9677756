"""Processes of the bus that are killed and stopped at random beside 16 writers.

What they leave is exactly the state of the database; each change has taken effect once, in the order of its home.
`KOYOMI_TEST_BUS_SECONDS` says for how long (default: 15), `KOYOMI_TEST_SEED` repeats a run's random decisions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from server.domain.objects import Collection
from server.events.bus_settings import KafkaSettings
from storage_plugins.postgres.database import DatabaseLimits
from tests.fixtures.kafka import MISSING, Kafka, kafka
from tests.integration import bus_process
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, state

SECONDS = float(os.environ.get("KOYOMI_TEST_BUS_SECONDS", "15"))
WRITERS = 16
PATIENCE = 120.0
KAFKA_ANSWER = 5.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Kafka]:
    if MISSING:
        pytest.skip(MISSING)
    with kafka() as running:
        yield running


@dataclass
class World:
    """A database, its bus and processes."""

    storage: MemberStorage
    dsn: str
    kafka: str
    chance: random.Random
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    stopping: bool = False
    written: int = 0

    def start(self, role: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.integration.bus_process", self.dsn, role, self.kafka]
        made = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(made)
        return made

    async def write(self, calendar: Collection, chance: random.Random) -> None:
        """Write at random until told to stop."""
        there: dict[str, object] = {}
        number = 0
        while not self.stopping:
            number += 1
            name = chance.choice([*there, f"{number}"])
            before = there.get(name)
            if before is not None and chance.random() < 0.3:
                await self.storage.delete_object(calendar, name, before, CAUSE)
                del there[name]
            else:
                made = content(f"{name}-{chance.randrange(20)}", component="VTODO")
                there[name] = state(await self.storage.put_object(calendar, name, made, before, LIMITS, CAUSE))
            self.written += 1

    @contextlib.asynccontextmanager
    async def writers(self) -> AsyncIterator[None]:
        """Write as 16 people within the context."""
        calendars = [await (await make_person(self.storage)).collection() for _ in range(WRITERS)]
        async with asyncio.TaskGroup() as group:
            for calendar in calendars:
                group.create_task(self.write(calendar, random.Random(self.chance.random())))
            try:
                yield
            finally:
                self.stopping = True

    async def begun(self) -> None:
        """Wait until the consumer has its positions."""
        await self.until(f"select count(*) > 0 and not bool_or(anew) from journal_position where consumer = '{NAME}'")
        await self.storage.database.fetch("truncate counted, anew")

    async def until(self, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not await self.storage.database.fetchval(f"select ({condition})"):
            assert time.monotonic() < deadline, condition
            await asyncio.sleep(0.2)

    async def assert_whole(self, after: int) -> None:
        """Each entry after this number was taken in once, in the order of its home; the copy is the state."""
        fetch = self.storage.database.fetch
        await self.until("select count(*) = 0 from outbox")
        last = await self.storage.database.fetchval("select max(seq) from journal")
        await self.until(f"select count(*) >= {last - after} from counted")
        # What comes twice would come soon.
        await asyncio.sleep(2)
        homes: dict[int, list[int]] = defaultdict(list)
        for row in await fetch("select home_id, seq from counted order by came"):
            homes[row[0]].append(row[1])
        wanted: dict[int, list[int]] = defaultdict(list)
        for row in await fetch("select home_id, seq from journal where seq > $1 order by seq", after):
            wanted[row[0]].append(row[1])
        assert homes == wanted
        assert await fetch("select * from anew") == []
        different = f"(select * from copied except {STORED}) union all ({STORED} except select * from copied)"
        assert await fetch(different) == []


NAME, STORED = bus_process.NAME, bus_process.STORED


@pytest_asyncio.fixture(loop_scope="session", params=["in-process", "kafka"])
async def world(request: pytest.FixtureRequest, database: str) -> AsyncIterator[World]:
    settings = ""
    if request.param == "kafka":
        broker: Kafka = request.getfixturevalue("broker")
        prefix = f"{database.rpartition('/')[2].partition('?')[0]}."
        settings = KafkaSettings(
            servers=broker.servers, prefix=prefix, partitions=4, replication=1, min_in_sync=1, timeout=KAFKA_ANSWER
        ).model_dump_json(exclude={"password"})
    seed = int(os.environ.get("KOYOMI_TEST_SEED") or random.randrange(2**32))
    print(f"KOYOMI_TEST_SEED={seed}")
    async with MemberStorage(database, DatabaseLimits(connections=8)) as storage:
        for sql in bus_process.TABLES:
            await storage.database.fetch(sql)
        made = World(storage, database, settings, random.Random(seed))
        try:
            yield made
        finally:
            for process in made.processes:
                process.kill()
                process.wait()


async def test_processes_that_are_killed_at_random_leave_exactly_the_state_of_the_database(world: World) -> None:
    running = {"first": world.start("relay"), "second": world.start("relay"), "consumer": world.start("consumer")}
    await world.begun()
    after = await world.storage.database.fetchval("select max(position) from journal_position")
    end = time.monotonic() + SECONDS
    killed = 0
    async with world.writers():
        while time.monotonic() < end:
            await asyncio.sleep(world.chance.uniform(0.5, 4.0))
            name = world.chance.choice([*running, "consumer"])
            running[name].kill()
            await asyncio.to_thread(running[name].wait)
            running[name] = world.start("consumer" if name == "consumer" else "relay")
            killed += 1
    print(f"{world.written} writes, {killed} processes killed")
    assert killed
    await world.assert_whole(after)


async def test_processes_that_were_stopped_and_go_on_change_nothing(world: World) -> None:
    """SIGSTOP for a while, during which others do their work; then SIGCONT, and old and new run beside each other."""
    relay, consumer = world.start("relay"), world.start("consumer")
    await world.begun()
    after = await world.storage.database.fetchval("select max(position) from journal_position")
    async with world.writers():
        await asyncio.sleep(world.chance.uniform(1.0, 3.0))
        for process in (relay, consumer):
            process.send_signal(signal.SIGSTOP)
        before = await world.storage.database.fetchval("select count(*) from counted")
        others = [world.start("relay"), world.start("consumer")]
        await asyncio.sleep(SECONDS)
        # Others took the work over.
        await world.until(f"select count(*) > {before} from counted")
        for process in (relay, consumer):
            process.send_signal(signal.SIGCONT)
        await asyncio.sleep(3)
        assert all(process.poll() is None for process in (relay, *others))
        # From now on one of the two goes on.
        others[1].kill()
        await asyncio.to_thread(others[1].wait)
    await world.assert_whole(after)
    consumer.kill()
    if world.kafka:
        assert consumer.stdout is not None
        assert "conflict" in consumer.stdout.read()
