"""The job that cancels and declines the meetings of a deleted calendar, beside restoring."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.changes import ChangeSet, Released
from server.domain.errors import WriteConflict
from server.domain.limits import Limits
from server.domain.objects import NewCollection
from server.domain.scheduling import SchedulingRole
from server.services.scheduling.removals import REMOVALS, Removals, removal_jobs
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from tests.integration.storage.conftest import deadlocks, make_person
from tests.integration.storage.test_scheduling_roles import stored
from tests.integration.storage.values import CAUSE, LIMITS, event_text, read, state

COUNT = 6
REMOVAL_DELAY = timedelta(minutes=10)
DISPATCHES = "select count(*) from scheduling_dispatch where home_id = $1"


async def calendar_with_meetings(storage, owner, guest, name="work"):
    """A calendar of the owner with meetings to which a guest is invited."""
    new = NewCollection(name, "calendar", ("VEVENT",))
    calendar = await storage.create_collection(await owner.home(), new, LIMITS, CAUSE)
    for number in range(COUNT):
        people = f"ORGANIZER:urn:x-uid:{owner.uid}", f"ATTENDEE:urn:x-uid:{guest.uid}"
        text = event_text(f"{name}-{number}", "DTSTART:20260301T090000Z", *people)
        await storage.put_object(calendar, f"{number}", await read(storage, calendar, text), None, LIMITS, CAUSE)
    return await owner.collection(name)


async def restore(storage, owner, calendar):
    (deleted,) = [each for each in await deleted_collections(storage.database, owner.id, 30) if each.id == calendar.id]
    await restore_collection(storage.database, deleted, "again", 30, CAUSE)


async def roles(storage, calendar):
    return [(await stored(storage, calendar, f"{number}")).role for number in range(COUNT)]


async def test_the_job_is_stored_with_the_deletion(storage):
    owner, guest = await make_person(storage), await make_person(storage)
    calendar, home = await calendar_with_meetings(storage, owner, guest), await owner.home()
    jobs = removal_jobs(home.id, calendar, replace(CAUSE, principal_id=owner.id), REMOVAL_DELAY)
    await storage.delete_collection(home, calendar, CAUSE, jobs=jobs)
    queue = PostgresJobs(storage.database)
    (job,) = [each for each in await queue.jobs(REMOVALS, None, 100) if each.payload["collection"] == calendar.id]
    assert dict(job.payload) == {"home": home.id, "collection": calendar.id, "principal": owner.id, "acting_for": 0}
    assert await queue.take([REMOVALS]) is None, "it waits"


async def test_a_calendar_that_is_restored_before_sends_nothing(storage):
    owner, guest = await make_person(storage), await make_person(storage)
    calendar, home = await calendar_with_meetings(storage, owner, guest), await owner.home()
    await storage.delete_collection(home, calendar, CAUSE)
    await restore(storage, owner, calendar)
    assert await Removals(storage, Limits()).send(home.id, calendar.id, CAUSE) == 0
    assert await storage.database.fetchval(DISPATCHES, home.id) == 0
    assert await roles(storage, await owner.collection("again")) == [SchedulingRole.ORGANIZER] * COUNT


async def test_what_is_not_yet_sent_when_a_calendar_is_restored_is_not_sent(storage):
    owner, guest = await make_person(storage), await make_person(storage)
    calendar, home = await calendar_with_meetings(storage, owner, guest), await owner.home()
    await storage.delete_collection(home, calendar, CAUSE)
    apply, sets = storage.apply, []

    class Restoring:
        """The storage, where somebody restores the calendar before the third set."""

        def __getattr__(self, name):
            return getattr(storage, name)

        async def apply(self, changes):
            sets.append(changes)
            if len(sets) == 3:
                await restore(storage, owner, calendar)
            return await apply(changes)

    assert await Removals(Restoring(), Limits()).send(home.id, calendar.id, CAUSE) == 2
    assert await storage.database.fetchval(DISPATCHES, home.id) == 2
    found = await roles(storage, await owner.collection("again"))
    assert found == [SchedulingRole.NONE] * 2 + [SchedulingRole.ORGANIZER] * (COUNT - 2)


async def test_a_member_that_is_shown_keeps_its_role(storage):
    owner, guest = await make_person(storage), await make_person(storage)
    calendar, home = await calendar_with_meetings(storage, owner, guest), await owner.home()
    row = await storage.database.fetchrow(
        "select id, revision from object where home_id = $1 and collection_id = $2 and name = '0'", home.id, calendar.id
    )
    known = replace(state(await _written(storage, calendar)), id=row[0], revision=row[1])
    released = (Released(home.id, known),)
    with pytest.raises(WriteConflict):
        await storage.apply(ChangeSet((), LIMITS, CAUSE, released=released))
    await storage.delete_collection(home, await owner.collection("work"), CAUSE)
    stale = (Released(home.id, replace(known, revision=known.revision - 1)),)
    with pytest.raises(WriteConflict):
        await storage.apply(ChangeSet((), LIMITS, CAUSE, released=stale))
    assert await storage.apply(ChangeSet((), LIMITS, CAUSE, released=released)) == ()
    assert (await stored(storage, calendar, "0")).role is SchedulingRole.NONE


async def _written(storage, calendar):
    content = await read(storage, calendar, event_text("x", "DTSTART:20260301T090000Z"))
    return await storage.put_object(calendar, "x", content, None, LIMITS, CAUSE)


async def test_jobs_restoring_and_writes_at_once(storage):
    """Whoever is first wins: each meeting is either sent or shown with its role; no deadlock."""
    before = await deadlocks(storage)
    for round_ in range(6):
        owner, guest = await make_person(storage), await make_person(storage)
        calendar, home = await calendar_with_meetings(storage, owner, guest), await owner.home()
        await storage.delete_collection(home, calendar, CAUSE)

        async def later(owner=owner, calendar=calendar, pause=round_ / 300):
            await asyncio.sleep(pause)
            await restore(storage, owner, calendar)

        jobs = [Removals(storage, Limits()).send(home.id, calendar.id, CAUSE) for _ in range(2)]
        counts = await asyncio.gather(*jobs, later())
        found = await roles(storage, await owner.collection("again"))
        sent = await storage.database.fetchval(DISPATCHES, home.id)
        assert sent == counts[0] + counts[1] == found.count(SchedulingRole.NONE)
    assert await deadlocks(storage) == before
