"""X-CALENDARSERVER-ACCESS: who may set it, what it shows, and that no message carries it (caldav-privateevents)."""

from __future__ import annotations

import pytest

from server.storage.directory import RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.person import Person, calendar, event
from tests.integration.dav.private_events import CANARY, HIDDEN, TIMES
from tests.integration.dav.sharing import CAUSE, Share, shown

ACCESS = "X-CALENDARSERVER-ACCESS"


def restricted(access: str, *lines: str, uid: str = "1") -> str:
    """An event with this mark."""
    return event(uid, "Seen", "LOCATION:there", *HIDDEN[1:], *lines).replace(
        "BEGIN:VEVENT", f"{ACCESS}:{access}\r\nBEGIN:VEVENT", 1
    )


@pytest.mark.parametrize("access", ["PUBLIC", "private", "CONFIDENTIAL", "RESTRICTED"])
async def test_the_owner_sets_it(person: Person, access: str) -> None:
    etag = await person.has(f"{person.calendar}1.ics", restricted(access))
    reply = await person.http("GET", f"{person.calendar}1.ics")
    assert (reply.text, reply.etag) == (restricted(access), etag)


@pytest.mark.parametrize("access", ["", "X-OTHER", f"PUBLIC\r\n{ACCESS}:PRIVATE"])
async def test_values_that_are_not_known_are_refused(person: Person, access: str) -> None:
    reply = await person.put(f"{person.calendar}1.ics", restricted(access))
    assert reply.status == 403
    assert "valid-access-restriction>" in reply.text
    assert not await person.exists(f"{person.calendar}1.ics")


async def test_restricted_events_show_summary_and_location(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "read")
    (path,) = await shown(other)
    await person.has(f"{person.calendar}1.ics", restricted("RESTRICTED", "CLASS:PRIVATE"))
    text = (await other.http("GET", f"{path}1.ics")).text
    plain = calendar(*TIMES, "SUMMARY:Seen", "LOCATION:there", "END:VEVENT")
    assert text == plain.replace("BEGIN:VEVENT", f"{ACCESS}:RESTRICTED\r\nBEGIN:VEVENT")
    assert (await other.put(f"{path}1.ics", text)).status == 403


async def test_a_sharee_sets_none(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "write")
    (path,) = await shown(other)
    reply = await other.put(f"{path}1.ics", restricted("CONFIDENTIAL"))
    assert reply.status == 403
    assert ":valid-access-restriction-change" in reply.text
    assert (await other.put(f"{path}1.ics", restricted("PUBLIC"))).status == 201
    await other.has(f"{other.calendar}2.ics", restricted("CONFIDENTIAL", uid="2"))
    for method in ("COPY", "MOVE"):
        reply = await other.http(method, f"{other.calendar}2.ics", Destination=f"{path}2.ics")
        assert reply.status == 403
        assert ":valid-access-restriction-change" in reply.text


async def test_a_delegate_keeps_it(person: Person, other: Person, served: Served) -> None:
    change = RelationChange(person.id, delegates=frozenset({(other.id, "write")}))
    await PostgresDirectory(served.storage.database).write_relations([change], CAUSE)
    href = f"{person.calendar}1.ics"
    await person.has(href, restricted("CONFIDENTIAL"))
    for sent in (event("1", "Changed"), event("1", "Again").replace("PRODID", f"{ACCESS}:PUBLIC\r\nPRODID", 1)):
        reply = await other.put(href, sent)
        assert reply.status == 204
        assert "ETag" not in reply.headers
        text = (await person.http("GET", href)).text
        assert text.count(ACCESS) == 1
        assert text.replace(f"{ACCESS}:CONFIDENTIAL\r\n", "") == sent.replace(f"{ACCESS}:PUBLIC\r\n", "")
    reply = await other.put(href, restricted("RESTRICTED"))
    assert reply.status == 403
    assert ":valid-access-restriction-change" in reply.text
    assert "ETag" in (await other.put(href, restricted("CONFIDENTIAL"))).headers


async def test_no_message_carries_it(person: Person, other: Person, new_person: NewPerson, share: Share) -> None:
    reader = await new_person()
    me, you = (f"mailto:{each.name}@example.com" for each in (person, other))
    people = (f"ORGANIZER:{me}", f"ATTENDEE;PARTSTAT=ACCEPTED:{me}", f"ATTENDEE:{you}")
    await person.has(f"{person.calendar}1.ics", restricted("CONFIDENTIAL", *people, "CLASS:PRIVATE"))
    (item,) = await other.names(f"{other.home}inbox/")
    (copy,) = await other.names(other.calendar)
    for href in (item, copy):
        text = (await other.http("GET", href)).text
        assert ACCESS not in text
        assert "CLASS:PRIVATE" in text
    # Attendees mark their copies themselves, and keep that when the organizer changes the meeting.
    text = (await other.http("GET", copy)).text
    await other.has(copy, text.replace("BEGIN:VEVENT", f"{ACCESS}:RESTRICTED\r\nBEGIN:VEVENT", 1), If_Match="*")
    await person.has(f"{person.calendar}1.ics", restricted("CONFIDENTIAL", *people, "COMMENT:more"), If_Match="*")
    text = (await other.http("GET", copy)).text
    assert f"{ACCESS}:RESTRICTED" in text
    assert "COMMENT:more" in text
    await share(other, reader, "read")
    (path,) = await shown(reader)
    assert CANARY not in (await reader.http("GET", path)).text
    assert ACCESS not in (await person.http("GET", f"{person.calendar}1.ics")).text.replace(f"{ACCESS}:CONF", "")


async def test_the_outbox_takes_none(person: Person) -> None:
    me = f"mailto:{person.name}@example.com"
    text = (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nMETHOD:REQUEST\r\n{ACCESS}:PRIVATE\r\nBEGIN:VFREEBUSY\r\nUID:a\r\n"
        f"DTSTAMP:20260101T000000Z\r\nDTSTART:20260601T000000Z\r\nDTEND:20260602T000000Z\r\nORGANIZER:{me}\r\n"
        f"ATTENDEE:{me}\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n"
    )
    reply = await person.http("POST", f"{person.home}outbox/", text, Content_Type="text/calendar")
    assert reply.status == 403
    assert "no-access-restrictions>" in reply.text
