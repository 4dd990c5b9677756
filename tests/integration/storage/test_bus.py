"""The same promises on both buses: every message comes, effects happen once, in the order of each home."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from server.domain.errors import BusUnavailable, NotFound, Unavailable, WriteConflict
from server.domain.messages import EVENTS, NOTIFICATIONS, Message, decode
from server.events import consuming
from server.events import relay as relay_module
from server.events.bus import Bus, Reading
from server.events.bus_settings import KafkaSettings
from server.events.consuming import Consumer
from server.events.counting import counting
from server.events.in_process import JournalBus
from server.events.kafka_bus import KafkaBus
from server.events.kafka_cluster import KafkaCluster
from server.events.kafka_publishing import KafkaPublisher
from server.events.relay import RELAY, Relay
from server.observe.metrics import Metrics
from storage_plugins.postgres import journal as journal_module
from storage_plugins.postgres import turns
from storage_plugins.postgres.advisory_locks import TurnLock
from storage_plugins.postgres.backup.dump import begin_incarnation
from storage_plugins.postgres.bus import PostgresBusRecords
from storage_plugins.postgres.business import PostgresBusiness
from storage_plugins.postgres.database import Connection, DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.journal import PostgresJournal
from storage_plugins.postgres.reads.positions import dead_messages, interrupt, read_again, start_anew
from storage_plugins.postgres.turns import PostgresTurn
from tests.fixtures.kafka import MISSING, Kafka, kafka
from tests.fixtures.messages import SOURCE, validator
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import sequence
from tests.integration.storage.values import CAUSE, LIMITS, content

PARTITIONS = 3
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "events.md"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Kafka]:
    if MISSING:
        pytest.skip(MISSING)
    with kafka() as running:
        yield running


@dataclass
class World:
    """A database and a bus."""

    storage: MemberStorage
    dsn: str
    bus: Bus
    cluster: KafkaCluster | None = None
    relays: list[Relay] = field(default_factory=list)

    @property
    def journal(self) -> PostgresJournal:
        return PostgresJournal(self.storage.database)

    @property
    def records(self) -> PostgresBusRecords:
        return PostgresBusRecords(self.storage.database)

    def relay(self) -> Relay:
        """A relay of a worker of its own."""
        assert self.cluster is not None
        publisher = KafkaPublisher(self.cluster, SOURCE)
        made = Relay(self.journal, self.records, publisher, PostgresTurn(self.dsn, TurnLock.RELAY), Metrics())
        self.relays.append(made)
        return made

    async def bring(self) -> None:
        """Bring what was written to the bus."""
        await sequence(self.storage.database)
        if self.cluster is not None:
            relay = self.relays[0] if self.relays else self.relay()
            while await relay.step():
                pass

    async def write(self, collection: Any, names: Sequence[str]) -> None:
        for name in names:
            await self.storage.put_object(collection, name, content(name), None, LIMITS, CAUSE)

    async def taken(self) -> list[tuple[int, int]]:
        """What the consumer has counted: homes and numbers, in the order in which they came."""
        rows = await self.storage.database.fetch("select home_id, seq from counted order by came")
        return [(row[0], row[1]) for row in rows]

    async def written(self) -> list[tuple[int, int]]:
        rows = await self.storage.database.fetch("select home_id, seq from journal where seq > 0 order by seq")
        return [(row[0], row[1]) for row in rows]

    async def anew(self) -> int:
        return int(await self.storage.database.fetchval("select count(*) from anew"))


@pytest_asyncio.fixture(loop_scope="session", params=["in-process", "kafka"])
async def world(request: pytest.FixtureRequest, database: str) -> AsyncIterator[World]:
    async with opened(request.param, database, request) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def kafka_world(request: pytest.FixtureRequest, database: str) -> AsyncIterator[World]:
    async with opened("kafka", database, request) as made:
        yield made


@contextlib.asynccontextmanager
async def opened(kind: str, dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with MemberStorage(dsn, DatabaseLimits(connections=8), notify=False) as storage:
        await storage.database.fetch("create table counted (came bigserial, home_id bigint, seq bigint)")
        await storage.database.fetch("create table anew (came bigserial)")
        journal = PostgresJournal(storage.database)
        if kind == "in-process":
            made = World(storage, dsn, JournalBus(journal, storage.subscribe))
        else:
            broker: Kafka = request.getfixturevalue("broker")
            # A topic of its own for each test.
            prefix = f"{dsn.rpartition('/')[2].partition('?')[0]}."
            settings = KafkaSettings(
                servers=broker.servers, prefix=prefix, partitions=PARTITIONS, replication=1, min_in_sync=1, timeout=5
            )
            cluster = KafkaCluster.from_settings(settings)
            made = World(storage, dsn, KafkaBus(cluster, journal, PostgresBusRecords(storage.database)), cluster)
        try:
            yield made
        finally:
            for relay in made.relays:
                await relay.close()


async def count(transaction: Connection, messages: Sequence[Message]) -> None:
    rows = [(message.home_id, message.seq) for message in messages]
    await transaction.executemany("insert into counted (home_id, seq) values ($1, $2)", rows)


async def count_anew(transaction: Connection) -> None:
    await transaction.execute("insert into anew default values")


COUNTING = Consumer("counting", count, count_anew)


async def drain(reading: Reading, world: World, upto: int) -> None:
    """Take messages in until this many have been counted, and no more come."""
    deadline = time.monotonic() + PATIENCE
    while len(await world.taken()) < upto:
        assert time.monotonic() < deadline, (len(await world.taken()), upto)
        await reading.wait(0.2)
        while await reading.take_in():
            pass


async def begun(world: World) -> None:
    """Let the consumer and the relay take their first positions."""
    await world.bring()
    async with world.bus.reading(COUNTING) as reading:
        while await reading.take_in():
            pass
    await world.storage.database.fetch("truncate counted, anew")


def assert_in_order_once(taken: Sequence[tuple[int, int]], written: Sequence[tuple[int, int]]) -> None:
    homes: dict[int, list[int]] = defaultdict(list)
    for home_id, seq in taken:
        homes[home_id].append(seq)
    wanted: dict[int, list[int]] = defaultdict(list)
    for home_id, seq in written:
        wanted[home_id].append(seq)
    assert homes == wanted


async def test_every_change_comes_once_and_in_the_order_of_its_home(world: World) -> None:
    await begun(world)
    before = await world.written()
    calendars = [await (await make_person(world.storage)).collection() for _ in range(4)]
    for number in range(5):
        await asyncio.gather(*(world.write(calendar, [f"{number}"]) for calendar in calendars))
    await world.bring()
    written = (await world.written())[len(before) :]
    assert len(written) >= 20
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    assert_in_order_once(await world.taken(), written)
    assert await world.anew() == 0


async def test_a_consumer_that_is_new_starts_anew_and_then_hears_of_what_follows(world: World) -> None:
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b"])
    await world.bring()
    async with world.bus.reading(COUNTING) as reading:
        while await reading.take_in():
            pass
        assert await world.anew() >= 1
        assert await world.taken() == []
        before = await world.written()
        await world.write(calendar, ["c"])
        await world.bring()
        await drain(reading, world, 1)
    assert await world.taken() == (await world.written())[len(before) :]


async def test_what_people_do_is_counted_once(world: World) -> None:
    business = PostgresBusiness(world.storage.database)
    person = await make_person(world.storage)
    await world.write(await person.collection(), ["before"])
    await world.bring()
    events = counted = 0
    for first in (True, False):
        async with world.bus.reading(counting(business)) as reading:
            while await reading.take_in():
                pass
            if first:
                # The counts begin with what comes now.
                assert (await business.figures()).events == 0
            await world.write(await person.collection(), [f"{first} {number}" for number in range(3)])
            await world.bring()
            events += 3
            async with asyncio.timeout(PATIENCE):
                while counted < events:
                    await reading.wait(0.2)
                    await reading.take_in()
                    counted = (await business.figures()).events
    figures = await business.figures()
    assert (figures.events, figures.meetings, figures.answers) == (6, 0, 0)


async def test_a_failure_has_no_effect_and_the_messages_come_again(world: World) -> None:
    await begun(world)
    before = await world.written()
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b", "c"])
    await world.bring()

    async def fail(transaction: Connection, messages: Sequence[Message]) -> None:
        await count(transaction, messages)
        raise Unavailable

    with pytest.raises(Unavailable):
        async with world.bus.reading(Consumer("counting", fail, count_anew)) as reading:
            while True:
                await reading.wait(0.2)
                await reading.take_in()
    assert await world.taken() == []
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    assert_in_order_once(await world.taken(), written)


async def test_a_message_that_cannot_be_taken_in_is_buried_and_those_behind_it_are_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "PAUSES", (0.0, 0.0))
    await begun(world)
    before = await world.written()
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b", "c"])
    await world.bring()
    written = (await world.written())[len(before) :]
    poison = written[-2][1]

    async def choke(transaction: Connection, messages: Sequence[Message]) -> None:
        await count(transaction, messages)
        if any(message.seq == poison for message in messages):
            raise ZeroDivisionError

    async with world.bus.reading(Consumer("counting", choke, count_anew)) as reading:
        await drain(reading, world, len(written) - 1)
    assert_in_order_once(await world.taken(), [each for each in written if each[1] != poison])
    (dead,) = await dead_messages(world.storage.database, 10)
    assert (dead.consumer, dead.seq, dead.kind, dead.error) == ("counting", poison, "created", "ZeroDivisionError")
    # What it could not take in follows when it starts anew.
    await start_anew(world.storage.database, "counting")
    async with world.bus.reading(COUNTING) as reading:
        await reading.take_in()
    assert await world.anew() >= 1
    assert await dead_messages(world.storage.database, 10) == []


async def test_a_consumer_that_can_take_in_nothing_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(journal_module, "MOST_DEAD", 2)
    await begun(world)
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b", "c", "d"])
    await world.bring()

    async def choke(transaction: Connection, messages: Sequence[Message]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with world.bus.reading(Consumer("counting", choke, count_anew)) as reading:
            while True:
                await reading.wait(0.2)
                await reading.take_in()
    assert len(await dead_messages(world.storage.database, 10)) == 2
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, 2)
    assert await world.taken() == (await world.written())[-2:]


async def test_a_consumer_that_was_stopped_and_goes_on_changes_nothing(world: World) -> None:
    """It has read messages, another process has taken them in meanwhile, and then its handler goes on."""
    await begun(world)
    before = await world.written()
    stopped, go_on = asyncio.Event(), asyncio.Event()

    async def stop(journal_move: Any, *arguments: Any) -> Any:
        stopped.set()
        await go_on.wait()
        return await journal_move(*arguments)

    journal = PostgresJournal(world.storage.database)
    move = journal.move
    journal.move = lambda *arguments: stop(move, *arguments)  # type: ignore[method-assign, assignment]
    other: Bus = JournalBus(journal, world.storage.subscribe)
    if world.cluster is not None:
        other = KafkaBus(world.cluster, journal, world.records)

    async def zombie() -> None:
        async with other.reading(COUNTING) as reading:
            while not await reading.take_in():
                await reading.wait(0.2)

    calendar = await (await make_person(world.storage)).collection()
    task = asyncio.create_task(zombie())
    await asyncio.sleep(0)
    await world.write(calendar, ["a", "b", "c"])
    await world.bring()
    async with asyncio.timeout(PATIENCE):
        await stopped.wait()
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    go_on.set()
    with pytest.raises(WriteConflict):
        await task
    assert_in_order_once(await world.taken(), written)


async def test_the_consumer_of_the_documents_counts_changes(world: World) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    database = world.storage.database
    await database.fetch("drop table counted")
    await database.fetch("create table counted (home_id bigint, changes integer default 0)")
    calendar = await (await make_person(world.storage)).collection()
    await database.fetch("insert into counted values ($1)", calendar.home_id)
    await world.bring()
    async with world.bus.reading(found["counting"]) as reading:
        while await reading.take_in():
            pass
        await world.write(calendar, ["a", "b", "c"])
        await world.bring()
        deadline = time.monotonic() + PATIENCE
        while await database.fetchval("select changes from counted") < 3:
            assert time.monotonic() < deadline
            await reading.wait(0.2)
            await reading.take_in()
    if world.cluster is None:
        await found["step"](world.journal)
    assert await database.fetchval("select changes from counted") == 3


async def test_consumers_that_end_at_random_leave_the_state_of_the_journal(world: World) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await begun(world)
    before = await world.written()
    calendars = [await (await make_person(world.storage)).collection() for _ in range(3)]

    async def unlucky(transaction: Connection, messages: Sequence[Message]) -> None:
        await count(transaction, messages)
        if chance.random() < 0.4:
            raise Unavailable

    for number in range(12):
        await world.write(chance.choice(calendars), [f"{number}", f"{number}-more"])
        await world.bring()
        with contextlib.suppress(Unavailable):
            async with world.bus.reading(Consumer("counting", unlucky, count_anew)) as reading:
                for _ in range(chance.randrange(4)):
                    await reading.wait(0.1)
                    await reading.take_in()
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    assert_in_order_once(await world.taken(), written)
    assert await world.anew() == 0


# -- the relay --------------------------------------------------------------------------------------------------------


async def test_what_a_relay_sends_again_is_dropped(kafka_world: World) -> None:
    world = kafka_world
    await begun(world)
    before = await world.written()
    start = await world.storage.database.fetchval("select position from journal_position where consumer = $1", RELAY)
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b"])
    await world.bring()
    # It died after sending, before its position moved.
    await world.storage.database.fetch("update journal_position set position = $2 where consumer = $1", RELAY, start)
    await world.write(calendar, ["c"])
    await sequence(world.storage.database)
    await world.relays[0].close()
    while await world.relays[0].step():
        pass
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
        await reading.wait(0.5)
        await reading.take_in()
    assert_in_order_once(await world.taken(), written)


async def test_a_relay_that_was_stopped_and_goes_on_moves_nothing(kafka_world: World) -> None:
    world = kafka_world
    await begun(world)
    before = await world.written()
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b"])
    await sequence(world.storage.database)
    stopped = world.relays[0]
    publish, reached, go_on = stopped._publisher.publish, asyncio.Event(), asyncio.Event()

    async def slow(messages: Sequence[Message]) -> None:
        reached.set()
        await go_on.wait()
        await publish(messages)

    stopped._publisher.publish = slow  # type: ignore[method-assign]
    task = asyncio.create_task(stopped.step())
    await reached.wait()
    await end_turn(world)
    other = world.relay()
    while await other.step() is None:
        await asyncio.sleep(0.05)
    await world.write(calendar, ["c"])
    await sequence(world.storage.database)
    while await other.step():
        pass
    go_on.set()
    with pytest.raises(WriteConflict):
        await task
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
        await reading.wait(0.5)
        await reading.take_in()
    assert_in_order_once(await world.taken(), written)


async def end_turn(world: World) -> None:
    """End the session that has the turn, as PostgreSQL does when its worker has died."""
    connection = await asyncpg.connect(world.dsn)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and application_name = 'koyomi turn'"
        )
    finally:
        await connection.close()


async def test_one_relay_has_the_turn_and_another_takes_it_from_one_that_is_silent(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (PostgresTurn(database, TurnLock.RELAY) for _ in range(2))
    try:
        assert await first.take()
        assert await first.take()
        assert not await second.take()
        monkeypatch.setattr(turns, "SILENCE", 0.2)
        monkeypatch.setattr(turns, "BEAT", 0.02)
        assert first._beating is not None
        first._beating.cancel()
        async with asyncio.timeout(PATIENCE):
            while not await second.take():
                await asyncio.sleep(0.05)
        assert not await first.take()
    finally:
        await first.give_up()
        await second.give_up()


async def test_a_relay_that_starts_anew_lets_the_consumers_start_anew(kafka_world: World) -> None:
    world = kafka_world
    await begun(world)
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a"])
    await world.storage.database.fetch("update journal_position set anew = true where consumer = $1", RELAY)
    await world.relays[0].close()
    await world.bring()
    async with world.bus.reading(COUNTING) as reading:
        await reading.take_in()
        assert await world.anew() == PARTITIONS
        await world.write(calendar, ["b"])
        await world.bring()
        await drain(reading, world, 1)
    assert await world.taken() == (await world.written())[-1:]


async def test_messages_from_before_a_restore_keep_no_later_ones_away(kafka_world: World) -> None:
    """A restored database gives numbers again that messages on Kafka have."""
    world = kafka_world
    await begun(world)
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["lost"])
    await world.bring()
    await begin_incarnation(world.dsn)
    await world.relays[0].close()
    await world.bring()
    async with world.bus.reading(COUNTING) as reading:
        await reading.take_in()
        assert await world.anew() == PARTITIONS
        assert await world.taken() == []
        other = await (await make_person(world.storage)).collection()
        await world.write(other, ["after"])
        await world.bring()
        await drain(reading, world, 1)


async def test_the_relay_waits_while_kafka_is_away_and_loses_nothing(
    kafka_world: World, broker: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = kafka_world
    monkeypatch.setattr(relay_module, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(relay_module, "BATCH", 5)
    await begun(world)
    before = await world.written()
    relay = world.relays[0]
    running = asyncio.create_task(relay.run())
    try:
        calendar = await (await make_person(world.storage)).collection()
        await world.write(calendar, [f"before-{number}" for number in range(10)])
        await sequence(world.storage.database)
        broker.kill()
        # Nobody who writes waits for the bus.
        await world.write(calendar, [f"while-{number}" for number in range(10)])
        await sequence(world.storage.database)
        with pytest.raises(BusUnavailable):
            async with world.bus.reading(COUNTING):
                pass
        assert not running.done()
        await asyncio.to_thread(broker.start)
        await world.write(calendar, ["after"])
        await sequence(world.storage.database)
        written = (await world.written())[len(before) :]
        async with world.bus.reading(COUNTING) as reading:
            await drain(reading, world, len(written))
        assert_in_order_once(await world.taken(), written)
    finally:
        running.cancel()
        await asyncio.wait([running])
        if broker.process is None:
            await asyncio.to_thread(broker.start)


# -- Kafka itself -----------------------------------------------------------------------------------------------------


async def with_admin(world: World, use: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
    assert world.cluster is not None
    admin = AIOKafkaAdminClient(bootstrap_servers=world.cluster.settings.servers)
    await admin.start()
    try:
        return await use(admin)
    finally:
        await admin.close()


async def test_the_topics_are_made_as_the_settings_have_them(kafka_world: World) -> None:
    world = kafka_world
    assert world.cluster is not None
    layout = dict.fromkeys(("calendar.events", "notifications", "sync.requests", "dead.letters"), PARTITIONS)
    assert await world.cluster.layout() == layout
    asked = [ConfigResource(ConfigResourceType.TOPIC, world.cluster.named(name)) for name in layout]
    answers = await with_admin(world, lambda admin: admin.describe_configs(asked))
    found = [resource for answer in answers for resource in answer.resources]
    assert len(found) == len(layout)
    for resource in found:
        configured = {entry[0]: entry[1] for entry in resource[4]}
        assert configured["min.insync.replicas"] == "1"
        assert configured["retention.ms"] == str(7 * 86_400_000)
    assert await world.cluster.layout() == layout


async def test_more_partitions_lose_nothing_and_repeat_nothing(kafka_world: World) -> None:
    """What was sent before the change and not read, what is sent under the old division after it, and what follows."""
    world = kafka_world
    assert world.cluster is not None
    await begun(world)
    before = await world.written()
    calendars = [await (await make_person(world.storage)).collection() for _ in range(6)]
    for calendar in calendars[:3]:
        await world.write(calendar, ["read"])
    await world.bring()
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(await world.written()) - len(before))
        for calendar in calendars:
            await world.write(calendar, ["unread"])
        await world.bring()
        await world.cluster.add_partitions(2 * PARTITIONS)
        await interrupt(world.storage.database, RELAY)
        for calendar in calendars:
            await world.write(calendar, ["under-the-old-division"])
        await sequence(world.storage.database)
        with pytest.raises(WriteConflict):
            await world.relays[0].step()
        with pytest.raises(WriteConflict):
            for _ in range(100):
                await world.relays[0].close()
                await world.bring()
                await reading.wait(0.2)
                await reading.take_in()
    assert await world.records.layout() == await world.cluster.layout()
    async with world.bus.reading(COUNTING) as reading:
        for calendar in calendars:
            await world.write(calendar, ["after"])
        await world.bring()
        written = (await world.written())[len(before) :]
        await drain(reading, world, len(written))
        await reading.wait(0.5)
        await reading.take_in()
    assert_in_order_once(await world.taken(), written)
    assert any(home_id % (2 * PARTITIONS) >= PARTITIONS for home_id, _ in written)
    assert len(await world.records.positions("counting")) == 2 * PARTITIONS
    assert await world.anew() == 0
    with pytest.raises(BusUnavailable, match="can only grow"):
        await world.cluster.add_partitions(2 * PARTITIONS)


async def test_what_others_put_into_the_topic_is_left_out(kafka_world: World) -> None:
    world = kafka_world
    assert world.cluster is not None
    await begun(world)
    before = await world.written()
    producer = AIOKafkaProducer(bootstrap_servers=world.cluster.settings.servers)
    await producer.start()
    try:
        for text in (b"", b"{}", b'{"specversion":"1.0","type":"x"}', None):
            for partition in range(PARTITIONS):
                await producer.send_and_wait(world.cluster.named(EVENTS.name), text, key=b"1", partition=partition)
    finally:
        await producer.stop()
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a"])
    await world.bring()
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    assert_in_order_once(await world.taken(), written)


async def test_a_consumer_reads_in_the_journal_what_kafka_has_lost(kafka_world: World) -> None:
    world = kafka_world
    assert world.cluster is not None
    await begun(world)
    before = await world.written()
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a", "b"])
    await world.bring()
    topic = world.cluster.named(EVENTS.name)
    await with_admin(world, lambda admin: admin.delete_topics([topic]))
    async with asyncio.timeout(PATIENCE):
        while topic in await with_admin(world, lambda admin: admin.list_topics()):
            await asyncio.sleep(0.1)
    await world.relays[0].close()
    await world.write(calendar, ["c"])
    await world.bring()
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    assert_in_order_once(await world.taken(), written)
    assert await world.anew() == 0


# -- topics, dead letters, lag ----------------------------------------------------------------------------------------


async def test_what_concerns_a_person_is_in_their_topic_too(world: World) -> None:
    """Members of the topic of notifications, by person, and nothing else."""
    consumer = Consumer("counting", count, count_anew, NOTIFICATIONS)
    await world.bring()
    async with world.bus.reading(consumer) as reading:
        while await reading.take_in():
            pass
        await world.storage.database.fetch("truncate anew")
        people = [await make_person(world.storage) for _ in range(3)]
        directory = PostgresDirectory(world.storage.database)
        for person in people:
            await directory.add_app_password(
                person.id, "phone", f"selector-{person.id}", "hash", None, frozenset({"apps"}), CAUSE
            )
        await world.write(await people[0].collection(), ["a"])
        await world.bring()
        await drain(reading, world, len(people))
    rows = "select home_id, seq from journal where kind = 'app-password-added' order by seq"
    wanted = [(row[0], row[1]) for row in await world.storage.database.fetch(rows)]
    assert sorted(await world.taken()) == wanted
    assert len(wanted) == len(people)
    assert await world.anew() == 0


async def test_a_dead_letter_has_the_message_and_the_class_of_the_error(
    kafka_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "PAUSES", (0.0,))
    world = kafka_world
    assert world.cluster is not None
    await begun(world)
    calendar = await (await make_person(world.storage)).collection()
    await world.write(calendar, ["a"])
    await world.bring()

    async def choke(transaction: Connection, messages: Sequence[Message]) -> None:
        if messages[-1].kind == "created":
            raise ZeroDivisionError

    async with world.bus.reading(Consumer("counting", choke, count_anew)) as reading:
        while not await dead_messages(world.storage.database, 1):
            await reading.wait(0.2)
            await reading.take_in()
    monkeypatch.setattr(relay_module, "POLL", 0.0)
    await world.bring()
    await world.bring()
    settings = world.cluster.settings
    topic = world.cluster.named("dead.letters")
    client = AIOKafkaConsumer(topic, bootstrap_servers=settings.servers, auto_offset_reset="earliest")
    await client.start()
    try:
        async with asyncio.timeout(PATIENCE):
            record = await client.getone()
        ends = await client.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
    finally:
        await client.stop()
    assert sum(ends.values()) == 1
    event = json.loads(record.value)
    assert (event["consumer"], event["error"], event["type"]) == ("counting", "ZeroDivisionError", "koyomi.created")
    assert record.key == b"%d" % calendar.home_id
    validator("created").validate(event)
    assert decode(record.value).seq == (await world.written())[-1][1]


async def test_the_lag_of_a_consumer_is_measured_whether_it_runs_or_not(kafka_world: World) -> None:
    world = kafka_world
    await begun(world)
    calendar = await (await make_person(world.storage)).collection()
    publisher = world.relays[0]._publisher
    assert await publisher.lags(["counting"]) == {"counting": 0}
    await world.write(calendar, ["a", "b", "c"])
    await world.bring()
    assert (await publisher.lags(["counting"]))["counting"] >= 3
    metrics = world.relays[0]._metrics
    task = asyncio.create_task(world.relays[0].measure())
    try:
        async with asyncio.timeout(PATIENCE):
            while not metrics.registry.get_sample_value("koyomi_bus_lag_messages", {"consumer": "counting"}):
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.wait([task])
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, 3)
    assert await publisher.lags(["counting"]) == {"counting": 0}


async def test_a_consumer_takes_in_again_what_comes_from_a_number_on(world: World) -> None:
    await begun(world)
    before = await world.written()
    calendars = [await (await make_person(world.storage)).collection() for _ in range(4)]
    for calendar in calendars:
        await world.write(calendar, ["a", "b"])
    await world.bring()
    written = (await world.written())[len(before) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(written))
    again = written[len(written) // 2 :]
    await read_again(world.storage.database, "counting", again[0][1])
    await world.storage.database.fetch("truncate counted")
    await world.write(calendars[0], ["c"])
    await world.bring()
    again += (await world.written())[len(before) + len(written) :]
    async with world.bus.reading(COUNTING) as reading:
        await drain(reading, world, len(again))
        await reading.wait(0.5)
        await reading.take_in()
    assert_in_order_once(await world.taken(), again)
    assert await world.anew() == 0
    with pytest.raises(NotFound, match="no entry"):
        await read_again(world.storage.database, "counting", again[-1][1] + 1)
