"""A home has one scheduling object of a UID (RFC 6638 §3.2.4.1)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from server.domain.changes import ChangeSet, Delete, PropertyChanges, Put
from server.domain.errors import SchedulingObjectExists, UidConflict, WriteConflict
from server.domain.objects import NewCollection
from server.domain.scheduling import SchedulingRole
from server.services.scheduling.default_calendar import DEFAULT_CALENDAR, PROPERTIES, default_calendar
from server.storage.scheduling import SchedulingObject
from storage_plugins.postgres.migrations import migrations
from storage_plugins.postgres.online_steps import statements
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from storage_plugins.postgres.upkeep.doubles import Double, doubles
from storage_plugins.postgres.upkeep.rederivation import follow_owners, rederive
from tests.integration.storage.test_scheduling_roles import meeting, stored
from tests.integration.storage.values import CAUSE, LIMITS, event_text, read, state

NONE, ORGANIZER, ATTENDEE, INBOX = SchedulingRole
OTHERS = "mailto:others@example.com"
EVENTS = ("VEVENT",)


async def of(storage, calendar, person, uid="u", organizer=None):
    """A meeting of a person, or one that they are invited to."""
    own = f"urn:x-uid:{person.uid}"
    return await read(storage, calendar, meeting(uid, organizer or own, own))


async def put(storage, calendar, person, name="a", uid="u", expected=None, organizer=None):
    content = await of(storage, calendar, person, uid, organizer)
    return await storage.put_object(calendar, name, content, expected, LIMITS, CAUSE)


async def another(storage, person, name="work"):
    """One more calendar for events."""
    return await storage.create_collection(await person.home(), NewCollection(name, "calendar", EVENTS), LIMITS, CAUSE)


async def role(storage, calendar, name="a"):
    return (await stored(storage, calendar, name)).role


async def delete_collection(storage, person, collection):
    await storage.delete_collection(await person.home(), collection, CAUSE)


async def test_a_second_one_in_another_calendar_is_refused(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    first = await put(storage, calendar, person)
    for organizer in (None, OTHERS):
        with pytest.raises(SchedulingObjectExists) as raised:
            await put(storage, work, person, organizer=organizer)
        assert raised.value.write == 0
    assert await storage.scheduling_object(work, "u") == SchedulingObject(first.id, calendar.id, "calendar", "a")
    # in the same calendar it is the UID that is taken
    with pytest.raises(UidConflict):
        await put(storage, calendar, person, "b")
    # what takes part in no scheduling may have the UID
    await storage.put_object(work, "a", await read(storage, work, event_text("u")), None, LIMITS, CAUSE)
    assert (await role(storage, calendar), await role(storage, work)) == (ORGANIZER, NONE)


async def test_an_update_may_not_make_a_second_one_either(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    await put(storage, calendar, person)
    plain = await storage.put_object(work, "a", await read(storage, work, event_text("u")), None, LIMITS, CAUSE)
    with pytest.raises(SchedulingObjectExists):
        await put(storage, work, person, expected=state(plain))
    assert await role(storage, work) is NONE


async def test_homes_do_not_concern_each_other(storage, new_person):
    for organizer in (None, OTHERS):
        person = await new_person()
        calendar = await person.collection()
        await put(storage, calendar, person, organizer=organizer)
        assert await role(storage, calendar) is (ORGANIZER if organizer is None else ATTENDEE)


async def test_a_set_names_the_write_that_makes_a_second_one(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    first = await put(storage, calendar, person)
    other, again = await of(storage, calendar, person, "v"), await of(storage, work, person)
    with pytest.raises(SchedulingObjectExists) as raised:
        await storage.apply(ChangeSet((Put(calendar, "b", other, None), Put(work, "a", again, None)), LIMITS, CAUSE))
    assert raised.value.write == 1
    twice = Put(calendar, "b", other, None), Put(work, "b", other, None)
    with pytest.raises(SchedulingObjectExists) as raised:
        await storage.apply(ChangeSet(twice, LIMITS, CAUSE))
    assert raised.value.write == 1
    # a deletion in the set gives the UID up
    gone = Put(work, "a", again, None), Delete(calendar, "a", state(first))
    await storage.apply(ChangeSet(gone, LIMITS, CAUSE))
    assert await role(storage, work) is ORGANIZER


async def test_a_move_keeps_the_role_and_a_copy_is_refused(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    first = await put(storage, calendar, person)
    with pytest.raises(SchedulingObjectExists) as raised:
        await storage.copy_object(calendar, "a", state(first), work, "a", None, LIMITS, CAUSE)
    assert raised.value.write == 0
    await storage.move_object(calendar, "a", state(first), work, "a", None, LIMITS, CAUSE)
    assert await role(storage, work) is ORGANIZER
    holder = await storage.scheduling_object(calendar, "u")
    assert holder is not None
    assert (holder.collection, holder.name) == ("work", "a")


async def test_two_at_once_make_one(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    for number in range(10):
        contents = [await of(storage, each, person, f"u{number}") for each in (calendar, work)]
        done = await asyncio.gather(
            *(
                storage.put_object(where, f"a{number}", content, None, LIMITS, CAUSE)
                for where, content in zip((calendar, work), contents, strict=True)
            ),
            return_exceptions=True,
        )
        assert sorted(isinstance(each, SchedulingObjectExists | WriteConflict) for each in done) == [False, True]


async def test_the_copies_of_a_calendar_are_plain_objects(storage, person):
    calendar, home = await person.collection(), await person.home()
    await put(storage, calendar, person)
    await storage.copy_collection(home, calendar, "copy", None, LIMITS, CAUSE, with_members=True)
    copy = await person.collection("copy")
    assert (await role(storage, calendar), await role(storage, copy)) == (ORGANIZER, NONE)
    # derived again, it stays one: the meeting is in the other calendar
    await storage.database.fetch("update object set derived = 0 where home_id = $1", home.id)
    await rederive(storage.database, datetime.now(UTC))
    assert [await role(storage, each) for each in (calendar, copy)].count(NONE) == 1
    assert (await stored(storage, copy, "a")).organizer == f"urn:x-uid:{person.uid}"


async def test_members_of_a_deleted_calendar_are_in_nobodys_way(storage, person):
    home, calendar, work = await person.home(), await person.collection(), await another(storage, person)
    await put(storage, work, person)
    await put(storage, work, person, "b", "v")
    await delete_collection(storage, person, work)
    # nothing is done to them before the UID is needed
    count = "select count(*) from object where home_id = $1 and scheduling = 1 and deleted_revision is null"
    assert await storage.database.fetchval(count, home.id) == 2
    assert await storage.scheduling_object(calendar, "u") is None
    await put(storage, calendar, person)
    contents = [await of(storage, calendar, person, uid) for uid in ("v", "w")]
    writes = Put(calendar, "b", contents[0], None), Put(calendar, "c", contents[1], None)
    await storage.apply(ChangeSet(writes, LIMITS, CAUSE))
    assert [await role(storage, calendar, name) for name in "abc"] == [ORGANIZER] * 3


async def test_a_restored_calendar_takes_its_roles_back_where_they_are_free(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    for name, uid in (("a", "u"), ("b", "v")):
        await put(storage, work, person, name, uid)
    await delete_collection(storage, person, work)
    await put(storage, calendar, person)
    (deleted,) = [each for each in await deleted_collections(storage.database, person.id, 30) if each.id == work.id]
    await restore_collection(storage.database, deleted, "again", 30, CAUSE)
    again = await person.collection("again")
    assert [await role(storage, again, name) for name in "ab"] == [NONE, ORGANIZER]
    assert await role(storage, calendar) is ORGANIZER
    with pytest.raises(SchedulingObjectExists):
        await put(storage, calendar, person, "b", "v")
    found = [each async for each in doubles(storage.database)]
    assert [each for each in found if each.owner == person.name] == [
        Double(person.name, "again", "a", "calendar", "a"),
    ]


async def test_a_plain_one_is_one_again_when_it_is_written_after_the_other_is_gone(storage, person):
    calendar, work = await person.collection(), await another(storage, person)
    first = await put(storage, calendar, person)
    plain = await of(storage, work, person)
    plain = replace(plain, scheduling=replace(plain.scheduling, role=NONE))
    second = await storage.put_object(work, "a", plain, None, LIMITS, CAUSE)
    await storage.delete_object(calendar, "a", state(first), CAUSE)
    assert await role(storage, work) is NONE
    await put(storage, work, person, expected=state(second))
    assert await role(storage, work) is ORGANIZER


# -- what was stored before -------------------------------------------------------------------------------------------


async def of_before(storage, collections, person):
    """The same meeting in each calendar, the first one the oldest, as an older version stored them."""
    for days, calendar in enumerate(reversed(collections)):
        content = await of(storage, calendar, person)
        plain = replace(content, scheduling=replace(content.scheduling, role=NONE))
        await storage.put_object(calendar, "a", plain, None, LIMITS, CAUSE)
        await storage.database.fetch(
            "update object set derived = 4, modified_at = now() - make_interval(days => $3) "
            "where home_id = $1 and collection_id = $2",
            calendar.home_id,
            calendar.id,
            days,
        )


async def choose(storage, person, value):
    inbox = await person.collection("inbox")
    await storage.database.fetch(
        "update collection set properties = jsonb_build_object($3::text, $4::text) where home_id = $1 and id = $2",
        inbox.home_id,
        inbox.id,
        DEFAULT_CALENDAR,
        value,
    )


@pytest.fixture(params=["derived again", "online"])
def resolve(request, storage, person):
    """Ways in which duplicates are resolved."""

    async def derived_again():
        await rederive(storage.database, datetime.now(UTC))

    async def online():
        # as two servers of this version wrote them before there was the index
        (step,) = [each for each in migrations() if each.title == "0042_scheduling_uids"]
        backfill = next(each.sql for each in statements(step.title, step.sql) if each.backfill)
        async with storage.database.transaction() as connection:
            await connection.execute("drop index object_uid_scheduling")
            await connection.execute(
                "update object set scheduling = 1, derived = 5 where home_id = $1 and uid = 'u'",
                (await person.home()).id,
            )
            changed = await connection.execute(backfill)
            assert await connection.execute(backfill) == "UPDATE 0"
            assert changed == "UPDATE 2"
            await connection.execute(
                "create unique index object_uid_scheduling on object (home_id, uid) "
                "where scheduling in (1, 2) and deleted_revision is null"
            )

    return derived_again if request.param == "derived again" else online


async def three(storage, person):
    return [await person.collection(), await another(storage, person, "copy"), await another(storage, person, "more")]


@pytest.mark.parametrize("chosen", ["calendar", "copy", "more", None])
async def test_of_several_the_one_in_the_default_calendar_is_the_meeting(storage, person, resolve, chosen):
    collections = await three(storage, person)
    at = ["calendar", "copy", "more"].index(chosen or "calendar")
    if chosen is not None:
        await choose(storage, person, f'<X xmlns="urn:ietf:params:xml:ns:caldav"> {collections[at].id}\n</X>')
    await of_before(storage, collections, person)
    await resolve()
    assert [await role(storage, each) for each in collections] == [ORGANIZER if n == at else NONE for n in range(3)]


async def test_the_default_calendar_may_be_named_by_its_href(storage, person, resolve):
    collections = await three(storage, person)
    href = '<X xmlns="urn:ietf:params:xml:ns:caldav"><href xmlns="DAV:">/calendars/users/x/copy/</href></X>'
    await choose(storage, person, href)
    await of_before(storage, collections, person)
    await resolve()
    assert [await role(storage, each) for each in collections] == [NONE, ORGANIZER, NONE]


async def test_else_the_newest_of_the_calendars_that_are_not_deleted(storage, person, resolve):
    collections = await three(storage, person)
    others = [await another(storage, person), *collections[1:]]
    await of_before(storage, others, person)
    await storage.database.fetch(
        "update object set modified_at = now() + case when collection_id = $2 then interval '1 hour' "
        "when collection_id = $3 then interval '2 hours' else interval '0' end where home_id = $1",
        others[0].home_id,
        others[1].id,
        others[2].id,
    )
    await delete_collection(storage, person, others[2])
    await resolve()
    assert [await role(storage, each) for each in others[:2]] == [NONE, ORGANIZER]


async def test_another_address_of_the_owner_does_not_move_a_role(storage, person):
    """The newer one would have been the meeting if both had been stored before."""
    calendar, work = await another(storage, person), await person.collection()
    await put(storage, calendar, person)
    plain = await of(storage, work, person)
    plain = replace(plain, scheduling=replace(plain.scheduling, role=NONE))
    await storage.put_object(work, "a", plain, None, LIMITS, CAUSE)
    await storage.database.fetch("update home set owner_addresses = '{x}' where id = $1", calendar.home_id)
    await follow_owners(storage.database)
    await rederive(storage.database, datetime.now(UTC))
    assert (await role(storage, calendar), await role(storage, work)) == (ORGANIZER, NONE)


@pytest.mark.parametrize("component", ["VEVENT", "VTODO"])
async def test_the_database_knows_the_default_calendar_as_the_services_do(storage, person, component):
    home, ids = await person.home(), []
    for name, components in (("a", EVENTS), ("b", ("VTODO", "VEVENT")), ("c", ("VTODO",))):
        new = NewCollection(name, "calendar", components)
        ids.append((await storage.create_collection(home, new, LIMITS, CAUSE)).id)
    values = [f'<X xmlns="x">{each}</X>' for each in (*ids, 0, "\n 1", "/calendars/users/x/b/", "/c", "none", "")]
    found = set()
    for value in ("", *values):
        changes = PropertyChanges({PROPERTIES[component]: value or None})
        inbox = await person.collection("inbox")
        await storage.set_collection_properties(home, inbox, changes, person.id, LIMITS, CAUSE)
        inbox = await person.collection("inbox")
        expected = default_calendar(inbox, await storage.collections(home, person.id), component)
        assert await person.value(f"select koyomi_default_calendar_1($1, '{component}')") == expected.id
        found.add(expected.name)
    assert found == ({"a", "b", "calendar"} if component == "VEVENT" else {"b", "c", "tasks"})
