"""When people are busy, in one statement: by all calendars of theirs that count, in their own view."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.calendar.iana import iana_zone
from server.calendar.zone_definition import definition
from server.domain.changes import PropertyChanges
from server.domain.contents import ObjectView, Views
from server.domain.objects import NewCollection
from server.domain.occurrences import Busy
from server.services.lookup import Lookup
from server.services.time.free_busy import busy_people, busy_periods
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.reads.busy_people import BUSY_PEOPLE, BUSY_PEOPLE_MASKED
from tests.found import collection_found
from tests.integration.storage.conftest import make_person
from tests.integration.storage.test_busy_times import AVAILABILITY, TIMES, event, put
from tests.integration.storage.values import CAUSE, LIMITS, read

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
TRANSPARENCY = "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp"


def transparency(word):
    inner = f"<C:{word} xmlns:C='urn:ietf:params:xml:ns:caldav'/>"
    return PropertyChanges({TRANSPARENCY: f'<X xmlns="urn:ietf:params:xml:ns:caldav">{inner}</X>'})


async def another(storage, person, name="work"):
    return await storage.create_collection(
        await person.home(), NewCollection(name, "calendar", ("VEVENT", "VAVAILABILITY")), LIMITS, CAUSE
    )


async def busy(storage, *people, start=START, end=END):
    return await busy_people(storage, Lookup(storage), [each.id for each in people], start, end, "test")


def hours(periods):
    return [(each.start.day, each.start.hour, each.end.hour, each.busy) for each in periods]


async def bind(storage, owner, sharee, name, rights="read"):
    """Show the owner's calendar in the home of somebody."""
    calendar = await owner.collection()
    if not calendar.views:
        await PostgresAccess(storage).render_views(
            await owner.home(), calendar, lambda each: Views(each.text, None, None)
        )
    await storage.database.fetch(
        "insert into binding (home_id, name, collection_home_id, collection_id, rights, created_revision, revision) "
        "values ($1, $2, $3, $4, $5, 1, 1)",
        (await sharee.home()).id,
        name,
        calendar.home_id,
        calendar.id,
        rights,
    )
    await storage.database.fetch(
        "update home set collection_count = collection_count + 1, revision = revision + 1 where id = $1",
        (await sharee.home()).id,
    )
    return await owner.collection()


async def test_of_people_by_all_their_calendars(storage):
    people = [await make_person(storage) for _ in range(3)]
    expected = []
    for number, person in enumerate(people):
        calendars = [await person.collection(), await another(storage, person)]
        for calendar, names in zip(
            calendars, (list(TIMES)[number : number + 3], list(TIMES)[number + 4 : number + 7]), strict=True
        ):
            for name in names:
                await put(storage, calendar, name, event(name, TIMES[name]))
        if number == 1:
            await put(storage, calendars[1], "availability", AVAILABILITY)
        found = [collection_found(each) for each in calendars]
        expected.append(await busy_periods(storage, found, START, END))
    assert all(expected)
    assert len({tuple(each) for each in expected}) == 3
    assert await busy(storage, *people) == expected
    # in the order asked for, and more than once
    again = await busy(storage, people[2], people[0], people[2])
    assert again == [expected[2], expected[0], expected[2]]
    assert await busy(storage) == []


async def test_rules_are_followed_beyond_what_is_stored(storage, person):
    calendar = await person.collection()
    await put(storage, calendar, "endless", event("endless", TIMES["endless"]))
    start = datetime(2046, 3, 1, tzinfo=UTC)
    (found,) = await busy(storage, person, start=start, end=start + timedelta(days=7))
    assert [each.start.hour for each in found] == [12]


async def test_transparent_calendars_do_not_count(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    await put(storage, calendar, "a", event("a", ("DTSTART:20260305T090000Z",)))
    await put(storage, work, "b", event("b", ("DTSTART:20260306T090000Z",)))
    for word, days in (("transparent", [5]), ("opaque", [5, 6])):
        changes = transparency(word)
        await storage.set_collection_properties(await person.home(), work, changes, person.id, LIMITS, CAUSE)
        (found,) = await busy(storage, person)
        assert [each.start.day for each in found] == days
    await storage.delete_collection(await person.home(), work, CAUSE)
    (found,) = await busy(storage, person)
    assert [each.start.day for each in found] == [5]


async def test_what_one_declined_is_free_and_what_is_tentative_is_so(storage, person):
    calendar = await person.collection()
    own = f"urn:x-uid:{person.uid}"
    for day, partstat in ((5, "ACCEPTED"), (6, "DECLINED"), (7, "NEEDS-ACTION")):
        lines = (
            f"DTSTART:202603{day:02}T090000Z",
            "ORGANIZER:mailto:x@example.com",
            f"ATTENDEE;PARTSTAT={partstat}:{own}",
        )
        await put(storage, calendar, partstat, event(partstat, lines))
    (found,) = await busy(storage, person)
    assert [each.start.day for each in found] == [5, 7]


async def test_others_calendars_count_in_ones_own_view(storage):
    """With the transparency and the personal copies of each person."""
    owner, sharee, other = [await make_person(storage) for _ in range(3)]
    shared = await bind(storage, owner, sharee, "shared")
    await bind(storage, owner, other, "shared")
    made = await read(storage, shared, event("a", ("DTSTART:20260305T090000Z",)))
    view = ObjectView(sharee.id, "etag", made.text, len(made.text), "", busy=(Busy.FREE,))
    views = Views("neutral", None, (Busy.TENTATIVE,), (view,))
    await storage.put_object(shared, "a", made, None, LIMITS, CAUSE, views)
    found = await busy(storage, owner, sharee, other)
    assert [hours(each) for each in found] == [[(5, 9, 10, Busy.BUSY)], [], [(5, 9, 10, Busy.TENTATIVE)]]
    # the owner's choice holds for those without one of their own
    home = await owner.home()
    await storage.set_collection_properties(home, shared, transparency("transparent"), owner.id, LIMITS, CAUSE)
    assert [bool(each) for each in await busy(storage, owner, other)] == [False, False]
    (seen,) = [each for each in await storage.collections(await other.home(), other.id) if each.name == "shared"]
    await storage.set_collection_properties(await other.home(), seen, transparency("opaque"), other.id, LIMITS, CAUSE)
    assert [bool(each) for each in await busy(storage, owner, other)] == [False, True]


@pytest.mark.parametrize(("zone", "hour"), [(None, 9), ("Asia/Tokyo", 0), ("America/New_York", 14)])
async def test_floating_times_lie_in_the_zone_of_each_calendar(storage, person, zone, hour):
    work = await another(storage, person)
    if zone is not None:
        lines = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n", definition(iana_zone(zone), zone), "END:VCALENDAR\r\n"
        changes = PropertyChanges(timezone="".join(lines))
        await storage.set_collection_properties(await person.home(), work, changes, person.id, LIMITS, CAUSE)
    for calendar in (await person.collection(), work):
        await put(storage, calendar, "a", event("a", ("DTSTART:20260305T090000",)))
    (found,) = await busy(storage, person)
    assert {each.start.hour for each in found} == {9, hour}


async def test_people_without_calendars_are_free(storage, new_person):
    group = await new_person("group")
    person = await new_person()
    assert await busy(storage, group, person) == [[], []]
    assert await busy_people(storage, Lookup(storage), [10**9], START, END, "test") == [[]]


async def test_masked_objects_do_not_count_for_one_person(storage):
    """Neither their stored times nor those that are computed; floating ones included."""
    owner, sharee = [await make_person(storage) for _ in range(2)]
    calendar, ids = await owner.collection(), {}
    for name, lines in {"a": TIMES["endless"], "b": ("DTSTART:20260305T090000",)}.items():
        await put(storage, calendar, name, event(name, lines))
        sql = "select id from object where home_id = $1 and name = $2"
        ids[name] = await storage.database.fetchval(sql, calendar.home_id, name)
    await bind(storage, owner, sharee, "shared")
    floating = (datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 7, tzinfo=UTC))
    for start in (datetime(2026, 3, 5, tzinfo=UTC), datetime(2046, 3, 5, tzinfo=UTC)):
        window = (start, start + timedelta(days=1))
        wide = floating if start.year == 2026 else window
        people = [owner.id, sharee.id]
        whole = await storage.busy_people(people, window, wide)
        masked = await storage.busy_people(people, window, wide, [(owner.id, ids["a"]), (owner.id, ids["b"])])
        assert bool(whole[0].merged or whole[0].calendars)
        assert (masked[0].merged, masked[0].calendars) == ([], [])
        assert masked[1] == whole[1]
        one = await storage.busy_people(people, window, wide, [(owner.id, ids["a"])])
        assert [len(each.times.floating) for each in one[0].calendars] == ([1] if start.year == 2026 else [])


@pytest.mark.parametrize(("statement", "more"), [(BUSY_PEOPLE, ""), (BUSY_PEOPLE_MASKED, ", array[1], array[2]")])
async def test_no_table_is_read_whole(storage, statement, more):
    async with storage.database.transaction() as connection:
        await connection.execute("set local enable_seqscan = off")
        await connection.execute(f"prepare busy_people as {statement}")
        arguments = f"array[1, 2], now(), now(), now(), now(){more}"
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain execute busy_people({arguments})"))
        await connection.execute("deallocate busy_people")
    assert "Seq Scan" not in plan
    assert "occurrence_window" in plan
