"""The address book of rooms."""

from __future__ import annotations

from dataclasses import replace

import pytest
import vobject
from hypothesis import given
from hypothesis import strategies as st

from server.contacts.room_cards import as_version_4, is_room_card, room_card
from server.contacts.vcard import read_address_object
from server.domain.errors import AccessDenied
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.principals import DIRECTORY, Principal
from server.domain.privileges import Privilege
from server.domain.rooms import ListedRoom, Position, Room
from server.services.reading import Reading
from server.services.rooms.directory_book import BOOK, DirectoryBook
from server.storage.directory import PrincipalChange
from tests.unit.services.world import INSTALLATION, World

HALL = Room(
    0,
    "ROOM",
    "Kyōto",
    "Gion; Co",
    "2",
    capacity=40,
    features=frozenset({"video", "stage, large"}),
    accessibility="wheelchair",
    position=Position(35.0036, -135.7782),
    photograph="https://example.com/gion.jpg",
    contact="desk@example.com",
    time_zone="Asia/Tokyo",
)


def listed(room: Room = HALL, display_name: str = "Gion; Hall", *emails: str) -> ListedRoom:
    return ListedRoom(Principal(7, "u-7", "room", "gion", display_name, emails, frozenset(), False, 0), room)


def test_a_card_says_what_is_known() -> None:
    text = room_card(listed(HALL, "Gion; Hall", "gion@example.com"))
    card = vobject.readOne(text)
    assert card.fn.value == "Gion; Hall"
    assert card.email.value == "gion@example.com"
    assert card.adr.value.extended == "Gion; Co, 2"
    assert card.adr.value.city == "Kyōto"
    assert card.contents["geo"][0].value == "35.003600;-135.778200"
    assert "Capacity: 40\nFeatures: stage, large, video\nAccessibility: wheelchair" in card.note.value
    read = read_address_object(text.encode(), Limits())
    assert (read.version, read.uid, read.kind) == ("3.0", "u-7", "location")


def test_the_card_of_version_4_says_the_same() -> None:
    text = as_version_4(room_card(listed(HALL, "Gion; Hall", "gion@example.com")))
    read = read_address_object(text.encode(), Limits())
    assert (read.version, read.kind, read.full_name, read.emails) == (
        "4.0",
        "location",
        "Gion; Hall",
        ("gion@example.com",),
    )
    for line in ("GEO:geo:35.003600,-135.778200", "TZ:Asia/Tokyo", "PHOTO:https://example.com/gion.jpg"):
        assert f"\r\n{line}\r\n" in text
    assert "CALADRURI:urn:x-uid:u-7" in as_version_4(room_card(listed()))


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=200))
def test_any_texts_make_cards_of_both_versions(text: str) -> None:
    room = replace(HALL, site=text, building=text, accessibility=text, contact=text, features=frozenset({text}))
    made = room_card(listed(room, text))
    assert is_room_card(made)
    assert max(map(len, made.encode().split(b"\r\n"))) <= 75
    for version, card in (("3.0", made), ("4.0", as_version_4(made))):
        assert read_address_object(card.encode(), Limits()).version == version


class Book:
    def __init__(self) -> None:
        self.world = World()
        self.book = DirectoryBook(self.world.storage, self.world.directory, self.world.objects)

    async def cards(self) -> dict[str, str]:
        found = await self.world.lookup.find(INSTALLATION, BOOK, Privilege.READ)
        pages = Reading(self.world.storage, 100).pages(found, ("name", "text"))
        return {row[1].split("FN:")[1].split("\r\n")[0]: row[0] async for page in pages for row in page}

    async def revision(self) -> int:
        found = await self.world.lookup.find(INSTALLATION, BOOK, Privilege.READ)
        assert found.collection is not None
        return found.collection.revision


async def test_cards_follow_the_rooms() -> None:
    office = Book()
    world = office.world
    await world.add("gion", kind="room", display_name="Gion", room=HALL)
    await world.add("van", kind="resource")
    await world.add("ann")
    assert await office.book.follow() == 2
    assert set(await office.cards()) == {"Gion", "van"}
    before = await office.revision()
    assert await office.book.follow() == 0
    assert await office.revision() == before
    await world.directory.write_principals(
        [PrincipalChange(world.ids["gion"], display_name="Hall")], INSTALLATION.cause
    )
    assert await office.book.follow() == 1
    assert await office.revision() > before
    await world.directory.delete_principal(world.ids["van"], INSTALLATION.cause, purge=False)
    assert await office.book.follow() == 1
    assert set(await office.cards()) == {"Hall"}


async def test_everybody_reads_it_and_nobody_writes_it() -> None:
    office = Book()
    world = office.world
    await world.add("gion", kind="room", room=HALL)
    await world.add("ann")
    await world.add("root", roles=frozenset({"admin"}))
    await office.book.follow()
    (name,) = (await office.cards()).values()
    for who in ("ann", "root"):
        actor = await world.actor(who)
        member = Target(DIRECTORY, "uid", "addressbook", "addressbook", name)
        found = await world.lookup.find(actor, member, Privilege.READ)
        with pytest.raises(AccessDenied):
            await world.objects.put(actor, found, room_card(listed()).encode())
        with pytest.raises(AccessDenied):
            await world.objects.delete(actor, found)
        for place in (BOOK, Target(DIRECTORY, "uid", "addressbook")):
            seen = await world.lookup.find(actor, place, Privilege.READ)
            assert (
                not {Privilege.BIND, Privilege.UNBIND, Privilege.WRITE_ACL, Privilege.WRITE_PROPERTIES}
                & seen.privileges
            )


async def test_somebody_who_has_its_name_keeps_it() -> None:
    office = Book()
    await office.world.directory.write_principals(
        [PrincipalChange(uid="x", kind="individual", name=DIRECTORY)], INSTALLATION.cause
    )
    await office.world.add("gion", kind="room")
    assert await office.book.follow() == 0


async def test_the_directory_is_no_calendar_user_that_people_find() -> None:
    office = Book()
    await office.world.add("gion", kind="room")
    await office.book.follow()
    listed_ = await office.world.directory.principals(["individual", "group", "room", "resource"])
    assert [record.name for record in listed_] == ["gion"]
