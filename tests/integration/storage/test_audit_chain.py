"""The audit: who writes does not wait for its seals, and whatever is changed afterwards contradicts them."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
import pytest_asyncio

from storage_plugins.postgres.backup.dump import settle
from storage_plugins.postgres.upkeep import audit_chain
from storage_plugins.postgres.upkeep.audit_chain import seal, verify
from tests.integration.storage.conftest import make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content

INSERT = "insert into audit (home_id, action, origin, details) values (1, 'made up', 'test', '{\"a\": 1}')"


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: there is one chain."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened


async def broken(storage) -> list[tuple[int, int]]:
    return [(each.after_id, each.last_id) async for each in verify(storage.database)]


async def write(storage, count: int) -> None:
    person = await make_person(storage)
    calendar = await person.collection()
    for number in range(count):
        await storage.put_object(calendar, f"{number}", content(f"{number}"), None, LIMITS, CAUSE)


async def tamper(storage, sql: str) -> None:
    """What somebody does who may do everything in the database."""
    async with storage.database.transaction() as connection:
        await connection.execute("alter table audit disable trigger user")
        await connection.execute("alter table audit_seal disable trigger user")
        await connection.execute(sql)
        await connection.execute("alter table audit enable trigger user")
        await connection.execute("alter table audit_seal enable trigger user")


async def test_everything_is_sealed_once(storage):
    assert await seal(storage.database, settling=0) == []
    await write(storage, 25)
    made = await seal(storage.database, batch=10, settling=0)
    assert [each.row_count for each in made] == [10, 10, 5]
    assert await seal(storage.database, batch=10, settling=0) == []
    await write(storage, 3)
    assert [each.row_count for each in await seal(storage.database, settling=0)] == [3]
    assert await broken(storage) == []
    rows = await storage.database.fetchval("select count(*) from audit")
    assert await storage.database.fetchval("select sum(row_count) from audit_seal") == rows


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("update audit set principal_id = 7 where id = 15", [(10, 20)]),
        ("update audit set at = at + interval '1 microsecond' where id = 15", [(10, 20)]),
        ("update audit set details = '{\"x\": 1}' where id = 15", [(10, 20)]),
        ("delete from audit where id = 15", [(10, 20)]),
        ("delete from audit where id = 25", [(20, 25)]),
        ("delete from audit", [(0, 10), (10, 20), (20, 25)]),
        (
            "insert into audit (id, action, origin) overriding system value values (15, 'made up', 'test')",
            [(10, 20)],
        ),
        ("update audit_seal set row_count = 9 where last_id = 20", [(10, 20)]),
        ("delete from audit_seal where last_id = 10", [(0, 20)]),
        ("delete from audit_seal where last_id = 20", [(10, 25)]),
        # The row and its seal together: the next one tells.
        (
            "update audit set action = 'none' where id = 15; update audit_seal set digest = "
            "koyomi_seal_digest_1(previous, 20, 10, (koyomi_audit_digest_1(10, 20)).digest) where last_id = 20",
            [(20, 25)],
        ),
    ],
)
async def test_whatever_is_changed_is_found(storage, sql, found):
    await write(storage, 25)
    await seal(storage.database, batch=10, settling=0)
    await tamper(storage, sql)
    assert list(dict.fromkeys(await broken(storage))) == found


@pytest.mark.parametrize(
    "sql",
    [
        "update audit set action = 'none'",
        "delete from audit",
        "truncate audit",
        "update audit_seal set row_count = 0",
        "delete from audit_seal",
    ],
)
async def test_rows_are_only_added(storage, sql):
    await write(storage, 1)
    await seal(storage.database, settling=0)
    with pytest.raises(asyncpg.PostgresError, match="never changed"):
        await storage.database.fetch(sql)


async def test_what_is_under_way_is_waited_for(storage, database, monkeypatch):
    await write(storage, 2)
    other = await asyncpg.connect(database)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(INSERT)
        await write(storage, 2)
        monkeypatch.setattr(audit_chain, "_PATIENCE", 1)
        assert await seal(storage.database, settling=0) == [], "a row between them may still appear"
        await write(storage, 1)  # writers do not wait
        monkeypatch.setattr(audit_chain, "_PATIENCE", 60)
        sealing = asyncio.create_task(seal(storage.database, settling=0))
        await asyncio.sleep(0.2)
        await transaction.commit()
        assert sum(each.row_count for each in await sealing) == 6
    finally:
        await other.close()
    assert await broken(storage) == []


async def test_ids_that_were_given_up_are_not_missed(storage, database):
    other = await asyncpg.connect(database)
    try:
        for undone in (True, False, True):
            transaction = other.transaction()
            await transaction.start()
            await other.execute(INSERT)
            await (transaction.rollback if undone else transaction.commit)()
    finally:
        await other.close()
    (made,) = await seal(storage.database, settling=0)
    assert (made.last_id, made.row_count) == (3, 1)
    assert await broken(storage) == []


async def test_a_loaded_dump_keeps_the_chain(storage, database):
    await write(storage, 5)
    await seal(storage.database, settling=0)
    await settle(database)
    assert await broken(storage) == []


async def test_two_processes_that_seal_at_once_cannot_both_continue_the_chain(storage):
    await storage.database.fetch(INSERT)
    await seal(storage.database, settling=0)
    previous = await storage.database.fetchval("select digest from audit_seal order by last_id desc limit 1")
    await storage.database.fetch(INSERT)
    await seal(storage.database, settling=0)
    with pytest.raises(asyncpg.UniqueViolationError):
        await storage.database.fetch(
            "insert into audit_seal (last_id, row_count, previous, digest) select last_id + 1, 1, $1, '' "
            "from audit_seal order by last_id desc limit 1",
            previous,
        )
