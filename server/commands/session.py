"""The database of the settings, open while a command runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import click

from server.auth.passwords import PasswordHasher
from server.domain.actors import Actor
from server.services.mail.outgoing import OutgoingMails
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.settings.model import Settings
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.embedded.server import embedded
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage

ACTOR = Actor(None, "cli")
"""The actor of changes that commands make."""
_CONNECTIONS = 4
_STATEMENT_TIMEOUT = 60.0
"""Seconds; commands have more patience than a server's clients."""


@dataclass(frozen=True, slots=True)
class Session:
    """An open database."""

    dsn: str
    storage: PostgresStorage
    directory: PostgresDirectory
    hasher: PasswordHasher


@contextlib.asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[str]:
    """The URL of the database, while the context lasts: the external one, or the embedded one, started if need be.

    Works while the server runs on the same data. Raises `ConfigurationError`, `DatabaseError`, `Unavailable`.
    """
    external = settings.storage.database.get_secret_value()
    if external:
        yield external
        return
    async with embedded(settings.storage.data, binaries=settings.storage.postgres_bin, progress=_tell) as cluster:
        yield cluster.dsn()


@contextlib.asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Session]:
    """The storage of the settings, with its tables brought to this version.

    Other servers hear of what is changed, as of each other's changes. Raises what `open_database` raises.
    """
    async with open_database(settings) as dsn:
        await migrate(dsn)
        limits = DatabaseLimits(
            connections=_CONNECTIONS,
            acquire_timeout=_STATEMENT_TIMEOUT,
            statement_timeout=_STATEMENT_TIMEOUT,
        )
        hasher = PasswordHasher()
        try:
            async with PostgresStorage(
                dsn, limits, restore_days=settings.retention.restore_days, application="koyomi command"
            ) as storage:
                yield Session(dsn, storage, PostgresDirectory(storage.database), hasher)
        finally:
            hasher.close()


async def scheduling_in(session: Session, settings: Settings) -> Scheduling:
    """The changes of calendar objects, with what they send."""
    limits = settings.limits.values
    mails = OutgoingMails(settings.mail, await session.storage.restored_at())
    return Scheduling(session.storage, Objects(session.storage, limits), limits, settings.scheduling, mails=mails)


def _tell(line: str) -> None:
    click.echo(line, err=True)
