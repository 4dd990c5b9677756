"""The services that Koyomi calls: whether they answer now."""

from __future__ import annotations

from importlib.util import find_spec

from server.diagnosis.findings import Finding, ok, problem, warning
from server.domain.errors import BusUnavailable, ConfigurationError, MailDelayed
from server.mail.smtp import MailServer
from server.settings.model import Settings


async def look_at_services(settings: Settings) -> list[Finding]:
    """Ask each service of the settings. Changes nothing there."""
    found: list[Finding] = []
    if settings.mail.smtp_host:
        found.append(await _mail_server(settings))
    if settings.events.bus == "kafka":
        found.append(await _kafka(settings))
    return found


async def _mail_server(settings: Settings) -> Finding:
    subject, server = "mail server", MailServer.from_settings(settings.mail)
    try:
        await server.greet()
    except MailDelayed as error:
        said = f"{server.host}, port {server.port}, takes no mails: {error.message}"
        return problem(subject, said, "look at it, and at the settings mail.smtp_…; mails wait meanwhile")
    return ok(subject, f"{server.host}, port {server.port}, answers")


async def _kafka(settings: Settings) -> Finding:
    subject, kafka = "Kafka", settings.events.kafka
    if find_spec("aiokafka") is None:
        return problem(subject, "its client is not installed", "pip install 'koyomi-server[kafka]'")
    from server.events.kafka_cluster import KafkaCluster

    try:
        partitions = await KafkaCluster.from_settings(kafka).existing_partitions()
    except (BusUnavailable, ConfigurationError) as error:
        mend = "look at the brokers, and at the settings events.kafka; changes wait in the journal meanwhile"
        return problem(subject, error.message, mend)
    if partitions is None:
        return warning(subject, "the topic does not exist yet", "a running server makes it")
    if partitions != kafka.partitions:
        said = f"the topic has {partitions} partitions, not events.kafka.partitions = {kafka.partitions}"
        return warning(subject, said, "change the setting: it only counts when the topic is made")
    return ok(subject, f"answers; the topic has {partitions} partitions")
