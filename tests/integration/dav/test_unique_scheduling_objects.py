"""RFC 6638 §3.2.4.1: a second scheduling object of a UID in one home is refused, and the first one is named."""

from __future__ import annotations

import pytest

from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, event, xml
from tests.integration.dav.sharing import Share, shown

PRECONDITION = caldav("unique-scheduling-object-resource")
INVITED = "ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:others@example.com"


QUERY = (
    '<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
    '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/></C:comp-filter></C:comp-filter></C:filter>'
)


def meeting(person: Person, uid: str, *lines: str) -> str:
    return event(uid, "Meeting", f"ORGANIZER:urn:x-uid:{person.uid}", INVITED, *lines)


async def new_calendar(person: Person, name: str) -> str:
    assert (await person.http("MKCALENDAR", f"{person.home}{name}/", xml("C:mkcalendar"))).status == 201
    return f"{person.home}{name}/"


@pytest.fixture
async def work(person: Person) -> str:
    """A second calendar of the person."""
    return await new_calendar(person, "w%C3%B6rk")


async def refused(person: Person, method: str, path: str, where: str, body: str = "", **headers: str) -> None:
    """The answer names what is at `where`."""
    reply = await person.http(method, path, body, **headers)
    reply.refused(403, PRECONDITION)
    assert f"<D:href>{where}</D:href>" in reply.text


def of_another(person: Person, uid: str) -> str:
    """A meeting to which somebody elsewhere invites the person."""
    people = "ORGANIZER:mailto:others@example.com", f"ATTENDEE;PARTSTAT=NEEDS-ACTION:urn:x-uid:{person.uid}"
    return event(uid, "Meeting", *people)


async def test_put_with_another_organizer(person: Person, work: str) -> None:
    held = f"{person.calendar}a b.ics".replace(" ", "%20")
    await person.has(held, meeting(person, "1"))
    text = of_another(person, "1")
    await refused(person, "PUT", f"{work}b.ics", held, text, Content_Type="text/calendar")
    assert not await person.exists(f"{work}b.ics")
    # the other way round
    await person.http("MOVE", held, Destination=f"{work}c.ics")
    there = f"{person.home}w%C3%B6rk/c.ics"
    await refused(person, "PUT", f"{person.calendar}b.ics", there, text, Content_Type="text/calendar")
    await refused(person, "POST", f"{person.calendar};add-member/", there, text, Content_Type="text/calendar")


async def test_the_answer_is_in_the_form_of_the_request(person: Person, work: str) -> None:
    await person.has(f"{person.calendar}a.ics", meeting(person, "1"))
    home = f"/calendars/users/{person.name}/"
    text = of_another(person, "1")
    await refused(person, "PUT", f"{home}w%C3%B6rk/b.ics", f"{home}calendar/a.ics", text, Content_Type="text/calendar")


async def test_copy(person: Person, work: str) -> None:
    await person.has(f"{person.calendar}a.ics", meeting(person, "1"))
    await refused(person, "COPY", f"{person.calendar}a.ics", f"{person.calendar}a.ics", Destination=f"{work}b.ics")
    assert not await person.exists(f"{work}b.ics")
    # within a calendar it is the UID that may not be used twice (RFC 4791 §5.3.2.1)
    reply = await person.http("COPY", f"{person.calendar}a.ics", Destination=f"{person.calendar}b.ics")
    reply.refused(403, caldav("no-uid-conflict"))
    # a plain event may be in two calendars
    await person.has(f"{person.calendar}p.ics", event("2"))
    assert (await person.http("COPY", f"{person.calendar}p.ics", Destination=f"{work}p.ics")).status == 201


async def test_move(person: Person, work: str, other: Person, share: Share) -> None:
    """Out of another's calendar, into a home that has the meeting already."""
    await share(other, person, "write")
    shared = next(href for href in await shown(person) if href != work)
    await person.has(f"{person.calendar}a.ics", meeting(person, "1"))
    await other.has(f"{other.calendar}b.ics", meeting(person, "1"))
    await refused(person, "MOVE", f"{shared}b.ics", f"{person.calendar}a.ics", Destination=f"{work}b.ics")
    assert await person.exists(f"{shared}b.ics")
    assert not await person.exists(f"{work}b.ics")


async def test_a_meeting_in_a_calendar_that_one_does_not_see_is_not_named(
    person: Person, other: Person, share: Share
) -> None:
    hidden = await new_calendar(other, "hidden")
    await share(other, person, "write")
    (shared,) = await shown(person)
    await other.has(f"{hidden}secret.ics", meeting(other, "1"))
    reply = await person.put(f"{shared}b.ics", meeting(other, "1"))
    # A sharee makes no meetings in the name of the calendar's owner.
    reply.refused(403, dav("need-privileges"))
    assert "secret" not in reply.text
    assert "hidden" not in reply.text


async def test_a_copied_calendar_has_plain_events_of_their_own(person: Person) -> None:
    await person.has(f"{person.calendar}a.ics", meeting(person, "1"))
    copy = f"{person.home}copy/"
    assert (await person.http("COPY", person.calendar, Destination=copy, Depth="infinity")).status == 201
    reply = await person.http("GET", f"{copy}a.ics")
    assert "Schedule-Tag" not in reply.headers
    for name in ("UID:1", "ORGANIZER", "ATTENDEE"):
        assert name not in reply.text
    assert "SUMMARY:Meeting" in reply.text
    found = await person.report(copy, "C:calendar-query", QUERY)
    assert found.multistatus.hrefs == [f"{copy}a.ics"]
    await person.has(f"{copy}a.ics", reply.text.replace("SUMMARY:Meeting", "SUMMARY:Mine"))
    assert "SUMMARY:Mine" in (await person.http("GET", f"{copy}a.ics")).text
    await person.has(f"{person.calendar}a.ics", meeting(person, "1", "LOCATION:Here"))
    # what was a plain event does not become a second meeting
    await person.has(f"{copy}b.ics", event("2"))
    await person.has(f"{person.calendar}b.ics", meeting(person, "2"))
    (await person.put(f"{copy}b.ics", meeting(person, "2"))).refused(403, PRECONDITION)


async def test_a_deleted_calendar_is_in_nobodys_way(person: Person, work: str) -> None:
    await person.has(f"{work}a.ics", meeting(person, "1"))
    assert (await person.http("DELETE", work)).status == 204
    await person.has(f"{person.calendar}a.ics", meeting(person, "1"))
