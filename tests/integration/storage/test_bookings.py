"""Bookings of rooms and equipment are writes of change sets; the database refuses what overlaps."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from server.domain.changes import Book, ChangeSet, Delete, ObjectState, Put, Reservation, StoredContent
from server.domain.errors import AlreadyReserved, WriteConflict
from server.domain.objects import NewCollection
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.upkeep.check import check
from tests.integration.storage.conftest import Person
from tests.integration.storage.values import CAUSE, LIMITS, content, etag_of, state
from tests.unit.services.memory_storage.storage import MemoryStorage, memory

NUMBERS = itertools.count(1)
DAY = datetime(2026, 3, 5, tzinfo=UTC)
ROWS = """
    select o.name, extract(hour from lower(r.during))::int, extract(hour from upper(r.during))::int
    from reservation r left join object o on o.home_id = r.home_id and o.id = r.object_id
    where r.home_id = $1 order by lower(r.during)
"""


def hours(*times):
    """Reservations by their hours."""
    return tuple(
        Reservation("" if number == 0 else f"{number}", DAY.replace(hour=start), DAY.replace(hour=end))
        for number, (start, end) in enumerate(times)
    )


class Room:
    def __init__(self, storage, person, calendar):
        self.storage, self.person, self.calendar = storage, person, calendar

    def put(self, name, expected=None, text=None):
        return Put(self.calendar, name, content(name, text), expected)

    def book(self, name, *times, expected=None, calendar=None):
        return Book(calendar or self.calendar, name, expected, self.person.id, hours(*times))

    def delete(self, name, expected):
        return Delete(self.calendar, name, expected)

    async def apply(self, *writes, **more):
        return [state(each) for each in await self.storage.apply(ChangeSet(writes, LIMITS, CAUSE, **more))]

    async def has(self, *expected):
        """Name and hours of each reservation."""
        assert await self.reserved() == list(expected)

    async def reserved(self):
        if isinstance(self.storage, MemoryStorage):
            tables = self.storage.tables
            times = [
                (tables.objects[id_].name, each.start.hour, each.end.hour)
                for id_, (resource, found) in tables.reservations.items()
                for each in found
                if resource == self.person.id
            ]
            return sorted(times, key=lambda time: time[1])
        return list(map(tuple, await self.storage.database.fetch(ROWS, self.calendar.home_id)))


async def make_room(storage, directory):
    name = f"room{next(NUMBERS)}"
    (id_,) = await directory.write_principals([PrincipalChange(kind="room", name=name)], CAUSE)
    found = await directory.principal(name)
    person = Person(storage, id_, found.uid, name)
    return Room(storage, person, await person.collection())


@pytest.fixture(params=["database", "memory"])
def new_room(request, storage):
    """Makes a room in the database, or in memory."""
    if request.param == "database":
        return lambda: make_room(storage, PostgresDirectory(storage.database))
    found = memory()
    return lambda: make_room(found.storage, found.directory)


@pytest_asyncio.fixture(loop_scope="session")
async def room(new_room):
    return await new_room()


async def test_an_object_is_put_and_booked_together(room):
    made, booked = await room.apply(room.put("a"), room.book("a", (9, 10), (11, 12)))
    assert booked == made
    await room.has(("a", 9, 10), ("a", 11, 12))
    # other times take the place of those before
    again, _ = await room.apply(room.put("a", made, "changed"), room.book("a", (9, 11)))
    await room.has(("a", 9, 11))
    # an object that is there already; nothing else changes
    (booked,) = await room.apply(room.book("a", (8, 9), expected=again))
    assert booked == again
    await room.has(("a", 8, 9))
    await room.apply(room.book("a", expected=again))
    await room.has()


async def test_times_that_meet_do_not_overlap(room):
    await room.apply(room.put("a"), room.put("b"), room.book("a", (9, 10)), room.book("b", (10, 11)))
    await room.has(("a", 9, 10), ("b", 10, 11))


@pytest.mark.parametrize("alone", [False, True])
async def test_what_overlaps_is_refused_and_the_write_is_named(room, alone):
    (_, other, *_) = await room.apply(room.put("a"), room.put("b"), room.book("a", (9, 11)))
    writes = [room.book("b", (7, 8), (10, 12), expected=other)]
    if not alone:
        writes = [room.put("c"), room.put("d"), room.book("c", (12, 13)), *writes]
    with pytest.raises(AlreadyReserved) as raised:
        await room.apply(*writes)
    assert raised.value.write == len(writes) - 1
    await room.has(("a", 9, 11))
    # two of one set
    with pytest.raises(AlreadyReserved) as raised:
        await room.apply(room.book("e", (14, 16)), room.put("e"), room.put("f"), room.book("f", (15, 17)))
    assert raised.value.write == 3
    # an error of a put beside bookings has the index of the put
    with pytest.raises(WriteConflict) as raised:
        await room.apply(room.book("e", (14, 16)), room.put("e"), room.put("a"))
    assert raised.value.write == 2
    await room.has(("a", 9, 11))


async def test_meetings_of_a_set_take_each_others_times(room):
    first, second, *_ = await room.apply(
        room.put("a"), room.put("b"), room.book("a", (9, 10)), room.book("b", (11, 12))
    )
    await room.apply(room.book("a", (11, 12), expected=first), room.book("b", (9, 10), expected=second))
    await room.has(("b", 9, 10), ("a", 11, 12))
    # and one takes the time of another that the set deletes
    await room.apply(room.book("a", (9, 10), expected=first), room.delete("b", second))
    await room.has(("a", 9, 10))


async def test_resources_do_not_concern_each_other(new_room):
    room, other = await new_room(), await new_room()
    await room.apply(
        room.put("a"), room.book("a", (9, 10)), other.put("a"), other.book("a", (9, 10)),
    )  # fmt: skip
    await room.has(("a", 9, 10))
    await other.has(("a", 9, 10))


async def test_a_deleted_object_releases_the_room(room):
    first, second, third, *_ = await room.apply(
        *(room.put(name) for name in "abc"), *(room.book(name, (9 + n, 10 + n)) for n, name in enumerate("abc"))
    )
    await room.apply(room.delete("a", first))
    await room.has(("b", 10, 11), ("c", 11, 12))
    await room.apply(room.delete("b", second), room.delete("c", third))
    await room.has()
    # another object under the name, which deletes nobody's
    again, *_ = await room.apply(room.put("a"), room.put("d"), room.book("d", (9, 10)))
    await room.apply(room.delete("a", again))
    await room.has(("d", 9, 10))


async def test_a_moved_object_releases_the_room_and_a_replaced_one_too(room):
    work = await room.storage.create_collection(
        await room.person.home(), NewCollection("work", "calendar"), LIMITS, CAUSE
    )
    first, *_ = await room.apply(room.put("a"), room.put("b"), room.book("a", (9, 10)), room.book("b", (10, 11)))
    stored = StoredContent(room.calendar, "a", first)
    moved, *_ = await room.apply(Put(work, "a", stored, None, keep_id=True), room.delete("a", first))
    await room.has(("b", 10, 11))
    # a copy reserves nothing, and what it replaces reserves no longer
    (copied,) = await room.apply(Put(room.calendar, "c", StoredContent(work, "a", moved), None))
    await room.apply(room.book("c", (12, 13), expected=copied))
    await room.has(("b", 10, 11), ("c", 12, 13))
    back = Put(room.calendar, "c", StoredContent(work, "a", moved), copied, keep_id=True)
    await room.apply(back, Delete(work, "a", moved))
    await room.has(("b", 10, 11))


async def test_a_move_books_where_the_object_comes_to_lie(room):
    work = await room.storage.create_collection(
        await room.person.home(), NewCollection("work", "calendar"), LIMITS, CAUSE
    )
    first, _ = await room.apply(room.put("a"), room.book("a", (9, 10)))
    stored = StoredContent(room.calendar, "a", first)
    await room.apply(
        room.book("b", (9, 10), calendar=work), room.delete("a", first), Put(work, "b", stored, None, keep_id=True)
    )
    await room.has(("b", 9, 10))


async def test_a_deleted_calendar_releases_the_room(room):
    work = await room.storage.create_collection(
        await room.person.home(), NewCollection("work", "calendar"), LIMITS, CAUSE
    )
    await room.apply(Put(work, "a", content("a"), None), room.book("a", (9, 10), calendar=work))
    await room.apply(room.put("b"), room.book("b", (10, 11)))
    await room.storage.delete_collection(await room.person.home(), work, CAUSE)
    await room.has(("b", 10, 11))


async def test_a_booking_rests_on_the_state_that_it_was_decided_on(room):
    made, _ = await room.apply(room.put("a"), room.book("a", (9, 10)))
    stale = ObjectState(made.id, made.revision - 1)
    for expected in (stale, ObjectState(made.id + 10**6, made.revision)):
        for writes in ([room.book("a", (7, 8), expected=expected)], [room.book("a", expected=expected), room.put("b")]):
            with pytest.raises(WriteConflict) as raised:
                await room.apply(*writes)
            assert raised.value.write == 0
    with pytest.raises(ValueError, match="puts it"):
        await room.apply(room.book("a", (7, 8)))
    with pytest.raises(ValueError, match="after its start"):
        hours((9, 9))
    await room.has(("a", 9, 10))


async def test_writers_of_one_room_queue(room):
    """One of them gets each hour; nobody deadlocks, and nothing half is left."""
    names = [f"{number}" for number in range(12)]
    done = await asyncio.gather(
        *(
            room.apply(room.put(name), room.put(f"{name}-more"), room.book(name, (9 + n % 3, 10 + n % 3)))
            for n, name in enumerate(names)
        ),
        return_exceptions=True,
    )
    assert [isinstance(each, AlreadyReserved) for each in done].count(True) == 9
    assert [times for _, *times in await room.reserved()] == [[9, 10], [10, 11], [11, 12]]
    members = await room.storage.members(room.calendar, ("name",), after=None, limit=100)
    assert len(members) == 6


async def test_a_check_finds_reservations_without_object(storage):
    room = await make_room(storage, PostgresDirectory(storage.database))
    made, _ = await room.apply(room.put("a"), room.book("a", (9, 10)))
    await storage.database.fetch("update reservation set object_id = 0 where home_id = $1", room.calendar.home_id)
    found = [each async for each in check(storage.database, etag_of)]
    assert [(each.home_id, each.what, each.stored) for each in found] == [(room.calendar.home_id, "object", "0")]
    await storage.database.fetch("delete from reservation where home_id = $1", room.calendar.home_id)
    assert made
