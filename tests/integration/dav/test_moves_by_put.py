"""How Thunderbird and Evolution move a meeting between calendars: a PUT in the other one, a DELETE in the first."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import Multistatus, caldav
from tests.integration.dav.person import Person
from tests.integration.dav.test_implicit_scheduling import answer, line, meeting, text_of
from tests.integration.storage.conftest import deadlocks


@pytest.fixture
async def work(person: Person) -> str:
    """A second calendar of the person."""
    assert (await person.http("MKCALENDAR", f"{person.home}work/")).status == 201
    return f"{person.home}work/"


def statuses(changes: Multistatus) -> dict[str, int | None]:
    """What a sync reports: 404 for what is gone."""
    return {href: each.status for href, each in changes.responses.items()}


async def test_thunderbird_moves_a_meeting(person: Person, work: str, new_person: NewPerson) -> None:
    ben = await new_person()
    old, new = f"{person.calendar}m.ics", f"{work}m.ics"
    etag = await person.has(old, meeting(person, ben))
    before = await person.http("GET", old)
    resource_id = await person.prop(old, "D:resource-id")
    tokens = {path: (await person.sync(path)).token for path in (person.calendar, work)}

    put = await person.put(new, before.text, If_None_Match="*")
    assert put.status == 201
    assert put.etag == etag
    assert put.headers["Schedule-Tag"] != before.headers["Schedule-Tag"]
    for method in ("GET", "PROPFIND"):
        assert (await person.http(method, old)).status == 404
    for _ in range(2):
        assert (await person.http("DELETE", old, If_Match=etag)).status == 204
    assert (await person.http("DELETE", f"{person.calendar}absent.ics")).status == 404

    assert await text_of(person, new) == before.text.replace("\r\n ", "")
    assert (await person.http("GET", new)).headers["Schedule-Tag"] == put.headers["Schedule-Tag"]
    assert await person.prop(new, "D:resource-id") == resource_id
    gone = await person.sync(person.calendar, tokens[person.calendar])
    assert statuses(gone) == {old: 404}
    come = await person.sync(work, tokens[work])
    assert statuses(come) == {new: None}

    (item,) = await ben.names(f"{ben.home}inbox/")
    assert "METHOD:REQUEST" in await text_of(ben, item)
    assert await answer(ben, "ACCEPTED") == 204
    assert "PARTSTAT=ACCEPTED" in line(await text_of(person, new), ben)
    assert (await person.http("DELETE", new)).status == 204
    (copy,) = await ben.names(ben.calendar)
    assert "STATUS:CANCELLED" in await text_of(ben, copy)
    assert (await person.http("DELETE", old)).status == 404


async def test_thunderbird_accepts_a_mailed_invitation(person: Person, new_person: NewPerson) -> None:
    organizer = await new_person()
    await organizer.has(f"{organizer.calendar}m.ics", meeting(organizer, person))
    (old,) = await person.names(person.calendar)
    resource_id = await person.prop(old, "D:resource-id")
    token = (await person.sync(person.calendar)).token
    mailed = meeting(organizer, person)
    accepted = mailed.replace("ATTENDEE;RSVP=TRUE", "ATTENDEE;PARTSTAT=ACCEPTED")
    new = f"{person.calendar}m.ics"
    assert (await person.put(new, accepted, If_None_Match="*")).status == 201
    assert await person.names(person.calendar) == [new]
    assert await person.prop(new, "D:resource-id") == resource_id
    changes = await person.sync(person.calendar, token)
    assert statuses(changes) == {old: 404, new: None}
    assert "PARTSTAT=ACCEPTED" in line(await text_of(organizer, f"{organizer.calendar}m.ics"), person)
    # What an app has written keeps its name.
    reply = await person.put(f"{person.calendar}second.ics", accepted, If_None_Match="*")
    reply.refused(403, caldav("no-uid-conflict"))
    assert f"<D:href>{new}</D:href>" in reply.text


async def test_what_is_moved_can_change(person: Person, work: str, new_person: NewPerson) -> None:
    ben = await new_person()
    await person.has(f"{person.calendar}m.ics", meeting(person, ben))
    assert (await person.put(f"{work}m.ics", meeting(person, ben, summary="Other"))).status == 201
    (copy,) = await ben.names(ben.calendar)
    assert "SUMMARY:Other" in await text_of(ben, copy)
    assert await person.names(person.calendar) == []


async def test_answers_while_the_meeting_moves(
    person: Person, work: str, new_person: NewPerson, served: Served
) -> None:
    before = await deadlocks(served.storage)
    people = [await new_person() for _ in range(4)]
    place, text = f"{person.calendar}m.ics", meeting(person, *people)
    await person.has(place, text)

    async def move() -> None:
        nonlocal place
        for number in range(8):
            new = f"{work if number % 2 == 0 else person.calendar}m{number}.ics"
            assert (await person.put(new, text, If_None_Match="*")).status == 201
            assert (await person.http("DELETE", place)).status == 204
            place = new

    partstats = ("ACCEPTED", "DECLINED", "TENTATIVE", "ACCEPTED")
    answers = [answer(each, partstat) for each, partstat in zip(people, partstats, strict=True)]
    assert set((await asyncio.gather(move(), *answers))[1:]) == {204}
    assert [*await person.names(person.calendar), *await person.names(work)] == [place]
    for each, partstat in zip(people, partstats, strict=True):
        assert f"PARTSTAT={partstat}" in line(await text_of(person, place), each)
    assert await deadlocks(served.storage) == before
