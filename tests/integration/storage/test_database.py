"""The pool: limits, lost connections, cancelled callers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import asyncpg
import pytest

from server.domain.errors import AlreadyReserved, BadRequest, Unavailable
from storage_plugins.postgres.database import Database, DatabaseLimits, connect

LIMITS = DatabaseLimits(connections=2, acquire_timeout=30.0, statement_timeout=30.0)


@contextlib.asynccontextmanager
async def pool(database, limits):
    opened = Database(database, limits)
    await opened.open()
    yield opened
    assert opened.in_use == 0
    await opened.close()


@pytest.fixture
async def small(database):
    async with pool(database, LIMITS) as opened:
        yield opened


async def backends(database):
    """Process ids of the connections of pools to this database."""
    connection = await connect(database, application="test")
    rows = await connection.fetch(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'koyomi'"
    )
    await connection.close()
    return {row[0] for row in rows}


async def terminate(database):
    connection = await connect(database, application="test")
    for pid in await backends(database):
        await connection.execute("select pg_terminate_backend($1, 5000)", pid)
    await connection.close()


async def test_connections_are_used_again(small, database):
    pids = {await small.fetchval("select pg_backend_pid()") for _ in range(5)}
    assert len(pids) == 1
    found = await asyncio.gather(*(small.fetchval("select pg_backend_pid() from pg_sleep(0.05)") for _ in range(6)))
    assert len(set(found)) == 2
    assert len(await backends(database)) == 2


async def test_settings_of_a_connection(small):
    for name, value in {
        "synchronous_commit": "on",
        "jit": "off",
        "application_name": "koyomi",
        "plan_cache_mode": "force_generic_plan",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "1min",
    }.items():
        assert await small.fetchval(f"show {name}") == value


async def test_a_statement_that_takes_too_long(database):
    async with pool(database, replace(LIMITS, statement_timeout=0.3)) as opened:
        with pytest.raises(Unavailable):
            await opened.fetch("select pg_sleep(60)")
        assert await opened.fetchval("select 1") == 1


async def test_waiting_for_a_connection_ends(database, small):
    async with pool(database, replace(LIMITS, acquire_timeout=0.2)) as opened:
        async with opened.transaction(), opened.transaction():
            with pytest.raises(Unavailable):
                await opened.fetchval("select 1")
            assert opened.waiting == 0
        assert await opened.fetchval("select 1") == 1
    async with small.transaction(), small.transaction():
        waiting = asyncio.create_task(small.fetchval("select 1"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await small.fetchval("select 1") == 1


async def test_those_who_wait_get_a_connection_in_their_order(small):
    order = []

    async def use(number):
        await small.fetchval("select pg_sleep(0.005)")
        order.append(number)

    async with small.transaction():
        await asyncio.gather(*map(use, range(8)))
    assert order == sorted(order)


async def test_connections_that_the_server_ended_are_replaced(small, database):
    await asyncio.gather(*(small.fetchval("select 1 from pg_sleep(0.01)") for _ in range(2)))
    before = await backends(database)
    await terminate(database)
    assert await small.fetchval("select 1") == 1
    assert not before & await backends(database)


async def test_a_connection_that_ends_under_a_statement(database):
    opened = Database(database, DatabaseLimits(connections=2))
    await opened.open()
    running = [asyncio.create_task(opened.fetch("select pg_sleep(9)")) for _ in range(2)]
    waiting = [asyncio.create_task(opened.fetchval("select 1")) for _ in range(3)]
    while opened.waiting < 3:
        await asyncio.sleep(0.01)
    await terminate(database)
    for statement in running:
        with pytest.raises(Unavailable):
            await statement
    # Who waited for a connection gets a new one.
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    await opened.close()


async def test_nobody_waits_for_a_server_that_is_gone(tmp_path, database):
    """Those who wait for a connection fail when none can be had any more, not when their patience ends."""
    opened = Database(database, DatabaseLimits(connections=1, acquire_timeout=60))
    await opened.open()
    running = asyncio.create_task(opened.fetch("select pg_sleep(9)"))
    waiting = [asyncio.create_task(opened.fetchval("select 1")) for _ in range(3)]
    while opened.waiting < 3:
        await asyncio.sleep(0.01)
    opened._dsn = f"postgresql://nobody@/none?host={tmp_path}"
    await terminate(database)
    async with asyncio.timeout(30):
        for task in (running, *waiting):
            with pytest.raises(Unavailable):
                await task
        with pytest.raises(Unavailable):
            await opened.fetchval("select 1")
    opened._dsn = database
    await asyncio.sleep(0.3)
    assert await opened.fetchval("select 1") == 1
    await opened.close()


async def test_a_cancelled_caller_leaves_no_trace(small, database):
    await small.fetch("create table kept (n int)")
    for _ in range(5):
        task = asyncio.create_task(small.fetch("insert into kept select 1 from pg_sleep(0.2)"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            assert await small.fetchval("select 1") == 1
    assert small.in_use == 0
    assert len(await backends(database)) <= 2 + 5


async def test_a_cancelled_transaction_is_rolled_back(small):
    await small.fetch("create table kept (n int)")

    async def write():
        async with small.transaction() as connection:
            await connection.execute("insert into kept values (1)")
            await asyncio.sleep(10)

    task = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await small.fetchval("select count(*) from kept") == 0


async def test_an_open_transaction_does_not_go_back(small):
    with pytest.raises(RuntimeError):
        async with small.transaction() as connection:
            await connection.execute("create table kept (n int)")
            raise RuntimeError
    await small.fetch("begin")
    assert not await small.fetchval("select pg_current_xact_id_if_assigned() is not null")
    async with small.transaction() as connection:
        assert await connection.fetchval("select to_regclass('kept')") is None


async def test_mistakes_keep_the_connection(small):
    pid = await small.fetchval("select pg_backend_pid()")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await small.fetch("select 1 / 0")
    with pytest.raises(BadRequest):
        await small.fetch("select $1::text", "\udfff")
    with pytest.raises(BadRequest):
        await small.fetch("select $1::text", "\0")
    assert await small.fetchval("select pg_backend_pid()") == pid


async def test_without_a_server_it_fails_at_once(tmp_path):
    absent = Database(f"postgresql://nobody@/none?host={tmp_path}")
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable) as caught:
            await absent.open()
    assert caught.value.retry_after > 0


async def test_a_server_that_does_not_answer():
    """It takes connections and says nothing."""
    gate = asyncio.Event()

    async def silent(reader, writer):
        await gate.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database(
        f"postgresql://nobody@127.0.0.1:{port}/none?sslmode=disable", DatabaseLimits(connect_timeout=0.3)
    )
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable):
            await database.open()
    gate.set()
    server.close()


async def test_closing_waits_for_statements_and_refuses_new_ones(database):
    opened = Database(database)
    await opened.open()
    statement = asyncio.create_task(opened.fetchval("select 1 from pg_sleep(0.1)"))
    await asyncio.sleep(0.01)
    await opened.close()
    assert await statement == 1
    with pytest.raises(Unavailable):
        await opened.fetchval("select 1")
    async with asyncio.timeout(30):
        while await backends(database):
            await asyncio.sleep(0.01)


async def test_a_time_that_is_reserved_already_is_refused(storage, person):
    calendar = await person.collection()
    sql = (
        "insert into reservation (home_id, resource_id, collection_id, object_id, recurrence_id, during, starts_at, "
        "ends_at, sole) select $1, $2, $3, $4, '', tstzrange(s, s + interval '1 hour'), s, s + interval '1 hour', 1 "
        "from (values (timestamptz '2026-06-01 09:00Z')) as t (s)"
    )
    await storage.database.fetch(sql, calendar.home_id, person.id, calendar.id, 1)
    with pytest.raises(AlreadyReserved):
        await storage.database.fetch(sql, calendar.home_id, person.id, calendar.id, 2)
    # no object has it
    await storage.database.fetch("delete from reservation where home_id = $1", calendar.home_id)


async def test_a_statement_ends_with_its_client_where_it_is_asked_to(database):
    connection = await connect(database, application="koyomi dying", end_with_client=True)
    statement = asyncio.create_task(connection.execute("select pg_sleep(600)"))
    watching = await connect(database)
    busy = "select count(*) from pg_stat_activity where application_name = 'koyomi dying' and state = 'active'"
    try:
        async with asyncio.timeout(60):
            while not await watching.fetchval(busy):
                await asyncio.sleep(0.05)
            connection.terminate()
            while await watching.fetchval(busy):
                await asyncio.sleep(0.05)
    finally:
        await watching.close()
        await asyncio.wait([statement])
        assert statement.exception()
