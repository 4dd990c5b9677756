"""The job that divides a long series, on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.scheduling.dividing import LongSeries
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.long_series import SPLITS
from server.services.scheduling.sent import Sent
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.splitting import Splitting
from storage_plugins.postgres.jobs import PostgresJobs
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, event_text

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ON = SchedulingSettings(split_series=True)


async def test_a_long_series_of_several_people_is_divided(storage):
    owner, *guests = [await make_person(storage) for _ in range(4)]
    objects = Objects(storage, Limits(), lambda: NOW)
    scheduling = Scheduling(storage, objects, Limits(), ON, lambda: NOW)
    divides = LongSeries(Splitting(storage, objects, Limits(), lambda: NOW), ON, lambda: NOW)
    actor = Actor((await storage.resolve(owner.id, None)).viewer, "caldav")
    target = Target(owner.uid, "uid", "calendar", "calendar", "s.ics")
    found = await Lookup(storage).find(actor, target, Privilege.READ)
    people = [f"ORGANIZER:urn:x-uid:{owner.uid}", *(f"ATTENDEE:urn:x-uid:{each.uid}" for each in guests)]
    text = event_text("long", "DTSTART:20240101T090000Z", "RRULE:FREQ=DAILY", *people)
    written = await scheduling.put(actor, found, text.encode(), Sent())
    home_id = found.collection.home_id
    stored = await PostgresJobs(storage.database).jobs(SPLITS, None, 100)
    (job,) = [each for each in stored if each.payload["home"] == home_id]
    assert job.payload["object"] == written.written.id
    place = await storage.object_place(home_id, written.written.id)
    assert (place.owner.id, place.collection, place.name) == (owner.id, "calendar", "s.ics")
    assert await storage.object_place((await guests[0].home()).id, written.written.id) is None
    assert await divides.split(home_id, written.written.id)
    assert not await divides.split(home_id, written.written.id), "what is left is not long"
    for person in (owner, *guests):
        calendar = await person.collection("calendar")
        rows = await storage.members(calendar, ("uid", "text"), after=None, limit=10)
        starts = sorted((row[0] == "long", row[1].split("DTSTART:")[1][:8]) for row in rows)
        assert starts == [(False, "20240101"), (True, "20260215")]
    await storage.delete_collection(await owner.home(), await owner.collection("calendar"), CAUSE)
    assert await storage.object_place(home_id, written.written.id) is None
    assert not await divides.split(home_id, written.written.id)
