"""LOCATION with the names of invited rooms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.contentline import escape_text, unescape_text
from server.itip.calendar_users import Directory, here
from server.itip.room_locations import WRITTEN, naming_rooms_without_address, with_rooms_in_location
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


# -- in the organizer's object ----------------------------------------------------------------------------------------


def put(old: SchedulingObject | None, *lines: str) -> SchedulingObject:
    return with_rooms_in_location(old, meeting(*lines), DIRECTORY)


def shown(value: SchedulingObject, *names: str) -> list[str]:
    """The lines of some names, as an app writes them again."""
    return [line.written.rstrip("\r\n") for line in value.components[0].lines if line.name in names]


def test_location_follows_the_rooms() -> None:
    first = put(None, *invites("one", "beamer"))
    assert location(first) == "Room 1"
    both = put(first, *shown(first, "LOCATION", "ATTENDEE"), *invites("hall"))
    assert location(both) == "Room 1; Hall"
    other = put(both, "LOCATION:Room 1\\; Hall", *invites("two"))
    assert location(other) == "Süd; 2. Stock"
    none = put(other, *shown(other, "LOCATION"))
    assert location(none) is None
    assert WRITTEN not in none.text


def test_what_the_organizer_writes_stays() -> None:
    own = put(None, "LOCATION:Lyon", *invites("one"))
    assert location(own) == "Lyon"
    first = put(None, *invites("one"))
    changed = put(first, "LOCATION:Lyon", *invites("one", "two"))
    assert location(changed) == "Lyon"
    assert WRITTEN not in changed.text
    later = put(changed, "LOCATION:Lyon", *invites("two"))
    assert location(later) == "Lyon"
    again = put(later, *invites("two"))
    assert location(again) == "Süd; 2. Stock"


def test_a_room_that_declines_leaves_and_a_copied_meeting_follows() -> None:
    first = put(None, *invites("one", "two"))
    left = put(first, *shown(first, "LOCATION"), *invites("one", more=";PARTSTAT=DECLINED"), *invites("two"))
    assert location(left) == "Süd; 2. Stock"
    assert location(put(None, *shown(first, "LOCATION", WRITTEN), *invites("hall"))) == "Hall"


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1))
def test_nothing_of_others_is_ever_replaced(text: str) -> None:
    first = put(None, *invites("one"))
    written = f"LOCATION:{escape_text(text)}"
    kept = put(first, written, *invites("two"))
    if text.strip() and text.strip() != "Room 1":
        assert location(kept) == text
        assert location(put(kept, written)) == text
