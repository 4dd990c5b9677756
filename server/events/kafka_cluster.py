"""The Kafka cluster of the settings: how it is reached, and its topic."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from server.domain.errors import BusUnavailable, ConfigurationError
from server.events.bus_settings import KafkaSettings

TOPIC = "calendar.events"
"""The topic of changes. The key of a message is the id of its home, which also says the partition."""
PAUSE = 0.1
"""Seconds between two questions for a topic that was just made."""
_DAY_MS = 86_400_000


@contextmanager
def bus_errors() -> Iterator[None]:
    """Make errors of the client and the network domain errors."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise BusUnavailable(f"Kafka: {type(error).__name__}: {error}"[:500]) from error


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """A cluster."""

    settings: KafkaSettings
    tls: ssl.SSLContext | None

    @classmethod
    def from_settings(cls, settings: KafkaSettings) -> KafkaCluster:
        """Raises `ConfigurationError` if a file cannot be used."""
        if not settings.tls:
            return cls(settings, None)
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"A certificate of events.kafka cannot be used: {error}") from error
        return cls(settings, context)

    @property
    def topic(self) -> str:
        """The name of the topic of changes."""
        return self.settings.prefix + TOPIC

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of every client."""
        settings = self.settings
        return {
            "bootstrap_servers": settings.servers.split(","),
            "client_id": "koyomi",
            "request_timeout_ms": round(settings.timeout * 1000),
            "security_protocol": f"{'SASL_' if settings.user else ''}{'SSL' if self.tls else 'PLAINTEXT'}",
            "ssl_context": self.tls,
            "sasl_mechanism": settings.mechanism,
            "sasl_plain_username": settings.user or None,
            "sasl_plain_password": settings.password.get_secret_value() or None,
        }

    async def partitions(self) -> int:
        """How many partitions the topic has. It is made, if it is missing. Raises `BusUnavailable`."""
        with bus_errors():
            admin = AIOKafkaAdminClient(**self.options)
            try:
                await admin.start()
                # Asking for a topic by its name would let some clusters make it, with other partitions.
                if self.topic not in await admin.list_topics():
                    await self._make(admin)
                async with asyncio.timeout(self.settings.timeout):
                    while True:
                        (described,) = await admin.describe_topics([self.topic])
                        if not described["error_code"] and described["partitions"]:
                            return len(described["partitions"])
                        # Not all brokers know a new topic at once.
                        await asyncio.sleep(PAUSE)
            finally:
                await admin.close()

    async def existing_partitions(self) -> int | None:
        """How many partitions the topic has; None if there is no topic. Raises `BusUnavailable`."""
        with bus_errors():
            admin = AIOKafkaAdminClient(**self.options)
            try:
                await admin.start()
                if self.topic not in await admin.list_topics():
                    return None
                (described,) = await admin.describe_topics([self.topic])
                return len(described["partitions"])
            finally:
                await admin.close()

    async def add_partitions(self, count: int) -> None:
        """Give the topic more partitions, `count` in all. The relay has to start anew then. Raises `BusUnavailable`."""
        with bus_errors():
            admin = AIOKafkaAdminClient(**self.options)
            try:
                await admin.start()
                await admin.create_partitions({self.topic: NewPartitions(count)})
            finally:
                await admin.close()

    async def _make(self, admin: AIOKafkaAdminClient) -> None:
        settings = self.settings
        configured = {
            "min.insync.replicas": str(settings.min_in_sync),
            "retention.ms": str(settings.retention_days * _DAY_MS),
            "cleanup.policy": "delete",
        }
        topic = NewTopic(self.topic, settings.partitions, settings.replication, topic_configs=configured)
        answer = await admin.create_topics([topic])
        for _, code, *said in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                why = said[0] if said and said[0] else for_code(code).__name__
                raise BusUnavailable(f"Kafka does not make the topic {self.topic}: {why}"[:500])
