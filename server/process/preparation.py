"""Preparation of a database before a server serves on it: tables, zone data, a check of durability, and a record of
changed settings."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec

from server.domain.changes import Cause
from server.domain.errors import ConfigurationError
from server.domain.jobs import Job
from server.settings.digests import changed, digests
from server.settings.model import Settings
from server.storage.jobs import ROOM_ADDRESSES
from storage_plugins.postgres.backup.durability import dangers
from storage_plugins.postgres.changes.security_events import record
from storage_plugins.postgres.changes.started_settings import (
    StartedSettings,
    started_settings,
    store_started_settings,
)
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.jobs import enqueue
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.upkeep.occurrence_jobs import use_zone_data

_CAUSE = Cause(None, "serve")
_SALT = 16
_MAIL_DOMAIN = "rooms.mail_domain"


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
        await note_settings(database, settings, socket.gethostname())
    finally:
        await database.close()


async def note_settings(database: Database, settings: Settings, host: str) -> None:
    """Record which settings have other values than when the server of this host was started last, and ask for the jobs
    that follow."""
    before = await started_settings(database, host)
    salt = os.urandom(_SALT) if before is None else before.salt
    names = [] if before is None else changed(settings, before.digests, salt)
    if names:
        await record(database, "settings-changed", _CAUSE, details={"settings": names}, text=host)
    if settings.rooms.mail_domain and (before is None or _MAIL_DOMAIN in names):
        async with database.transaction() as connection:
            await enqueue(connection, Job(ROOM_ADDRESSES))
    await store_started_settings(database, host, StartedSettings(salt, digests(settings, salt)))


async def _demand_durability(dsn: str) -> None:
    found = await dangers(dsn)
    if found:
        raise ConfigurationError(
            "\n".join([*found, "Turn that on (ALTER SYSTEM), or set storage.unsafe to serve nevertheless."])
        )
