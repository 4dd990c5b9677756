"""Putting messages onto Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from server.domain.errors import BusUnavailable
from server.domain.messages import Message, encode, topics_of
from server.events.kafka_cluster import DEAD_LETTERS, KafkaCluster, bus_errors
from server.events.kafka_lags import lags
from server.storage.bus import DeadLetter

CLOSING = 2.0
"""Seconds that a producer may take to end."""

_Record = tuple[bytes, bytes]
"""A key and a value."""
_Parts = dict[tuple[str, int], list[_Record]]
"""Records by topic and partition."""


class KafkaPublisher:
    """See `server.events.bus.Publisher`."""

    def __init__(self, cluster: KafkaCluster, source: str) -> None:
        """`source` names the installation in messages."""
        self._cluster = cluster
        self._source = source
        self._producer: AIOKafkaProducer | None = None
        self._layout: Mapping[str, int] = {}

    async def start(self) -> Mapping[str, int]:
        """See `Publisher`."""
        if self._producer is None:
            try:
                with bus_errors():
                    self._layout = await self._cluster.layout()
                    self._producer = AIOKafkaProducer(
                        **self._cluster.options,
                        acks="all",
                        enable_idempotence=True,
                        max_batch_size=512 * 1024,
                    )
                    await self._producer.start()
            except BaseException:
                await self.close()
                raise
        return self._layout

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher`."""
        parts: _Parts = defaultdict(list)
        for message in messages:
            value = encode(message, self._source)
            for topic in topics_of(message.kind):
                self._add(parts, topic.name, topic.key(message), value)
        await self._publish(parts)

    async def publish_dead(self, letters: Sequence[DeadLetter]) -> None:
        """See `Publisher`."""
        parts: _Parts = defaultdict(list)
        for letter in letters:
            further = {"consumer": letter.consumer, "error": letter.error}
            self._add(parts, DEAD_LETTERS, letter.message.home_id, encode(letter.message, self._source, further))
        await self._publish(parts)

    def _add(self, parts: _Parts, topic: str, key: int, value: bytes) -> None:
        parts[topic, key % self._layout.get(topic, 1)].append((b"%d" % key, value))

    async def _publish(self, parts: _Parts) -> None:
        producer = self._producer
        if producer is None:
            raise BusUnavailable("There is no connection to Kafka.")
        try:
            with bus_errors():
                async with asyncio.timeout(2 * self._cluster.settings.timeout), asyncio.TaskGroup() as group:
                    for (topic, partition), records in parts.items():
                        group.create_task(self._send(producer, self._cluster.named(topic), partition, records))
        except BaseExceptionGroup as errors:
            await self.close()
            raise errors.exceptions[0] from errors
        except BaseException:
            await self.close()
            raise

    async def _send(self, producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[_Record]) -> None:
        """Send the records of one partition. A batch follows when the one before has been stored, so that what is
        stored after a failure has no gaps."""
        with bus_errors():
            batch = producer.create_batch()
            for key, value in records:
                if batch.append(key=key, value=value, timestamp=None) is None:
                    await self._store(producer, topic, partition, batch)
                    batch = producer.create_batch()
                    if batch.append(key=key, value=value, timestamp=None) is None:
                        raise BusUnavailable("A message does not fit into a batch.")
            await self._store(producer, topic, partition, batch)

    async def _store(self, producer: AIOKafkaProducer, topic: str, partition: int, batch: object) -> None:
        stored = await producer.send_batch(batch, topic, partition=partition)
        await stored

    async def lags(self, consumers: Sequence[str]) -> Mapping[str, int]:
        """See `Publisher`."""
        return await lags(self._cluster, consumers)

    async def close(self) -> None:
        """See `Publisher`."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # The next relay sends again what is not stored yet. An idempotent producer would try to send it for ever, and
        # `stop` would wait for that. So its sender ends first.
        for end in (producer._sender.close, producer.stop, producer.client.close):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await end()
