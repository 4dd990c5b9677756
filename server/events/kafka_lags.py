"""How far consumers are behind the ends of Kafka's partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer

from server.events.kafka_cluster import KafkaCluster, bus_errors


async def lags(cluster: KafkaCluster, consumers: Sequence[str]) -> Mapping[str, int]:
    """How many messages each consumer has not read, whether it runs or not. Raises `BusUnavailable`."""
    async with cluster.admin() as admin:
        offsets = {name: await admin.list_consumer_group_offsets(cluster.group(name)) for name in consumers}
    client = AIOKafkaConsumer(**cluster.options)
    try:
        with bus_errors():
            await client.start()
            places = {place for found in offsets.values() for place in found}
            ends = await client.end_offsets(list(places)) if places else {}
    finally:
        await client.stop()
    return {
        name: sum(max(ends[place] - read.offset, 0) for place, read in found.items()) for name, found in offsets.items()
    }
