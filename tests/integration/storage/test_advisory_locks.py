"""Advisory locks have one namespace, one module and one SQL function."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

import server
import storage_plugins
from storage_plugins.postgres.advisory_locks import Lock, lock, release, session_lock, try_session_lock
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.functions import functions

CALL = re.compile(r"\bpg_(try_)?advisory_")
HELD = """
    select classid::bigint, objid::bigint, objsubid from pg_locks
    where locktype = 'advisory' and pid = pg_backend_pid() and granted
"""


def test_only_the_module_and_the_function_call_those_of_postgresql():
    folders = [Path(package.__path__[0]) for package in (server, storage_plugins)]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".sql"}]
    calling = {path.name for path in files if CALL.search(path.read_text("utf-8"))}
    assert {name for name in calling if not name[:4].isdecimal()} == {"advisory_locks.py", "advisory_locks.sql"}
    # Migrations made functions before the files held them; no later one takes a lock.
    assert all(int(name[:4]) <= 16 for name in calling if name[:4].isdecimal())


def test_every_function_that_locks_names_a_class():
    bodies = "".join(function.sql for function in functions())
    named = {name.split("'")[0] for name in bodies.split("koyomi_lock_1('")[1:]}
    assert named <= set(Lock)
    assert named


async def test_python_and_sql_take_the_same_lock(storage):
    """A transaction holds it by its class and key, and others go on to take what differs in one of them."""
    for what in Lock:
        async with storage.database.transaction() as connection:
            await lock(connection, what, 2**40)
            ((classid, objid, kind),) = await connection.fetch(HELD)
            assert (classid, kind) == (what.number, 2), "of the form with two numbers"
            assert objid == await connection.fetchval("select hashint8($1) & 4294967295", 2**40)
            async with storage.database.transaction() as other:
                tried = "select koyomi_lock_1($1, $2, false)"
                assert not await other.fetchval(tried, what.value, 2**40)
                assert await other.fetchval(tried, what.value, 2**40 + 1)
                for another in set(Lock) - {what}:
                    assert await other.fetchval(tried, another.value, 2**40)
        async with storage.database.transaction() as connection:
            assert await connection.fetchval("select koyomi_lock_1($1, $2, false)", what.value, 2**40)


async def test_a_class_that_is_not_known_is_refused(storage):
    connection = await storage.database._connect()
    try:
        with pytest.raises(asyncpg.InvalidParameterValueError, match="sharings"):
            await connection.connection.fetchval("select koyomi_lock_1('sharings', 1)")
    finally:
        storage.database._release(connection)


async def test_a_lock_of_a_session_is_waited_for_and_given_back(empty_database):
    first, second = await connect(empty_database), await connect(empty_database)
    try:
        assert await try_session_lock(first, Lock.MIGRATIONS)
        assert not await try_session_lock(second, Lock.MIGRATIONS)
        assert await try_session_lock(second, Lock.ONLINE_STEPS)
        waiting = asyncio.create_task(session_lock(second, Lock.MIGRATIONS))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await release(first, Lock.MIGRATIONS)
        await waiting
        assert not await try_session_lock(first, Lock.MIGRATIONS)
    finally:
        await first.close()
        await second.close()
