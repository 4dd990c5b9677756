"""Migrations beside servers, dumps and long transactions: lock timeouts with retries, and online steps."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from server.cli import main
from server.diagnosis.installation import look_at_database
from server.domain.errors import DatabaseError
from server.settings.model import Settings
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.embedded.client_programs import client_programs
from storage_plugins.postgres.lock_waits import Patience
from storage_plugins.postgres.migrations import Migration, migrate, migrations, run_online_steps, schema_state
from storage_plugins.postgres.online_steps import statements
from tests.integration.storage.periodic import run_all

QUICK = Patience(lock_timeout=0.2, pause=0.2, total=60.0)
TABLE = Migration(1, "table", "pre", "create table word (id integer primary key, text text, length integer);")
WIDER = Migration(2, "wider", "pre", "alter table word add column language text;")
BACKFILL = """
update word set length = length(text)
where id in (select id from word where length is null order by id limit 10);
"""
ONLINE = Migration(2, "online", "online", f"create index concurrently word_text on word (text);\n{BACKFILL}")


@contextlib.asynccontextmanager
async def connected(dsn, count=1):
    connections = [await connect(dsn) for _ in range(count)]
    try:
        yield connections[0] if count == 1 else connections
    finally:
        for connection in connections:
            connection.terminate()


async def made(dsn, rows=100):
    await migrate(dsn, known=(TABLE,))
    async with connected(dsn) as connection:
        await connection.execute(f"insert into word select i, 'word ' || i from generate_series(1, {rows}) i")


async def until(connection, sql):
    while not await connection.fetchval(sql):
        await asyncio.sleep(0.01)


async def pending(dsn, known):
    async with connected(dsn) as connection:
        return [step.title for step in (await schema_state(connection, known)).pending]


async def online(dsn):
    async with connected(dsn) as connection:
        return [step.title for step in (await schema_state(connection)).online]


async def valid(connection, index):
    return await connection.fetchval("select indisvalid from pg_index where indexrelid = to_regclass($1)", index)


async def tried(logs, times):
    while sum(entry["event"] == "migration_retried" for entry in logs) < times:
        await asyncio.sleep(0.01)


async def test_a_migration_beside_a_long_transaction_lets_readers_and_writers_pass(empty_database):
    await made(empty_database)
    async with connected(empty_database, 2) as (holder, other):
        reading = holder.transaction()
        await reading.start()
        await holder.fetch("select from word")
        with capture_logs() as logs:
            migrating = asyncio.create_task(migrate(empty_database, known=(TABLE, WIDER), patience=QUICK))
            await tried(logs, 1)
            served = 0
            while sum(entry["event"] == "migration_retried" for entry in logs) < 4:
                await other.execute("update word set text = text || '.' where id = 1")
                served += await other.fetchval("select count(*) from word where id = 1")
                assert not migrating.done()
            await reading.commit()
            assert await migrating == ["0002_wider"]
    # Each of the three pauses is long enough for many statements; without a lock timeout there would be none.
    assert served >= 4
    assert {entry["reason"] for entry in logs} == {"55P03"}
    assert {entry["migration"] for entry in logs} == {"0002_wider"}


async def test_retries_end(empty_database):
    await made(empty_database)
    async with connected(empty_database) as holder, holder.transaction():
        await holder.fetch("select from word")
        with pytest.raises(DatabaseError, match="0002_wider needs a lock.*tried 2 times"):
            await migrate(empty_database, known=(TABLE, WIDER), patience=Patience(0.1, 0.1, 0.35))
    assert await pending(empty_database, (TABLE, WIDER)) == ["0002_wider"]


async def test_migrations_beside_a_running_dump(empty_database, postgres_binaries):
    """The dump stops in its middle, with its locks on all tables, while nobody reads what it writes."""
    await made(empty_database)
    known = (TABLE, WIDER, Migration(3, "online", "online", ONLINE.sql))
    async with connected(empty_database) as connection:
        await connection.execute(
            "insert into word select i, (select string_agg(md5((i * j)::text), '') from generate_series(1, 60) j), 1 "
            "from generate_series(101, 1100) i"
        )
        programs = client_programs(postgres_binaries, connection.get_server_version().major)
        dump = await asyncio.create_subprocess_exec(
            programs.path("pg_dump"), f"--dbname={empty_database}", stdout=asyncio.subprocess.PIPE
        )
        assert dump.stdout is not None
        try:
            await dump.stdout.readexactly(100_000)
            with capture_logs() as logs:
                migrating = asyncio.create_task(migrate(empty_database, known=known, patience=QUICK))
                await tried(logs, 2)
                await connection.execute("update word set text = 'beside' where id = 1")
                assert not migrating.done()
                await dump.stdout.read()
                assert await dump.wait() == 0
                assert await migrating == ["0002_wider"]
        finally:
            if dump.returncode is None:
                dump.kill()
    assert await run_online_steps(empty_database, known=known) == ["0003_online"]


async def test_serve_leaves_online_steps_to_the_background(empty_database):
    await made(empty_database)
    later = Migration(3, "later", "pre", "alter table word add column later text;")
    assert await migrate(empty_database, known=(TABLE, ONLINE)) == []
    assert await migrate(empty_database, known=(TABLE, ONLINE, later)) == ["0003_later"]
    async with connected(empty_database) as connection:
        state = await schema_state(connection, (TABLE, ONLINE, later))
        assert state.usable
        assert state.online == (ONLINE,)
        told = []
        assert await run_online_steps(empty_database, known=(TABLE, ONLINE, later), tell=told.append) == ["0002_online"]
        assert told == ["0002_online: statement 1 of 2", "0002_online: statement 2 of 2"]
        assert await valid(connection, "word_text")
        assert await connection.fetchval("select count(*) from word where length = length(text)") == 100
        assert (await schema_state(connection, (TABLE, ONLINE, later))).pending == ()
    assert await run_online_steps(empty_database, known=(TABLE, ONLINE, later)) == []


async def test_a_step_after_a_deployment_comes_after_the_online_steps_before_it(empty_database):
    await made(empty_database)
    known = (
        TABLE,
        ONLINE,
        Migration(3, "post", "post", "alter table word alter column length set not null;"),
        Migration(4, "next_online", "online", "create index concurrently word_length on word (length);", 1),
    )
    following = Migration(5, "next", "pre", "alter table word add column next text;", 1)
    assert await migrate(empty_database, known=known) == []
    assert await migrate(empty_database, known=(*known, following)) == ["0002_online", "0003_post", "0005_next"]
    assert await pending(empty_database, (*known, following)) == ["0004_next_online"]
    assert await migrate(empty_database, finish=True, known=(*known, following)) == ["0004_next_online"]


async def test_a_changed_online_step_is_refused(empty_database):
    await made(empty_database)
    await run_online_steps(empty_database, known=(TABLE, ONLINE))
    changed = Migration(2, "online", "online", BACKFILL)
    with pytest.raises(DatabaseError, match="another file 0002_online"):
        await run_online_steps(empty_database, known=(TABLE, changed))


async def test_online_steps_wait_for_the_steps_before_a_deployment(empty_database):
    await made(empty_database)
    late = Migration(3, "late", "online", ONLINE.sql)
    with pytest.raises(DatabaseError, match="not those of this version"):
        await run_online_steps(empty_database, known=(TABLE, WIDER, late))


async def test_an_index_is_built_while_writers_write_and_one_process_builds_it(empty_database):
    await made(empty_database)
    known = (TABLE, ONLINE)
    async with connected(empty_database, 2) as (holder, writer):
        old = holder.transaction()
        await old.start()
        await holder.execute("update word set text = 'held' where id = 1")
        running = [asyncio.create_task(run_online_steps(empty_database, known=known)) for _ in range(2)]
        await until(writer, "select true from pg_index where indexrelid = to_regclass('word_text')")
        assert await run_online_steps(empty_database, known=known, wait=False) is None
        for number in range(200, 250):
            await writer.execute("insert into word values ($1, 'beside')", number)
        assert not any(task.done() for task in running)
        await old.commit()
        assert sorted(await asyncio.gather(*running), key=len) == [[], ["0002_online"]]
        assert await valid(writer, "word_text")


@pytest.mark.parametrize("how", ["cancelled", "connection lost"])
async def test_a_step_that_was_killed_while_it_built_an_index(empty_database, how):
    await made(empty_database)
    known = (TABLE, ONLINE)
    async with connected(empty_database, 2) as (holder, other):
        async with holder.transaction():
            await holder.execute("update word set text = 'held' where id = 1")
            running = asyncio.create_task(run_online_steps(empty_database, known=known))
            await until(other, "select true from pg_index where indexrelid = to_regclass('word_text')")
            if how == "cancelled":
                running.cancel()
            else:
                await other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'koyomi migrate' and datname = current_database()"
                )
            with pytest.raises((asyncio.CancelledError, Exception)):
                await running
            await until(
                other,
                "select not exists (select from pg_stat_activity "
                "where application_name = 'koyomi migrate' and datname = current_database())",
            )
            assert await valid(other, "word_text") is False
        assert await pending(empty_database, known) == ["0002_online"]
        with capture_logs() as logs:
            assert await run_online_steps(empty_database, known=known) == ["0002_online"]
        assert [entry["event"] for entry in logs] == ["invalid_index_dropped"]
        assert await valid(other, "word_text")


async def test_a_step_that_was_killed_in_a_backfill_goes_on(empty_database):
    await made(empty_database, rows=500)
    known = (TABLE, Migration(2, "lengths", "online", BACKFILL))
    async with connected(empty_database, 2) as (holder, other):
        async with holder.transaction():
            # It can go no further than to this row.
            await holder.fetch("select from word where id = 300 for update")
            running = asyncio.create_task(run_online_steps(empty_database, known=known))
            await until(other, "select count(*) >= 50 from word where length is not null")
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        before = await other.fetchval("select count(*) from word where length is not null")
        assert 50 <= before < 500
        assert await pending(empty_database, known) == ["0002_lengths"]
        xmin = await other.fetchval("select xmin::text from word where id = 1")
        assert await run_online_steps(empty_database, known=known) == ["0002_lengths"]
        assert await other.fetchval("select count(*) from word where length = length(text)") == 500
        assert await other.fetchval("select xmin::text from word where id = 1") == xmin, "a row was changed twice"


async def test_a_backfill_waits_for_rows_that_others_hold(empty_database):
    await made(empty_database)
    known = (TABLE, Migration(2, "lengths", "online", BACKFILL))
    async with connected(empty_database) as holder:
        held = holder.transaction()
        await held.start()
        await holder.execute("update word set text = 'longer' where id = 55")
        with capture_logs() as logs:
            running = asyncio.create_task(run_online_steps(empty_database, known=known, patience=QUICK))
            await tried(logs, 2)
            await held.commit()
            assert await running == ["0002_lengths"]
        assert await holder.fetchval("select length from word where id = 55") == len("longer")


async def test_a_unique_index_that_cannot_be_built_leaves_nothing(empty_database):
    await made(empty_database)
    known = (TABLE, Migration(2, "unique", "online", "create unique index concurrently word_once on word (text);"))
    async with connected(empty_database) as connection:
        await connection.execute("update word set text = 'twice' where id < 3")
        with pytest.raises(DatabaseError, match="could not create unique index"):
            await run_online_steps(empty_database, known=known)
        assert await connection.fetchval("select to_regclass('word_once')") is None


@pytest.mark.parametrize(
    "sql",
    [
        "create index word_text on word (text);",
        "create index concurrently if not exists word_text on word (text);",
        "alter table word add column more text;",
        "drop index concurrently word_text;",
        "drop index word_text;",
        "select 1;",
    ],
)
def test_statements_that_cannot_be_run_again_are_refused(sql):
    with pytest.raises(DatabaseError, match="0007_x has a statement"):
        statements("0007_x", f"-- Fine; so far;\n{BACKFILL}\n{sql}")


def test_statements_end_with_a_semicolon_at_the_end_of_a_line():
    found = statements("0007_x", f"-- One;\ndrop index concurrently if exists word_text;\n{ONLINE.sql}")
    assert [(each.index, each.backfill) for each in found] == [(None, False), ("word_text", False), (None, True)]
    assert found[2].sql == BACKFILL.strip().removesuffix(";")


async def test_a_server_runs_online_steps_in_the_background(empty_database):
    first = min(step.number for step in migrations() if step.step == "online")
    await migrate(empty_database, known=migrations()[: first - 1])
    await migrate(empty_database)
    assert await online(empty_database)
    with capture_logs() as logs:
        await run_all(empty_database, servers=2)
    assert not await online(empty_database)
    logs = [entry for entry in logs if entry["event"] == "online_step_done"]
    expected = [step.title for step in migrations() if step.step == "online"]
    assert [(entry["event"], entry["migration"]) for entry in logs] == [("online_step_done", name) for name in expected]


async def test_upgrade_and_doctor_tell_of_online_steps(empty_database, tmp_path):
    last = max(step.number for step in migrations() if step.step == "online")
    await migrate(empty_database, known=migrations()[: last - 1])
    await migrate(empty_database)
    settings = Settings.model_validate({"storage": {"database": empty_database, "data": tmp_path}})
    name = migrations()[last - 1].title
    found = [finding for finding in await look_at_database(settings, empty_database) if name in finding.said]
    assert len(found) == 1
    result = await asyncio.to_thread(
        CliRunner().invoke, main, ["db", "upgrade"], env={**os.environ, "KOYOMI_STORAGE_DATABASE": empty_database}
    )
    assert result.exit_code == 0, result.output
    assert f"Applied {name}." in result.output
    assert f"{name}: statement 1 of" in result.output
    assert not [finding for finding in await look_at_database(settings, empty_database) if name in finding.said]
