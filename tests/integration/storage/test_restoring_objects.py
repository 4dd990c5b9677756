"""Deleted objects are restored while others write to the same calendar."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from server.domain.changes import ObjectState, PropertyChanges
from server.domain.errors import AlreadyExists, QuotaExceeded
from server.domain.limits import Limits
from server.domain.objects import NewCollection, Target
from server.domain.scheduling import SchedulingRole
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.restoring import restore_object
from server.services.scheduling.implicit import Scheduling
from storage_plugins.postgres.upkeep.deleted import deleted_objects
from tests.found import member_in
from tests.integration.dav.person import event
from tests.integration.storage.conftest import Person, make_person
from tests.integration.storage.test_scheduling_roles import meeting, stored
from tests.integration.storage.values import ACTOR, CAUSE, LIMITS, read, state

PROPERTIES = {"{http://example.com/}colour": "<colour xmlns='http://example.com/'/>"}


class Overtaken(Objects):
    """Somebody else writes to the calendar just before each of the first writes."""

    def __init__(self, storage, times: int) -> None:
        super().__init__(storage, Limits())
        self._others = Objects(storage, Limits())
        self.times = times

    async def store(self, actor, found, content, **more):
        if self.times:
            self.times -= 1
            text = event(f"other-{found.name}").encode()
            await self._others.put(actor, found, text)
        return await super().store(actor, found, content, **more)


async def deleted(storage, person: Person, name: str = "a.ics"):
    objects = Objects(storage, Limits())
    calendar = await person.collection()
    made = state((await objects.put(ACTOR, member_in(calendar, name), event(f"uid-{name}").encode())).written)
    revision = await storage.set_object_properties(calendar, name, made, PropertyChanges(PROPERTIES), CAUSE)
    await storage.delete_object(calendar, name, ObjectState(made.id, revision), CAUSE)
    (listed,) = await deleted_objects(storage.database, person.id, 30)
    assert listed.text == "", "a list holds no texts"
    (item,) = await deleted_objects(storage.database, person.id, 30, listed.id)
    return item


async def restore(storage, objects: Objects, person: Person, item) -> str:
    place = Target(person.uid, "uid", item.home, item.collection, item.name)
    scheduling = Scheduling(storage, objects, Limits())
    actor = replace(ACTOR, acting_for=person.id)
    return await restore_object(Lookup(storage), scheduling, actor, place, item.id, item.text, item.properties)


async def test_a_name_that_is_taken_meanwhile(storage):
    person = await make_person(storage)
    item = await deleted(storage, person)
    name = await restore(storage, Overtaken(storage, 1), person, item)
    assert name == f"a-restored-{item.id}.ics"


async def test_an_object_comes_back_with_its_properties_also_under_another_name(storage):
    person = await make_person(storage)
    item = await deleted(storage, person)
    await restore(storage, Overtaken(storage, 1), person, item)
    calendar = await person.collection()
    rows = dict(await storage.members(calendar, ("name", "properties"), after=None, limit=9))
    assert rows == {"a.ics": None, f"a-restored-{item.id}.ics": PROPERTIES}


async def test_an_object_comes_back_with_its_properties_or_not_at_all(storage):
    """The quota has room for the text, and not for the properties."""
    person = await make_person(storage)
    item = await deleted(storage, person)
    home = await person.home()
    objects = Objects(storage, replace(Limits(), quota_bytes=home.used_bytes + len(item.text.encode()) + 1))
    with pytest.raises(QuotaExceeded):
        await restore(storage, objects, person, item)
    assert not await storage.members(await person.collection(), ("name",), after=None, limit=9)
    (listed,) = await deleted_objects(storage.database, person.id, 30, item.id)
    assert listed.properties == PROPERTIES
    assert await restore(storage, Objects(storage, Limits()), person, item) == "a.ics"


async def test_two_that_restore_the_same_at_once(storage):
    person = await make_person(storage)
    item = await deleted(storage, person)
    objects = Objects(storage, Limits())
    done = await asyncio.gather(*(restore(storage, objects, person, item) for _ in range(4)), return_exceptions=True)
    assert [each for each in done if each == "a.ics"] == ["a.ics"]
    assert all(isinstance(each, AlreadyExists) for each in done if each != "a.ics")


async def test_a_calendar_where_others_are_always_faster(storage):
    person = await make_person(storage)
    item = await deleted(storage, person)
    with pytest.raises(AlreadyExists):
        await restore(storage, Overtaken(storage, 100), person, item)


async def test_a_meeting_comes_back_as_a_plain_object_where_another_calendar_has_it(storage):
    person = await make_person(storage)
    calendar, home = await person.collection(), await person.home()
    work = await storage.create_collection(home, NewCollection("work", "calendar"), LIMITS, CAUSE)
    content = await read(storage, calendar, meeting("u", f"urn:x-uid:{person.uid}"))
    written = await storage.put_object(calendar, "a.ics", content, None, LIMITS, CAUSE)
    await storage.delete_object(calendar, "a.ics", state(written), CAUSE)
    await storage.put_object(work, "b.ics", content, None, LIMITS, CAUSE)
    (listed,) = await deleted_objects(storage.database, person.id, 30)
    (item,) = await deleted_objects(storage.database, person.id, 30, listed.id)
    assert await restore(storage, Objects(storage, Limits()), person, item) == "a.ics"
    assert (await stored(storage, calendar, "a.ics")).role is SchedulingRole.NONE
    assert (await stored(storage, work, "b.ics")).role is SchedulingRole.ORGANIZER
