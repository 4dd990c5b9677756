"""What calendar user addresses name (RFC 6638 §2.4.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.calendar.attendance import address_keys
from server.calendar.component import parse_calendar
from server.calendar.roles import scheduling
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import Directory
from server.services.scheduling.calendar_users import addresses_of, calendar_user, directory_of, search_of
from server.storage.directory import PrincipalChange
from server.storage.scheduling import AddressedPrincipal
from tests.unit.services.world import INSTALLATION, World, event

UID = "6423F94A-6B76-4A3A-815B-D52CFD77935D"
ADA = Principal(
    7, UID, "individual", "ada", "Ada", ("ada@example.com", "ada@example.org"), frozenset(), disabled=False,
    credential_version=0,
)  # fmt: skip
ROOM = Principal(8, "oak", "room", "oak", "", (), frozenset(), disabled=False, credential_version=0)


@pytest.mark.parametrize(
    ("address", "uids", "names", "emails"),
    [
        ("mailto:Ada@Example.COM", set(), set(), {"ada@example.com"}),
        ("MAILTO:ada%40example.com", set(), set(), {"ada@example.com"}),
        ("ada@example.com", set(), set(), {"ada@example.com"}),
        (f"urn:uuid:{UID.lower()}", {UID.lower(), UID}, set(), set()),
        ("urn:x-uid:Oak", {"oak", "Oak", "OAK"}, set(), set()),
        ("/principals/__uids__/Oak/", {"oak", "Oak", "OAK"}, set(), set()),
        ("https://example.com/dav/principals/users/Ada", set(), {"ada"}, set()),
        ("http://example.com/elsewhere", set(), set(), set()),
        ("", set(), set(), set()),
        ("mailto:%00@example.com", set(), set(), {"%00@example.com"}),
        ("/principals/users/%00", set(), {"%00"}, set()),
        ("urn:x-uid:\0", {"%00"}, set(), set()),
    ],
)
def test_what_an_address_names(address: str, uids: set[str], names: set[str], emails: set[str]) -> None:
    search = search_of([address])
    assert (search.uids, search.names, search.emails) == (uids, names, emails)


@pytest.mark.parametrize(
    "address",
    [
        "mailto:ada@example.com",
        "MAILTO:Ada@Example.ORG",
        "mailto:ada%40example.com",
        "mailto://ada@example.com?subject=x",
        "ada@example.com",
        "mailto:Countess@example.com",
        f"urn:x-uid:{UID.lower()}",
        f"URN:UUID:{UID}",
        f"/principals/__uids__/{UID}/",
        "/principals/individual/Ada",
        "https://example.com/dav/principals/individual/%61da/",
    ],
)
def test_the_directory_and_the_role_of_an_object_understand_the_same_addresses(address: str) -> None:
    user = calendar_user(AddressedPrincipal(ADA, ("countess@example.com",)))
    owner = address_keys(ADA.uid, ADA.name, (*ADA.emails, "countess@example.com"))
    assert Directory([user]).user(address) is user
    organized = parse_calendar(event("m", f"ORGANIZER:{address}"))
    attended = parse_calendar(event("m", "ORGANIZER:mailto:ben@example.com", f"ATTENDEE:{address}"))
    assert scheduling(organized, owner).role is SchedulingRole.ORGANIZER
    assert scheduling(attended, owner).role is SchedulingRole.ATTENDEE


def test_a_principal_as_a_calendar_user() -> None:
    user = calendar_user(AddressedPrincipal(ADA, ("countess@example.com",)))
    assert (user.key, user.address, user.cn, user.cutype) == (
        "principal:7",
        "mailto:ada@example.com",
        "Ada",
        "INDIVIDUAL",
    )
    ids = (f"urn:x-uid:{UID}", f"urn:uuid:{UID}")
    assert user.addresses[:4] == ("mailto:ada@example.com", "mailto:ada@example.org", *ids)
    assert "mailto:countess@example.com" in user.addresses


def test_who_has_no_mail_address_is_named_by_the_id() -> None:
    user = calendar_user(AddressedPrincipal(ROOM, ()))
    assert (user.address, user.cn, user.cutype, user.may_organize) == ("urn:x-uid:oak", None, "ROOM", False)


def test_only_a_uuid_has_a_urn_of_uuids() -> None:
    assert addresses_of(ADA)[1] == [f"urn:x-uid:{UID}", f"urn:uuid:{UID}"]
    assert addresses_of(ROOM)[1] == ["urn:x-uid:oak"]


async def test_the_principals_of_addresses(world: World) -> None:
    """An address that another principal has now is theirs; a former one still means who had it."""
    await world.add("dora", addresses=("dora@example.com", "old@example.com"))
    change = PrincipalChange(world.ids["dora"], addresses=("dora@example.com",))
    await world.directory.write_principals([change], INSTALLATION.cause)
    addresses = ["mailto:OLD@example.com", "/principals/__uids__/id-anna/", "mailto:nobody@example.com"]
    found = await directory_of(world.storage, addresses)
    assert [found.user(each).principal_id for each in addresses] == [world.ids["dora"], world.ids["anna"], None]
    elsewhere = await directory_of(world.storage, ["https://example.com/"])
    assert not elsewhere.user("https://example.com/").is_here


def test_nothing_is_sent_from_a_former_address() -> None:
    assert calendar_user(AddressedPrincipal(ADA, ("old@example.com",))).address == "mailto:ada@example.com"
    left = replace(ADA, emails=())
    user = calendar_user(AddressedPrincipal(left, ("old@example.com",)))
    assert user.address == f"urn:x-uid:{UID}"
    assert Directory([user]).key("mailto:OLD@example.com") == user.key


async def test_who_keeps_the_calendar_elsewhere_gets_nothing_here(world: World) -> None:
    for name, place in (("ann", "here"), ("bea", "elsewhere")):
        await world.add(name, addresses=(f"{name}@example.com",), calendar=place)
    directory = await directory_of(world.storage, ["mailto:bea@example.com", "urn:x-uid:id-bea"])
    bea = directory.user("urn:x-uid:id-bea")
    assert (bea, bea.is_here, bea.address) == (
        directory.user("mailto:BEA@example.com"),
        False,
        "mailto:bea@example.com",
    )
    people = ("ORGANIZER:mailto:ann@example.com", "ATTENDEE:urn:x-uid:id-bea")
    await world.invite("ann", "ann/calendar/m.ics", event("m", *people))
    assert await world.names("bea/calendar") == await world.names("bea/inbox") == []
    await world.directory.write_principals([PrincipalChange(world.ids["bea"], calendar="here")], INSTALLATION.cause)
    again = event("m", *people).replace("DTSTART:20260301T09", "DTSTART:20260301T11")
    await world.invite("ann", "ann/calendar/m.ics", again)
    assert len(await world.names("bea/calendar")) == len(await world.names("bea/inbox")) == 1
