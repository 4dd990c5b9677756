"""The version of the code that derived an object's columns, beside servers of the version before and after them."""

from __future__ import annotations

import asyncio
import os

import pytest
from click.testing import CliRunner

from server.calendar.derivation import PREFIX, VERSION
from server.cli import main
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.migrations import migrate, migrations, run_online_steps
from storage_plugins.postgres.upkeep import occurrence_jobs
from storage_plugins.postgres.upkeep.rederivation import outdated, rederive
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, NOW, event_text, read, state

BEFORE_DERIVED = 27
"""The last migration before there was the column `derived`."""
INSERT = """
    insert into object (home_id, collection_id, created_revision, revision, created_at, modified_at, size, name, uid,
                        component, etag, time_key, text)
    select $1, $2, n, n, now(), now(), 4, n || '.ics', 'uid' || n, $4, 'etag', $3, 'text'
    from generate_series($5::integer, $6::integer) n
"""
"""How a server of the version before stores objects, as far as it concerns us."""


async def home_of(connection):
    """A home and a calendar in it, made by SQL alone: the tables are those of long ago."""
    person = await connection.fetchval(
        "insert into principal (uid, kind, name, name_key, display_name) "
        "values ('u', 'individual', 'ada', 'ada', 'Ada') returning id"
    )
    home = await connection.fetchval(
        "insert into home (principal_id, kind) values ($1, 'calendar') returning id", person
    )
    collection = await connection.fetchval(
        "insert into collection (home_id, revision, modified_at, sync_floor, kind, created_at) "
        "values ($1, 1, now(), 0, 'calendar', now()) returning id",
        home,
    )
    return home, collection


async def versions(connection):
    rows = await connection.fetch("select derived, count(*) from object group by derived order by derived")
    return {row[0]: row[1] for row in rows}


async def test_what_servers_of_the_version_before_write_has_their_version(empty_database):
    await migrate(empty_database, known=migrations()[:BEFORE_DERIVED])
    connection = await connect(empty_database)
    home = await home_of(connection)
    await connection.execute(INSERT, *home, "v004:key", "VEVENT", 1, 12_000)
    await connection.execute(INSERT, *home, "v003:key", "VTODO", 12_001, 12_010)
    await connection.execute(INSERT, *home, "d41d8cd9", "VEVENT", 12_011, 12_012)
    await migrate(empty_database)
    assert await versions(connection) == {0: 12_012}
    # They write on, before the columns are filled and afterwards.
    for begin in (20_000, 30_000):
        await connection.execute(INSERT, *home, "v004:key", "VEVENT", begin, begin)
        await connection.execute(INSERT, *home, "v002:key", "VEVENT", begin + 1, begin + 1)
        await connection.execute(INSERT, *home, "", "VEVENT", begin + 2, begin + 2)
        await connection.execute(INSERT, *home, "", "VCARD", begin + 3, begin + 3)
        if begin == 20_000:
            await run_online_steps(empty_database)
            assert await versions(connection) == {0: 4, 2: 1, 3: 10, 4: 12_001}
    assert await versions(connection) == {0: 6, 2: 2, 3: 10, 4: 12_002}
    # What a newer server has derived, and an older one has written again.
    await connection.execute("update object set derived = 5, time_key = 'v005:x' where name = '1.ics'")
    assert (await versions(connection))[5] == 1
    await connection.execute("update object set revision = 20001 where name = '1.ics'")
    assert (await versions(connection))[5] == 1
    await connection.execute("update object set time_key = 'v004:y' where name = '1.ics'")
    assert await versions(connection) == {0: 6, 2: 2, 3: 10, 4: 12_002}
    await migrate(empty_database, finish=True)
    await connection.execute("update object set derived = 5 where name = '1.ics'")
    await connection.execute("update object set time_key = 'v004:z' where name = '1.ics'")
    assert (await versions(connection))[5] == 1
    await connection.close()


async def test_every_write_of_this_version_names_it(database):
    async with MemberStorage(database, notify=False) as storage:
        person, other = await make_person(storage), await make_person(storage)
        calendar, elsewhere = await person.collection(), await other.collection()
        found = await read(storage, calendar, event_text("a", "DTSTART:20260305T090000Z"))
        written = await storage.put_object(calendar, "a", found, None, LIMITS, CAUSE)

        async def derived():
            rows = await storage.database.fetch(
                "select name, derived, time_key from object where deleted_revision is null order by name"
            )
            assert all(row[2].startswith(PREFIX) == (row[1] == VERSION) for row in rows)
            return {row[0]: row[1] for row in rows}

        assert await derived() == {"a": VERSION}
        await storage.database.fetch("update object set derived = 0, time_key = ''")
        written = await storage.put_object(calendar, "a", found, state(written), LIMITS, CAUSE)
        assert await derived() == {"a": VERSION}
        moved = await storage.move_object(calendar, "a", state(written), calendar, "b", None, LIMITS, CAUSE)
        assert await derived() == {"b": VERSION}
        # Whether the new owner has declined it is computed anew.
        await storage.copy_object(calendar, "b", state(moved), elsewhere, "c", None, LIMITS, CAUSE)
        assert await derived() == {"b": VERSION, "c": 0}
        await storage.delete_object(calendar, "b", state(moved), CAUSE)
        await storage.put_object(calendar, "b", found, None, LIMITS, CAUSE)
        assert await derived() == {"b": VERSION, "c": 0}
        assert await outdated(storage.database) == 1


async def test_an_interrupted_derivation_goes_on(database, monkeypatch):
    monkeypatch.setattr(occurrence_jobs, "_TEXTS_AT_ONCE", 2)
    async with MemberStorage(database, notify=False) as storage:
        calendar = await (await make_person(storage)).collection()
        for number in range(12):
            found = await read(storage, calendar, event_text(f"{number}", "DTSTART:20260305T090000Z"))
            await storage.put_object(calendar, f"{number}", found, None, LIMITS, CAUSE)
        await storage.database.fetch("update object set derived = 1")
        running: asyncio.Task[int]

        def interrupt(done):
            if done == 4:
                running.cancel()

        running = asyncio.create_task(rederive(storage.database, NOW, progress=interrupt))
        with pytest.raises(asyncio.CancelledError):
            await running
        rows = await storage.database.fetch("select id, xmin::text from object where derived = $1", VERSION)
        assert 4 <= len(rows) < 12
        assert await rederive(storage.database, NOW) == 12 - len(rows)
        after = await storage.database.fetch(
            "select id, xmin::text from object where id = any($1)", [r[0] for r in rows]
        )
        assert {tuple(row) for row in after} == {tuple(row) for row in rows}, "a row was derived twice"
        assert await outdated(storage.database) == 0


async def test_the_command_derives_again_what_waits(database):
    async with MemberStorage(database, notify=False) as storage:
        calendar = await (await make_person(storage)).collection()
        for name in "abc":
            found = await read(storage, calendar, event_text(name, "DTSTART:20260305T090000Z"))
            await storage.put_object(calendar, name, found, None, LIMITS, CAUSE)
        before = await storage.database.fetch("select id, revision, etag, text from object order by id")
        await storage.database.fetch("update object set derived = 1 where name <> 'b'")

        async def said(*arguments):
            environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": database}
            result = await asyncio.to_thread(CliRunner().invoke, main, ["db", "rederive", *arguments], env=environment)
            assert result.exit_code == 0, result.output
            return result.output

        assert await said("--dry-run") == "2 objects wait.\n"
        assert await said() == "2 objects wait.\n2 objects were derived again.\n"
        assert await said() == "0 objects wait.\n0 objects were derived again.\n"
        assert await storage.database.fetch("select id, revision, etag, text from object order by id") == before
