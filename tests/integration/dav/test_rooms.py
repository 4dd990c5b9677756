"""Rooms as apps see them: properties of their principals, and the search for them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pytest_asyncio

from server.domain.changes import Cause
from server.domain.rooms import Position, Room
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import Served
from tests.integration.dav.multistatus import hrefs_in
from tests.integration.dav.person import Person
from tests.integration.dav.statements import Statements

CAUSE = Cause(None, "test")
FOLDER = "/principals/"
HALL = Room(
    0,
    "ROOM",
    site="Kyōto",
    building="Gion & Co",
    floor="2",
    number="2.01",
    capacity=40,
    features=frozenset({"video", "<stage>"}),
    accessibility="wheelchair",
    position=Position(35.0036, 135.7782),
    photograph="https://example.com/gion.jpg",
    contact="mailto:gion@example.com",
    time_zone="Asia/Tokyo",
    opening_times="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
    metadata={"floor covering": 'tatami "large"'},
    buffer_after=timedelta(minutes=10),
)
URLS = {name: f"/principals/__uids__/r-{name}/" for name in ("gion", "rickshaw", "plain")}


@pytest_asyncio.fixture(loop_scope="session")
async def rooms(served: Served) -> dict[str, str]:
    """URLs by name."""
    directory = PostgresDirectory(served.storage.database)
    if not await directory.principals_known([], ["gion"], []):
        changes = [
            PrincipalChange(None, "r-gion", "room", "gion", "Gion Hall", ("gion-hall@example.com",), room=HALL),
            PrincipalChange(None, "r-rickshaw", "resource", "rickshaw", room=Room(0, "PARKING", building="Gion & Co")),
            PrincipalChange(None, "r-plain", "room", "plain"),
        ]
        await directory.write_principals(changes, CAUSE)
    return URLS


async def test_attributes_are_properties_of_the_principal(person: Person, rooms: dict[str, str]) -> None:
    names = ("type", "site", "building", "floor", "number", "capacity", "features", "accessibility", "position")
    names += ("photograph", "contact", "time-zone", "opening-times", "metadata")  # type: ignore[assignment]
    asked = "".join(f'<{name} xmlns="urn:koyomi:rooms"/>' for name in names)
    body = f'<D:propfind xmlns:D="DAV:"><D:prop>{asked}</D:prop></D:propfind>'

    async def shown(name: str) -> dict[str, str]:
        reply = await person.http("PROPFIND", rooms[name], body, Depth="0")
        (response,) = reply.xml
        found = response[1]
        assert found.findtext("{DAV:}status") == "HTTP/1.1 200 OK"
        return {
            str(item.tag).rpartition("}")[2]: "|".join(text for text in item.itertext())
            for item in found.find("{DAV:}prop")
        }

    assert await shown("gion") == {
        "type": "ROOM",
        "site": "Kyōto",
        "building": "Gion & Co",
        "floor": "2",
        "number": "2.01",
        "capacity": "40",
        "features": "<stage>|video",
        "accessibility": "wheelchair",
        "position": "geo:35.003600,135.778200",
        "photograph": "https://example.com/gion.jpg",
        "contact": "mailto:gion@example.com",
        "time-zone": "Asia/Tokyo",
        "opening-times": HALL.opening_times,
        "metadata": 'tatami "large"',
    }
    assert await shown("rickshaw") == {"type": "PARKING", "building": "Gion & Co"}
    assert await shown("plain") == {"type": "ROOM"}
    changed = await person.proppatch(
        rooms["gion"], '<D:set><D:prop><capacity xmlns="urn:koyomi:rooms">1</capacity></D:prop></D:set>'
    )
    assert changed.status in (207, 403)
    assert (await shown("gion"))["capacity"] == "40"


async def test_people_have_no_attributes_of_rooms(person: Person) -> None:
    body = '<D:propfind xmlns:D="DAV:"><D:prop><type xmlns="urn:koyomi:rooms"/></D:prop></D:propfind>'
    reply = await person.http("PROPFIND", person.principal, body, Depth="0")
    assert reply.xml[0][1].findtext("{DAV:}status") == "HTTP/1.1 404 Not Found"


async def test_a_mail_address_comes_first(person: Person, rooms: dict[str, str]) -> None:
    body = (
        '<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">'
        "<D:prop><C:calendar-user-address-set/></D:prop></D:propfind>"
    )
    text = (await person.http("PROPFIND", rooms["gion"], body, Depth="0")).text
    found = text[text.index("calendar-user-address-set") :]
    assert found.index("mailto:gion-hall@example.com") < found.index("urn:x-uid:") < found.index("/principals/")
    assert "urn:x-uid:r-plain" in hrefs_in(await person.prop(rooms["plain"], "C:calendar-user-address-set"))


def searching(match: str, *names: str, how: str = "contains") -> str:
    props = "".join(f"<R:{name}/>" for name in names)
    return (
        f'<D:property-search><D:prop>{props}</D:prop><D:match match-type="{how}">{match}</D:match></D:property-search>'
    )


@pytest.mark.parametrize(
    ("inner", "names"),
    [
        (searching("GION &amp;", "building"), {"gion", "rickshaw"}),
        (searching("parking", "type", how="equals") + searching("gion", "building"), {"rickshaw"}),
        (searching("kyō", "features", "site"), {"gion"}),
        (searching("tatami", "metadata"), set()),
    ],
)
async def test_rooms_are_found_by_their_properties(
    person: Person, rooms: dict[str, str], monkeypatch: pytest.MonkeyPatch, inner: str, names: set[str]
) -> None:
    """What is wanted of all that are found is read by one statement."""
    body = (
        f'<D:principal-property-search xmlns:D="DAV:" xmlns:R="urn:koyomi:rooms">{inner}'
        "<D:prop><R:floor/><R:capacity/><R:building/></D:prop></D:principal-property-search>"
    )
    await person.http("OPTIONS", FOLDER)  # the sign-in is remembered
    counted = Statements(monkeypatch)
    reply = await person.http("REPORT", FOLDER, body, Depth="0")
    assert counted.of(reply) == (3 if names else 2)
    found = reply.multistatus
    assert {name for name, href in rooms.items() if href in found.hrefs} == names
    if "gion" in names:
        assert found[rooms["gion"]].found["{urn:koyomi:rooms}capacity"] == "40"


@pytest.mark.parametrize(
    ("tokens", "context", "names"),
    [
        (("gion",), "location", {"gion"}),
        (("gion",), "resource", {"rickshaw"}),
        (("gion",), "user", set()),
        (("gion",), "attendee", {"gion", "rickshaw"}),
        (("KYŌTO", "video"), "location", {"gion"}),
        (("tatami",), "", {"gion"}),
        (("40", "wheelchair"), "location", {"gion"}),
        (("ion &amp; Co",), "", set()),
    ],
)
async def test_what_somebody_types_is_compared_with_attributes(
    person: Person, rooms: dict[str, str], tokens: tuple[str, ...], context: str, names: set[str]
) -> None:
    inner = "".join(f"<S:search-token>{token}</S:search-token>" for token in tokens)
    body = (
        f'<S:calendarserver-principal-search xmlns:S="http://calendarserver.org/ns/" xmlns:D="DAV:" '
        f'context="{context}">{inner}<D:prop><D:displayname/></D:prop></S:calendarserver-principal-search>'
    )
    hrefs = (await person.http("REPORT", FOLDER, body, Depth="0")).multistatus.hrefs
    assert {name for name, href in rooms.items() if href in hrefs} == names
