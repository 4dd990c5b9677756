from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from server.observe import costs
from server.observe.costs import Costs
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.upkeep import statistics
from storage_plugins.postgres.upkeep.statistics import Statistics

# Pages that are all visible would show a VACUUM too, except while any other transaction holds a snapshot.
LOOKED_AFTER = "select vacuum_count, analyze_count from pg_stat_user_tables where relname = 'growing'"


async def add(storage: PostgresStorage, rows: int) -> None:
    async with storage.database.transaction() as connection:
        await connection.execute("insert into growing select generate_series(1, $1::integer)", rows)
        await connection.fetchval("select pg_stat_force_next_flush()")


@pytest_asyncio.fixture(loop_scope="session")
async def growing(storage: PostgresStorage) -> AsyncIterator[None]:
    await storage.database.fetch("create table growing (number integer) with (autovacuum_enabled = off)")
    yield
    await storage.database.fetch("drop table growing")


@pytest.mark.usefixtures("growing")
async def test_tables_that_have_grown_are_vacuumed_and_analyzed(storage: PostgresStorage) -> None:
    statistics = Statistics(storage.database)
    await add(storage, 1000)
    assert "public.growing" in await statistics.refresh()
    assert tuple(await storage.database.fetchrow(LOOKED_AFTER)) == (1, 1)
    assert "public.growing" not in await statistics.refresh()
    await add(storage, 100)
    assert "public.growing" not in await statistics.refresh()
    await add(storage, 100)
    assert "public.growing" in await statistics.refresh()
    assert tuple(await storage.database.fetchrow(LOOKED_AFTER)) == (2, 1)


async def test_the_end_of_many_writes_is_not_waited_for_long(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_FIRST_LOOK", 3600.0)
    monkeypatch.setattr(statistics, "_QUIET", 0.01)
    async with looking(storage) as (written, looked):
        written.written()
        await asyncio.sleep(0)
        for _ in range(statistics._ROWS):
            written.written()
        await asyncio.wait_for(looked.wait(), 30)


async def test_looking_is_no_cost_of_the_request_that_wrote(
    storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_FIRST_LOOK", 0.0)
    account = Costs()
    token = costs.current.set(account)
    try:
        async with looking(storage) as (written, looked):
            written.written()
            await asyncio.wait_for(looked.wait(), 30)
            assert account.statements == 0
            await storage.database.fetchval("select 1")
            assert account.statements == 1
    finally:
        costs.current.reset(token)


@asynccontextmanager
async def looking(storage: PostgresStorage) -> AsyncIterator[tuple[Statistics, asyncio.Event]]:
    """Statistics, and an event that is set when the tables were looked at."""
    looked = asyncio.Event()

    class Looking(Statistics):
        async def refresh(self) -> list[str]:
            found = await super().refresh()
            looked.set()
            return found

    made = Looking(storage.database)
    try:
        yield made, looked
    finally:
        await made.close()
