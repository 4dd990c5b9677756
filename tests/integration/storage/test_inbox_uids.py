"""A UID is unique in a collection, except in the scheduling inbox (RFC 6638 §2.2, RFC 4791 §4.1)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from server.calendar.filter_plan import UidSearch
from server.domain.changes import ChangeSet, Delete, Put
from server.domain.errors import UidConflict
from server.domain.scheduling import NO_SCHEDULING, Scheduling, SchedulingRole
from storage_plugins.postgres.upkeep.check import check
from storage_plugins.postgres.upkeep.rederivation import rederive
from tests.integration.storage.test_scheduling_roles import meeting, stored
from tests.integration.storage.values import CAUSE, LIMITS, etag_of, event_text, read, state

ORGANIZER = "mailto:organizer@example.com"
MESSAGE = Scheduling(SchedulingRole.INBOX, ORGANIZER, 2)


async def message(storage, inbox, uid="u"):
    return await read(storage, inbox, meeting(uid, ORGANIZER, "mailto:attendee@example.com", sequence=2))


async def names_of(storage, collection, uid):
    found = {row[0] for row in await storage.uids(collection, UidSearch(uid, "equals", ignore_case=False))}
    rows = await storage.members(collection, ("id", "name"), after=None, limit=10)
    return sorted(row[1] for row in rows if row[0] in found)


async def test_an_inbox_holds_several_messages_of_one_uid(storage, person):
    inbox = await person.collection("inbox")
    first = await storage.put_object(inbox, "a", await message(storage, inbox), None, LIMITS, CAUSE)
    await storage.put_object(inbox, "b", await message(storage, inbox), None, LIMITS, CAUSE)
    writes = (
        Put(inbox, "a", await message(storage, inbox), state(first)),
        Put(inbox, "c", await message(storage, inbox), None),
        Put(inbox, "d", await message(storage, inbox), None),
    )
    await storage.apply(ChangeSet(writes, LIMITS, CAUSE))
    assert await names_of(storage, inbox, "u") == ["a", "b", "c", "d"]
    assert [await stored(storage, inbox, name) for name in "abcd"] == [MESSAGE] * 4
    # no single one has it
    assert await storage.uid_holder(inbox, "u") is None


async def test_a_calendar_beside_an_inbox_holds_one_object_of_a_uid(storage, person):
    inbox, calendar = await person.collection("inbox"), await person.collection()
    await storage.put_object(inbox, "a", await message(storage, inbox), None, LIMITS, CAUSE)
    await storage.put_object(inbox, "b", await message(storage, inbox), None, LIMITS, CAUSE)
    await storage.put_object(calendar, "a", await message(storage, calendar), None, LIMITS, CAUSE)
    content = await message(storage, calendar)
    with pytest.raises(UidConflict):
        await storage.put_object(calendar, "b", content, None, LIMITS, CAUSE)
    writes = Put(inbox, "c", await message(storage, inbox), None), Put(calendar, "b", content, None)
    with pytest.raises(UidConflict) as raised:
        await storage.apply(ChangeSet(writes, LIMITS, CAUSE))
    assert raised.value.write == 1
    assert await names_of(storage, inbox, "u") == ["a", "b"]
    assert await names_of(storage, calendar, "u") == ["a"]
    assert await storage.uid_holder(calendar, "u") == "a"


async def test_a_message_without_organizer_is_one_of_the_inbox_too(storage, person):
    inbox = await person.collection("inbox")
    content = await read(storage, inbox, event_text("u"))
    await storage.put_object(inbox, "a", content, None, LIMITS, CAUSE)
    assert (await stored(storage, inbox, "a")).role is SchedulingRole.INBOX


async def test_a_message_stays_one_when_it_is_derived_again(storage, person):
    inbox = await person.collection("inbox")
    await storage.put_object(inbox, "a", await message(storage, inbox), None, LIMITS, CAUSE)
    await storage.put_object(inbox, "b", await message(storage, inbox), None, LIMITS, CAUSE)
    await storage.database.fetch(
        "update object set organizer = null, sequence = 0, derived = 4 where home_id = $1", inbox.home_id
    )
    await rederive(storage.database, datetime.now(UTC))
    assert [await stored(storage, inbox, name) for name in "ab"] == [MESSAGE] * 2


async def test_a_message_that_is_copied_into_a_calendar_is_no_message_there(storage, person):
    inbox, calendar = await person.collection("inbox"), await person.collection()
    first = await storage.put_object(inbox, "a", await message(storage, inbox), None, LIMITS, CAUSE)
    second = await storage.put_object(inbox, "b", await message(storage, inbox), None, LIMITS, CAUSE)
    await storage.copy_object(inbox, "a", state(first), calendar, "a", None, LIMITS, CAUSE)
    with pytest.raises(UidConflict):
        await storage.move_object(inbox, "b", state(second), calendar, "b", None, LIMITS, CAUSE)
    await rederive(storage.database, datetime.now(UTC))
    assert await stored(storage, calendar, "a") == Scheduling(SchedulingRole.NONE, ORGANIZER, 2)
    await storage.apply(ChangeSet((Delete(inbox, "a", state(first)),), LIMITS, CAUSE))
    assert await names_of(storage, inbox, "u") == ["b"]


async def test_a_check_finds_a_role_that_belongs_elsewhere(storage, person):
    calendar = await person.collection()
    content = await read(storage, calendar, event_text("u"))
    await storage.put_object(calendar, "a", content, None, LIMITS, CAUSE)
    place = calendar.home_id, calendar.id
    mark = "update object set scheduling = $3 where home_id = $1 and collection_id = $2"
    await storage.database.fetch(mark, *place, 3)
    found = [each async for each in check(storage.database, etag_of)]
    assert [(each.home_id, each.what, each.stored) for each in found] == [(calendar.home_id, "scheduling", "3")]
    await storage.database.fetch(mark, *place, 0)
    assert await stored(storage, calendar, "a") == NO_SCHEDULING
