"""Whether a database keeps acknowledged commits."""

from __future__ import annotations

import asyncpg

from storage_plugins.postgres.sqlstates import domain_error

NEEDED = {
    "fsync": "a power failure would damage the database",
    "full_page_writes": "a power failure would damage the database",
    "synchronous_commit": "acknowledged writes would be lost with a crash",
}
"""Settings of PostgreSQL that must not be off, with what happens otherwise."""


async def dangers(dsn: str) -> list[str]:
    """The settings of PostgreSQL that endanger commits, as sentences. Raises `Unavailable` and `DatabaseError`."""
    try:
        # A session with default settings: those of Koyomi turn synchronous_commit on for themselves only.
        connection = await asyncpg.connect(dsn, timeout=10.0, server_settings={"application_name": "koyomi check"})
        try:
            rows = await connection.fetch(
                "select name, setting from pg_settings where name = any($1) order by name", list(NEEDED)
            )
        finally:
            await connection.close(timeout=5.0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise domain_error(error) from error
    return [f"{name} is off in PostgreSQL: {NEEDED[name]}." for name, setting in rows if setting == "off"]
