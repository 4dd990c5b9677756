"""Koyomi's clients beside a real Kafka that uses TLS and asks them to sign in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from server.domain.errors import BusUnavailable, ConfigurationError
from server.domain.messages import EVENTS, Message
from server.events.bus_settings import KafkaSettings
from server.events.kafka_cluster import KafkaCluster
from server.events.kafka_publishing import KafkaPublisher
from tests.fixtures.kafka import MISSING, PASSWORD, USER, Kafka, kafka
from tests.fixtures.messages import SOURCE

MESSAGE = Message(
    seq=1,
    act=True,
    month=date(2026, 11, 1),
    at=datetime(2026, 11, 30, tzinfo=UTC),
    kind="created",
    home_id=7,
    revision=1,
    collection_id=2,
    object_id=3,
    subject_id=None,
    principal_id=None,
    acting_for=None,
    origin="dav",
    request_id="",
    change=None,
    trace=None,
)


@dataclass(frozen=True, slots=True)
class Secure:
    """A broker, and the file of the authority that it belongs to."""

    broker: Kafka
    ca_file: Path

    def settings(self, **changed: object) -> KafkaSettings:
        known = {
            "servers": self.broker.secure_servers,
            "tls": True,
            "ca_file": self.ca_file,
            "user": USER,
            "password": SecretStr(PASSWORD),
            "partitions": 1,
            "replication": 1,
            "min_in_sync": 1,
            "timeout": 5,
        }
        return KafkaSettings.model_validate(known | changed)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    if MISSING:
        pytest.skip(MISSING)
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    with kafka(authority) as broker:
        yield Secure(broker, path)


async def publish(settings: KafkaSettings) -> int:
    """Send a message. Returns how many there are on its topic then."""
    cluster = KafkaCluster.from_settings(settings)
    publisher = KafkaPublisher(cluster, SOURCE)
    try:
        await publisher.start()
        await publisher.publish([MESSAGE])
        async with cluster.admin() as admin:
            return len(await admin.describe_topics([cluster.named(EVENTS.name)]))
    finally:
        await publisher.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_who_signs_in_over_tls_may_send(secure: Secure, mechanism: str) -> None:
    assert await publish(secure.settings(mechanism=mechanism)) == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_sends_nothing(secure: Secure, mechanism: str) -> None:
    with pytest.raises(BusUnavailable, match="Kafka"):
        await publish(secure.settings(mechanism=mechanism, password=SecretStr("wrong")))


async def test_who_does_not_sign_in_sends_nothing(secure: Secure) -> None:
    with pytest.raises(BusUnavailable, match="Kafka"):
        await publish(secure.settings(user="", password=SecretStr("")))


async def test_nothing_is_sent_to_a_broker_of_another_authority(secure: Secure, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(BusUnavailable, match="Kafka"):
        await publish(secure.settings(ca_file=other))


async def test_nothing_is_sent_without_tls(secure: Secure) -> None:
    with pytest.raises(BusUnavailable, match="Kafka"):
        await publish(secure.settings(tls=False, ca_file=None))


def test_files_that_cannot_be_read_are_named(secure: Secure, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"certificate of events\.kafka"):
        KafkaCluster.from_settings(secure.settings(cert_file=tmp_path / "missing.pem"))
