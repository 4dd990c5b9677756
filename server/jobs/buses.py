"""The bus of the settings. Kafka's client is loaded only where it is used: it is an extra of the installation."""

from __future__ import annotations

from server.events.bus import Bus, Publisher
from server.events.in_process import JournalBus
from server.settings.model import Settings
from storage_plugins.postgres.bus import PostgresBusRecords
from storage_plugins.postgres.journal import PostgresJournal
from storage_plugins.postgres.storage import PostgresStorage


def bus_of(settings: Settings, storage: PostgresStorage) -> Bus:
    """The bus that consumers read. Raises `ConfigurationError`."""
    journal = PostgresJournal(storage.database)
    if settings.events.bus == "in-process":
        return JournalBus(journal, storage.subscribe)
    from server.events.kafka_bus import KafkaBus
    from server.events.kafka_cluster import KafkaCluster

    records = PostgresBusRecords(storage.database)
    return KafkaBus(KafkaCluster.from_settings(settings.events.kafka), journal, records)


async def publisher_of(settings: Settings, storage: PostgresStorage) -> Publisher | None:
    """What brings messages to the bus; None where that is the journal itself. Raises `ConfigurationError`."""
    if settings.events.bus == "in-process":
        return None
    from server.events.kafka_cluster import KafkaCluster
    from server.events.kafka_publishing import KafkaPublisher

    source = f"/installations/{await storage.installation()}"
    return KafkaPublisher(KafkaCluster.from_settings(settings.events.kafka), source)
