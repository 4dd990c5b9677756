"""Role, organizer and sequence of an object follow its text and the addresses of its home's owner."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from server.domain.changes import ChangeSet, Put
from server.domain.scheduling import NO_SCHEDULING, Scheduling, SchedulingRole
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.upkeep.rederivation import follow_owners, rederive
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, LIMITS, event_text, read, state

ROW = """
    select scheduling, organizer, sequence from object
    where home_id = $1 and collection_id = $2 and name = $3 and deleted_revision is null
"""


def meeting(uid, organizer, *attendees, sequence=0):
    people = (f"ORGANIZER:{organizer}", *(f"ATTENDEE:{each}" for each in attendees), f"SEQUENCE:{sequence}")
    return event_text(uid, "DTSTART:20260305T090000Z", *people)


async def stored(storage, calendar, name):
    role, organizer, sequence = await storage.database.fetchrow(ROW, calendar.home_id, calendar.id, name)
    return Scheduling(SchedulingRole(role), organizer, sequence)


async def test_every_write_says_whose_an_object_is(storage):
    person, other = await make_person(storage), await make_person(storage)
    calendar, tasks, elsewhere = [
        await person.collection(), await person.collection("tasks"), await other.collection()
    ]  # fmt: skip
    own, others = f"urn:x-uid:{person.uid}", f"urn:x-uid:{other.uid}"
    mine, theirs = Scheduling(SchedulingRole.ORGANIZER, own, 2), Scheduling(SchedulingRole.ATTENDEE, others, 0)
    nobodys = Scheduling(SchedulingRole.NONE, others, 0)

    made = await read(storage, calendar, meeting("a", own, others, sequence=2))
    first = await storage.put_object(calendar, "a", made, None, LIMITS, CAUSE)
    assert await stored(storage, calendar, "a") == mine
    made = await read(storage, calendar, meeting("a", others, own))
    second = await storage.put_object(calendar, "a", made, state(first), LIMITS, CAUSE)
    assert await stored(storage, calendar, "a") == theirs
    # the same times: the occurrences stay
    made = replace(await read(storage, calendar, meeting("a", others)), materialised=None)
    third = await storage.put_object(calendar, "a", made, state(second), LIMITS, CAUSE)
    assert await stored(storage, calendar, "a") == nobodys
    await storage.delete_object(calendar, "a", state(third), CAUSE)
    made = await read(storage, calendar, meeting("a", own, others, sequence=2))
    again = await storage.put_object(calendar, "a", made, None, LIMITS, CAUSE)
    assert await stored(storage, calendar, "a") == mine

    # moved at home; in another home it is derived for that owner
    moved = await storage.move_object(calendar, "a", state(again), calendar, "b", None, LIMITS, CAUSE)
    assert await stored(storage, calendar, "b") == mine
    moved = await storage.move_object(calendar, "b", state(moved), tasks, "b", None, LIMITS, CAUSE)
    assert await stored(storage, tasks, "b") == mine
    await storage.copy_object(tasks, "b", state(moved), elsewhere, "b", None, LIMITS, CAUSE)
    assert (await stored(storage, elsewhere, "b")).role is SchedulingRole.NONE
    await rederive(storage.database, datetime.now(UTC))
    assert await stored(storage, elsewhere, "b") == replace(mine, role=SchedulingRole.ATTENDEE)

    # sets of several: new, and in the place of others
    for expected in (False, True):
        writes = []
        for number, text in enumerate((meeting("s0", own, sequence=2), meeting("s1", others, own), event_text("s2"))):
            row = await storage.database.fetchrow(
                "select id, revision from object where home_id = $1 and name = $2", calendar.home_id, f"s{number}"
            )
            known = state(replace(again, id=row[0], revision=row[1])) if expected else None
            writes.append(Put(calendar, f"s{number}", await read(storage, calendar, text), known))
        await storage.apply(ChangeSet(tuple(writes), LIMITS, CAUSE))
        assert [await stored(storage, calendar, f"s{n}") for n in range(3)] == [mine, theirs, NO_SCHEDULING]


async def test_objects_of_before_and_of_owners_with_other_addresses_are_derived_again(storage):
    person = await make_person(storage)
    calendar = await person.collection()
    made = await read(storage, calendar, meeting("a", "mailto:new@example.net", sequence=4))
    await storage.put_object(calendar, "a", made, None, LIMITS, CAUSE)
    await storage.put_object(calendar, "b", await read(storage, calendar, event_text("b")), None, LIMITS, CAUSE)
    expected = Scheduling(SchedulingRole.NONE, "mailto:new@example.net", 4)
    assert await stored(storage, calendar, "a") == expected
    await storage.database.fetch(
        "update object set scheduling = 0, organizer = null, sequence = 0, derived = 4 where home_id = $1",
        calendar.home_id,
    )
    await rederive(storage.database, datetime.now(UTC))
    assert await stored(storage, calendar, "a") == expected
    assert await stored(storage, calendar, "b") == NO_SCHEDULING
    change = PrincipalChange(id=person.id, addresses=("New@example.net",))
    await PostgresDirectory(storage.database).write_principals([change], CAUSE)
    await follow_owners(storage.database)
    await rederive(storage.database, datetime.now(UTC))
    assert await stored(storage, calendar, "a") == replace(expected, role=SchedulingRole.ORGANIZER)
