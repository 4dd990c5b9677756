"""The events beside busy times (X-CALENDARSERVER-EXTENDED-FREEBUSY): who is told of what."""

from __future__ import annotations

import pytest

from server.domain.grants import DelegateRights
from server.services.scheduling import busy_events
from server.storage.directory import RelationChange
from tests.unit.services.test_busy_times import Asking, mask, request
from tests.unit.services.world import INSTALLATION, event

EXTENDED = ("X-CALENDARSERVER-EXTENDED-FREEBUSY:T",)
PEOPLE = ("ORGANIZER;CN=Ben:mailto:ben@example.com", "ATTENDEE:mailto:ben@example.com")


async def told(asking: Asking, whom: str, who: str = "ann", more: tuple[str, ...] = EXTENDED) -> list[list[str]]:
    """The lines of each event that somebody is told of in the answer for another."""
    (answered,) = await asking.ask(request(whom, organizer=who, more=more), who)
    assert answered.status == "2.0;Success"
    text = (answered.calendar or "").replace("\r\n ", "")
    assert text.endswith("END:VCALENDAR\r\n")
    assert text.count("BEGIN:VFREEBUSY") == 1
    return [part.split("\r\nEND:VEVENT")[0].split("\r\n") for part in text.split("BEGIN:VEVENT\r\n")[1:]]


@pytest.fixture
async def people() -> Asking:
    asking = Asking()
    await asking.add("ann", "ben", "cleo")
    await asking.add("hall", kind="room")
    for who in ("ann", "ben", "hall"):
        text = event("1", f"SUMMARY:Of {who}", "LOCATION:Here", "DESCRIPTION:Secret", *PEOPLE)
        await asking.world.put("cli", f"{who}/calendar/1.ics", text)
    return asking


async def delegate(asking: Asking, owner: str, whom: str, rights: DelegateRights) -> None:
    change = RelationChange(asking.world.ids[owner], delegates=frozenset({(asking.world.ids[whom], rights)}))
    await asking.world.directory.write_relations([change], INSTALLATION.cause)


async def test_ones_own_events_are_told(people: Asking) -> None:
    assert await told(people, "ann") == [
        [
            "UID:1",
            "DTSTAMP:20260101T000000Z",
            "DTSTART:20260301T090000Z",
            "DTEND:20260301T100000Z",
            "SUMMARY:Of ann",
            "LOCATION:Here",
            "ORGANIZER;CN=Ben:mailto:ben@example.com",
        ]
    ]
    assert await told(people, "ann", more=()) == []


async def test_those_of_others_are_told_to_their_delegates_alone(people: Asking) -> None:
    assert await told(people, "ben") == []
    await delegate(people, "ben", "ann", "read")
    ((*_, summary, _, _),) = await told(people, "ben")
    assert summary == "SUMMARY:Of ben"
    assert await told(people, "ben", "cleo") == []


async def test_of_rooms_everybody_is_told_when_and_by_whom(people: Asking) -> None:
    ((uid, _, start, _, *more),) = await told(people, "hall")
    assert (uid, start, more) == ("UID:1", "DTSTART:20260301T090000Z", ["ORGANIZER;CN=Ben:mailto:ben@example.com"])
    await delegate(people, "hall", "ann", "write")
    ((*_, summary, _, _),) = await told(people, "hall")
    assert summary == "SUMMARY:Of hall"


async def test_of_what_is_private_the_times_alone_are_told(people: Asking) -> None:
    """To reading delegates, and of rooms to everybody; writing delegates see the whole."""
    for who in ("ben", "hall"):
        text = event("1", f"SUMMARY:Of {who}", "CLASS:PRIVATE", *PEOPLE)
        await people.world.put("cli", f"{who}/calendar/1.ics", text)
    times = ["UID:1", "DTSTAMP:20260101T000000Z", "DTSTART:20260301T090000Z", "DTEND:20260301T100000Z"]
    assert await told(people, "hall") == [times]
    await delegate(people, "ben", "ann", "read")
    assert await told(people, "ben") == [times]
    for who in ("ben", "hall"):
        await delegate(people, who, "ann", "write")
        ((*_, summary, _),) = await told(people, who)
        assert summary == f"SUMMARY:Of {who}"


async def test_what_makes_nobody_busy_is_not_told(people: Asking) -> None:
    world = people.world
    await world.put("ann", "ann/calendar/1.ics", event("1", "TRANSP:TRANSPARENT"))
    await world.put("ann", "ann/calendar/2.ics", event("2", "STATUS:CANCELLED"))
    declined = "ATTENDEE;PARTSTAT=DECLINED:mailto:ann@example.com"
    await world.put("ann", "ann/calendar/3.ics", event("3", PEOPLE[0], declined))
    await world.put("ann", "ann/calendar/4.ics", event("4", start="20260501T090000Z"))
    await world.put("ann", "ann/calendar/5.ics", event("5"))
    assert await told(people, "ann", more=(*EXTENDED, *mask("5"))) == []
    assert [each[0] for each in await told(people, "ann")] == ["UID:5"]


async def test_instances_of_series_and_days(people: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    await people.world.put("ann", "ann/calendar/1.ics", event("1", "RRULE:FREQ=HOURLY"))
    lines = await told(people, "ann")
    assert [each[2:] for each in lines[:2]] == [
        ["DTSTART:20260301T090000Z", "DTEND:20260301T100000Z", "RECURRENCE-ID:20260301T090000Z"],
        ["DTSTART:20260301T100000Z", "DTEND:20260301T110000Z", "RECURRENCE-ID:20260301T100000Z"],
    ]
    assert len(lines) == 15
    monkeypatch.setattr(busy_events, "MAX_EVENTS", 3)
    assert await told(people, "ann") == lines[:3]
    whole = event("1").replace("DTSTART:20260301T090000Z", "DTSTART;VALUE=DATE:20260301").replace("PT1H", "P1D")
    await people.world.put("ann", "ann/calendar/1.ics", whole)
    ((*_, start, end),) = await told(people, "ann")
    assert (start, end) == ("DTSTART;VALUE=DATE:20260301", "DTEND;VALUE=DATE:20260302")
