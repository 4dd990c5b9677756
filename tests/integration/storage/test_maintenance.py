"""What is forgotten, when, and what the check finds."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pytest_asyncio

from server.domain.errors import NotFound
from server.domain.objects import NewCollection
from storage_plugins.postgres.upkeep import pruning as maintenance
from storage_plugins.postgres.upkeep.check import check
from storage_plugins.postgres.upkeep.deleted import deleted_collections, deleted_objects, restore_collection
from storage_plugins.postgres.upkeep.pruning import forget_deleted, prune_tombstones
from tests.integration.storage.conftest import assert_consistent, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.integration.storage.values import CAUSE, LIMITS, content, etag_of, state

DAY = timedelta(days=1)


@pytest_asyncio.fixture(loop_scope="session")
async def storage(database):
    """A storage on a database of its own: these jobs work on all homes."""
    async with MemberStorage(database, notify=False) as opened:
        yield opened


async def age(storage, days):
    """Let everything that was deleted have been deleted earlier."""
    for table in ("object", "trash", "binding", "collection"):
        await storage.database.fetch(f"update {table} set deleted_at = deleted_at - $1::interval", days * DAY)


async def count(storage, table):
    return await storage.database.fetchval(f"select count(*) from {table}")


async def test_a_collection_is_offered_whole_or_not_at_all(storage):
    person = await make_person(storage)
    home = await person.home()
    for name in ("old", "new"):
        made = await storage.create_collection(home, NewCollection(name, "calendar"), LIMITS, CAUSE)
        for number in range(5):
            await storage.put_object(made, f"{number}", content(f"{number}"), None, LIMITS, CAUSE)
        written = await storage.put_object(made, "gone", content("gone"), None, LIMITS, CAUSE)
        await storage.delete_object(made, "gone", state(written), CAUSE)
        await storage.delete_collection(home, made, CAUSE)
        if name == "old":
            await age(storage, 31)
    new, old = await deleted_collections(storage.database, person.id, 60)
    assert (new.name, new.members, old.name, old.members) == ("new", 5, "old", 5)
    assert [each.name for each in await deleted_collections(storage.database, person.id, 30)] == ["new"]
    assert [each.name for each in await deleted_objects(storage.database, person.id, 30)] == ["gone"]
    with pytest.raises(NotFound):
        await restore_collection(storage.database, old, "old", 30, CAUSE)
    # One batch of members is forgotten, and the job is stopped.
    await storage.database.fetch(maintenance._MARK_COLLECTIONS, 30 * DAY, 500)
    await storage.database.fetch(maintenance._FORGET_MEMBERS, 30 * DAY, 2, [home.id])
    await assert_consistent(storage)
    assert await storage.database.fetchval("select member_count from collection where id = $1", old.id) < 5
    # Also somebody with a larger setting is not offered what is left.
    assert [each.name for each in await deleted_collections(storage.database, person.id, 60)] == ["new"]
    with pytest.raises(NotFound):
        await restore_collection(storage.database, old, "old", 60, CAUSE)
    await forget_deleted(storage.database, 30 * DAY)
    await assert_consistent(storage)
    await restore_collection(storage.database, new, "new", 30, CAUSE)
    restored = await person.collection("new")
    assert len(await storage.members(restored, ("name",), after=None, limit=9)) == restored.member_count == 5
    await assert_consistent(storage)


async def test_texts_are_forgotten_when_they_cannot_be_restored_any_more(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    for text in ("one", "two"):
        written = await storage.put_object(calendar, "a", content("u", text), None, LIMITS, CAUSE)
        await storage.delete_object(calendar, "a", state(written), CAUSE)
    assert await forget_deleted(storage.database, 30 * DAY) == 0
    await age(storage, 31)
    assert await forget_deleted(storage.database, 30 * DAY) == 2
    assert await storage.database.fetchval("select text from object") is None
    assert await count(storage, "trash") == 0
    # The tombstone is still there, and its name can be used.
    assert len(await storage.members_changed(calendar, ("name",), after=0, up_to=10**9, limit=5)) == 1
    await storage.put_object(calendar, "a", content("u"), None, LIMITS, CAUSE)
    await assert_consistent(storage)


async def test_a_deleted_collection_goes_with_all_that_it_held(storage):
    person = await make_person(storage)
    home = await person.home()
    made = await storage.create_collection(home, NewCollection("new", "calendar"), LIMITS, CAUSE)
    for number in range(7):
        await storage.put_object(made, f"{number}", content(f"{number}", occurrences=3), None, LIMITS, CAUSE)
    kept = await person.collection()
    await storage.put_object(kept, "kept", content("kept"), None, LIMITS, CAUSE)
    await storage.delete_collection(home, made, CAUSE)
    await forget_deleted(storage.database, 30 * DAY)
    assert await count(storage, "object") == 8
    await age(storage, 31)
    await forget_deleted(storage.database, 30 * DAY, batch=3)
    await assert_consistent(storage)
    assert await count(storage, "object") == await count(storage, "occurrence") == await count(storage, "alarm") == 1
    before = await count(storage, "collection")
    await age(storage, 60)
    assert await prune_tombstones(storage.database, 90 * DAY) == 1
    assert await count(storage, "collection") == before - 1
    found = await person.home()
    assert found.sync_floor == found.infinite_sync_floor == found.revision
    await assert_consistent(storage)


async def test_tokens_end_before_the_tombstones_that_they_need(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    for name in ("a", "b"):
        written = await storage.put_object(calendar, name, content(name), None, LIMITS, CAUSE)
        removed = await storage.delete_object(calendar, name, state(written), CAUSE)
        if name == "a":
            floor = removed
            await age(storage, 91)
    assert await prune_tombstones(storage.database, 92 * DAY) == 0
    assert (await person.collection()).sync_floor == 0
    # First the floor, an hour later the rows.
    await storage.database.fetch(
        "update object set deleted_at = clock_timestamp() - interval '90 days 1 minute' where name = 'a'"
    )
    assert await prune_tombstones(storage.database, 90 * DAY) == 0
    assert (await person.collection()).sync_floor == floor
    assert (await person.home()).infinite_sync_floor == floor
    await age(storage, 1)
    assert await prune_tombstones(storage.database, 90 * DAY, batch=1) == 1
    rows = await storage.members_changed(calendar, ("name", "revision"), after=floor, up_to=10**9, limit=5)
    assert [tuple(row) for row in rows] == [("b", removed)]
    assert (await person.collection()).sync_floor == floor
    again = await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    assert again.revision == removed + 1


async def test_the_check_finds_what_is_wrong(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    written = await storage.put_object(calendar, "a", content("u"), None, LIMITS, CAUSE)
    await assert_consistent(storage)
    wrong = {
        "update collection set member_count = 7 where id = $1": {"member_count"},
        "update collection set used_bytes = 1 where id = $1": {"used_bytes"},
        "update home set used_bytes = 1 where id = (select home_id from collection where id = $1)": {"used_bytes"},
        "update home set property_bytes = 1 where id = (select home_id from collection where id = $1)": {
            "property_bytes"
        },
        "update home set kept_property_bytes = 1 where id = (select home_id from collection where id = $1)": {
            "kept_property_bytes"
        },
        "update home set collection_count = 1 where id = (select home_id from collection where id = $1)": {
            "collection_count"
        },
        "update home set revision = 1 where id = (select home_id from collection where id = $1)": {"revision"},
        "update collection set revision = 1 where id = $1": {"revision"},
        "update object set text = text || 'x' where collection_id = $1": {"size", "etag"},
        "update object set collection_id = 999999 where collection_id = $1": {"collection"},
        "update occurrence set collection_id = 999999 where collection_id = $1": {"collection"},
        "update alarm set object_id = 999999 where collection_id = $1": {"collection"},
        "update collection set deleted_at = now() where id = $1": {"collection"},
        "update object set deleted_at = now() where collection_id = $1": {"deleted_at"},
        "update object set deleted_at = now(), deleted_revision = revision - 1 where collection_id = $1": {
            "deleted_revision"
        },
        "update object set text = null where collection_id = $1": {"text"},
        "update object set name = '' where collection_id = $1": {"name"},
        "update object set summary = '[]' where collection_id = $1": {"summary"},
        "update object set properties = '1' where collection_id = $1": {"properties"},
        "update collection set kind = 'x' where id = $1": {"kind"},
        "update collection set properties = '[]' where id = $1": {"properties"},
        "update home set kind = 'x' where id = (select home_id from collection where id = $1)": {"kind"},
        "update home set properties = '[]' where id = (select home_id from collection where id = $1)": {"properties"},
    }
    for sql, expected in wrong.items():
        try:
            async with storage.database.transaction() as connection:
                await connection.execute(sql, calendar.id)
                found = {item.what async for item in check(OnConnection(connection), etag_of)}
                assert expected <= found, sql
                raise LookupError
        except LookupError:
            continue
    await assert_consistent(storage)
    assert written.revision
    assert [item async for item in check(storage.database, etag_of, sample=1)] == []


class OnConnection:
    """Runs the check's statements in the test's transaction."""

    def __init__(self, connection):
        self.fetch = connection.fetch
