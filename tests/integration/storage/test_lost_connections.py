"""Connections that end under a statement or before it: an absent database, never a defect."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from server.domain.errors import Unavailable
from storage_plugins.postgres.database import Database, DatabaseLimits

FATAL = b"SFATAL\0VFATAL\0C57P02\0Mterminating connection because of crash of another server process\0\0"


@pytest.fixture
async def pool(database: str):
    opened = Database(database, DatabaseLimits(connections=1))
    await opened.open()
    yield opened
    await opened.close()


async def test_a_statement_that_is_given_up(pool: Database) -> None:
    waiting = asyncio.create_task(pool.fetch("select pg_sleep(30)"))
    while not pool.in_use:
        await asyncio.sleep(0.01)
    (slot,) = pool._busy
    slot.connection.terminate()
    with pytest.raises(Unavailable):
        await waiting
    assert await pool.fetchval("select 1") == 1


async def test_a_server_that_took_leave_before_the_connection_ended(pool: Database) -> None:
    (slot,) = pool._idle
    slot.connection._protocol.data_received(b"E" + (len(FATAL) + 4).to_bytes(4, "big") + FATAL)
    with pytest.raises(Unavailable) as raised:
        await pool.fetchval("select 1")
    # Else this is not the case that is meant.
    assert isinstance(raised.value.__cause__, asyncpg.InternalClientError)
    assert await pool.fetchval("select 1") == 1
