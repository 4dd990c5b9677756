"""Consumers that read Kafka.

One process at a time runs a consumer, and reads all partitions. The positions in the database say what has taken
effect; the offsets that Kafka keeps for the group only say where to go on reading, and move after them. What Kafka has
lost, and what it had under another division into partitions, is read in the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from server.domain.errors import BusUnavailable, WriteConflict
from server.domain.messages import Message, decode, topics_of
from server.events.consuming import BATCH, Consumer, no_effect, start_anew, take_in
from server.events.kafka_cluster import KafkaCluster, bus_errors
from server.storage.bus import BusRecords
from server.storage.journal import Journal, Position

TRIES = 5
"""How often Kafka is asked for an offset that it should have."""
PAUSE = 0.5
"""Seconds between two of these."""
LOOK = 5.0
"""Seconds without messages after which the number of partitions is looked at."""

log = structlog.get_logger()


class KafkaBus:
    """See `server.events.bus.Bus`."""

    def __init__(self, cluster: KafkaCluster, journal: Journal, records: BusRecords) -> None:
        self._cluster = cluster
        self._journal = journal
        self._records = records

    @asynccontextmanager
    async def reading(self, consumer: Consumer) -> AsyncIterator[_KafkaReading]:
        """See `Bus`."""
        cluster = self._cluster
        client = AIOKafkaConsumer(
            **cluster.options,
            group_id=cluster.group(consumer.name),
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        try:
            with bus_errors():
                await client.start()
            count = (await self._records.layout()).get(consumer.topic.name)
            if count is None:
                raise BusUnavailable(f"The relay has not taken up the topic {consumer.topic.name} yet.")
            topic = cluster.named(consumer.topic.name)
            reading = _KafkaReading(client, self._journal, self._records, consumer)
            await reading.begin([TopicPartition(topic, number) for number in range(count)])
            yield reading
        finally:
            await client.stop()


class _KafkaReading:
    def __init__(self, client: AIOKafkaConsumer, journal: Journal, records: BusRecords, consumer: Consumer) -> None:
        self._client = client
        self._journal = journal
        self._records = records
        self._consumer = consumer
        self._positions: list[Position] = []
        """By partition."""
        self._read: Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]] = {}
        """What was read and not taken in yet."""
        self._looked = time.monotonic()
        """When there were messages, or the number of partitions was looked at, last."""

    async def begin(self, places: Sequence[TopicPartition]) -> None:
        """Take all partitions over."""
        with bus_errors():
            self._client.assign(places)
            first = await self._client.beginning_offsets(places)
            # Before the end of the journal is read: what comes behind that end has greater offsets.
            ends = await self._client.end_offsets(places)
        last, _ = await self._journal.end()
        divided = await self._divide(len(places), last)
        offsets: dict[TopicPartition, int] = {}
        reread: dict[int, int] = {}
        for place in places:
            position = await self._journal.take_over(
                await self._journal.position(self._consumer.name, place.partition + 1)
            )
            offset = None if position.anew or divided else await self._committed(place)
            if position.anew:
                position = await start_anew(self._journal, self._consumer, position)
            elif offset is None or not first[place] <= offset <= ends[place]:
                # Kafka has lost what was not read yet.
                offset, reread[place.partition] = None, last
            elif position.reread_to is not None:
                reread[place.partition] = position.reread_to
            offsets[place] = ends[place] if offset is None else offset
            self._positions.append(position)
        # The positions are taken over by now. A process that divides the topic later takes them over in its turn.
        await self._require_layout()
        self._positions = await self._read_journal(self._positions, reread)
        for place, offset in offsets.items():
            self._client.seek(place, offset)
        with bus_errors():
            # Kafka forgets offsets that have not been committed for days, as those of quiet partitions.
            await self._client.commit(offsets)

    async def _divide(self, count: int, last: int) -> bool:
        """Have positions in this many partitions. Returns whether there were others before: then everything up to
        `last` has taken effect."""
        name = self._consumer.name
        before = await self._records.positions(name)
        if not before or (len(before) != count and any(each.anew for each in before)):
            await self._journal.keep_partitions(name, ())
            await self._journal.keep_partitions(name, range(1, count + 1))
        elif len(before) != count:
            taken = [await self._journal.take_over(each) for each in before]
            taken = await self._read_journal(taken, {index: max(last, each.seq) for index, each in enumerate(taken)})
            seq = max(each.seq for each in taken)
            await self._records.divide(taken, seq, min(each.month for each in taken), count)
            log.info("partitions_changed", consumer=name, partitions=count)
            return True
        return False

    async def _read_journal(self, positions: Sequence[Position], upto: Mapping[int, int]) -> list[Position]:
        """Take in what the journal has for partitions up to a number for each. `positions` has all partitions."""
        topic, found = self._consumer.topic, list(positions)
        behind = {index: seq for index, seq in upto.items() if found[index].seq < seq}
        if not behind:
            return found
        at, last = min((found[index] for index in behind), key=lambda each: each.seq), max(behind.values())
        log.info("consumer_reads_journal", consumer=self._consumer.name, position=at.seq, upto=last)
        while at.seq < last and (entries := await self._journal.entries(at, BATCH)):
            parts: dict[int, list[Message]] = defaultdict(list)
            for entry in entries:
                index = topic.key(entry) % len(found)
                if entry.seq <= behind.get(index, 0) and topic in topics_of(entry.kind):
                    parts[index].append(entry)
            for index, part in parts.items():
                found[index] = await take_in(self._journal, self._consumer, found[index], part)
            at = replace(at, seq=entries[-1].seq, month=entries[-1].month)
        for index, seq in behind.items():
            if found[index].seq < seq:
                found[index] = await self._journal.move(found[index], seq, found[index].month, no_effect)
        return found

    async def _committed(self, place: TopicPartition) -> int | None:
        """Where the consumer was in a partition; None if Kafka does not know it."""
        for _ in range(TRIES):
            with bus_errors():
                found: int | None = await self._client.committed(place)
            if found is not None:
                return found
            # A broker that has just started may not know it yet.
            await asyncio.sleep(PAUSE)
        return None

    async def wait(self, seconds: float) -> None:
        """See `server.events.bus.Reading`."""
        if not self._read:
            with bus_errors():
                self._read = await self._client.getmany(timeout_ms=round(seconds * 1000), max_records=BATCH)

    async def take_in(self) -> int:
        """See `server.events.bus.Reading`."""
        await self.wait(0.0)
        read, self._read = self._read, {}
        if not read:
            if time.monotonic() > self._looked + LOOK:
                await self._require_layout()
            return 0
        self._looked = time.monotonic()
        for place, records in read.items():
            position = self._positions[place.partition]
            messages = [message for record in records if (message := self._message(record)) is not None]
            self._positions[place.partition] = await take_in(self._journal, self._consumer, position, messages)
        with bus_errors():
            await self._client.commit({place: records[-1].offset + 1 for place, records in read.items()})
        return sum(map(len, read.values()))

    async def _require_layout(self) -> None:
        """Raise `WriteConflict` if the topic is divided in another way now."""
        self._looked = time.monotonic()
        if (await self._records.layout()).get(self._consumer.topic.name) != len(self._positions):
            raise WriteConflict

    def _message(self, record: ConsumerRecord[bytes, bytes]) -> Message | None:
        """The message in a record; None if there is none, as others may write to the topic, too, or if it belongs into
        another partition: it was sent under another division."""
        try:
            message = decode(record.value or b"")
        except ValueError as error:
            log.warning("message_not_understood", partition=record.partition, offset=record.offset, reason=str(error))
            return None
        key = self._consumer.topic.key(message)
        return message if key % len(self._positions) == record.partition else None
