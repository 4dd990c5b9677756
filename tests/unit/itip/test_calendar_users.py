"""Addresses are compared as the people that they mean."""

from __future__ import annotations

import pytest

from server.itip.calendar_users import Directory, addresses, here
from tests.unit.itip.texts import attendee, event, organizer, person, read


@pytest.mark.parametrize(
    "address",
    [
        "mailto:user02@example.com",
        "MAILTO:User02@Example.COM",
        "mailto:user02%40example.com",
        "mailto:%75ser02@example.com",
        "mailto:user02@example.com?subject=x",
        "mailto://user02@example.com",
        " mailto:user02@example.com ",
        "user02@example.com",
        "mailto:alias@example.com",
        "urn:x-uid:id02",
        "URN:X-UID:ID02",
        "urn:uuid:0000-02",
        "/principals/__uids__/id02/",
        "/principals/users/user02",
        "https://cal.example.com/dav/principals/users/user02/",
    ],
)
def test_one_person_by_any_address(address: str) -> None:
    user = person(2, "mailto:alias@example.com", "urn:uuid:0000-02")
    assert Directory([person(1), user]).user(address) is user


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("mailto:a@elsewhere.example", "MAILTO:A@Elsewhere.example", True),
        ("mailto:a@elsewhere.example", "mailto:b@elsewhere.example", False),
        ("mailto:stra%C3%9Fe@e.example", "mailto:STRASSE@e.example", True),
        ("urn:uuid:1", "urn:uuid:1", True),
        ("tel:1@2", "mailto:tel:1@2", False),
        ("", "mailto:", False),
    ],
)
def test_people_elsewhere_are_told_apart_by_address(one: str, other: str, same: bool) -> None:
    directory = Directory()
    assert directory.same(one, other) is same
    assert not directory.user(one).is_here


def test_the_written_address_is_one_that_others_understand() -> None:
    assert here(1, ["/principals/x/1/", "mailto:a@b.example", "mailto:old@b.example"]).address == "mailto:a@b.example"
    assert here(2, ["/principals/locations/r/", "urn:x-uid:r1"], cutype="ROOM").address == "urn:x-uid:r1"
    assert not here(2, ["urn:x-uid:r1"], cutype="ROOM").may_organize


def test_all_addresses_of_an_object_are_looked_up() -> None:
    value = read(
        event(
            organizer(1, ';SENT-BY="mailto:s@example.com"'),
            attendee(2, "DELEGATED", ';DELEGATED-TO="mailto:d@example.com","mailto:e@example.com"'),
            attendee(3, "", ';MEMBER="urn:x-uid:group"'),
        )
    )
    assert addresses(value, None) == {
        "mailto:user01@example.com",
        "mailto:user02@example.com",
        "mailto:user03@example.com",
        "mailto:s@example.com",
        "mailto:d@example.com",
        "mailto:e@example.com",
        "urn:x-uid:group",
    }
