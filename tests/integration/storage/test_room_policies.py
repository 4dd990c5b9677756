"""A room with a policy on PostgreSQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from server.domain.actors import Actor
from server.domain.changes import Cause
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.rooms import Room
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.reading import Reading
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import event_text

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_policy_decides_explains_and_strips(storage):
    anna, ben = await make_person(storage), await make_person(storage)
    uid = f"hall-{anna.uid}"
    policy = {"automation": "accept", "strip_body": True, "book_in_policy": [anna.uid]}
    made = PrincipalChange(uid=uid, kind="room", name=uid, room=Room(0, capacity=4, policy=policy))
    (room_id,) = await PostgresDirectory(storage.database).write_principals([made], Cause(None, "cli"))
    lookup = Lookup(storage)
    scheduling = Scheduling(storage, Objects(storage, Limits(), lambda: NOW), Limits(), now=lambda: NOW)

    async def found(viewer, owner_uid, *path):
        actor = Actor((await storage.resolve(viewer, None)).viewer, "caldav")
        return await lookup.find(actor, Target(owner_uid, "uid", "calendar", *path), Privilege.READ, text=True)

    async def invite(person):
        lines = f"ORGANIZER:urn:x-uid:{person.uid}", f"ATTENDEE:urn:x-uid:{uid}", "DESCRIPTION:secret"
        text = event_text(f"m-{person.uid}", "DTSTART:20260401T090000Z", "DURATION:PT1H", *lines)
        place = await found(person.id, person.uid, "calendar", "m.ics")
        who = Actor((await storage.resolve(person.id, None)).viewer, "caldav")
        await scheduling.put(who, place, text.encode(), Sent())
        return (await found(person.id, person.uid, "calendar", "m.ics")).object.text.replace("\r\n ", "")

    async def texts(viewer, owner_uid, collection):
        shown = await found(viewer, owner_uid, collection)
        pages = [page async for page in Reading(storage, 100).pages(shown, ("text",))]
        return [row[0].replace("\r\n ", "") for page in pages for row in page]

    assert "PARTSTAT=ACCEPTED" in await invite(anna)
    assert "PARTSTAT=DECLINED" in await invite(ben)
    (reply,) = await texts(ben.id, ben.uid, "inbox")
    (comment,) = re.findall("COMMENT:(.*)\r", reply)
    assert comment.startswith("It is taken: Wednesday\\, 1 April 2026")
    assert "You may not book it." in comment
    copies = await texts(room_id, uid, "calendar")
    assert len(copies) == 2
    assert not any("secret" in copy for copy in copies)
    assert (await storage.mailboxes(anna.id, [room_id], "m"))[0].room.capacity == 4
    await PostgresDirectory(storage.database).write_principals(
        [PrincipalChange(room_id, disabled=True)], Cause(None, "cli")
    )
    assert (await storage.mailboxes(anna.id, [room_id], "m"))[0].room is None
