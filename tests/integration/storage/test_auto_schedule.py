"""Many organizers who invite one room at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.changing import change
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import event_text

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORGANIZERS = 6


async def test_one_of_many_organizers_gets_the_room(storage):
    room, people = await make_person(storage, "room"), [await make_person(storage) for _ in range(ORGANIZERS)]
    await storage.database.fetch(
        "update principal set auto_schedule = $2::jsonb where id = $1", room.id, {"mode": "automatic"}
    )
    lookup = Lookup(storage)
    scheduling = Scheduling(storage, Objects(storage, Limits(), lambda: NOW), Limits(), now=lambda: NOW)

    async def actor(person):
        return Actor((await storage.resolve(person.id, None)).viewer, "caldav")

    async def found(person):
        target = Target(person.uid, "uid", "calendar", "calendar", "m.ics")
        return await lookup.find(await actor(person), target, Privilege.READ, text=True)

    async def invite(person):
        lines = f"ORGANIZER:urn:x-uid:{person.uid}", f"ATTENDEE:urn:x-uid:{room.uid}"
        text = event_text(f"m-{person.uid}", "DTSTART:20260401T090000Z", "DURATION:PT1H", *lines)
        who = await actor(person)
        await change(lambda: found(person), lambda place: scheduling.put(who, place, text.encode(), Sent()))

    await asyncio.gather(*map(invite, people))
    texts = [(await found(person)).object.text for person in people]
    assert sum("PARTSTAT=ACCEPTED" in text for text in texts) == 1
    assert sum("PARTSTAT=DECLINED" in text for text in texts) == ORGANIZERS - 1
