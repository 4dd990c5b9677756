"""Every busy instance in the calendars of rooms and equipment is a reservation; what overlaps is refused."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from server.booking.free_time import crowded
from server.domain.changes import ChangeSet, Delete, PropertyChanges, Put, StoredContent
from server.domain.errors import AlreadyReserved, WriteConflict
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.domain.rooms import Room as Attributes
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.changes.clocks import follow_zone_data
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.migrations import migrations
from storage_plugins.postgres.upkeep.check import check
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from storage_plugins.postgres.upkeep.occurrence_jobs import reexpand, roll_horizon
from storage_plugins.postgres.upkeep.rederivation import rederive
from tests.integration.storage.conftest import Person, assert_consistent, deadlocks
from tests.integration.storage.values import CAUSE, LIMITS, NOW, etag_of, event_text, read, state
from tests.unit.services.memory_storage.storage import MemoryStorage, memory

NUMBERS = itertools.count(1)
ROWS = """
    select o.name, extract(hour from r.starts_at)::int, extract(hour from r.ends_at)::int
    from reservation r left join object o on o.home_id = r.home_id and o.id = r.object_id
    where r.resource_id = $1 order by r.starts_at, r.ends_at
"""


def at(hour, day=5):
    return datetime(2050, 3, day, tzinfo=UTC) + timedelta(hours=hour)


def times(start, end):
    return (f"DTSTART:{at(start):%Y%m%dT%H%M%SZ}", f"DTEND:{at(end):%Y%m%dT%H%M%SZ}")


def daily(first, until=""):
    """The lines of a series at nine."""
    return (f"DTSTART:{first:%Y%m%dT090000Z}", f"DTEND:{first:%Y%m%dT100000Z}", f"RRULE:FREQ=DAILY{until}")


def text(uid, *lines):
    return event_text(uid, *lines).replace("DURATION:PT1H\r\n", "")


class Room:
    def __init__(self, storage, directory, person, calendar):
        self.storage, self.directory, self.person, self.calendar = storage, directory, person, calendar

    async def put(self, name, *lines, expected=None, calendar=None):
        """The write of an event: its hours, or its lines."""
        if lines and isinstance(lines[0], int):
            lines = times(*lines)
        calendar = calendar or self.calendar
        return Put(calendar, name, await read(self.storage, calendar, text(name, *lines)), expected)

    async def puts(self, name, *lines, **more):
        (made,) = await self.apply(await self.put(name, *lines, **more))
        return made

    def delete(self, name, expected):
        return Delete(self.calendar, name, expected)

    async def apply(self, *writes, **more):
        return [state(each) for each in await self.storage.apply(ChangeSet(writes, LIMITS, CAUSE, **more))]

    async def has(self, *expected):
        """Name and hours of each reservation."""
        assert await self.reserved() == list(expected)

    async def reserved(self):
        if isinstance(self.storage, MemoryStorage):
            rows = [each for each in self.storage.reserved() if each.resource == self.person.id]
            rows.sort(key=lambda each: (each.start, each.end))
            names = self.storage.tables.objects
            return [(names[each.object_id].name, each.start.hour, each.end.hour) for each in rows]
        return list(map(tuple, await self.storage.database.fetch(ROWS, self.person.id)))

    async def taken(self, start=0, end=24, besides=None):
        """The hours at which it is taken."""
        found = await self.storage.taken_times([self.person.id], at(start), at(end), besides=besides)
        return [tuple((each - at(0)) / timedelta(hours=1) for each in period) for period in found[self.person.id]]

    async def become(self, mode=None, **attributes):
        """Change what the room is."""
        there = (await self.storage.rooms([self.person.id])).get(self.person.id) or Attributes(self.person.id)
        schedule = None if mode is None else {"mode": mode}
        change = PrincipalChange(self.person.id, room=replace(there, **attributes), auto_schedule=schedule)
        await self.directory.write_principals([change], CAUSE)

    async def new_calendar(self):
        home = await self.person.home()
        return await self.storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)


async def make_room(storage, directory, kind="room"):
    name = f"room{next(NUMBERS)}"
    (id_,) = await directory.write_principals([PrincipalChange(kind=kind, name=name)], CAUSE)
    found = await directory.principal(name)
    person = Person(storage, id_, found.uid, name)
    return Room(storage, directory, person, await person.collection())


@pytest.fixture(params=["database", "memory"])
def new_room(request, storage):
    """Makes a room in the database, or in memory."""
    if request.param == "database":
        return lambda kind="room": make_room(storage, PostgresDirectory(storage.database), kind)
    found = memory()
    return lambda kind="room": make_room(found.storage, found.directory, kind)


@pytest_asyncio.fixture(loop_scope="session")
async def room(new_room):
    return await new_room()


@pytest_asyncio.fixture(loop_scope="session")
async def stored_room(storage):
    return await make_room(storage, PostgresDirectory(storage.database))


async def clash_jobs(database):
    """The ids of the objects that jobs are to decline."""
    rows = await database.fetch("select payload from job where kind = 'rooms.clash' order by id")
    return [row[0]["object"] for row in rows]


async def refused(writing):
    """The error of a write that others' times refuse."""
    with pytest.raises(AlreadyReserved) as raised:
        await writing
    return raised.value


async def test_what_is_put_is_reserved_and_released_with_its_times(room):
    made = await room.puts("a", 9, 10)
    await room.has(("a", 9, 10))
    made = await room.puts("a", 11, 13, expected=made)
    await room.has(("a", 11, 13))
    made = await room.puts("a", *times(11, 13), "TRANSP:TRANSPARENT", expected=made)
    await room.has()
    made = await room.puts("a", *times(11, 13), "STATUS:CANCELLED", expected=made)
    await room.has()
    made = await room.puts("a", 8, 9, expected=made)
    await room.has(("a", 8, 9))
    await room.apply(room.delete("a", made))
    await room.has()


async def test_only_what_the_room_has_answered_and_not_declined_is_reserved(room):
    me = f"urn:x-uid:{room.person.uid}"
    answers = {"NEEDS-ACTION": False, "DECLINED": False, "ACCEPTED": True, "TENTATIVE": True}
    for answer, reserves in answers.items():
        lines = ("ORGANIZER:mailto:o@example.com", f"ATTENDEE;PARTSTAT={answer}:{me}", "ATTENDEE:mailto:b@example.com")
        made = await room.puts(answer, *times(9, 10), *lines)
        assert await room.reserved() == ([(answer, 9, 10)] if reserves else [])
        await room.apply(room.delete(answer, made))
    # without a PARTSTAT it has not answered
    await room.puts("a", *times(9, 10), "ORGANIZER:mailto:o@example.com", f"ATTENDEE:{me}")
    await room.has()


async def test_people_have_no_reservations(storage, person):
    calendar = await person.collection()
    for name in "ab":
        put = Put(calendar, name, await read(storage, calendar, event_text(name, *times(9, 10)[:1])), None)
        await storage.apply(ChangeSet((put,), LIMITS, CAUSE))
    assert not await storage.database.fetchval("select count(*) from reservation where home_id = $1", calendar.home_id)


async def test_times_that_meet_do_not_overlap(room):
    await room.apply(await room.put("a", 9, 10), await room.put("b", 10, 11))
    await room.has(("a", 9, 10), ("b", 10, 11))
    assert await room.taken() == [(9, 11)]
    assert (await room.taken(10.5, 24))[0][1] == 11
    assert await room.taken(11, 24) == []


async def test_what_has_no_length_reserves_nothing(room):
    await room.puts("a", 9, 10)
    await room.puts("b", *times(9, 9))
    await room.has(("a", 9, 10))


@pytest.mark.parametrize("alone", [False, True])
async def test_what_overlaps_is_refused_with_the_others_time_and_the_write_is_named(room, alone):
    await room.puts("a", 9, 11)
    writes = [await room.put("b", 10, 12)]
    if not alone:
        other = await room.person.collection("inbox")
        writes = [Put(other, "m", await read(room.storage, other, text("m", *times(1, 2))), None), *writes]
    error = await refused(room.apply(*writes))
    assert (error.start, error.end, error.write) == (at(9), at(11), len(writes) - 1)
    await room.has(("a", 9, 11))
    # two of one set
    await refused(room.apply(await room.put("e", 14, 16), await room.put("f", 15, 17)))
    await room.has(("a", 9, 11))


async def test_instances_of_one_event_may_overlap_each_other(room):
    await room.puts("a", *times(9, 11), "RDATE:20500305T100000Z")
    await room.has(("a", 9, 11), ("a", 10, 12))
    await refused(room.puts("b", 11, 12))


async def test_every_instance_of_a_series_is_reserved(room):
    made = await room.puts("a", *times(9, 10), "RRULE:FREQ=DAILY;COUNT=400")
    assert len(await room.reserved()) == 400
    error = await refused(room.puts("b", f"DTSTART:{at(9, 8):%Y%m%dT%H%M%SZ}", f"DTEND:{at(10, 8):%Y%m%dT%H%M%SZ}"))
    assert (error.start, error.end) == (at(9, 8), at(10, 8))
    # a shorter one frees the rest
    await room.puts("a", *times(9, 10), "RRULE:FREQ=DAILY;COUNT=2", expected=made)
    await room.puts("b", f"DTSTART:{at(9, 8):%Y%m%dT%H%M%SZ}", f"DTEND:{at(10, 8):%Y%m%dT%H%M%SZ}")
    await room.has(("a", 9, 10), ("a", 9, 10), ("b", 9, 10))


async def test_meetings_of_a_set_take_each_others_times(room):
    first, second = await room.apply(await room.put("a", 9, 10), await room.put("b", 11, 12))
    first, second = await room.apply(
        await room.put("a", 11, 12, expected=first), await room.put("b", 9, 10, expected=second)
    )
    await room.has(("b", 9, 10), ("a", 11, 12))
    # and one takes the time of another that the set deletes
    await room.apply(await room.put("a", 9, 10, expected=first), room.delete("b", second))
    await room.has(("a", 9, 10))


async def test_resources_do_not_concern_each_other(new_room):
    room, other = await new_room(), await new_room("resource")
    await room.apply(await room.put("a", 9, 10), await other.put("a", 9, 10))
    await room.has(("a", 9, 10))
    await other.has(("a", 9, 10))


async def test_moves_and_copies_take_what_they_come_to_lie_on(room):
    work = await room.new_calendar()
    first, second = await room.apply(await room.put("a", 9, 10), await room.put("b", 10, 11))
    stored = StoredContent(room.calendar, "a", first)
    moved, _ = await room.apply(Put(work, "a", stored, None, keep_id=True), room.delete("a", first))
    await room.has(("a", 9, 10), ("b", 10, 11))
    # a copy would have the same time
    await refused(room.apply(Put(room.calendar, "c", StoredContent(work, "a", moved), None)))
    # what a move replaces is released
    stored = StoredContent(work, "a", moved)
    await room.apply(Put(room.calendar, "b", stored, second, keep_id=True), Delete(work, "a", moved))
    await room.has(("b", 9, 10))


async def test_a_move_to_somebody_elses_home_releases_the_room(new_room):
    room, other = await new_room(), await new_room()
    first = await room.puts("a", 9, 10)
    stored = StoredContent(room.calendar, "a", first)
    await room.apply(Put(other.calendar, "a", stored, None, keep_id=True), room.delete("a", first))
    await room.has()
    await other.has(("a", 9, 10))


async def test_a_deleted_calendar_releases_the_room(room):
    work = await room.new_calendar()
    await room.puts("a", 9, 10, calendar=work)
    await room.puts("b", 10, 11)
    await room.storage.delete_collection(await room.person.home(), work, CAUSE)
    await room.has(("b", 10, 11))


async def test_a_restored_calendar_takes_its_times_unless_others_have_them(stored_room):
    room, database = stored_room, stored_room.storage.database
    work = await room.new_calendar()
    await room.puts("a", 9, 10, calendar=work)
    await room.storage.delete_collection(await room.person.home(), work, CAUSE)
    other = await room.puts("b", 9, 11)
    (deleted,) = await deleted_collections(database, room.person.id, 30)
    await refused(restore_collection(database, deleted, "work", 30, CAUSE))
    await room.apply(room.delete("b", other))
    await restore_collection(database, deleted, "work", 30, CAUSE)
    await room.has(("a", 9, 10))


async def test_a_copied_calendar_is_refused(stored_room):
    work = await stored_room.new_calendar()
    await stored_room.puts("a", 9, 10, calendar=work)
    home = await stored_room.person.home()
    copying = stored_room.storage.copy_collection(home, work, "copy", None, LIMITS, CAUSE, with_members=True)
    await refused(copying)
    await stored_room.has(("a", 9, 10))


async def test_buffers_of_both_bookings_lie_between_them(room):
    await room.become(buffer_before=timedelta(minutes=30), buffer_after=timedelta(hours=1))
    await room.puts("a", 9, 10)
    assert await room.taken() == [(7.5, 11.5)]
    await refused(room.puts("b", 11, 12))
    await room.puts("b", *times(11.5, 12))
    await room.puts("c", 6, 7)
    await refused(room.puts("d", *times(7, 7.5)))


async def test_a_pool_takes_as_many_as_it_has_pieces(room):
    await room.become(pieces=2, allowed_overlaps=1)
    await room.apply(*[await room.put(name, 9 + n, 12) for n, name in enumerate("abc")])
    assert await room.taken() == [(11, 12)]
    error = await refused(room.puts("d", 8, 13))
    assert error.start is not None
    await room.puts("d", 8, 11)
    await room.puts("e", 12, 13)


@pytest.mark.parametrize("mode", ["accept-always", None])
async def test_rooms_that_take_everything_are_never_taken(room, mode):
    await room.become(mode, policy={} if mode else {"allow_conflicts": True})
    await room.apply(*[await room.put(name, 9, 12) for name in "abc"])
    assert len(await room.reserved()) == 3
    assert await room.taken() == []


async def test_a_booking_of_the_whole_takes_each_part_and_one_of_a_part_the_whole(new_room):
    hall, left, right = await new_room(), await new_room(), await new_room()
    for part in (left, right):
        if part.storage is not hall.storage:
            pytest.skip("each room has a memory of its own")
        await part.become(parent=hall.person.id)
    made = await hall.puts("whole", 9, 10)
    await left.has(("whole", 9, 10))
    await right.has(("whole", 9, 10))
    for room in (left, right):
        assert await room.taken() == [(9, 10)]
        error = await refused(room.puts("part", 9, 10))
        assert (error.start, error.end) == (at(9), at(10))
    await hall.apply(hall.delete("whole", made))
    await left.has()
    await left.puts("part", 9, 10)
    assert await hall.taken() == [(9, 10)]
    assert await right.taken() == []
    await refused(hall.puts("again", 9, 10))
    await right.puts("part", 9, 10)


@pytest.mark.parametrize(
    ("lines", "hours"),
    [
        (("DTSTART:20500305T090000", "DTEND:20500305T100000"), [("a", 8, 9)]),
        (("DTSTART;VALUE=DATE:20500305",), [("a", 23, 23)]),
        (("DTSTART:20500705T090000", "DTEND:20500705T100000"), [("a", 7, 8)]),
    ],
)
async def test_local_times_and_days_are_those_of_the_rooms_zone(room, lines, hours):
    await room.become(time_zone="Europe/Berlin")
    await room.puts("a", *lines)
    await room.has(*hours)
    await refused(room.puts("b", *lines))


async def test_the_zone_of_a_calendar_moves_what_is_local(stored_room):
    await stored_room.puts("a", "DTSTART:20500305T090000", "DTEND:20500305T100000")
    await stored_room.has(("a", 9, 10))
    home, calendar = await stored_room.person.home(), await stored_room.person.collection()
    await stored_room.storage.set_collection_properties(
        home, calendar, PropertyChanges(timezone="Asia/Tokyo"), stored_room.person.id, LIMITS, CAUSE
    )
    await stored_room.has(("a", 0, 1))


async def test_another_zone_of_the_room_moves_what_is_local_and_the_older_keeps_its_time(stored_room):
    room, database = stored_room, stored_room.storage.database
    await room.become(time_zone="Europe/Berlin")
    await room.puts("a", "DTSTART:20500305T090000", "DTEND:20500305T100000")
    later = await room.puts("b", 0, 1)
    await room.has(("b", 0, 1), ("a", 8, 9))
    await room.become(time_zone="Asia/Tokyo")
    await room.has(("a", 0, 1))
    assert await clash_jobs(database) == [later.id]
    found = await room.storage.unplaced(room.calendar.home_id, later.id)
    assert [(each.kept.object, each.kept_time) for each in found.clashes] == [("a", (at(0), at(1)))]
    await room.apply(room.delete("b", later))
    await database.fetch("delete from job where kind = 'rooms.clash'")


async def test_new_zone_data_moves_local_times(stored_room):
    room, database = stored_room, stored_room.storage.database
    await room.become(time_zone="Europe/Berlin")
    await room.puts("a", "DTSTART:20500305T090000", "DTEND:20500305T100000")
    await room.has(("a", 8, 9))
    assert await follow_zone_data(database) == 0
    # as older data had it
    await database.fetch("update calendar_clock set offsets = array_fill(7200, array[cardinality(starts)])")
    await room.puts("b", "DTSTART:20500305T110000", "DTEND:20500305T120000")
    later = await room.puts("c", 10, 11)
    await room.has(("a", 8, 9), ("b", 9, 10), ("c", 10, 11))
    assert await follow_zone_data(database) >= 1
    await room.has(("a", 8, 9), ("b", 10, 11))
    jobs = [row[0]["object"] for row in await database.fetch("select payload from job where kind = 'rooms.clash'")]
    assert later.id in jobs
    await database.fetch("delete from job where kind = 'rooms.clash'")
    await room.apply(room.delete("c", later))


async def test_an_endless_series_is_booked_on_as_time_passes(stored_room):
    room, database = stored_room, stored_room.storage.database
    first, far = NOW + timedelta(days=1), NOW + timedelta(days=1000)
    series = await room.puts("a", *daily(first))
    before = await room.reserved()
    assert 700 < len(before) < 800
    # nobody has this time yet, so somebody else gets it
    later = await room.puts("b", f"DTSTART:{far:%Y%m%dT090000Z}", f"DTEND:{far:%Y%m%dT093000Z}")
    await roll_horizon(database, NOW + timedelta(days=500))
    after = await room.reserved()
    assert len(after) > len(before) + 300
    # what was booked keeps the time, and what is over stays
    assert after.count(("b", 9, 9)) == 1
    assert after[: len(before)] == before
    assert await clash_jobs(database) == [series.id]
    found = await room.storage.unplaced(room.calendar.home_id, series.id)
    assert found.instances == {f"{far:%Y%m%dT090000Z}"}
    (clash,) = found.clashes
    assert (clash.kept.object, clash.kept_instance) == ("b", "")
    # the instance is there as long as its organizer is not told, and takes nothing
    await roll_horizon(database, NOW + timedelta(days=900))
    assert await clash_jobs(database) == [series.id]
    assert (await room.reserved()).count(("b", 9, 9)) == 1
    await room.apply(room.delete("b", later), room.delete("a", series))
    await database.fetch("delete from job where kind = 'rooms.clash'")


async def test_a_series_of_a_pool_goes_on_where_a_piece_is_left(stored_room):
    room, database = stored_room, stored_room.storage.database
    await room.become(pieces=2)
    first = NOW + timedelta(days=1)
    series = await room.puts("a", *daily(first))
    days = [NOW + timedelta(days=each) for each in (1000, 1001)]
    for name, (start, end) in {"b": days, "c": [days[0], days[0]]}.items():
        await room.puts(name, *daily(start, f";UNTIL={end:%Y%m%dT090000Z}"))
    await roll_horizon(database, NOW + timedelta(days=500))
    assert await clash_jobs(database) == [series.id]
    found = await room.storage.unplaced(room.calendar.home_id, series.id)
    assert found.instances == {f"{days[0]:%Y%m%dT090000Z}"}
    assert [each.kept.object for each in found.clashes] == ["b", "c"]
    await room.apply(room.delete("a", series))
    await database.fetch("delete from job where kind = 'rooms.clash'")


async def test_what_was_there_before_gets_reservations_and_the_older_the_time(stored_room):
    room, database = stored_room, stored_room.storage.database
    home_id = room.calendar.home_id
    first = await room.puts("a", 9, 11)
    await room.apply(room.delete("a", first))
    await database.fetch("update home set reserves = false where id = $1", home_id)
    await room.puts("a", 9, 11)
    second = await room.puts("b", 10, 12)
    await room.puts("local", "DTSTART:20500305T130000", "DTEND:20500305T140000")
    me = f"ATTENDEE:urn:x-uid:{room.person.uid}"
    open_ = await room.puts("open", *times(15, 16), "ORGANIZER:mailto:o@example.com", me)
    # older versions took what was not answered for busy
    await database.fetch("update occurrence set busy = 1 where home_id = $1 and object_id = $2", home_id, open_.id)
    await room.has()
    (step,) = [each for each in migrations() if each.name == "reservations" and each.step == "online"]
    await database.fetch(step.sql)
    await room.has(("a", 9, 11), ("open", 15, 16))
    assert await rederive(database, NOW) >= 4
    await room.has(("a", 9, 11), ("local", 13, 14))
    assert [each.subject async for each in check(database, etag_of)] == [f"object {second.id}"]
    await refused(room.puts("c", 10, 11))
    await room.apply(room.delete("b", second))
    await database.fetch("delete from job where kind = 'rooms.clash'")


async def test_what_loses_its_time_is_found_with_what_has_it(room):
    await room.become("accept-always")
    made = {}
    for name, *hours in (("a", 9, 11), ("b", 12, 14), ("c", 10, 13), ("d", 16, 17)):
        made[name] = await room.puts(name, *hours)
    await room.become("automatic")
    home_id = room.calendar.home_id
    for name in "abd":
        assert await room.storage.unplaced(home_id, made[name].id) is None
    found = await room.storage.unplaced(home_id, made["c"].id)
    assert (found.target.object, found.instances) == ("c", {""})
    assert {(each.instance, each.time, each.kept_instance) for each in found.clashes} == {("", (at(10), at(13)), "")}
    assert [(each.kept.object, each.kept_time) for each in found.clashes] == [
        ("a", (at(9), at(11))), ("b", (at(12), at(14))),
    ]  # fmt: skip
    if not isinstance(room.storage, MemoryStorage):
        assert await clash_jobs(room.storage.database) == [made["c"].id]
        await room.storage.database.fetch("delete from job where kind = 'rooms.clash'")
    await room.apply(room.delete("c", made["c"]))


async def test_a_change_of_the_room_derives_its_bookings_anew(storage):
    directory = PostgresDirectory(storage.database)
    hall, left = await make_room(storage, directory), await make_room(storage, directory)
    await hall.puts("whole", 9, 10)
    await left.puts("part", 9, 10)
    await left.puts("later", 11, 12)
    await left.become(parent=hall.person.id)
    # the older keeps the time
    await left.has(("whole", 9, 10), ("later", 11, 12))
    await left.become(buffer_before=timedelta(hours=1), buffer_after=timedelta(hours=1), allowed_overlaps=1)
    await left.has(("whole", 9, 10), ("part", 9, 10), ("later", 11, 12))
    assert await left.taken() == [(8, 12)]
    await left.become("accept-always")
    assert await left.taken() == []
    await left.become(parent=None)
    await left.has(("part", 9, 10), ("later", 11, 12))
    await hall.has(("whole", 9, 10))
    await left.apply(await left.put("again", 9, 10))
    await storage.database.fetch("delete from job where kind = 'rooms.clash'")


async def test_writers_of_one_room_queue(room):
    """One of them gets each hour; nobody deadlocks, and nothing half is left."""
    puts = [await room.put(f"{n}", 9 + n % 3, 10 + n % 3) for n in range(12)]
    done = await asyncio.gather(*map(room.apply, puts), return_exceptions=True)
    assert [isinstance(each, AlreadyReserved) for each in done].count(True) == 9
    assert [hours for _, *hours in await room.reserved()] == [[9, 10], [10, 11], [11, 12]]
    members = await room.storage.members(room.calendar, ("name",), after=None, limit=100)
    assert len(members) == 3


async def test_those_who_book_wholes_and_parts_at_once_do_not_deadlock(storage):
    directory = PostgresDirectory(storage.database)
    hall, left, right = [await make_room(storage, directory) for _ in range(3)]
    for part in (left, right):
        await part.become(parent=hall.person.id)
    before = await deadlocks(storage)

    async def book(number):
        rooms = [(hall,), (left, right), (right, hall), (left,)][number % 4]
        writes = [await room.put(f"{number}", *times(9, 10)) for room in rooms]
        for _ in range(50):
            try:
                return await rooms[0].apply(*writes)
            except WriteConflict:
                continue
            except AlreadyReserved:
                return None
        raise AssertionError

    done = await asyncio.gather(*map(book, range(16)))
    assert await deadlocks(storage) == before
    taken = [await room.storage.database.fetch(ROWS, room.person.id) for room in (left, right)]
    assert [len(rows) for rows in taken] <= [1, 1]
    assert any(done)
    assert crowded([(at(9), at(10))] * len(taken[0]), 2) == []


async def test_what_is_derived_anew_is_reserved_and_the_older_keeps_its_time(stored_room):
    room, database = stored_room, stored_room.storage.database
    first, second = await room.puts("a", 9, 10), await room.puts("b", 11, 12)
    # as before there were reservations
    await database.fetch("delete from reservation where home_id = $1", room.calendar.home_id)
    sql = "update occurrence set start_at = $2, end_at = $3 where home_id = $1 and object_id = $4"
    for made, (start, end) in ((first, (9, 10)), (second, (9, 10))):
        await database.fetch(sql, room.calendar.home_id, at(start), at(end), made.id)
    found = [each async for each in check(database, etag_of)]
    assert {(each.subject, each.what) for each in found} == {
        (f"object {each.id}", "reservation") for each in (first, second)
    }
    ids = [second.id, first.id]
    await database.fetch("select koyomi_reserve_1($1, array[$2::bigint], true)", room.calendar.home_id, ids[0])
    await room.has(("b", 9, 10))
    await database.fetch("select koyomi_reserve_1($1, array[$2::bigint], true)", room.calendar.home_id, ids[1])
    await room.has(("a", 9, 10))
    jobs = await database.fetch("select payload from job where kind = 'rooms.clash'")
    assert [row[0] for row in jobs if row[0]["object"] in ids] == [{"home": room.calendar.home_id, "object": second.id}]
    # the check lists the one that lost its time
    found = [each async for each in check(database, etag_of)]
    assert [(each.subject, each.what, each.stored) for each in found] == [
        (f"object {second.id}", "reservation", "none")
    ]
    await reexpand(database, NOW, None)
    await room.has(("a", 9, 10), ("b", 11, 12))
    await assert_consistent(room.storage)
    await database.fetch("delete from job where kind = 'rooms.clash'")


async def test_a_check_finds_reservations_without_object(storage, stored_room):
    await stored_room.puts("a", 9, 10)
    home_id = stored_room.calendar.home_id
    await storage.database.fetch("update reservation set object_id = 0 where home_id = $1", home_id)
    found = [each async for each in check(storage.database, etag_of)]
    assert (home_id, "object", "0") in [(each.home_id, each.what, each.stored) for each in found]
    await storage.database.fetch("delete from reservation where home_id = $1", home_id)
    await storage.database.fetch(
        "select koyomi_reserve_1($1, array(select id from object where home_id = $1))", home_id
    )
    await assert_consistent(storage)


async def test_what_takes_a_room_is_read_page_by_page(room):
    await room.puts("a", *times(9, 10), "RRULE:FREQ=DAILY;COUNT=3")
    await room.puts("b", 11, 12)
    await room.puts("c", *times(13, 14), "TRANSP:TRANSPARENT")
    await room.become(buffer_before=timedelta(hours=1))

    async def page(**more):
        found = await room.storage.booked(room.person.id, at(9.5), at(9.5, day=6), **more)
        return [(each.id, "UID:a" in each.text, each.times) for each in found]

    first, second = await page()
    days = ((at(9), at(10), "20500305T090000Z"), (at(9, day=6), at(10, day=6), "20500306T090000Z"))
    assert first[1:] == (True, list(days))
    assert second[1:] == (False, [(at(11), at(12), "")])
    assert await page(limit=1) == [first]
    assert await page(after=first[0], limit=1) == [second]
    assert await page(after=second[0]) == []


async def test_a_booking_of_the_whole_is_one_of_each_part(new_room):
    hall = await new_room()
    left = await make_room(hall.storage, hall.directory)
    await left.become(parent=hall.person.id)
    await hall.puts("whole", 9, 10)
    await left.puts("part", 11, 12)
    for room, expected in ((hall, [9]), (left, [9, 11])):
        found = await room.storage.booked(room.person.id, at(0), at(24))
        assert sorted(start.hour for each in found for start, _, _ in each.times) == expected


async def test_inboxes_with_an_access_control_list_are_known(stored_room):
    storage, id_ = stored_room.storage, stored_room.person.id
    assert await storage.guarded([id_]) == frozenset()
    (mailbox,) = await storage.inboxes(id_, [id_])
    refused = Ace(mailbox.inbox.id, "all", grants=False, privileges=(Privilege.SCHEDULE_QUERY_FREE_BUSY,))
    await PostgresAccess(storage).set_acl(mailbox.home, mailbox.inbox, [refused], CAUSE)
    assert await storage.guarded([id_]) == {id_}
    assert await storage.guarded([]) == frozenset()


async def test_what_is_derived_anew_waits_for_no_object_while_it_holds_the_home(stored_room):
    room, database, home_id = stored_room, stored_room.storage.database, stored_room.calendar.home_id
    made = await room.puts("a", 9, 10)
    await database.fetch("delete from reservation where home_id = $1", home_id)
    await database.fetch("update object set reserved = false where home_id = $1", home_id)
    async with database.transaction() as writer, asyncio.timeout(20):
        # writers hold their objects, and then the home
        await writer.execute("select from object where home_id = $1 and id = $2 for no key update", home_id, made.id)
        await database.fetch("select koyomi_reserve_anew_1($1)", home_id)
        await writer.execute("select from home where id = $1 for no key update", home_id)
    await room.has(("a", 9, 10))
    await assert_consistent(room.storage)
    await room.apply(room.delete("a", made))
    await room.has()
