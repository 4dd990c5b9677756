"""The jobs that drop old rows, at the same moment as writes of the same names: what a write acknowledges is there."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio

from server.domain.objects import NewCollection
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes import handover, handover_copies
from storage_plugins.postgres.upkeep import pruning as maintenance
from tests.integration.storage.conftest import assert_consistent, deadlocks, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, state

WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
AT_ONCE = timedelta(0)
BEFORE_DROPPING = -timedelta(hours=1)
"""The retention with which tombstones go at once: they stay for an hour after tokens ended."""


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: these jobs work on all homes."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened
        await assert_consistent(opened)
        assert await deadlocks(opened) == 0


@asynccontextmanager
async def dropping(storage, statement, *homes):
    """The job's statement, whose transaction is open until what runs beside it waits for a lock."""
    for raise_floors in (maintenance._RAISE_COLLECTION_FLOORS, maintenance._RAISE_HOME_FLOORS):
        await storage.database.fetch(raise_floors, BEFORE_DROPPING, 100)
    async with storage.database.transaction() as connection:
        assert await connection.execute(statement, AT_ONCE, 100, *homes) == "DELETE 1"
        task_of = []
        yield task_of.append
        (task,) = task_of
        while not task.done() and not await storage.database.fetchval(WAITING):
            await asyncio.sleep(0.005)


async def tombstone(storage, calendar, name="a.ics"):
    written = await storage.put_object(calendar, name, content("old"), None, LIMITS, CAUSE)
    await storage.delete_object(calendar, name, state(written), CAUSE)


async def texts(storage, collection):
    return dict(await storage.members(collection, ("name", "text"), after=None, limit=100))


async def test_a_put_takes_a_name_whose_tombstone_is_dropped(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    await tombstone(storage, calendar)
    async with dropping(storage, maintenance._DROP_TOMBSTONES, [calendar.home_id]) as beside:
        put = asyncio.create_task(storage.put_object(calendar, "a.ics", content("new", "new"), None, LIMITS, CAUSE))
        beside(put)
    assert (await put).revision == (await person.collection()).revision
    assert await texts(storage, calendar) == {"a.ics": "new"}
    assert (await person.collection()).member_count == 1


@pytest.mark.parametrize("act", ["move_object", "copy_object"])
async def test_a_transfer_takes_a_name_whose_tombstone_is_dropped(storage, act):
    person = await make_person(storage)
    calendar, tasks = await person.collection(), await person.collection("tasks")
    await tombstone(storage, calendar)
    source = await storage.put_object(tasks, "s.ics", content("new", "new"), None, LIMITS, CAUSE)
    async with dropping(storage, maintenance._DROP_TOMBSTONES, [calendar.home_id]) as beside:
        transfer = getattr(storage, act)(tasks, "s.ics", state(source), calendar, "a.ics", None, LIMITS, CAUSE)
        beside(task := asyncio.create_task(transfer))
    await task
    assert await texts(storage, calendar) == {"a.ics": "new"}


async def test_a_collection_takes_a_name_whose_tombstone_is_dropped(storage):
    person = await make_person(storage)
    home = await person.home()
    made = await storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)
    await storage.delete_collection(home, made, CAUSE)
    async with dropping(storage, maintenance._DROP_BINDINGS) as beside:
        again = storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)
        beside(task := asyncio.create_task(again))
    assert (await task).id == (await person.collection("work")).id


async def test_a_collection_is_shared_again_while_its_old_binding_is_dropped(storage):
    owner, sharee = await make_person(storage), await make_person(storage)
    home, calendar = await owner.home(), await owner.collection()
    access = PostgresAccess(storage)
    await storage.database.fetchval("select koyomi_begin_views_1($1, $2)", home.id, calendar.id)
    for rights in ("read", None):
        await access.share(home, calendar, sharee.id, rights, CAUSE)
    await storage.database.fetchval("select koyomi_begin_views_1($1, $2)", home.id, calendar.id)
    async with dropping(storage, maintenance._DROP_BINDINGS) as beside:
        beside(task := asyncio.create_task(access.share(home, calendar, sharee.id, "read", CAUSE)))
    await task
    shown = [found.id for found in await storage.collections(await sharee.home(), sharee.id)]
    assert calendar.id in shown


async def test_a_collection_is_restored_while_its_members_are_forgotten(storage):
    """The job that holds the collection finishes first; a collection that is restored first stays whole."""
    person = await make_person(storage)
    home = await person.home()
    made = await storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)
    await storage.put_object(made, "a.ics", content("u"), None, LIMITS, CAUSE)
    await storage.delete_collection(home, made, CAUSE)
    async with storage.database.transaction() as connection:
        await connection.fetchval(
            "select koyomi_restore_collection_2($1, $2, 'work', 30, null, 'cli', '')", home.id, made.id
        )
        forgetting = asyncio.create_task(maintenance.forget_deleted(storage.database, AT_ONCE))
        await asyncio.wait([forgetting], timeout=0.5)
    assert await forgetting == 0
    assert len(await texts(storage, made)) == 1


async def test_a_deleted_collection_is_handed_over_while_its_members_are_forgotten(storage):
    """The handover holds members before it asks for their home; the job holds the home and passes over the members."""
    person, other = await make_person(storage), await make_person(storage)
    home = await person.home()
    made = await storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)
    await storage.put_object(made, "a.ics", content("u"), None, LIMITS, CAUSE)
    await storage.delete_collection(home, made, CAUSE)
    found = await handover.handovers(storage.database, person.id, other.id)
    (what,) = (each for each in found if each.id == made.id)
    async with storage.database.transaction() as connection:
        await handover_copies.begin(connection, what)
    async with storage.database.transaction() as connection:
        await handover_copies.hold_members(connection, what, None)
        forgetting = asyncio.create_task(maintenance.forget_deleted(storage.database, AT_ONCE))
        while not forgetting.done() and not await storage.database.fetchval(WAITING):
            await asyncio.sleep(0.005)
        await handover._take_place(connection, what, "Person", CAUSE, handover.BATCH)
    assert await forgetting == 0
    assert await maintenance.forget_deleted(storage.database, AT_ONCE) > 0


async def test_random_writes_beside_the_jobs(storage):
    """Names are put, deleted, copied and moved while tombstones and texts are dropped as soon as they are there."""
    person, other = await make_person(storage), await make_person(storage)
    collections = [await person.collection(), await person.collection("tasks"), await other.collection()]
    running = True

    async def prune():
        while running:
            await maintenance.prune_tombstones(storage.database, BEFORE_DROPPING, batch=3)
            await maintenance.forget_deleted(storage.database, AT_ONCE, batch=3)

    async def write(number):
        """Each writer has names of its own, so that it knows what is stored; the homes and jobs are common."""
        dice = random.Random(number)
        names = [f"{number}-{n}.ics" for n in range(3)]
        known = {}
        for step in range(60):
            collection, name = dice.choice(collections), dice.choice(names)
            key, text = (collection.id, name), f"{number} {step}"
            if key in known and dice.random() < 0.6:
                await storage.delete_object(collection, name, state(known.pop(key)[0]), CAUSE)
            elif key not in known and known and dice.random() < 0.4:
                (source_id, source), (before, moved) = dice.choice(sorted(known.items(), key=lambda item: item[0]))
                at = next(found for found in collections if found.id == source_id)
                if at.id == collection.id:
                    continue
                where = at, source, state(before), collection, name, None, LIMITS, CAUSE
                known[key] = await storage.move_object(*where), moved
                del known[source_id, source]
            else:
                expected = state(known[key][0]) if key in known else None
                uid = f"{name} {step}" if expected is None else known[key][1].uid
                new = content(uid, text)
                known[key] = await storage.put_object(collection, name, new, expected, LIMITS, CAUSE), new
        return known

    jobs = [asyncio.create_task(prune()) for _ in range(2)]
    try:
        results = await asyncio.gather(*map(write, range(4)))
    finally:
        running = False
        await asyncio.gather(*jobs)
    expected = {key: new.text for known in results for key, (_, new) in known.items()}
    stored = {
        (collection.id, name): text
        for collection in collections
        for name, text in (await texts(storage, collection)).items()
    }
    assert stored == expected
