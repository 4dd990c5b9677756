"""Settings of the bus that carries changes to consumers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator

from server.settings.option import Part, option


class KafkaSettings(Part):
    """Apache Kafka."""

    servers: str = option(
        "",
        "Brokers to ask first, as broker1:9092,broker2:9092.",
        allowed="hosts with ports, with commas between them, or empty",
        pattern=r"^$|^[A-Za-z0-9._\[\]:-]+:\d{1,5}(,[A-Za-z0-9._\[\]:-]+:\d{1,5})*$",
    )
    prefix: str = option(
        "",
        "What the names of topics and consumer groups begin with, where several installations share a cluster.",
        allowed="up to 100 letters, digits and ._-, or empty",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
    )
    partitions: int = option(
        12, "Partitions of a topic. Only counts when the topic is made: a home keeps its partition.", ge=1, le=1000
    )
    replication: int = option(
        3,
        "Brokers that keep each message. Only counts when the topic is made; 1 where there is one broker.",
        ge=1,
        le=9,
    )
    min_in_sync: int = option(
        2,
        "How many of them must have a message before it counts as sent. Only counts when the topic is made; 1 where "
        "there is one broker.",
        ge=1,
        le=9,
    )
    retention_days: int = option(
        7, "How long Kafka keeps messages. Only counts when the topic is made.", unit="days", ge=1, le=365
    )
    timeout: float = option(10.0, "How long Kafka may take for an answer.", unit="seconds", ge=1, le=120)
    tls: bool = option(False, "Use TLS. The certificate of the brokers is checked.")
    ca_file: Path | None = option(
        None,
        "File with the certificates (PEM) of the authorities by which brokers are trusted. If empty, the system's.",
        allowed="the path of a file, or empty",
    )
    cert_file: Path | None = option(
        None,
        "File with the certificate (PEM) that this server shows to brokers, and the key after it. If empty, none.",
        allowed="the path of a file, or empty",
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = option(
        "SCRAM-SHA-512", "How to sign in (SASL), where user is set."
    )
    user: str = option("", "The name to sign in with. If empty, nobody signs in.", allowed="a name, or empty")
    password: SecretStr = option(
        SecretStr(""), "The password to sign in with; it is never printed.", allowed="a password, or empty"
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.min_in_sync > self.replication:
            raise ValueError("events.kafka.min_in_sync is greater than events.kafka.replication: nothing could be sent")
        if bool(self.user) is not bool(self.password.get_secret_value()):
            raise ValueError("events.kafka.user and events.kafka.password need each other")
        if self.user and self.mechanism == "PLAIN" and not self.tls:
            raise ValueError(
                "events.kafka.mechanism = PLAIN needs events.kafka.tls: else others could read the password"
            )
        if (self.ca_file or self.cert_file) and not self.tls:
            raise ValueError("events.kafka.ca_file and events.kafka.cert_file need events.kafka.tls")
        return self


class EventSettings(Part):
    """Events."""

    bus: Literal["in-process", "kafka"] = option(
        "in-process",
        "What carries changes to consumers: the journal in the database itself, or Apache Kafka.",
    )
    kafka: KafkaSettings = KafkaSettings()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.bus == "kafka" and not self.kafka.servers:
            raise ValueError("events.bus = kafka needs events.kafka.servers")
        return self
