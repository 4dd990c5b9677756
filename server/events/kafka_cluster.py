"""The Kafka cluster of the settings: how it is reached, and its topics."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from server.domain.errors import BusUnavailable, ConfigurationError
from server.domain.messages import EVENTS, TOPICS
from server.events.bus_settings import KafkaSettings

DEAD_LETTERS = "dead.letters"
"""The topic of messages that consumers could not take in, keyed by home."""
NAMES = (*(topic.name for topic in TOPICS), DEAD_LETTERS)
"""All topics that are made."""
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

    def named(self, topic: str) -> str:
        """The name of a topic in the cluster."""
        return self.settings.prefix + topic

    def group(self, consumer: str) -> str:
        """The name of a consumer's group."""
        return f"{self.settings.prefix}koyomi.{consumer}"

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

    async def layout(self) -> Mapping[str, int]:
        """How many partitions each topic has. Those that are missing are made. Raises `BusUnavailable`."""
        async with self.admin() as admin:
            # Asking for a topic by its name would let some clusters make it, with other partitions.
            there = await admin.list_topics()
            missing = [name for name in NAMES if self.named(name) not in there]
            if missing:
                await self._make(admin, missing)
            async with asyncio.timeout(self.settings.timeout):
                while True:
                    found = await self._described(admin, NAMES)
                    if len(found) == len(NAMES):
                        return found
                    # Not all brokers know a new topic at once.
                    await asyncio.sleep(PAUSE)

    async def existing_partitions(self) -> int | None:
        """How many partitions the topic of changes has; None if there is no topic. Raises `BusUnavailable`."""
        async with self.admin() as admin:
            if self.named(EVENTS.name) not in await admin.list_topics():
                return None
            return (await self._described(admin, (EVENTS.name,))).get(EVENTS.name)

    async def add_partitions(self, count: int) -> None:
        """Give each topic more partitions, `count` in all. The relay has to take them up then.

        Topics that have as many are left alone. Raises `BusUnavailable`, also if all have.
        """
        async with self.admin() as admin:
            found = await self._described(admin, NAMES)
            fewer = {self.named(name): NewPartitions(count) for name, present in found.items() if present < count}
            if not fewer:
                most = max(found.values(), default=0)
                raise BusUnavailable(f"The topics have {most} partitions. Their number can only grow.")
            await admin.create_partitions(fewer)

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """A client for topics and groups. Its errors are `BusUnavailable`."""
        with bus_errors():
            admin = AIOKafkaAdminClient(**self.options)
            try:
                await admin.start()
                yield admin
            finally:
                await admin.close()

    async def _described(self, admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
        """How many partitions topics have, of those that the broker knows."""
        by_name = {self.named(name): name for name in names}
        described = await admin.describe_topics(list(by_name))
        return {
            by_name[each["topic"]]: len(each["partitions"])
            for each in described
            if not each["error_code"] and each["partitions"]
        }

    async def _make(self, admin: AIOKafkaAdminClient, names: Collection[str]) -> None:
        settings = self.settings
        configured = {
            "min.insync.replicas": str(settings.min_in_sync),
            "retention.ms": str(settings.retention_days * _DAY_MS),
            "cleanup.policy": "delete",
        }
        topics = [
            NewTopic(self.named(name), settings.partitions, settings.replication, topic_configs=configured)
            for name in names
        ]
        answer = await admin.create_topics(topics)
        for name, code, *said in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                why = said[0] if said and said[0] else for_code(code).__name__
                raise BusUnavailable(f"Kafka does not make the topic {name}: {why}"[:500])
