"""What servers were started with last: digests of their settings, by the names of their hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage_plugins.postgres.database import Database

_HOSTS = 100
"""Hosts that are remembered: containers have another name at each start."""
_STARTED = "select salt, digests from started_settings order by host = $1 desc, at desc limit 1"
_STORE = """
    insert into started_settings (host, salt, digests) values ($1, $2, $3::jsonb)
    on conflict (host) do update set at = clock_timestamp(), salt = excluded.salt, digests = excluded.digests
"""
_FORGET = "delete from started_settings where host in (select host from started_settings order by at desc offset $1)"


@dataclass(frozen=True, slots=True)
class StartedSettings:
    """Digests of settings by the names of the options, and their salt."""

    salt: bytes
    digests: Mapping[str, str]


async def started_settings(database: Database, host: str) -> StartedSettings | None:
    """What the server of a host was started with last; of a host that is not known, what any server was."""
    row = await database.fetchrow(_STARTED, host)
    return None if row is None else StartedSettings(*row)


async def store_started_settings(database: Database, host: str, started: StartedSettings) -> None:
    """Remember what the server of a host is started with."""
    await database.fetch(_STORE, host, started.salt, dict(started.digests))
    await database.fetch(_FORGET, _HOSTS)
