"""Where the objects of a UID lie, in all homes."""

from __future__ import annotations

from tests.integration.storage.conftest import make_person
from tests.integration.storage.values import CAUSE, LIMITS, event_text, read


async def test_places_are_paged_by_owner_and_object(storage):
    people = [await make_person(storage) for _ in range(3)]
    expected = []
    for person in people:
        calendar = await person.collection("calendar")
        for name, uid in (("m.ics", "placed"), ("n.ics", "another")):
            text = event_text(uid, "DTSTART:20260301T090000Z")
            await storage.put_object(calendar, name, await read(storage, calendar, text), None, LIMITS, CAUSE)
        expected.append((person.id, "calendar", "m.ics"))
    gone = await people[1].collection("calendar")
    await storage.delete_collection(await people[1].home(), gone, CAUSE)
    expected.pop(1)
    found, after = [], (0, 0)
    while page := await storage.meeting_places("placed", after=after, limit=1):
        assert len(page) == 1
        found += page
        after = page[-1].owner.id, page[-1].id
    mine = [each for each in found if each.owner.id in {person.id for person in people}]
    assert [(each.owner.id, each.collection, each.name) for each in mine] == expected
