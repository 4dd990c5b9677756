"""Many at once: nothing is lost, nothing is seen out of order, nothing hangs."""

from __future__ import annotations

import asyncio
import random

from server.domain.changes import ObjectState, PropertyChanges, WriteLimits
from server.domain.errors import QuotaExceeded, TooManyMembers, UidConflict, WriteConflict
from server.domain.objects import NewCollection, Target
from tests.integration.storage.conftest import deadlocks
from tests.integration.storage.values import CAUSE, LIMITS, content, state


async def outcome(work):
    try:
        await work
    except (WriteConflict, UidConflict, QuotaExceeded, TooManyMembers) as error:
        return type(error).__name__
    return "done"


async def outcomes(*works):
    return sorted(await asyncio.gather(*map(outcome, works)))


async def test_no_revision_appears_below_one_already_seen(storage, person):
    """Readers that go on from the highest revision they saw end with what is stored (a global sequence fails this)."""
    calendar, tasks = await person.collection(), await person.collection("tasks")
    writing = True

    async def writer(number):
        dice = random.Random(number)
        written = {}
        for step in range(25):
            collection = dice.choice((calendar, tasks))
            key = (collection.id, f"{number}-{dice.randrange(6)}.ics")
            text = content(f"{key[1]} {collection.id}", f"text {step}", occurrences=dice.choice((None, 1, 30)))
            if key in written and dice.random() < 0.4:
                await storage.delete_object(collection, key[1], state(written.pop(key)), CAUSE)
            else:
                before = written.get(key)
                expected = None if before is None else state(before)
                written[key] = await storage.put_object(collection, key[1], text, expected, LIMITS, CAUSE)

    async def reader(collection):
        token, known = 0, {}
        while True:
            last = not writing
            found = await storage.resolve(person.id, Target(person.uid, "uid", "calendar", collection.name))
            up_to = found.collection.revision
            rows = await storage.members_changed(
                collection, ("name", "etag", "deleted_revision", "revision"), after=token, up_to=up_to, limit=7
            )
            for name, etag, deleted, revision in rows:
                assert revision > token
                token = revision
                if deleted is None:
                    known[name] = etag
                else:
                    known.pop(name, None)
            if last and len(rows) < 7:
                return known
            await asyncio.sleep(0.001)

    readers = [asyncio.create_task(reader(collection)) for collection in (calendar, tasks, calendar)]
    await asyncio.gather(*map(writer, range(6)))
    writing = False
    for collection, known in zip((calendar, tasks, calendar), await asyncio.gather(*readers), strict=True):
        stored = await storage.members(collection, ("name", "etag"), after=None, limit=1000)
        assert known == dict(stored)
    revisions = await storage.database.fetch(
        "select revision from outbox where home_id = $1 order by revision", calendar.home_id
    )
    # Every change has a revision of its own.
    assert [row[0] for row in revisions] == list(range(6, 6 + len(revisions)))


async def test_one_of_several_wins(storage, person):
    calendar = await person.collection()
    found = await outcomes(
        *(storage.put_object(calendar, "a.ics", content(f"u{n}", f"{n}"), None, LIMITS, CAUSE) for n in range(8))
    )
    assert found == ["WriteConflict"] * 7 + ["done"]
    (row,) = await storage.members(calendar, ("id", "revision"), after=None, limit=5)
    expected = ObjectState(*row)
    found = await outcomes(
        *(
            storage.put_object(calendar, "a.ics", content("new", f"{n}", occurrences=n), expected, LIMITS, CAUSE)
            for n in range(6)
        ),
        storage.delete_object(calendar, "a.ics", expected, CAUSE),
        storage.move_object(calendar, "a.ics", expected, calendar, "b.ics", None, LIMITS, CAUSE),
    )
    assert found == ["WriteConflict"] * 7 + ["done"]


async def test_one_of_several_takes_a_name_a_tombstone_has(storage, person):
    calendar = await person.collection()
    written = await storage.put_object(calendar, "a.ics", content("u1"), None, LIMITS, CAUSE)
    await storage.delete_object(calendar, "a.ics", state(written), CAUSE)
    found = await outcomes(
        *(storage.put_object(calendar, "a.ics", content(f"u{n}"), None, LIMITS, CAUSE) for n in range(8))
    )
    assert found == ["WriteConflict"] * 7 + ["done"]
    assert len(await storage.members(calendar, ("name",), after=None, limit=5)) == 1


async def test_one_of_several_takes_a_uid(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    moving = await storage.put_object(tasks, "m.ics", content("u1"), None, LIMITS, CAUSE)
    found = await outcomes(
        *(storage.put_object(calendar, f"{n}.ics", content("u1"), None, LIMITS, CAUSE) for n in range(6)),
        storage.move_object(tasks, "m.ics", state(moving), calendar, "m.ics", None, LIMITS, CAUSE),
        storage.copy_object(tasks, "m.ics", state(moving), calendar, "c.ics", None, LIMITS, CAUSE),
    )
    assert found.count("done") == 1
    assert len(await storage.members(calendar, ("name",), after=None, limit=50)) == 1


async def test_limits_hold_for_all_together(storage, person):
    calendar, tasks = await person.collection(), await person.collection("tasks")
    limits = WriteLimits(quota_bytes=55, max_members=100, max_collections=10, max_personal_properties_size=10**6)
    found = await outcomes(
        *(
            storage.put_object(where, f"{n}.ics", content(f"u{n}", "x" * 10), None, limits, CAUSE)
            for n in range(10)
            for where in (calendar, tasks)
        )
    )
    assert found == ["QuotaExceeded"] * 15 + ["done"] * 5
    assert (await person.home()).used_bytes == 50
    limits = WriteLimits(quota_bytes=10**9, max_members=8, max_collections=10, max_personal_properties_size=10**6)
    await outcomes(
        *(storage.put_object(calendar, f"m{n}.ics", content(f"m{n}"), None, limits, CAUSE) for n in range(12))
    )
    assert (await person.collection()).member_count == 8


async def test_moves_in_both_directions_do_not_block_each_other(storage, person, new_person):
    other = await new_person()
    here, there = await person.collection(), await other.collection()
    for number in range(6):
        where = here if number % 2 else there
        await storage.put_object(where, f"{number}.ics", content(f"u{number}", occurrences=3), None, LIMITS, CAUSE)

    async def travel(number):
        at, to = (here, there) if number % 2 else (there, here)
        for _ in range(8):
            name = f"{number}.ics"
            found = await storage.members_named([(at, name)], ("id", "revision"))
            moving = ObjectState(*found[at.id, name])
            await storage.move_object(at, name, moving, to, name, None, LIMITS, CAUSE)
            at, to = to, at

    async with asyncio.timeout(60):
        await asyncio.gather(*map(travel, range(6)))
    assert len(await storage.members(here, ("name",), after=None, limit=50)) == 3
    assert len(await storage.members(there, ("name",), after=None, limit=50)) == 3


async def test_swapping_replacements_do_not_block_each_other(storage, person):
    """Two moves that each replace the source of the other lock both objects."""
    calendar, tasks = await person.collection(), await person.collection("tasks")
    for _ in range(10):
        one = await storage.put_object(calendar, "a.ics", content("u1", occurrences=5), None, LIMITS, CAUSE)
        two = await storage.put_object(tasks, "a.ics", content("u1", occurrences=5), None, LIMITS, CAUSE)
        found = await outcomes(
            storage.move_object(calendar, "a.ics", state(one), tasks, "a.ics", state(two), LIMITS, CAUSE),
            storage.move_object(tasks, "a.ics", state(two), calendar, "a.ics", state(one), LIMITS, CAUSE),
        )
        assert found == ["WriteConflict", "done"]
        for where in (calendar, tasks):
            for id_, revision in await storage.members(where, ("id", "revision"), after=None, limit=5):
                await storage.delete_object(where, "a.ics", ObjectState(id_, revision), CAUSE)


async def test_writes_against_deletion_of_the_collection(storage, person):
    home = await person.home()
    for round_ in range(5):
        made = await storage.create_collection(home, NewCollection("w", "calendar"), LIMITS, CAUSE)
        puts = [storage.put_object(made, f"{n}.ics", content(f"u{n} {round_}"), None, LIMITS, CAUSE) for n in range(6)]
        results = await asyncio.gather(
            *puts[:3], storage.delete_collection(home, made, CAUSE), *puts[3:], return_exceptions=True
        )
        assert isinstance(results[3], int)
        assert all(not isinstance(result, BaseException) or type(result).__name__ == "NotFound" for result in results)
    assert (await person.home()).used_bytes == 0


async def test_the_same_name_made_by_several(storage, person):
    home = await person.home()
    made = await asyncio.gather(
        *(storage.create_collection(home, NewCollection("w", "calendar"), LIMITS, CAUSE) for _ in range(6)),
        return_exceptions=True,
    )
    assert sorted(type(item).__name__ for item in made) == ["AlreadyExists"] * 5 + ["Collection"]


async def test_what_shrinks_and_is_gone_gives_up_in_order(storage, person):
    """A write that loses counts bytes that are no longer there before it notices."""
    home = await person.home()
    for round_ in range(8):
        made = await storage.create_collection(home, NewCollection("w", "calendar"), LIMITS, CAUSE)
        one = await storage.put_object(made, "a.ics", content(f"u{round_}", "x" * 9), None, LIMITS, CAUSE)
        shrinking = [
            storage.put_object(made, "a.ics", content(f"u{round_}", "", occurrences=None), state(one), LIMITS, CAUSE)
            for _ in range(3)
        ]
        assert (await outcomes(*shrinking)).count("done") == 1
        (row,) = await storage.members(made, ("id", "revision"), after=None, limit=5)
        two = await storage.put_object(made, "a.ics", content(f"u{round_}", "x" * 9), ObjectState(*row), LIMITS, CAUSE)
        results = await asyncio.gather(
            storage.delete_collection(home, made, CAUSE),
            storage.delete_object(made, "a.ics", state(two), CAUSE),
            return_exceptions=True,
        )
        assert isinstance(results[0], int)
        assert isinstance(results[1], int) or type(results[1]).__name__ == "NotFound"
    assert (await person.home()).used_bytes == 0


async def test_all_kinds_of_writes_of_one_member(storage, person):
    """They lock it and its home in one order: none has to be ended as a deadlock."""
    calendar, tasks = await person.collection(), await person.collection("tasks")

    before = await deadlocks(storage)
    for round_ in range(15):
        written = await storage.put_object(calendar, "a", content("u", occurrences=4), None, LIMITS, CAUSE)
        based = state(written)
        writes = [
            storage.put_object(calendar, "a", content("u", "other", occurrences=5), based, LIMITS, CAUSE),
            storage.put_object(calendar, "a", content("u", "text", occurrences=None), based, LIMITS, CAUSE),
            storage.set_object_properties(calendar, "a", based, PropertyChanges({"{x}y": "<y/>"}), CAUSE),
            storage.delete_object(calendar, "a", based, CAUSE),
            storage.move_object(calendar, "a", based, tasks, "a", None, LIMITS, CAUSE),
            storage.put_object(calendar, "a", content("u", "more", occurrences=2), based, LIMITS, CAUSE),
        ]
        random.Random(round_).shuffle(writes)
        assert await outcomes(*writes) == ["WriteConflict"] * 5 + ["done"]
        for where in (calendar, tasks):
            for id_, revision in await storage.members(where, ("id", "revision"), after=None, limit=5):
                await storage.delete_object(where, "a", ObjectState(id_, revision), CAUSE)
    assert await deadlocks(storage) == before
