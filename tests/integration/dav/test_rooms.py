"""Rooms as apps see them: properties of their principals, and the search for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from server.domain.changes import Cause
from server.domain.limits import Limits
from server.domain.rooms import Position, Room
from server.services.objects import Objects
from server.services.rooms.directory_book import DirectoryBook
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


BOOK = "/addressbooks/__uids__/koyomi-directory/addressbook/"


@pytest_asyncio.fixture(loop_scope="session")
async def book(served: Served, rooms: dict[str, str]) -> str:
    """The URL of the address book of rooms, which is up to date."""
    await _book(served).follow()
    return BOOK


def _book(served: Served) -> DirectoryBook:
    storage = served.storage
    return DirectoryBook(storage, PostgresDirectory(storage.database), Objects(storage, Limits()))


async def test_apps_find_the_address_book_of_rooms(person: Person, book: str) -> None:
    assert hrefs_in(await person.prop(person.principal, "A:directory-gateway")) == [book]
    assert hrefs_in(await person.prop(person.principal, "A:addressbook-home-set")) == [person.books]
    shown = await person.propfind("/addressbooks/__uids__/koyomi-directory/", "D:resourcetype", depth="1")
    assert book in shown.hrefs
    types = await person.prop(book, "A:supported-address-data")
    assert types.index("3.0") < types.index("4.0")
    listed = await person.propfind("/principals/groups/", "D:displayname", depth="1")
    assert not [href for href in listed.hrefs if "directory" in href]


async def test_cards_of_rooms_are_searched_and_read_in_both_versions(person: Person, book: str) -> None:
    wanted = '<D:prop><D:getetag/><A:address-data content-type="text/vcard" version="{}"/></D:prop>'
    query = '<A:filter><A:prop-filter name="FN"><A:text-match>gion</A:text-match></A:prop-filter></A:filter>'

    async def cards(version: str) -> list[str]:
        body = (
            '<A:addressbook-query xmlns:D="DAV:" xmlns:A="urn:ietf:params:xml:ns:carddav">'
            f"{wanted.format(version)}{query}</A:addressbook-query>"
        )
        reply = await person.http("REPORT", book, body, Depth="1")
        assert reply.status == 207, reply.text
        return [str(item.text) for item in reply.xml.iter("{urn:ietf:params:xml:ns:carddav}address-data")]

    (card,) = await cards("3.0")
    assert "FN:Gion Hall\r\n" in card
    assert "X-ADDRESSBOOKSERVER-KIND:location\r\n" in card
    (card,) = await cards("4.0")
    assert "VERSION:4.0\r\n" in card
    assert "KIND:location\r\n" in card


async def test_the_address_book_of_rooms_is_synchronised(person: Person, book: str, served: Served) -> None:
    async def changes(token: str) -> tuple[list[str], str]:
        inner = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
        body = f'<D:sync-collection xmlns:D="DAV:">{inner}</D:sync-collection>'
        reply = await person.http("REPORT", book, body, Depth="0")
        assert reply.status == 207, reply.text
        return reply.multistatus.hrefs, str(reply.xml.findtext("{DAV:}sync-token"))

    everything, token = await changes("")
    assert len(everything) >= 3
    assert await changes(token) == ([], token)
    directory = PostgresDirectory(served.storage.database)
    record = await directory.principal("plain")
    assert record is not None
    assert record.room is not None
    room = replace(record.room, capacity=(record.room.capacity or 0) + 1)
    await directory.write_principals([PrincipalChange(record.id, room=room)], CAUSE)
    await _book(served).follow()
    (changed,), later = await changes(token)
    assert later != token
    assert f"Capacity: {room.capacity}" in (await person.http("GET", changed)).text


async def test_nobody_writes_the_address_book_of_rooms(person: Person, other: Person, book: str) -> None:
    names = (await person.propfind(book, "D:getetag", depth="1")).hrefs
    member = next(href for href in names if href != book)
    card = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:x\r\nFN:x\r\nN:x;;;;\r\nEND:VCARD\r\n"
    for method, path, body in (
        ("PUT", member, card),
        ("PUT", f"{book}new.vcf", card),
        ("DELETE", member, ""),
        ("DELETE", book, ""),
        ("MOVE", member, ""),
        ("MKCOL", "/addressbooks/__uids__/koyomi-directory/more/", ""),
    ):
        headers = {"Destination": f"{person.book}stolen.vcf"} if method == "MOVE" else {}
        reply = await person.http(method, path, body, **headers)
        assert reply.status in (403, 405), (method, path, reply.status)
    # A name is everybody's own, as in what others share; nothing else can be set.
    await person.set(book, "<D:displayname>x</D:displayname>")
    assert await other.prop(book, "D:displayname") != "x"
    note = "<D:set><D:prop><X:note>x</X:note></D:prop></D:set>"
    (await person.proppatch(book, note)).refused(403, "{DAV:}need-privileges")
    copied = await person.http("COPY", member, "", Destination=f"{person.book}copied.vcf")
    assert copied.status == 201
    principal = "/principals/__uids__/koyomi-directory/"
    for name in ("D:displayname", "C:calendar-user-address-set", "D:group-membership"):
        assert (await person.propfind(principal, name)).only is not None
