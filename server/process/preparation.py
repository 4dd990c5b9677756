"""Preparation of a database before a server serves on it: tables, zone data, and a check of durability."""

from __future__ import annotations

from importlib.util import find_spec

from server.domain.errors import ConfigurationError
from server.settings.model import Settings
from storage_plugins.postgres.backup.durability import dangers
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.upkeep.occurrence_jobs import use_zone_data


async def prepare(dsn: str, settings: Settings) -> None:
    """Bring a database to this version. Raises `ConfigurationError`, `DatabaseError`, `Unavailable`."""
    if settings.log.traces and find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError("log.traces needs OpenTelemetry; install it: pip install 'koyomi-server[otel]'")
    if settings.events.bus == "kafka" and find_spec("aiokafka") is None:
        raise ConfigurationError("events.bus = kafka needs aiokafka; install it: pip install 'koyomi-server[kafka]'")
    if not settings.storage.unsafe:
        await _demand_durability(dsn)
    await migrate(dsn)
    database = Database(dsn, application="koyomi start")
    await database.open()
    try:
        await use_zone_data(database)
    finally:
        await database.close()


async def _demand_durability(dsn: str) -> None:
    found = await dangers(dsn)
    if found:
        raise ConfigurationError(
            "\n".join([*found, "Turn that on (ALTER SYSTEM), or set storage.unsafe to serve nevertheless."])
        )
