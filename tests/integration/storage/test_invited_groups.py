"""Meetings that invite groups, and the jobs by which they follow the members."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.memberships import MEMBERS, Memberships
from server.services.scheduling.sent import Sent
from server.storage.directory import RelationChange
from server.storage.jobs import MEMBERSHIPS
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, event_text

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def meetings(storage, group):
    return await storage.meetings_of_group(group.id, after=(0, 0), limit=10)


async def test_a_meeting_follows_the_members_of_a_group(storage):
    owner, one, two = [await make_person(storage) for _ in range(3)]
    outer, inner = await make_person(storage, "group"), await make_person(storage, "group")
    directory, queue, lookup = PostgresDirectory(storage.database), PostgresJobs(storage.database), Lookup(storage)
    scheduling = Scheduling(storage, Objects(storage, Limits(), lambda: NOW), Limits(), now=lambda: NOW)
    memberships = Memberships(scheduling, timedelta(minutes=10), lambda: NOW)

    async def gather(group, *members):
        change = RelationChange(group.id, members=frozenset(each.id for each in members))
        await directory.write_relations([change], CAUSE)

    async def found():
        viewer = (await storage.resolve(owner.id, None)).viewer
        target = Target(owner.uid, "uid", "calendar", "calendar", "m.ics")
        return Actor(viewer, "caldav"), await lookup.find(Actor(viewer, "caldav"), target, Privilege.READ, text=True)

    async def invited():
        text = (await found())[1].object.text.replace("\r\n ", "")
        return [f"urn:x-uid:{each.uid}\r\n" in text for each in (one, two)]

    await gather(outer, one, inner)
    people = f"ORGANIZER:urn:x-uid:{owner.uid}", f"ATTENDEE:urn:x-uid:{outer.uid}"
    actor, place = await found()
    await scheduling.put(actor, place, event_text("m", "DTSTART:20260401T090000Z", *people).encode(), Sent())
    assert await invited() == [True, False]
    assert await meetings(storage, inner) == await meetings(storage, outer) != []
    for members in ((one,), (two,)):
        await gather(inner, *members)
    jobs = [each for each in await queue.jobs(MEMBERSHIPS, None, 100) if each.payload["group"] == inner.id]
    assert len(jobs) == 1
    for _ in range(2):
        assert await memberships.plan(inner.id) == 1
    ((home_id, object_id),) = await meetings(storage, inner)
    waiting = [each for each in await queue.jobs(MEMBERS, None, 100) if each.payload["object"] == object_id]
    assert len(waiting) == 1, "a meeting changes once"
    assert await memberships.follow(home_id, object_id)
    assert await invited() == [True, True]
    assert not await memberships.follow(home_id, object_id)
    await directory.delete_principal(inner.id, CAUSE, purge=False)
    assert await meetings(storage, outer) == [(home_id, object_id)]
    assert [each for each in await queue.jobs(MEMBERSHIPS, None, 100) if each.payload["group"] == outer.id]
    assert await memberships.follow(home_id, object_id)
    assert await invited() == [True, False]


async def test_a_member_who_is_deleted_lets_the_meetings_of_all_their_groups_follow(storage):
    person = await make_person(storage)
    groups = [await make_person(storage, "group") for _ in range(2)]
    directory, queue = PostgresDirectory(storage.database), PostgresJobs(storage.database)
    await directory.write_relations(
        [RelationChange(each.id, members=frozenset((person.id,))) for each in groups], CAUSE
    )
    ids = {each.id for each in groups}
    await storage.database.fetch("delete from job where kind = $1", MEMBERSHIPS)
    await directory.delete_principal(person.id, CAUSE, purge=False)
    assert {each.payload["group"] for each in await queue.jobs(MEMBERSHIPS, None, 100)} == ids
