"""Putting messages onto Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from server.domain.errors import BusUnavailable
from server.domain.messages import Message, encode
from server.events.kafka_cluster import KafkaCluster, bus_errors

CLOSING = 2.0
"""Seconds that a producer may take to end."""


class KafkaPublisher:
    """See `server.events.bus.Publisher`."""

    def __init__(self, cluster: KafkaCluster, source: str) -> None:
        """`source` names the installation in messages."""
        self._cluster = cluster
        self._source = source
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher`."""
        try:
            with bus_errors():
                producer = self._producer or await self._start()
                by_partition: dict[int, list[Message]] = defaultdict(list)
                for message in messages:
                    by_partition[message.home_id % self._partitions].append(message)
                async with asyncio.timeout(2 * self._cluster.settings.timeout), asyncio.TaskGroup() as group:
                    for partition, part in by_partition.items():
                        group.create_task(self._send(producer, partition, part))
        except BaseExceptionGroup as errors:
            await self.close()
            raise errors.exceptions[0] from errors
        except BaseException:
            await self.close()
            raise

    async def _send(self, producer: AIOKafkaProducer, partition: int, messages: Sequence[Message]) -> None:
        """Send the messages of one partition. A batch follows when the one before has been stored, so that what is
        stored after a failure has no gaps."""
        with bus_errors():
            batch = producer.create_batch()
            for message in messages:
                record = {"key": b"%d" % message.home_id, "value": encode(message, self._source), "timestamp": None}
                if batch.append(**record) is None:
                    await self._store(producer, partition, batch)
                    batch = producer.create_batch()
                    if batch.append(**record) is None:
                        raise BusUnavailable("A message does not fit into a batch.")
            await self._store(producer, partition, batch)

    async def _store(self, producer: AIOKafkaProducer, partition: int, batch: object) -> None:
        stored = await producer.send_batch(batch, self._cluster.topic, partition=partition)
        await stored

    async def _start(self) -> AIOKafkaProducer:
        self._partitions = await self._cluster.partitions()
        producer = AIOKafkaProducer(
            **self._cluster.options,
            acks="all",
            enable_idempotence=True,
            max_batch_size=512 * 1024,
        )
        self._producer = producer
        await producer.start()
        return producer

    async def close(self) -> None:
        """See `Publisher`."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # What is not stored yet is sent again by whoever goes on. An idempotent producer would try to send it for ever,
        # and `stop` would wait for that: so its sender is ended first.
        for end in (producer._sender.close, producer.stop, producer.client.close):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await end()
