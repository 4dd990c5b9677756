"""The sequencer and the consumers of the journal, run to their end."""

from __future__ import annotations

from datetime import UTC, datetime

from server.events.sharees import plan
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.journal import ECHO_KINDS, ECHO_ORIGINS, ROWS, PostgresJournal, make_partitions


async def sequence(database: Database, *, low: int = 0, rows: int = ROWS) -> int:
    """Move what is visible into the journal. Returns the number of rows. Nobody else may do so meanwhile."""
    await make_partitions(database, datetime.now(UTC))
    moved, more = 0, True
    while more:
        row = await database.fetchrow(
            "select * from koyomi_sequence_1($1, $2, $3, $4, null, null)", low, rows, ECHO_KINDS, ECHO_ORIGINS
        )
        assert row is not None
        assert row["led"]
        moved, more = moved + row["moved"], row["more"]
    return moved


async def planned(access: PostgresAccess) -> bool:
    """Let the consumer read all changes. Returns whether homes are to be updated."""
    await sequence(access._database)
    await plan(access, PostgresJournal(access._database))
    return bool(await access._database.fetchval("select exists (select from fan_out)"))


async def pass_on(access: PostgresAccess) -> None:
    """Do what the consumer does until nothing is left."""
    while await planned(access) and await access.fan_out():
        pass
