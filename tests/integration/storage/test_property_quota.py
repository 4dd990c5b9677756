"""Dead properties count against the quota: what is seen as texts that are seen, what is kept as texts that are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.changes import ChangeSet, Delete, ObjectState, PropertyChanges, Put
from server.domain.errors import QuotaExceeded
from server.domain.objects import NewCollection
from storage_plugins.postgres.database import connect
from storage_plugins.postgres.migrations import migrations
from storage_plugins.postgres.online_steps import statements
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from storage_plugins.postgres.upkeep.pruning import forget_deleted
from tests.integration.storage.conftest import assert_consistent
from tests.integration.storage.values import CAUSE, LIMITS, content, state

NAME = "{x}y"
DAY = timedelta(days=1)


def sized(size):
    """A change after which the properties take `size` bytes; 0 removes them."""
    frame = len('{"{x}y": "<y></y>"}')
    return PropertyChanges({NAME: f"<y>{'x' * (size - frame)}</y>" if size else None})


async def counted(person, kind="calendar"):
    """Bytes of what is seen and of what is kept beside."""
    home = await person.home(kind)
    return home.used_bytes, home.kept_bytes


async def with_property(storage, person, name="a", size=1000):
    calendar = await person.collection()
    made = await storage.put_object(calendar, name, content(name, "x" * 10), None, LIMITS, CAUSE)
    revision = await storage.set_object_properties(calendar, name, state(made), sized(size), CAUSE)
    return calendar, ObjectState(made.id, revision)


async def test_of_an_object(storage, person):
    calendar, now = await with_property(storage, person)
    assert await counted(person) == (1010, 0)
    now = ObjectState(now.id, await storage.set_object_properties(calendar, "a", now, sized(500), CAUSE))
    assert await counted(person) == (510, 0)
    put = await storage.put_object(calendar, "a", content("a", "x" * 20), now, LIMITS, CAUSE)
    assert await counted(person) == (520, 0)
    await storage.delete_object(calendar, "a", state(put), CAUSE)
    assert await counted(person) == (0, 520)
    # The tombstone makes way, and lies in the trash.
    again = await storage.put_object(calendar, "a", content("a", "x" * 10), None, LIMITS, CAUSE)
    assert await counted(person) == (10, 520)
    await storage.delete_object(calendar, "a", state(again), CAUSE)
    for table in ("object", "trash"):
        await person.value(
            f"update {table} set deleted_at = deleted_at - interval '31 days' where home_id = $1 "
            "and deleted_at is not null"
        )
    await forget_deleted(storage.database, 30 * DAY)
    assert await counted(person) == (0, 0)
    await assert_consistent(storage)


async def test_of_objects_that_are_deleted_in_a_set(storage, person):
    calendar, one = await with_property(storage, person, "a")
    _, two = await with_property(storage, person, "b", 300)
    writes = Delete(calendar, "a", one), Delete(calendar, "b", two), Put(calendar, "c", content("c", "x"), None)
    await storage.apply(ChangeSet(writes, LIMITS, CAUSE))
    assert await counted(person) == (1, 1320)
    await assert_consistent(storage)


async def test_of_objects_that_are_made_in_a_set(storage, person):
    """Also over the name of a deleted one, whose properties are kept."""
    calendar, old = await with_property(storage, person, "a", 300)
    await storage.apply(ChangeSet((Delete(calendar, "a", old),), LIMITS, CAUSE))
    assert await counted(person) == (0, 310)
    writes = (
        Put(calendar, "a", content("a", "x"), None, properties={NAME: str(sized(100).properties[NAME])}),
        Put(calendar, "b", content("b", "xx"), None, properties={NAME: str(sized(200).properties[NAME])}),
        Put(calendar, "c", content("c", "xxx"), None),
    )
    await storage.apply(ChangeSet(writes, LIMITS, CAUSE))
    assert await counted(person) == (306, 310)
    rows = await storage.members(calendar, ("name", "properties"), after=None, limit=10)
    assert [(name, found and len(found[NAME])) for name, found in rows] == [
        ("a", len(str(writes[0].properties[NAME]))),
        ("b", len(str(writes[1].properties[NAME]))),
        ("c", None),
    ]
    await assert_consistent(storage)
    small = replace(LIMITS, quota_bytes=400)
    more = Put(calendar, "d", content("d", "x"), None, properties={NAME: str(sized(200).properties[NAME])})
    with pytest.raises(QuotaExceeded) as caught:
        await storage.apply(ChangeSet((Put(calendar, "e", content("e", "x"), None), more), small, CAUSE))
    assert caught.value.write == 1


async def test_of_copies_and_moves(storage, person, new_person):
    other = await new_person()
    calendar, now = await with_property(storage, person)
    tasks, theirs = await person.collection("tasks"), await other.collection()
    await storage.copy_object(calendar, "a", now, tasks, "a", None, LIMITS, CAUSE)
    assert await counted(person) == (2020, 0)
    moved = await storage.move_object(calendar, "a", now, theirs, "a", None, LIMITS, CAUSE)
    assert await counted(person) == (1010, 0)
    assert await counted(other) == (1010, 0)
    # What is replaced is kept.
    small = await storage.put_object(calendar, "b", content("b", "x"), None, LIMITS, CAUSE)
    await storage.copy_object(calendar, "b", state(small), theirs, "a", state(moved), LIMITS, CAUSE)
    assert await counted(other) == (1, 1010)
    await assert_consistent(storage)


async def test_of_collections_that_are_copied_deleted_and_restored(storage, person):
    calendar, _ = await with_property(storage, person)
    await storage.set_collection_properties(await person.home(), calendar, sized(100), person.id, LIMITS, CAUSE)
    assert await counted(person) == (1110, 0)
    copy = person.home(), calendar, "copy", None, LIMITS, CAUSE
    await storage.copy_collection(await copy[0], *copy[1:], with_members=True)
    assert await counted(person) == (2220, 0)
    await storage.delete_collection(await person.home(), await person.collection("copy"), CAUSE)
    assert await counted(person) == (1110, 1110)
    (deleted,) = await deleted_collections(storage.database, person.id, 30)
    await restore_collection(storage.database, deleted, "copy", 30, CAUSE)
    assert await counted(person) == (2220, 0)
    await assert_consistent(storage)


async def test_of_a_home(storage, person):
    await storage.set_home_properties(await person.home("addressbook"), sized(200), LIMITS, CAUSE)
    assert await counted(person, "addressbook") == (200, 0)
    await storage.set_home_properties(await person.home("addressbook"), sized(0), LIMITS, CAUSE)
    assert await counted(person, "addressbook") == (0, 0)


async def test_what_grows_beyond_the_quota_is_refused(storage, person, new_person):
    calendar, now = await with_property(storage, person, size=600)
    home = await person.home()
    await storage.database.fetch("update principal set quota_bytes = 1000 where id = $1", person.id)
    for write in (
        storage.set_object_properties(calendar, "a", now, sized(1000), CAUSE),
        storage.set_collection_properties(home, calendar, sized(500), person.id, LIMITS, CAUSE),
        storage.set_home_properties(home, sized(500), LIMITS, CAUSE),
        storage.create_collection(
            home, NewCollection("new", "calendar", properties=sized(500).properties), LIMITS, CAUSE
        ),
        storage.put_object(calendar, "b", content("b", "x" * 400), None, LIMITS, CAUSE),
        storage.copy_object(calendar, "a", now, await person.collection("tasks"), "a", None, LIMITS, CAUSE),
        storage.copy_collection(home, calendar, "copy", None, LIMITS, CAUSE, with_members=True),
        storage.apply(
            ChangeSet(tuple(Put(calendar, name, content(name, "x" * 200), None) for name in ("c", "d")), LIMITS, CAUSE)
        ),
    ):
        with pytest.raises(QuotaExceeded):
            await write
    assert await counted(person) == (610, 0)
    # What gets smaller is taken whatever the quota is.
    await storage.database.fetch("update principal set quota_bytes = 100 where id = $1", person.id)
    await storage.set_object_properties(calendar, "a", now, sized(300), CAUSE)
    await storage.set_home_properties(home, sized(0), LIMITS, CAUSE)
    assert await counted(person) == (310, 0)
    await assert_consistent(storage)


async def test_what_somebody_sets_for_themselves_has_a_bound_and_counts_in_no_home(storage, person, new_person):
    delegate = await new_person()
    home, calendar = await person.home(), await person.collection()
    limits = replace(LIMITS, max_personal_properties_size=1000)

    def named(size):
        return PropertyChanges({"{DAV:}displayname": "x" * size})

    await storage.set_collection_properties(home, calendar, named(900), delegate.id, limits, CAUSE)
    with pytest.raises(QuotaExceeded):
        await storage.set_collection_properties(home, calendar, named(1000), delegate.id, limits, CAUSE)
    assert await counted(person) == await counted(delegate) == (0, 0)


async def test_what_was_stored_before_is_counted_while_others_write(storage, storage_dsn, person):
    """The step of the upgrade works on a snapshot: what is written meanwhile is counted by triggers."""
    calendar, now = await with_property(storage, person)
    _, gone = await with_property(storage, person, "b", 300)
    await storage.delete_object(calendar, "b", gone, CAUSE)
    await storage.set_collection_properties(await person.home(), calendar, sized(100), person.id, LIMITS, CAUSE)
    await storage.set_home_properties(await person.home(), sized(50), LIMITS, CAUSE)
    right = await counted(person)
    assert right == (1160, 310)
    (step,) = [m for m in migrations() if m.name == "property_sums"]
    (backfill,) = [s.sql for s in statements(step.name, step.sql) if s.backfill]
    before = "update home set property_bytes = 0, kept_property_bytes = 0, properties_counted = false where id = $1"
    home_id = (await person.home()).id
    await storage.database.fetch(before, home_id)
    connection = await connect(storage_dsn)
    try:
        assert await connection.execute(backfill) != "UPDATE 0"
        assert await counted(person) == right
        while await connection.execute(backfill) != "UPDATE 0":
            pass
        assert await counted(person) == right
        # Some were counted before the snapshot.
        await storage.database.fetch(before, home_id)
        await storage.set_object_properties(calendar, "a", now, sized(1500), CAUSE)
        await connection.execute(backfill)
        assert await counted(person) == (1660, 310)
    finally:
        connection.terminate()
    await assert_consistent(storage)
