"""Invitations and answers over HTTP (RFC 6638 §3): what apps see, and what happens when many act at once."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, xml
from tests.integration.dav.statements import Statements
from tests.integration.storage.conftest import deadlocks

WAITS = "select exists (select from job where kind in ('deliveries', 'refreshes'))"


def address(person: Person) -> str:
    return f"mailto:{person.name}@example.com"


def meeting(organizer: Person, *attendees: Person, summary: str = "Plan", uid: str = "m") -> str:
    return calendar(
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        "DTSTART:20260601T090000Z",
        "DURATION:PT1H",
        f"SUMMARY:{summary}",
        f"ORGANIZER:{address(organizer)}",
        f"ATTENDEE;PARTSTAT=ACCEPTED:{address(organizer)}",
        *(f"ATTENDEE;RSVP=TRUE:{address(each)}" for each in attendees),
        "END:VEVENT",
    )


async def settled(served: Served) -> None:
    """Wait until no messages wait."""
    async with asyncio.timeout(60):
        while await served.storage.database.fetchval(WAITS):
            await asyncio.sleep(0.05)


async def text_of(person: Person, path: str) -> str:
    return (await person.http("GET", path)).text.replace("\r\n ", "")


def line(text: str, person: Person, name: str = "ATTENDEE") -> str:
    (found,) = [each for each in text.splitlines() if each.startswith(name) and each.endswith(address(person))]
    return found


async def answer(person: Person, partstat: str) -> int:
    """Answer the only invitation, as often as another has changed the copy meanwhile; gives the last status."""
    (path,) = await person.names(person.calendar)
    while True:
        reply = await person.http("GET", path)
        text = reply.text.replace("\r\n ", "")
        before = line(text, person)
        after = re.sub(";(PARTSTAT|RSVP)=[A-Z-]+", "", before).replace("ATTENDEE", f"ATTENDEE;PARTSTAT={partstat}")
        put = await person.put(path, text.replace(before, after), If_Schedule_Tag_Match=reply.headers["Schedule-Tag"])
        if put.status != 412:
            return put.status


async def test_rfc6638_appendix_b_invitation_answer_and_cancellation(person: Person, new_person: NewPerson) -> None:
    path = f"{person.calendar}m.ics"
    ben, cleo = await new_person(), await new_person()
    reply = await person.put(path, meeting(person, ben, cleo))
    assert reply.status == 201
    assert "ETag" not in reply.headers
    tag = reply.headers["Schedule-Tag"]
    assert (await person.http("GET", path)).headers["Schedule-Tag"] == tag
    assert "SCHEDULE-STATUS=1.2" in line(await text_of(person, path), ben)
    for each in (ben, cleo):
        (copy,) = await each.names(each.calendar)
        assert "SUMMARY:Plan" in await text_of(each, copy)
        (item,) = await each.names(f"{each.home}inbox/")
        assert "METHOD:REQUEST" in await text_of(each, item)
        assert (await each.http("DELETE", item)).status == 204

    assert await answer(ben, "ACCEPTED") == 204
    assert (await person.http("GET", path)).headers["Schedule-Tag"] == tag
    assert "PARTSTAT=ACCEPTED" in line(await text_of(person, path), ben)
    (copy,) = await cleo.names(cleo.calendar)
    assert "PARTSTAT=ACCEPTED" in line(await text_of(cleo, copy), ben)
    (item,) = await person.names(f"{person.home}inbox/")
    assert "METHOD:REPLY" in await text_of(person, item)

    # An edit on the basis of the text from before the answer keeps the answer.
    changed = meeting(person, ben, cleo, summary="Other")
    assert (await person.put(path, changed, If_Schedule_Tag_Match=tag)).status == 204
    text = await text_of(person, path)
    assert "PARTSTAT=ACCEPTED" in line(text, ben)
    assert "SUMMARY:Other" in text
    assert (await person.put(path, changed, If_Schedule_Tag_Match=tag)).status == 412

    assert (await person.http("DELETE", path)).status == 204
    for each in (ben, cleo):
        (copy,) = await each.names(each.calendar)
        assert "STATUS:CANCELLED" in await text_of(each, copy)


async def test_what_an_attendee_may_not_do(person: Person, new_person: NewPerson) -> None:
    ben = await new_person()
    await person.has(f"{person.calendar}m.ics", meeting(person, ben))
    (copy,) = await ben.names(ben.calendar)
    text = await text_of(ben, copy)
    moved = text.replace("DTSTART:20260601T090000Z", "DTSTART:20260602T090000Z")
    (await ben.put(copy, moved)).refused(403, caldav("allowed-attendee-scheduling-object-change"))
    assert await text_of(ben, copy) == text


async def test_all_answers_at_once_are_merged(person: Person, new_person: NewPerson, served: Served) -> None:
    before = await deadlocks(served.storage)
    path = f"{person.calendar}m.ics"
    people = [await new_person() for _ in range(12)]
    await person.has(path, meeting(person, *people))
    partstats = ["ACCEPTED", "DECLINED", "TENTATIVE"] * 4
    statuses = await asyncio.gather(*(answer(each, partstat) for each, partstat in zip(people, partstats, strict=True)))
    assert set(statuses) == {204}
    await settled(served)
    texts = [await text_of(person, path)]
    for each in people:
        (copy,) = await each.names(each.calendar)
        texts.append(await text_of(each, copy))
    for text in texts:
        for each, partstat in zip(people, partstats, strict=True):
            assert f"PARTSTAT={partstat}" in line(text, each)
    assert await deadlocks(served.storage) == before


async def test_meetings_of_the_same_people_change_at_once(
    person: Person, new_person: NewPerson, served: Served
) -> None:
    before = await deadlocks(served.storage)
    people = [person, *[await new_person() for _ in range(4)]]

    async def organize(who: Person) -> None:
        others = [each for each in people if each is not who]
        path = f"{who.calendar}own.ics"
        for number in range(4):
            text = meeting(who, *others, summary=f"{number}", uid=f"of-{who.uid}")
            assert (await who.put(path, text)).status in (201, 204)

    await asyncio.gather(*map(organize, people))
    for who in people:
        names = await who.names(who.calendar)
        assert len(names) == len(people)
        for name in names:
            assert "SUMMARY:3" in await text_of(who, name)
    assert await deadlocks(served.storage) == before


async def test_who_may_write_but_not_send_is_denied_at_the_outbox(person: Person, new_person: NewPerson) -> None:
    """RFC 6638 §6.2.2: a list of the calendar gives no right to send in the owner's name."""
    ben, cleo = await new_person(), await new_person()
    path = f"{person.calendar}m.ics"
    await person.has(path, meeting(person, ben))
    grant = "<D:ace><D:principal><D:href>{}</D:href></D:principal><D:grant>{}</D:grant></D:ace>"
    privileges = "".join(f"<D:privilege><D:{name}/></D:privilege>" for name in ("read", "write"))
    body = xml("D:acl", grant.format(cleo.principal, privileges))
    assert (await person.http("ACL", person.calendar, body)).status == 200
    text = await text_of(person, path)
    for reply in (
        await cleo.put(path, text.replace("SUMMARY:Plan", "SUMMARY:Other")),
        await cleo.put(f"{person.calendar}new.ics", meeting(person, ben, uid="new")),
        await cleo.http("DELETE", path),
    ):
        reply.refused(403, dav("need-privileges"))
        assert f"<D:href>{person.home}outbox/</D:href>" in reply.text
        assert "schedule-send" in reply.text
    assert await text_of(person, path) == text
    # Nothing is sent for what concerns nobody else.
    assert (await cleo.put(path, text.replace("DURATION:PT1H", "DURATION:PT1H\r\nX-OWN:1"))).status == 204
    (copy,) = await ben.names(ben.calendar)
    assert "SUMMARY:Plan" in await text_of(ben, copy)


async def test_statements_do_not_grow_with_the_attendees(
    person: Person, new_person: NewPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [await new_person() for _ in range(6)]
    await person.has(f"{person.calendar}first.ics", meeting(person, uid="first"))  # signs in
    statements = Statements(monkeypatch)
    counts = set()
    for number in (2, 6):
        path = f"{person.calendar}{number}.ics"
        reply = await person.put(path, meeting(person, *people[:number], uid=f"m{number}"))
        assert reply.status == 201
        counts.add(statements.of(reply))
    assert counts == {5}  # lookup, the owner's addresses, who the addresses are, mailboxes, the change set
