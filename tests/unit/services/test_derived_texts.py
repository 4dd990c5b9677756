"""What is derived once for all members of a change set is what would be derived for each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from server.domain.errors import InvalidCalendarData, UnsupportedComponent
from server.domain.limits import Limits
from server.services.objects import Objects
from tests.unit.services.world import ALARM, World, calendar, event

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PEOPLE = ("ann", "bob", "cyd", "dee")
ORGANIZER = "ORGANIZER:mailto:ann@example.com"
ATTENDEES = (
    "ATTENDEE;PARTSTAT=ACCEPTED:mailto:bob@example.com",
    "ATTENDEE;PARTSTAT=DECLINED:mailto:cyd@example.com",
)
TEXTS = {
    "plain": event("u"),
    "meeting": event("u", ORGANIZER, *ATTENDEES, *ALARM),
    "series": event("u", ORGANIZER, *ATTENDEES, "RRULE:FREQ=DAILY"),
    "folded answer": event("u", ORGANIZER, "ATTENDEE;PARTSTAT=DECL\r\n INED:mailto:bob@example.com"),
    "declined by several": event("u", ORGANIZER, *ATTENDEES, "ATTENDEE;PARTSTAT=declined:mailto:bob@example.com"),
    "task": calendar("BEGIN:VTODO", "UID:u", "DTSTAMP:20260101T000000Z", ORGANIZER, *ATTENDEES, "END:VTODO"),
}


def addresses(person: str) -> frozenset[str]:
    return frozenset((f"mailto:{person}@example.com", f"name:{person}"))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", ["calendar", "inbox"])
async def test_contents_are_those_that_are_derived_alone(text: str, kind: str) -> None:
    world = World()
    await world.add("ann")
    found = await world.find("ann", "ann/calendar")
    assert found.collection is not None
    collection = replace(found.collection, kind=kind, components=("VEVENT", "VTODO"))  # type: ignore[arg-type]
    objects = Objects(world.storage, Limits(), lambda: NOW)
    together = objects.for_one_set()
    tags: list[str | None] = []
    for person in (*PEOPLE, *PEOPLE):
        alone = await objects.content(collection, text.encode(), None, addresses(person))
        shared = await together.content(collection, text.encode(), None, addresses(person))
        assert replace(shared, schedule_tag=None) == replace(alone, schedule_tag=None)
        assert (shared.schedule_tag is None) == (alone.schedule_tag is None)
        tags.append(shared.schedule_tag)
    given = [tag for tag in tags if tag is not None]
    assert len(set(given)) == len(given)


async def test_occurrences_that_stay_are_not_mixed_up_with_those_that_are_computed() -> None:
    world = World()
    await world.add("ann")
    body = TEXTS["meeting"].encode()
    await world.put("ann", "ann/calendar/e", TEXTS["meeting"])
    found = await world.find("ann", "ann/calendar/e")
    assert found.collection is not None
    assert found.object is not None
    objects = Objects(world.storage, Limits(), lambda: NOW).for_one_set()
    kept = await objects.content(found.collection, body, found.object, addresses("ann"))
    new = await objects.content(found.collection, body, None, addresses("ann"))
    again = await objects.content(found.collection, body, found.object, addresses("ann"))
    assert kept.materialised is None
    assert new.materialised is not None
    assert replace(again, schedule_tag=None) == replace(kept, schedule_tag=None)


async def test_each_collection_refuses_what_it_does_not_take() -> None:
    world = World()
    await world.add("ann")
    found = await world.find("ann", "ann/calendar")
    assert found.collection is not None
    takes = replace(found.collection, components=("VTODO",))
    refuses = replace(found.collection, components=("VEVENT",))
    objects = Objects(world.storage, Limits(), lambda: NOW).for_one_set()
    await objects.content(takes, TEXTS["task"].encode(), None, addresses("ann"))
    with pytest.raises(UnsupportedComponent):
        await objects.content(refuses, TEXTS["task"].encode(), None, addresses("ann"))


def test_texts_that_cannot_be_read_are_refused_each_time() -> None:
    objects = Objects(World().storage, Limits(), lambda: NOW).for_one_set()
    for _ in range(2):
        with pytest.raises(InvalidCalendarData):
            objects.scheduling_object("x")
    assert objects.scheduling_object(TEXTS["task"]).text == TEXTS["task"]
