"""Consumers that read Kafka.

One process at a time runs a consumer, and reads all partitions. The positions in the database say what has taken
effect; the offsets that Kafka keeps for the group only say where to go on reading, and move after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from server.domain.messages import Message, decode
from server.events.consuming import BATCH, Consumer, start_anew, take_in
from server.events.kafka_cluster import KafkaCluster, bus_errors
from server.storage.journal import Journal, Position

TRIES = 5
"""How often Kafka is asked for an offset that it should have."""
PAUSE = 0.5
"""Seconds between two of these."""

log = structlog.get_logger()


class KafkaBus:
    """See `server.events.bus.Bus`."""

    def __init__(self, cluster: KafkaCluster, journal: Journal) -> None:
        self._cluster = cluster
        self._journal = journal

    @asynccontextmanager
    async def reading(self, consumer: Consumer) -> AsyncIterator[_KafkaReading]:
        """See `Bus`."""
        cluster = self._cluster
        partitions = await cluster.partitions()
        client = AIOKafkaConsumer(
            **cluster.options,
            group_id=f"{cluster.settings.prefix}koyomi.{consumer.name}",
            enable_auto_commit=False,
            auto_offset_reset="none",
        )
        try:
            with bus_errors():
                await client.start()
            reading = _KafkaReading(client, self._journal, consumer)
            await reading.begin([TopicPartition(cluster.topic, number) for number in range(partitions)])
            yield reading
        finally:
            await client.stop()


class _KafkaReading:
    def __init__(self, client: AIOKafkaConsumer, journal: Journal, consumer: Consumer) -> None:
        self._client = client
        self._journal = journal
        self._consumer = consumer
        self._positions: dict[TopicPartition, Position] = {}
        self._read: Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]] = {}
        """What was read and not taken in yet."""

    async def begin(self, places: Sequence[TopicPartition]) -> None:
        """Take all partitions over. In those that have lost what was not read yet, the consumer starts anew."""
        name = self._consumer.name
        await self._journal.keep_partitions(name, [place.partition + 1 for place in places])
        with bus_errors():
            self._client.assign(places)
            first = await self._client.beginning_offsets(places)
            # Before the end of the journal is read: what comes behind that end has greater offsets.
            end = await self._client.end_offsets(places)
        offsets: dict[TopicPartition, int] = {}
        for place in places:
            position = await self._journal.take_over(await self._journal.position(name, place.partition + 1))
            offset = await self._committed(place, tries=1 if position.anew else TRIES)
            if position.anew or offset is None or not first[place] <= offset <= end[place]:
                position, offset = await start_anew(self._journal, self._consumer, position), end[place]
            self._positions[place] = position
            offsets[place] = offset
            self._client.seek(place, offset)
        with bus_errors():
            # Kafka forgets offsets that have not been committed for days, as those of quiet partitions.
            await self._client.commit(offsets)

    async def _committed(self, place: TopicPartition, *, tries: int) -> int | None:
        """Where the consumer was in a partition; None if Kafka does not know it."""
        with bus_errors():
            found: int | None = await self._client.committed(place)
            # A broker that has just started may not know it yet.
            while found is None and (tries := tries - 1):
                await asyncio.sleep(PAUSE)
                found = await self._client.committed(place)
        return found

    async def wait(self, seconds: float) -> None:
        """See `server.events.bus.Reading`."""
        if not self._read:
            with bus_errors():
                self._read = await self._client.getmany(timeout_ms=round(seconds * 1000), max_records=BATCH)

    async def take_in(self) -> int:
        """See `server.events.bus.Reading`."""
        await self.wait(0.0)
        read, self._read = self._read, {}
        for place, records in read.items():
            messages = [message for record in records if (message := _message(record)) is not None]
            self._positions[place] = await take_in(self._journal, self._consumer, self._positions[place], messages)
        if read:
            with bus_errors():
                await self._client.commit({place: records[-1].offset + 1 for place, records in read.items()})
        return sum(map(len, read.values()))


def _message(record: ConsumerRecord[bytes, bytes]) -> Message | None:
    """The message in a record; None if there is none: others may write to the topic, too."""
    try:
        return decode(record.value or b"")
    except ValueError as error:
        log.warning("message_not_understood", partition=record.partition, offset=record.offset, reason=str(error))
        return None
