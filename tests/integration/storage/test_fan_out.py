"""Changes of a shared collection reach all homes that show it, in short transactions that can be stopped anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import asyncpg
import psutil
import pytest
import pytest_asyncio

from server.domain.contents import Views
from server.domain.errors import NotFound
from server.domain.objects import Collection
from server.events.sharees import plan
from server.storage.access import Access
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes import fan_out, principal_removal
from storage_plugins.postgres.changes.homes import HOMES
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.journal import PostgresJournal
from tests.integration.storage.conftest import Person, assert_consistent, deadlocks, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.sequenced import pass_on, planned, sequence
from tests.integration.storage.values import CAUSE, LIMITS, content, etag_of

MANY = 50_000
"""Sharees of one calendar; the requirement names the figure."""
LONGEST = 1.0
"""Seconds that no transaction may exceed then; the requirement names the figure."""
PAUSE = 0.02
"""Seconds between two looks at the transactions."""


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: whole tables are counted."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened
        await assert_consistent(opened)
        assert await deadlocks(opened) == 0


@pytest.fixture
def access(storage) -> Access:
    return PostgresAccess(storage)


@pytest.fixture
def directory(storage) -> PostgresDirectory:
    return PostgresDirectory(storage.database)


@contextlib.asynccontextmanager
async def longest_transaction(dsn: str) -> AsyncIterator[list[float]]:
    """Looks again and again how long the transactions under way have lasted, or how long they have computed since they
    were first seen, as a busy machine makes all of them last; the list holds the longest, in seconds."""
    found = [0.0]
    session = await asyncpg.connect(dsn)
    began: dict[tuple[int, object], float] = {}

    async def watch() -> None:
        while True:
            rows = await session.fetch(
                "select pid, xact_start, extract(epoch from clock_timestamp() - xact_start) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' "
                "and xact_start is not null"
            )
            for pid, start, age in rows:
                with contextlib.suppress(psutil.NoSuchProcess):
                    used = sum(psutil.Process(pid).cpu_times()[:2])
                    computed = used - began.setdefault((pid, start), used)
                    found[0] = max(found[0], min(float(age), computed + PAUSE))
            await asyncio.sleep(PAUSE)

    watching = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await session.close()


async def make_group(storage, directory: PostgresDirectory, members: list[int]) -> int:
    (group,) = await directory.write_principals([PrincipalChange(kind="group", name="everybody")], CAUSE)
    await directory.write_relations([RelationChange(group, members=frozenset(members))], CAUSE)
    return int(group)


async def make_rooms(storage, count: int) -> list[int]:
    """Many principals with homes, set by set: one by one they would take minutes."""
    await storage.database.fetch(
        "insert into principal (uid, kind, name, name_key, display_name) "
        "select n, 'room', n, n, n from generate_series(1, $1::integer) as i, lateral (select 'room' || i as n) as r",
        count,
    )
    async with storage.database.transaction() as connection:
        (kind,) = HOMES["room"]
        await connection.execute("set local statement_timeout = 0")
        await connection.execute(
            "select koyomi_create_home_1(p.id, $1, '{calendar}', '{calendar}', '{VEVENT}') from principal p "
            "where p.kind = 'room'",
            kind,
        )
    return [row[0] for row in await storage.database.fetch("select id from principal where kind = 'room'")]


async def share(access: Access, owner: Person, whom: int, rights, *, name: str = "calendar") -> None:
    home, collection = await owner.home(), await owner.collection(name)
    if rights is not None:
        await access.render_views(home, collection, lambda each: Views(etag_of(each.text.encode()), None, None))
    await access.share(home, collection, whom, rights, CAUSE)


async def bound(storage, collection: Collection) -> dict[int, int]:
    """The homes of others that show a collection, and the revisions of their bindings."""
    rows = await storage.database.fetch(
        "select home_id, revision from binding "
        "where collection_home_id = $1 and collection_id = $2 and home_id <> $1 and deleted_revision is null",
        collection.home_id,
        collection.id,
    )
    return {row[0]: row[1] for row in rows}


async def write(storage, owner: Person, name: str) -> None:
    """Create an object in a calendar that may have views."""
    calendar = await owner.collection()
    made = content(f"{owner.name}-{name}")
    views = Views(made.etag, None, None) if calendar.views else None
    await storage.put_object(calendar, name, made, None, LIMITS, CAUSE, views)


async def test_fifty_thousand_sharees_are_informed_in_short_transactions(storage, access, directory, database):
    owner = await make_person(storage)
    rooms = await make_rooms(storage, MANY)
    group = await make_group(storage, directory, rooms)
    calendar = await owner.collection()
    async with longest_transaction(database) as longest:
        await share(access, owner, group, "read")
        before = await bound(storage, calendar)
        assert len(before) == MANY
        await pass_on(access)
        before = await bound(storage, calendar)
        await write(storage, owner, "a")
        await pass_on(access)
        after = await bound(storage, calendar)
        assert after.keys() == before.keys()
        assert all(after[home] > revision for home, revision in before.items())
        await share(access, owner, group, None)
        assert await bound(storage, calendar) == {}
    assert longest[0] < LONGEST


async def test_passing_on_can_be_stopped_anywhere(storage, access, directory, monkeypatch):
    monkeypatch.setattr(fan_out, "HOMES", 3)
    owner = await make_person(storage)
    calendar = await owner.collection()
    people = [(await make_person(storage)).id for _ in range(20)]
    group = await make_group(storage, directory, people[:15])
    chance = random.Random(1)

    async def stopped(work) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.uniform(0, 0.03)):
                await work

    async def in_pieces(members: set[int]) -> None:
        for _ in range(30):
            await stopped(pass_on(access))
        await pass_on(access)
        rows = await storage.database.fetch(
            "select principal_id from home where id = any($1::bigint[])", list(await bound(storage, calendar))
        )
        assert {row[0] for row in rows} == members
        await assert_consistent(storage)

    for _ in range(3):
        await stopped(share(access, owner, group, "read"))
    await share(access, owner, group, "read")
    await in_pieces(set(people[:15]))
    before = await bound(storage, calendar)
    await write(storage, owner, "a")
    await in_pieces(set(people[:15]))
    after = await bound(storage, calendar)
    assert all(after[home_id] > revision for home_id, revision in before.items())
    await directory.write_relations([RelationChange(group, members=frozenset(people[10:]))], CAUSE)
    await in_pieces(set(people[10:]))
    with contextlib.suppress(NotFound):
        await stopped(share(access, owner, group, None))
        await share(access, owner, group, None)
    await in_pieces(set())
    assert await storage.database.fetchval("select count(*) from fan_out") == 0


async def test_what_is_passed_on_twice_changes_nothing_more(storage, access, directory):
    owner, sharee = await make_person(storage), await make_person(storage)
    group = await make_group(storage, directory, [sharee.id])
    await share(access, owner, group, "write")
    await pass_on(access)
    acts = await storage.database.fetchval("select count(*) from journal where act")
    before = await sharee.collection((await shown(storage, sharee))[0])
    await storage.database.fetch("update journal_position set anew = true")
    await pass_on(access)
    after = await sharee.collection(before.name)
    assert (after.incarnation, after.rights) == (before.incarnation, before.rights)
    await sequence(storage.database)
    assert await storage.database.fetchval("select count(*) from journal where act") == acts


async def shown(storage, person: Person) -> list[str]:
    """The names of others' calendars in a home."""
    found = await storage.collections(await person.home(), person.id)
    return [each.name for each in found if each.rights != "owner"]


async def test_a_change_during_a_pass_reaches_the_homes_that_were_visited_before(
    storage, access, directory, monkeypatch
):
    monkeypatch.setattr(fan_out, "HOMES", 4)
    owner = await make_person(storage)
    people = [(await make_person(storage)).id for _ in range(10)]
    group = await make_group(storage, directory, people)
    await share(access, owner, group, "read")
    await pass_on(access)
    calendar = await owner.collection()
    await write(storage, owner, "a")
    await sequence(storage.database)
    assert await planned(access)
    assert await access.fan_out()
    visited = await bound(storage, calendar)
    await write(storage, owner, "b")
    await pass_on(access)
    after = await bound(storage, calendar)
    assert all(after[home] > revision for home, revision in visited.items())


async def test_large_calendars_do_not_hold_up_small_ones(storage, access, directory, monkeypatch):
    monkeypatch.setattr(fan_out, "HOMES", 4)
    large, small, sharee = [await make_person(storage) for _ in range(3)]
    group = await make_group(storage, directory, [(await make_person(storage)).id for _ in range(40)])
    await share(access, large, group, "read")
    await share(access, small, sharee.id, "read")
    await pass_on(access)
    await write(storage, large, "a")
    await sequence(storage.database)
    await planned(access)
    await write(storage, small, "a")
    await sequence(storage.database)
    before = await bound(storage, await small.collection())
    for _ in range(3):
        await planned(access)
        await access.fan_out()
    assert (await bound(storage, await small.collection())).items() != before.items()
    assert await planned(access), "the large one is not done yet"
    await pass_on(access)


async def test_members_of_nested_groups_and_ended_groups(storage, access, directory):
    owner, sharee = await make_person(storage), await make_person(storage)
    inner = await make_group(storage, directory, [sharee.id])
    (outer,) = await directory.write_principals([PrincipalChange(kind="group", name="outer")], CAUSE)
    await directory.write_relations([RelationChange(outer, members=frozenset({inner}))], CAUSE)
    await share(access, owner, outer, "write")
    assert len(await shown(storage, sharee)) == 1
    await directory.delete_principal(outer, CAUSE, purge=False)
    await pass_on(access)
    assert await shown(storage, sharee) == []


async def test_who_is_purged_leaves_the_homes_of_others_in_batches(storage, access, directory, monkeypatch):
    monkeypatch.setattr(principal_removal, "HOMES", 3)
    owner = await make_person(storage)
    people = [await make_person(storage) for _ in range(10)]
    group = await make_group(storage, directory, [person.id for person in people])
    await share(access, owner, group, "write")
    await write(storage, owner, "a")
    assert len(await bound(storage, await owner.collection())) == 10
    before = {person.id: (await person.home()).revision for person in people}
    await directory.delete_principal(owner.id, CAUSE, purge=True)
    await pass_on(access)
    for person in people:
        assert await shown(storage, person) == []
        home = await person.home()
        assert home.sync_floor > before[person.id], "clients start anew"
    assert await storage.database.fetchval("select count(*) from fan_out") == 0


async def test_a_change_behind_an_open_transaction_is_read_when_that_has_ended(storage, access, database):
    owner, sharee = await make_person(storage), await make_person(storage)
    await share(access, owner, sharee.id, "read")
    await pass_on(access)
    calendar = await owner.collection()
    before = await bound(storage, calendar)
    other = await asyncpg.connect(database)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.fetch("select pg_current_xact_id()")
        await write(storage, owner, "a")
        await plan(access, PostgresJournal(storage.database))
        assert not await access.fan_out()
        assert await bound(storage, calendar) == before, "the row of the outbox is not final yet"
        await transaction.commit()
    finally:
        await other.close()
    await sequence(storage.database)
    await pass_on(access)
    assert await bound(storage, calendar) != before
