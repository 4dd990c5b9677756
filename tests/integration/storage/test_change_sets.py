"""Sets of several writes: all of them or none, in any homes, with errors that name the write."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.domain.changes import (
    ChangeSet,
    Delete,
    ObjectState,
    PropertyChanges,
    Put,
    SetProperties,
    StoredContent,
    Unchanged,
    UnchangedObject,
)
from server.domain.contents import ObjectView, Views
from server.domain.errors import NotFound, QuotaExceeded, TooManyMembers, UidConflict, WriteConflict
from server.domain.occurrences import AlarmTrigger, Busy
from tests.integration.storage.conftest import deadlocks, make_person
from tests.integration.storage.values import CAUSE, LIMITS, content, state


def change(*writes, unchanged=(), limits=LIMITS):
    return ChangeSet(writes, limits, CAUSE, unchanged)


def put(collection, name, uid=None, expected=None, **of_content):
    return Put(collection, name, content(uid or name, **of_content), expected)


async def names(storage, collection):
    return [row[0] for row in await storage.members(collection, ("name",), after=None, limit=1000)]


async def test_several_homes_in_one_set(storage, person, new_person):
    """Each write has a result in the order of the writes; each home counts its own."""
    other = await new_person()
    here, tasks, there = await person.collection(), await person.collection("tasks"), await other.collection()
    old = await storage.put_object(there, "old", content("old", occurrences=3), None, LIMITS, CAUSE)
    gone = await storage.put_object(here, "gone", content("gone"), None, LIMITS, CAUSE)
    before = {home.id: home.revision for home in (await person.home(), await other.home())}
    new = content("old", occurrences=5)
    written = await storage.apply(
        change(
            put(tasks, "a", occurrences=2),
            Put(there, "old", new, state(old)),
            Delete(here, "gone", state(gone)),
            put(here, "b"),
            put(there, "c"),
        )
    )
    assert [one.id for one in written[1:3]] == [old.id, gone.id]
    assert await names(storage, here) == ["b"]
    assert await names(storage, tasks) == ["a"]
    assert await names(storage, there) == ["c", "old"]
    for home, indexes in ((await person.home(), (2, 0, 3)), (await other.home(), (1, 4))):
        revisions = [written[index].revision for index in indexes]
        assert revisions == list(range(before[home.id] + 1, before[home.id] + 1 + len(indexes)))
        assert home.revision == revisions[-1]
    assert (await other.home()).used_bytes == new.size + content("c").size
    rows = await storage.database.fetch(
        "select revision from outbox where home_id = $1 and revision > $2 order by id",
        there.home_id,
        before[there.home_id],
    )
    assert [row[0] for row in rows] == [written[1].revision, written[4].revision]


async def test_nothing_of_a_set_that_fails(storage, person, new_person):
    """The error names its write."""
    other = await new_person()
    here, there = await person.collection(), await other.collection()
    made = await storage.put_object(there, "a", content("a"), None, LIMITS, CAUSE)
    small = replace(LIMITS, max_members=1)
    tight = replace(LIMITS, quota_bytes=content("long name of an event").size, max_members=10)
    stale = ObjectState(made.id, made.revision - 1)
    before = await person.home(), await other.home()
    for failing, error, index in (
        (change(put(here, "x"), put(there, "a", "b")), WriteConflict, 1),
        (change(put(there, "a", "a", stale), put(here, "x")), WriteConflict, 0),
        (change(put(here, "x"), Delete(there, "a", stale)), WriteConflict, 1),
        (change(put(here, "x"), put(here, "y"), put(there, "b", "a")), UidConflict, 2),
        (change(put(here, "x", "u"), put(here, "y", "u")), UidConflict, 1),
        (change(put(here, "x", "u"), put(here, "x", "v")), WriteConflict, 1),
        (change(put(here, "x"), put(there, "b"), limits=small), TooManyMembers, 1),
        (change(put(here, "x"), put(here, "long name of an event"), limits=tight), QuotaExceeded, 1),
        (change(put(here, "x"), SetProperties(there, "a", stale, PropertyChanges({"{x}y": "<y/>"}))), WriteConflict, 1),
    ):
        with pytest.raises(error) as raised:
            await storage.apply(failing)
        assert (type(raised.value), raised.value.write) == (error, index)
    assert (await person.home(), await other.home()) == before
    assert await names(storage, here) == []
    assert await names(storage, there) == ["a"]


async def test_the_collection_of_one_write_is_gone(storage, person, new_person):
    other = await new_person()
    here, there = await person.collection(), await other.collection("tasks")
    await storage.delete_collection(await other.home(), there, CAUSE)
    with pytest.raises(NotFound) as raised:
        await storage.apply(change(put(here, "x"), put(there, "y")))
    assert raised.value.write == 1
    assert await names(storage, here) == []


async def test_an_error_of_a_single_write_names_it(storage, person):
    calendar = await person.collection()
    await storage.apply(change(put(calendar, "a")))
    with pytest.raises(UidConflict) as raised:
        await storage.apply(change(put(calendar, "b", "a")))
    assert raised.value.write == 0


async def test_what_a_set_deletes_is_free_for_its_puts(storage, person):
    """Whatever the order of the writes, a name and a UID that are given up can be taken."""
    calendar = await person.collection()
    one = await storage.put_object(calendar, "a", content("u1"), None, LIMITS, CAUSE)
    two = await storage.put_object(calendar, "b", content("u2"), None, LIMITS, CAUSE)
    written = await storage.apply(
        change(
            put(calendar, "a", "u2"),
            put(calendar, "c", "u1"),
            Delete(calendar, "b", state(two)),
            Delete(calendar, "a", state(one)),
        )
    )
    assert len({one.id, two.id, written[0].id, written[1].id}) == 4
    assert await names(storage, calendar) == ["a", "c"]


async def test_a_move_beside_other_writes(storage, person, new_person):
    other = await new_person()
    here, there = await person.collection(), await other.collection()
    made = await storage.put_object(here, "a", content("a", occurrences=3), None, LIMITS, CAUSE)
    stored = StoredContent(here, "a", state(made))
    written = await storage.apply(
        change(put(here, "b"), Delete(here, "a", state(made)), Put(there, "a", stored, None, keep_id=True))
    )
    assert written[2].id == written[1].id == made.id
    assert await names(storage, here) == ["b"]
    assert await names(storage, there) == ["a"]
    rows = await storage.members_changed(here, ("name", "deleted_revision"), after=made.revision, up_to=10**9, limit=9)
    assert ("a", written[1].revision) in [tuple(row) for row in rows]


async def test_a_put_replaces_what_its_set_moves(storage, person, new_person):
    """The id stays; a writer that knew the state from before the move conflicts."""
    other = await new_person()
    here, there = await person.collection("calendar"), await person.collection("tasks")
    made = await storage.put_object(here, "a", content("a", occurrences=3), None, LIMITS, CAUSE)
    stored = StoredContent(here, "a", state(made))
    follows = put(there, "b", "a", state(made), text="after")
    beside = put(await other.collection(), "x")
    deletion = Delete(here, "a", state(made))
    written = await storage.apply(change(follows, beside, Put(there, "b", stored, None, keep_id=True), deletion))
    assert written[0].id == written[2].id == written[3].id == made.id
    assert written[0].revision > written[2].revision > written[3].revision
    assert await names(storage, here) == []
    rows = await storage.members(there, ("name", "id", "revision", "text"), after=None, limit=9)
    assert [tuple(row) for row in rows] == [("b", made.id, written[0].revision, "after")]
    with pytest.raises(WriteConflict):
        await storage.apply(change(follows))


async def test_a_move_sets_dead_properties_too(storage, person):
    calendar = await person.collection()
    made = await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    stored = StoredContent(calendar, "a", state(made))
    move = Put(calendar, "b", stored, None, properties={"{x}y": "<y/>"}, keep_id=True)
    await storage.apply(change(move, Delete(calendar, "a", state(made))))
    kept = await storage.database.fetchval("select properties from object where id = $1", made.id)
    assert kept == {"{x}y": "<y/>"}


async def test_a_move_needs_the_deletion_of_its_source(storage, person):
    calendar = await person.collection()
    made = await storage.put_object(calendar, "a", content("a"), None, LIMITS, CAUSE)
    with pytest.raises(ValueError, match="deletes"):
        await storage.apply(change(Put(calendar, "b", StoredContent(calendar, "a", state(made)), None, keep_id=True)))


async def test_what_was_read_to_decide_must_still_be_so(storage, person, new_person):
    other = await new_person()
    here, there = await person.collection(), await other.collection()
    read = await storage.put_object(there, "a", content("a"), None, LIMITS, CAUSE)
    rests_on = UnchangedObject(there.home_id, state(read))
    collection = await other.collection()
    whole = Unchanged(there.home_id, there.id, collection.revision, other.id)
    await storage.apply(change(put(here, "x"), unchanged=(rests_on, whole)))
    later = await storage.put_object(there, "a", content("a", "new"), state(read), LIMITS, CAUSE)
    for unchanged in ((rests_on,), (whole,)):
        with pytest.raises(WriteConflict) as raised:
            await storage.apply(change(put(here, "y"), unchanged=unchanged))
        assert raised.value.write is None
    await storage.delete_object(there, "a", state(later), CAUSE)
    with pytest.raises(WriteConflict):
        await storage.apply(change(put(here, "y"), unchanged=(UnchangedObject(there.home_id, state(later)),)))
    assert await names(storage, here) == ["x"]


NOT_COMPARED = [
    "home_id",
    "owner_addresses",
    "collection_id",
    "object_id",
    "id",
    "principal_id",
    "xid",
    "at",
    "request_id",
]
"""Ids, times and the like, which differ between two homes with the same members."""
NAME = "(select x.name from object x where x.home_id = o.home_id and x.id = o.object_id)"
STORED = {
    "home": "null",
    "collection": "null",
    "object": "null",
    "occurrence": NAME,
    "alarm": f"array[{NAME}, o.viewer_id::text]",
    "object_view": f"array[{NAME}, o.principal_id::text]",
    "trash": "null",
    "outbox": "null",
}
"""Tables, and what names a row where its ids do."""


async def stored(storage, home):
    """All that is stored of a home, without ids and times."""
    key = {"home": "id"}
    rows = {
        table: await storage.database.fetch(
            f"select to_jsonb(o) - $2::text[], {named} from {table} o where {key.get(table, 'home_id')} = $1",
            home,
            [*NOT_COMPARED, "created_at", "modified_at", "deleted_at"],
        )
        for table, named in STORED.items()
    }
    return {table: sorted(map(repr, map(tuple, found))) for table, found in rows.items()}


def seen(text, viewers, based_on):
    """Personal copies and a neutral text, as a service would render them; every other viewer has an alarm."""
    alarm = AlarmTrigger(0, 0, None, 0, -600, False)
    copies = tuple(
        ObjectView(one, f"e{one}", f"{text} of {one}", len(f"{text} of {one}"), "p", (Busy.FREE,), (alarm,) * (one % 2))
        for one in viewers
    )
    return Views("neutral", f"{text}, neutral", (Busy.BUSY,), copies, based_on)


NAMES = ("a", "b", "c", "d")
ACTS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(("put", "put", "delete")),
        st.sampled_from((None, 0, 1, 3)),
        st.integers(0, 2),
    ),
    min_size=2,
    max_size=4,
    unique_by=lambda act: act[0],
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rounds=st.lists(ACTS, min_size=1, max_size=5), shared=st.booleans())
async def test_a_set_leaves_what_its_writes_leave_one_after_the_other(storage, rounds, shared):
    viewers = [(await make_person(storage)).id for _ in range(2)]
    homes = []
    for together in (True, False):
        person = await make_person(storage)
        calendar = await person.collection()
        if shared:
            await storage.database.fetchval("select koyomi_begin_views_1($1, $2)", calendar.home_id, calendar.id)
        for number, acts in enumerate(rounds):
            rows = await storage.database.fetch(
                """
                select o.name, o.id, o.revision, count(v), coalesce(max(v.revision), 0)
                from object o left join object_view v on v.home_id = o.home_id and v.object_id = o.id
                where o.home_id = $1 and o.deleted_revision is null group by o.home_id, o.id
                """,
                calendar.home_id,
            )
            known = {row[0]: row[1:] for row in rows}
            writes = []
            for name, act, occurrences, copies in acts:
                expected = ObjectState(*known[name][:2]) if name in known else None
                if act == "delete":
                    writes += [] if expected is None else [Delete(calendar, name, expected)]
                    continue
                new = content(name, f"{name} {number}" * (copies + 1), occurrences=occurrences)
                based_on = tuple(known[name][2:]) if name in known else (0, 0)
                # A service renders all copies that there are.
                at_least = based_on[0]
                views = seen(new.text, viewers[: max(copies, at_least)], based_on) if shared else None
                writes.append(Put(calendar, name, new, expected, views))
            writes.sort(key=lambda write: not isinstance(write, Delete))
            if together and writes:
                await storage.apply(change(*writes))
            else:
                for write in writes:
                    await storage.apply(change(write))
            # What is deleted or replaced later has properties.
            for (_, name), row in (await storage.members_named([(calendar, "a")], ("id", "revision"))).items():
                write = SetProperties(calendar, name, ObjectState(*row), PropertyChanges({"{x}y": f"<y>{number}</y>"}))
                await storage.apply(change(write))
        homes.append(await stored(storage, calendar.home_id))
    assert homes[0] == homes[1]


@pytest.mark.parametrize("shared", [False, True])
async def test_a_set_of_properties_leaves_what_single_changes_leave(storage, shared):
    """In one statement; some are removed, and some members had none."""
    homes = []
    for together in (True, False):
        person = await make_person(storage)
        places = [await person.collection("calendar"), await person.collection("tasks")]
        if shared:
            await storage.database.fetchval("select koyomi_begin_views_1($1, $2)", places[0].home_id, places[0].id)
        for round_ in range(3):
            rows = await storage.members_named([(one, name) for one in places for name in "abc"], ("id", "revision"))
            if not rows:
                made = []
                for one in places:
                    views = seen("text", [], (0, 0)) if shared and one is places[0] else None
                    made += [Put(one, name, content(name), None, views) for name in "abc"]
                await storage.apply(change(*made))
                continue
            writes = []
            for one in places:
                for number, name in enumerate("abc"):
                    values = {"{x}a": "<a/>" if round_ == number else None, "{x}b": f"<b>{'é' * number}</b>"}
                    state_of = ObjectState(*rows[one.id, name])
                    writes.append(SetProperties(one, name, state_of, PropertyChanges(values)))
            if together:
                written = await storage.apply(change(*writes))
                revisions = [one.revision for one in written]
                assert revisions == list(range(revisions[0], revisions[0] + 6))
                assert [one.id for one in written] == [write.expected.id for write in writes]
            else:
                for write in writes:
                    await storage.apply(change(write))
        homes.append(await stored(storage, places[0].home_id))
    assert homes[0] == homes[1]


async def test_a_set_of_copies_leaves_what_single_copies_leave(storage):
    """In one statement: within a home and into another, over tombstones, with alarms and properties."""
    homes = []
    for together in (True, False):
        person, other = await make_person(storage), await make_person(storage)
        here, tasks, there = await person.collection(), await person.collection("tasks"), await other.collection()
        for place, name in ((tasks, "a"), (there, "b")):
            old = await storage.put_object(place, name, content(f"old {name}"), None, LIMITS, CAUSE)
            await storage.delete_object(place, name, state(old), CAUSE)
        sources = {}
        for number, name in enumerate("abc"):
            made = await storage.put_object(here, name, content(name, occurrences=number + 1), None, LIMITS, CAUSE)
            revision = made.revision
            if number:
                properties = PropertyChanges({"{x}y": f"<y>{number}</y>"})
                revision = await storage.set_object_properties(here, name, state(made), properties, CAUSE)
            sources[name] = StoredContent(here, name, ObjectState(made.id, revision))
        writes = [
            Put(tasks, "a", sources["a"], None),
            Put(there, "b", sources["b"], None),
            Put(tasks, "new", sources["c"], None),
            Put(there, "c", sources["c"], None),
        ]
        if together:
            written = await storage.apply(change(*writes))
            assert len({one.id for one in written}) == 4
            assert written[2].revision == written[0].revision + 1
        else:
            for write in writes:
                await storage.apply(change(write))
        homes.append([await stored(storage, home) for home in (here.home_id, there.home_id)])
    assert homes[0] == homes[1]


async def test_nothing_of_a_set_of_copies_that_fails(storage, person, new_person):
    other = await new_person()
    here, tasks, there = await person.collection(), await person.collection("tasks"), await other.collection()
    a, b = [
        StoredContent(here, name, state(await storage.put_object(here, name, content(name), None, LIMITS, CAUSE)))
        for name in "ab"
    ]
    await storage.put_object(there, "taken", content("taken"), None, LIMITS, CAUSE)
    await storage.put_object(there, "other", content("b"), None, LIMITS, CAUSE)
    stale = replace(b, state=ObjectState(b.state.id, b.state.revision + 1))
    before = await person.home(), await other.home()
    tight = replace(LIMITS, quota_bytes=before[0].used_bytes + content("a").size + 10)
    for writes, limits, error, index in (
        ([Put(tasks, "a", a, None), Put(tasks, "b", stale, None)], LIMITS, WriteConflict, 1),
        ([Put(tasks, "a", a, None), Put(there, "taken", a, None)], LIMITS, WriteConflict, 1),
        ([Put(tasks, "a", a, None), Put(tasks, "a", b, None)], LIMITS, WriteConflict, 1),
        ([Put(tasks, "a", a, None), Put(there, "b", b, None)], LIMITS, UidConflict, 1),
        ([Put(tasks, "a", a, None), Put(tasks, "b", a, None)], LIMITS, UidConflict, 1),
        ([Put(tasks, "a", a, None), Put(tasks, "b", b, None)], replace(LIMITS, max_members=1), TooManyMembers, 1),
        ([Put(tasks, "a", a, None), Put(tasks, "b", b, None)], tight, QuotaExceeded, 1),
    ):
        with pytest.raises(error) as raised:
            await storage.apply(change(*writes, limits=limits))
        assert (type(raised.value), raised.value.write) == (error, index)
    await storage.delete_collection(await other.home(), there, CAUSE)
    with pytest.raises(NotFound) as raised:
        await storage.apply(change(Put(tasks, "a", a, None), Put(there, "a", a, None)))
    assert raised.value.write == 1
    await storage.database.fetchval("select koyomi_begin_views_1($1, $2)", tasks.home_id, tasks.id)
    with pytest.raises(WriteConflict):
        await storage.apply(change(Put(tasks, "a", a, None), Put(tasks, "b", b, None)))
    assert await person.home() == before[0]
    assert await names(storage, tasks) == []


async def test_nothing_of_a_set_of_properties_that_fails(storage, person, new_person):
    other = await new_person()
    here, there = await person.collection(), await other.collection()
    one = await storage.put_object(here, "a", content("a"), None, LIMITS, CAUSE)
    two = await storage.put_object(there, "a", content("a"), None, LIMITS, CAUSE)
    small, large = PropertyChanges({"{x}y": "<y/>"}), PropertyChanges({"{x}y": f"<y>{'x' * 5000}</y>"})
    tight = replace(LIMITS, quota_bytes=(await other.home()).used_bytes + 1000)
    before = await person.home(), await other.home()

    def both(first, second, changes=small, limits=LIMITS):
        places = SetProperties(here, "a", first, small), SetProperties(there, "a", second, changes)
        return change(*places, limits=limits)

    for failing, error, index in (
        (both(state(one), ObjectState(two.id, two.revision - 1)), WriteConflict, 1),
        (both(ObjectState(one.id, one.revision + 1), state(two)), WriteConflict, 0),
        (both(state(one), state(two), large, tight), QuotaExceeded, 1),
    ):
        with pytest.raises(error) as raised:
            await storage.apply(failing)
        assert raised.value.write == index
    await storage.move_collection(await other.home(), there, "elsewhere", None, CAUSE)
    with pytest.raises(WriteConflict) as raised:
        await storage.apply(both(state(one), state(two)))
    assert raised.value.write == 1
    await storage.delete_collection(await other.home(), await other.collection("elsewhere"), CAUSE)
    with pytest.raises(NotFound) as raised:
        await storage.apply(both(state(one), state(two)))
    assert raised.value.write == 1
    assert await person.home() == before[0]
    properties = "select count(*) from object where home_id = any($1) and properties is not null"
    assert await storage.database.fetchval(properties, [here.home_id, there.home_id]) == 0


async def test_sets_over_the_same_homes_in_any_order(storage, new_person):
    """Writers that name objects and homes in any order, beside single writes, never lock in a circle."""
    people = [await new_person() for _ in range(4)]
    calendars = [await one.collection() for one in people]
    before = await deadlocks(storage)

    async def work(number):
        dice = random.Random(number)
        for _ in range(12):
            found = await storage.members_named([(calendar, "shared") for calendar in calendars], ("id", "revision"))
            chosen = dice.sample(calendars, dice.randint(1, 4))
            writes = []
            for calendar in chosen:
                row = found.get((calendar.id, "shared"))
                expected = None if row is None else ObjectState(*row)
                if expected is not None and dice.random() < 0.3:
                    writes.append(Delete(calendar, "shared", expected))
                else:
                    writes.append(put(calendar, "shared", expected=expected, occurrences=dice.randint(1, 4)))
            try:
                await storage.apply(change(*writes))
            except WriteConflict:
                continue

    async with asyncio.timeout(120):
        await asyncio.gather(*map(work, range(6)))
    assert await deadlocks(storage) == before
