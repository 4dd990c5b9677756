"""What delivery reads of its recipients, and what homes know of messages beside the texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.changes import ChangeSet, Delete, ObjectState, Put, Remember
from server.domain.errors import WriteConflict
from server.domain.grants import Ace
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.upkeep.pruning import forget_messages
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, LIMITS, event_text, read

MEETING = ("ORGANIZER:mailto:elsewhere@example.com", "ATTENDEE:urn:x-uid:{uid}", "DTSTART:20260301T090000Z")


async def put(storage, calendar, name, uid, *lines, remembered=()):
    content = await read(storage, replace(calendar, components=()), event_text(uid, *lines))
    set_ = ChangeSet((Put(calendar, name, content, None),), LIMITS, CAUSE, remembered=tuple(remembered))
    (written,) = await storage.apply(set_)
    return written


async def test_the_scheduling_object_of_a_uid_is_found_with_its_home(storage):
    sender, ada, room = await make_person(storage), await make_person(storage), await make_person(storage, "room")
    group = await make_person(storage, "group")
    calendar = await ada.collection()
    await put(storage, calendar, "m.ics", "m", *(line.format(uid=ada.uid) for line in MEETING))
    found = await storage.mailboxes(sender.id, [room.id, ada.id, group.id, 0], "m")
    assert [each.principal_id for each in found] == sorted((ada.id, room.id))
    mailbox = next(each for each in found if each.principal_id == ada.id)
    assert mailbox.home == await ada.home()
    assert mailbox.inbox == await ada.collection("inbox")
    assert {each.name for each in mailbox.calendars} == {"calendar", "tasks"}
    assert mailbox.collection == await ada.collection()
    assert (mailbox.object.name, mailbox.object.role) == ("m.ics", SchedulingRole.ATTENDEE)
    assert mailbox.object.text.startswith("BEGIN:VCALENDAR")
    other = next(each for each in found if each.principal_id == room.id)
    assert (other.collection, other.object, other.state, other.version) == (None, None, None, 0)


async def test_a_plain_object_of_the_uid_is_found_where_there_is_no_other(storage):
    sender, ada = await make_person(storage), await make_person(storage)
    await put(storage, await ada.collection("tasks"), "t.ics", "u", "DTSTART:20260301T090000Z")
    (mailbox,) = await storage.mailboxes(sender.id, [ada.id], "u")
    assert (mailbox.collection.name, mailbox.object.role) == ("tasks", SchedulingRole.NONE)
    await put(storage, await ada.collection(), "m.ics", "u", *(line.format(uid=ada.uid) for line in MEETING))
    (mailbox,) = await storage.mailboxes(sender.id, [ada.id], "u")
    assert (mailbox.collection.name, mailbox.object.role) == ("calendar", SchedulingRole.ATTENDEE)


async def test_what_the_list_of_the_inbox_says_of_the_sender_comes_with_it(storage):
    sender, other, ada = await make_person(storage), await make_person(storage), await make_person(storage)
    inbox = await ada.collection("inbox")
    entry = Ace(inbox.id, sender.id, False, (Privilege.SCHEDULE_DELIVER_INVITE,))
    await PostgresAccess(storage).set_acl(await ada.home(), inbox, [entry], CAUSE)
    for asking, expected in ((sender, (entry,)), (other, ())):
        (mailbox,) = await storage.mailboxes(asking.id, [ada.id], "u")
        assert mailbox.grants.aces == expected


async def test_what_is_remembered_is_set_with_the_writes_of_a_set_or_not_at_all(storage):
    ada = await make_person(storage)
    calendar = await ada.collection()
    home_id = calendar.home_id

    async def remembered():
        (mailbox,) = await storage.mailboxes(ada.id, [ada.id], "u")
        return mailbox.version, mailbox.state

    await put(storage, calendar, "1.ics", "1", remembered=[Remember(home_id, "u", {"a": 1}, 0)])
    assert await remembered() == (1, {"a": 1})
    for version in (0, 2):
        with pytest.raises(WriteConflict):
            await put(storage, calendar, "2.ics", "2", remembered=[Remember(home_id, "u", {"a": 2}, version)])
    with pytest.raises(WriteConflict):
        await put(storage, calendar, "2.ics", "2", remembered=[Remember(home_id, "other", None, 3)])
    assert await remembered() == (1, {"a": 1})
    await put(storage, calendar, "2.ics", "2", remembered=[Remember(home_id, "u", {"a": 2}, 1)])
    assert await remembered() == (2, {"a": 2})
    await put(storage, calendar, "3.ics", "3", remembered=[Remember(home_id, "u", None, 2)])
    assert await remembered() == (0, None)
    await put(storage, calendar, "4.ics", "4", remembered=[Remember(home_id, "u", None, 0)])
    assert await remembered() == (0, None)


async def test_a_set_of_several_writes_remembers_all_or_nothing(storage):
    """It is one statement where its writes hold the homes, and a transaction where one of them is not written."""
    ada, bob, eve = await make_person(storage), await make_person(storage), await make_person(storage)
    calendars = [await person.collection() for person in (ada, bob)]
    homes = [calendar.home_id for calendar in calendars]
    other = (await eve.home()).id

    async def put_both(name, *remembered):
        content = await read(storage, replace(calendars[0], components=()), event_text(name))
        writes = tuple(Put(calendar, f"{name}.ics", content, None) for calendar in calendars)
        written = await storage.apply(ChangeSet(writes, LIMITS, CAUSE, remembered=remembered))
        return [each.id for each in written]

    async def known():
        found = await storage.mailboxes(ada.id, [ada.id, bob.id, eve.id], "u")
        return [each.state for each in found]

    ids = await put_both("1", *(Remember(home_id, "u", {"of": home_id}, 0) for home_id in homes))
    for calendar, id_ in zip(calendars, ids, strict=True):
        assert [row[0] for row in await storage.members_by_id(calendar, [id_], ("name",))] == ["1.ics"]
    assert await known() == [{"of": homes[0]}, {"of": homes[1]}, None]
    with pytest.raises(WriteConflict):
        await put_both("2", Remember(homes[0], "u", {"a": 2}, 1), Remember(homes[1], "u", {"a": 2}, 7))
    assert await known() == [{"of": homes[0]}, {"of": homes[1]}, None]
    await put_both("2", Remember(homes[0], "u", None, 1), Remember(other, "u", {"a": 3}, 0))
    assert await known() == [None, {"of": homes[1]}, {"a": 3}]


async def test_what_is_remembered_of_deleted_events_is_forgotten_when_it_is_old(storage):
    ada = await make_person(storage)
    calendar = await ada.collection()
    made = await put(storage, calendar, "1.ics", "1", remembered=[Remember(calendar.home_id, "1", {"a": 1}, 0)])
    await put(storage, calendar, "2.ics", "2", remembered=[Remember(calendar.home_id, "gone", {"a": 1}, 0)])

    async def known():
        rows = await storage.database.fetch(
            "select uid from scheduling_memory where home_id = $1 order by uid", calendar.home_id
        )
        return [row[0] for row in rows]

    assert await forget_messages(storage.database, timedelta(days=1)) == 0
    assert await known() == ["1", "gone"]
    assert await forget_messages(storage.database, timedelta(0)) >= 1
    assert await known() == ["1"]
    delete = Delete(calendar, "1.ics", ObjectState(made.id, made.revision))
    await storage.apply(ChangeSet((delete,), LIMITS, CAUSE))
    assert await forget_messages(storage.database, timedelta(0), batch=1) >= 1
    assert await known() == []
