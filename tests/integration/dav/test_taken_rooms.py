"""What a room has taken is refused over HTTP: with the other's time, and nothing else of it."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio

from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person, event

SECRET = "Merger with Contoso"


@pytest_asyncio.fixture(loop_scope="session")
async def room(new_person: NewPerson) -> Person:
    return await new_person(kind="room")


@pytest_asyncio.fixture(loop_scope="session")
async def admin(new_person: NewPerson) -> Person:
    """Who writes its calendar."""
    return await new_person(roles=frozenset({"admin"}))


async def put(admin: Person, url: str, text: str) -> Reply:
    return await admin.http("PUT", url, text, Content_Type="text/calendar")


def later(uid: str) -> str:
    return event(uid).replace("20260601T", "20260602T")


def refusal(body: str) -> bool:
    """Whether a body says that the time is taken, and when, and no more."""
    told = re.search(r"already-reserved[ >].*20260601T090000Z<.*20260601T100000Z<.*already-reserved>", body)
    return told is not None and SECRET not in body and "example.com" not in body


async def test_a_put_at_a_time_that_is_taken_is_refused(room: Person, admin: Person) -> None:
    assert (
        await put(admin, f"{room.calendar}a.ics", event("a", SECRET, "ORGANIZER:mailto:boss@example.com"))
    ).status == 201
    reply = await put(admin, f"{room.calendar}b.ics", event("b"))
    assert reply.status == 409
    assert refusal(reply.text), reply.text
    assert "urn:koyomi:rooms" in reply.text
    assert (await put(admin, f"{room.calendar}b.ics", later("b"))).status == 201
    # a change of what is there, too
    reply = await put(admin, f"{room.calendar}b.ics", event("b"))
    assert (reply.status, refusal(reply.text)) == (409, True)


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_a_copy_or_move_to_a_time_that_is_taken_is_refused(
    room: Person, admin: Person, new_person: NewPerson, method: str
) -> None:
    assert (await put(admin, f"{room.calendar}a.ics", event("a", SECRET))).status == 201
    other = await new_person(kind="room")
    assert (await put(admin, f"{other.calendar}b.ics", event("b"))).status == 201
    destination = {"Destination": f"{room.calendar}b.ics"}
    reply = await admin.http(method, f"{other.calendar}b.ics", **destination)
    assert (reply.status, refusal(reply.text)) == (409, True)
    assert (await admin.http("GET", f"{other.calendar}b.ics")).status == 200
    assert (await admin.http("DELETE", f"{room.calendar}a.ics")).status == 204
    assert (await admin.http(method, f"{other.calendar}b.ics", **destination)).status == 201


async def test_a_copy_of_a_calendar_of_the_room_is_refused(room: Person, admin: Person) -> None:
    assert (await put(admin, f"{room.calendar}a.ics", event("a", SECRET))).status == 201
    reply = await admin.http("COPY", room.calendar, Destination=f"{room.home}again/")
    assert (reply.status, refusal(reply.text)) == (409, True)
    assert (await admin.http("PROPFIND", f"{room.home}again/", Depth="0")).status == 404
