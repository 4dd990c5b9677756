"""LOCATION with the names of invited rooms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.contentline import unescape_text
from server.itip.calendar_users import Directory, here
from server.itip.room_locations import naming_rooms_without_address
from server.itip.scheduling_object import SchedulingObject, read_object

DIRECTORY = Directory(
    [
        here(1, ["mailto:ann@example.org", "urn:x-uid:ann"], "Ann"),
        here(2, ["urn:x-uid:one"], "Room 1", "ROOM"),
        here(3, ["urn:x-uid:two"], "Süd; 2. Stock", "ROOM"),
        here(4, ["urn:x-uid:beamer"], "Beamer", "RESOURCE"),
        here(5, ["mailto:hall@example.org", "urn:x-uid:hall"], "Hall", "ROOM"),
        here(6, ["urn:x-uid:bob"], "Bob"),
    ]
)


def meeting(*lines: str) -> SchedulingObject:
    body = ("UID:1", "DTSTAMP:20260101T000000Z", "DTSTART:20260301T090000Z", "ORGANIZER:mailto:ann@example.org", *lines)
    return read_object("\r\n".join(("BEGIN:VCALENDAR", "BEGIN:VEVENT", *body, "END:VEVENT", "END:VCALENDAR", "")))


def invites(*names: str, more: str = "") -> list[str]:
    return [f"ATTENDEE{more}:urn:x-uid:{name}" for name in names]


def location(value: SchedulingObject) -> str | None:
    (component,) = value.components
    line = component.first("LOCATION")
    return None if line is None else unescape_text(line.value)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (invites("one"), "Room 1"),
        (invites("one", "beamer", "two"), "Room 1; Beamer; Süd; 2. Stock"),
        (["LOCATION:Lyon", *invites("one")], "Lyon; Room 1"),
        (["LOCATION:lyon\\, room 1", *invites("one")], "lyon, room 1"),
        (["LOCATION:Room 10", *invites("one")], "Room 10; Room 1"),
        (["LOCATION: ", *invites("one")], "Room 1"),
        (invites("hall", "bob"), None),
        (invites("one", more=";PARTSTAT=DECLINED"), None),
        (["ATTENDEE:urn:x-uid:elsewhere", "ATTENDEE;CUTYPE=ROOM:mailto:room@elsewhere.example"], None),
    ],
)
def test_rooms_without_address_are_named(lines: list[str], expected: str | None) -> None:
    assert location(naming_rooms_without_address(meeting(*lines), DIRECTORY)) == expected


def test_parameters_of_location_stay() -> None:
    named = naming_rooms_without_address(meeting("LOCATION;LANGUAGE=fr:Lyon", *invites("one")), DIRECTORY)
    assert "LOCATION;LANGUAGE=fr:Lyon\\; Room 1\r\n" in named.text


@given(st.text())
def test_naming_twice_changes_nothing_more(text: str) -> None:
    escaped = "".join(each for each in text if each.isprintable()).replace("\\", "")
    once = naming_rooms_without_address(meeting(f"LOCATION:{escaped}", *invites("one", "two", "beamer")), DIRECTORY)
    assert naming_rooms_without_address(once, DIRECTORY).text == once.text
